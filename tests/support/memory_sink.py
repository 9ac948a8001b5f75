"""A kind of sink for tests, whole in one file: a peer in this process, reached by `memory://`.

It is as small as a kind can be, and obeys physics: a broken session stays broken, accepted messages stay accepted, and
it sends at most `AHEAD` unacknowledged messages.
"""

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gateway.config import BrokerConfig
from gateway.delivery import DELIVERED, LateStage, Outcome, Packet, Presence, Verdict
from gateway.errors import Unavailable
from gateway.link import Link
from gateway.model import Message
from gateway.yaml_positions import Problem

AHEAD = 3
_TOO_LARGE = Outcome(Verdict.NEVER, "too_large", "longer than the peer takes")


@dataclass
class MemoryPeer:
    """The other end."""

    got: list[tuple[str, bytes]] = field(default_factory=list)
    to_say: deque[Packet] = field(default_factory=deque)
    acknowledged: int = 0
    session: "MemorySession | None" = None
    said: asyncio.Event = field(default_factory=asyncio.Event)

    def say(self, topic: str, payload: bytes) -> None:
        self.to_say.append(Packet(topic, payload))
        self.said.set()

    def cut(self) -> None:
        if self.session is not None:
            self.session.break_off("cut")


class MemorySession:
    window = 5
    most_bytes = 1000
    has_forgotten = True
    certificate_ends_s = math.nan

    def __init__(self, peer: MemoryPeer, late: LateStage | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._peer = peer
        self._late = late
        self._open: set[asyncio.Future[Outcome]] = set()
        self._broken: asyncio.Future[None] = self._loop.create_future()
        self._is_asked = False
        self._taken = 0

    def send(self, message: Message) -> asyncio.Future[Outcome]:
        future: asyncio.Future[Outcome] = self._loop.create_future()
        if self._broken.done():
            _fail(future)
            return future
        if len(self._open) >= self.window:
            raise RuntimeError(f"more than {self.window} messages are open")
        message = self.dressed(message)
        if len(message.payload) > self.most_bytes:
            future.set_result(_TOO_LARGE)
            return future
        self.take(message)
        self._open.add(future)
        future.add_done_callback(self._open.discard)
        self._loop.call_soon(_settle, future)
        return future

    def tell(self, message: Message) -> Outcome | None:
        if self._broken.done():
            return None
        message = self.dressed(message)
        if len(message.payload) > self.most_bytes:
            return _TOO_LARGE
        self.take(message)
        return None

    def dressed(self, message: Message) -> Message:
        return self._late.dress(message) if self._late is not None else message

    def take(self, message: Message) -> None:
        if self._late is not None:
            self._late.sent(message)
        self._peer.got.append((message.topic, message.payload))

    async def wait_closed(self) -> None:
        await asyncio.shield(self._broken)

    async def arrivals(self, *topics: str) -> AsyncGenerator[Packet, None]:
        if self._is_asked:
            raise RuntimeError("a session subscribes once")
        self._is_asked = True
        while True:
            while not self._peer.to_say:
                self._peer.said.clear()
                await self._peer.said.wait()
                if self._broken.done():
                    await self.wait_closed()
            yield self._peer.to_say.popleft()
            self._peer.acknowledged += 1 + self._taken
            self._taken = 0

    def arrived(self) -> list[Packet]:
        taken = list(self._peer.to_say)
        self._peer.to_say.clear()
        self._taken += len(taken)
        return taken

    def break_off(self, why: str) -> None:
        if self._broken.done():
            return
        _fail(self._broken)
        for future in list(self._open):
            _fail(future)
        self._peer.said.set()


class MemoryKind:
    """What a package of a kind offers; here the peers are known by their URL."""

    def __init__(self, peers: dict[str, MemoryPeer]) -> None:
        self._peers = peers

    def problems_with(self, config: BrokerConfig) -> Sequence[Problem]:
        return ()

    @asynccontextmanager
    async def open_sink(
        self,
        config: BrokerConfig,
        link: Link,
        default_client_id: str,
        presence: Presence | None = None,
        late: Callable[[], LateStage] | None = None,
    ) -> AsyncIterator[MemorySession]:
        peer = self._peers.get(config.url)
        if peer is None:
            raise Unavailable(f"nobody is at {config.url}")
        since = datetime.now(UTC)
        session = peer.session = MemorySession(peer, late() if late else None)
        if presence is not None and not presence.is_will_alone:
            session.take(session.dressed(presence.birth(since)))
        try:
            yield session
            if presence is not None:
                session.take(session.dressed(presence.goodbye(since)))
        finally:
            session.break_off("closed")

    def credential_expires_s(self, config: BrokerConfig) -> float:
        return math.nan

    def certificate_expires_s(self, config: BrokerConfig) -> float:
        return math.nan


def _settle(future: asyncio.Future[Outcome]) -> None:
    if not future.done():
        future.set_result(DELIVERED)


def _fail(future: "asyncio.Future[Outcome] | asyncio.Future[None]") -> None:
    if not future.done():
        future.set_exception(Unavailable("the session is broken"))
        future.exception()
