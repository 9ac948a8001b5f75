"""One OPC UA server as the gateway sees it: sessions and subscriptions, fast decoding, browsing and selection."""

from gateway.opcua.opening import open_source
from gateway.opcua.subscription.polled import Polling
from gateway.opcua.subscription.subscribed import Source

__all__ = ["Polling", "Source", "open_source"]
