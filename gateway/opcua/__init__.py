"""One OPC UA server as the gateway sees it: sessions and subscriptions, fast decoding, browsing and selection."""

from gateway.opcua.opening import open_source
from gateway.opcua.subscription.polled import PolledSource
from gateway.opcua.subscription.subscribed import SubscribedSource

__all__ = ["PolledSource", "SubscribedSource", "open_source"]
