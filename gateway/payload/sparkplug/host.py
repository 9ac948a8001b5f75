"""The state of the primary host application, as its STATE messages tell it.  Pure.

`spBv1.0/STATE/{host id}`, retained: `{"online": true, "timestamp": 1764500000000}`.  A message that is older than the
latest one is the will of an earlier session of the host that came late, and says nothing.
"""

import orjson

from gateway.payload.sparkplug.node import NAMESPACE


class HostState:
    """What one connection has learned of the primary host."""

    def __init__(self, host: str) -> None:
        self.topic = f"{NAMESPACE}/STATE/{host}"
        self.host = host
        self.is_online: bool | None = None
        """None: nothing is known."""
        self._latest_ms = -1

    def see(self, topic: str, payload: bytes) -> bool:
        """Take note of a message.  Returns whether it is a valid one of this host, and not older than the latest."""
        if topic != self.topic:
            return False
        try:
            body = orjson.loads(payload)
        except orjson.JSONDecodeError:
            return False
        if not isinstance(body, dict):
            return False
        online, at_ms = body.get("online"), body.get("timestamp")
        if not isinstance(online, bool) or not isinstance(at_ms, int) or isinstance(at_ms, bool):
            return False
        if at_ms < self._latest_ms:
            return False
        self._latest_ms, self.is_online = at_ms, online
        return True
