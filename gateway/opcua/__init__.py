"""One OPC UA server as the gateway sees it: sessions and subscriptions, fast decoding, browsing and selection."""

from gateway.opcua.opening import open_source
from gateway.opcua.poll import Polling
from gateway.opcua.source import Source

__all__ = ["Polling", "Source", "open_source"]
