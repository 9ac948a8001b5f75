"""The late stage of an edge node: `seq`, the time of sending, and compression of its messages.  See `LateStage`."""

import time
from collections.abc import Callable

from msgspec.structs import replace

from gateway.model import Message
from gateway.payload.sparkplug.compression import LEAST_BYTES, compressed
from gateway.payload.sparkplug.node import NAMESPACE
from gateway.payload.sparkplug.wire import number_field

_NUMBERED = frozenset(("NBIRTH", "DBIRTH", "NDATA", "DDATA", "DDEATH"))
SEQS = 256


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def verb_of(topic: str) -> str:
    """The type of a Sparkplug message; empty for others."""
    levels = topic.split("/", 3)
    return levels[2] if levels[0] == NAMESPACE and len(levels) == 4 else ""


class Numbers:
    """The numbers of one session: NBIRTH has 0, and each message one more than the one before."""

    def __init__(self, compression: str = "", clock_ms: Callable[[], int] = now_ms) -> None:
        """`compression`: the algorithm, or nothing."""
        self._compression = compression
        self._clock_ms = clock_ms
        self._next = 0

    def dress(self, message: Message) -> Message:
        verb = verb_of(message.topic)
        if verb not in _NUMBERED:
            return message
        seq = 0 if verb == "NBIRTH" else self._next
        tail = number_field(1, self._clock_ms()) + number_field(3, seq)
        payload = message.payload + tail
        if self._compression and len(payload) >= LEAST_BYTES:
            payload = compressed(payload, self._compression) + tail
        return replace(message, payload=payload, properties=(), content_type="", expiry_s=0)

    def sent(self, message: Message) -> None:
        verb = verb_of(message.topic)
        if verb in _NUMBERED:
            self._next = 1 if verb == "NBIRTH" else (self._next + 1) % SEQS
