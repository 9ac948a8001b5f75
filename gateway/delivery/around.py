"""Wraps a session, for sessions that differ from it only in some members."""

from collections.abc import AsyncGenerator, Sequence
from typing import Generic, TypeVar

from gateway.delivery.contract import Outcome, Packet, Session
from gateway.model import Message

Inner = TypeVar("Inner", bound=Session)


class Around(Generic[Inner]):
    """A `Session` without `send`: all other members are those of the inner session."""

    def __init__(self, inner: Inner) -> None:
        self._inner = inner

    @property
    def window(self) -> int:
        return self._inner.window

    @property
    def has_forgotten(self) -> bool:
        return self._inner.has_forgotten

    @property
    def most_bytes(self) -> int:
        return self._inner.most_bytes

    @property
    def certificate_ends_s(self) -> float:
        return self._inner.certificate_ends_s

    def tell(self, message: Message) -> Outcome | None:
        return self._inner.tell(message)

    def arrivals(self, *topics: str) -> AsyncGenerator[Packet, None]:
        return self._inner.arrivals(*topics)

    def arrived(self) -> Sequence[Packet]:
        return self._inner.arrived()

    async def wait_closed(self) -> None:
        await self._inner.wait_closed()
