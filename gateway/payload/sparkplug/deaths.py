"""The will of an edge node: its NDEATH, with a number of its own for each CONNECT.  See `Presence`."""

from collections.abc import Callable
from datetime import datetime

from gateway.model import Message, Priority
from gateway.payload.sparkplug.births import ndeath
from gateway.payload.sparkplug.node import Names
from gateway.payload.sparkplug.numbers import now_ms


class EdgeDeaths:
    """The deaths of one edge node at one broker."""

    heartbeat_s: float | None = None
    is_will_alone = True
    news = None

    def __init__(self, names: Names, next_bd_seq: Callable[[], int], clock_ms: Callable[[], int] = now_ms) -> None:
        self._topic = names.topic("NDEATH")
        self._next_bd_seq = next_bd_seq
        self._clock_ms = clock_ms
        self.bd_seq = 0
        """That of the latest CONNECT."""

    def birth(self, since: datetime) -> Message:
        raise NotImplementedError("an edge node is born by its session")

    def goodbye(self, since: datetime) -> Message:
        return self._message()

    def goodbye_now(self) -> Message:
        return self._message()

    def will(self, since: datetime) -> Message:
        """The will of the next CONNECT."""
        self.bd_seq = self._next_bd_seq()
        return self._message()

    def _message(self) -> Message:
        payload = ndeath(self.bd_seq, self._clock_ms())
        return Message(self._topic, payload, stream="", seq=0, values=0, content_type="", priority=Priority.STATE)
