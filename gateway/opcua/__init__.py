"""One OPC UA server as the gateway sees it: sessions and subscriptions, fast decoding, browsing and selection."""

from gateway.opcua.source import Source, open_source

__all__ = ["Source", "open_source"]
