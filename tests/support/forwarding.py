"""Forwarding under test: a broker that obeys physics, and the queue around it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import nan
from pathlib import Path

from gateway.config import OutboxConfig, ReplayConfig
from gateway.delivery import DELIVERED, Outcome, Packet, Verdict
from gateway.errors import Unavailable
from gateway.link import Backoff, Link
from gateway.metrics import Metrics
from gateway.model import Message
from gateway.outbox import Buffer, open_outbox
from gateway.pipeline.broker_queue import BrokerQueue
from gateway.pipeline.forward import forward

LATER = Outcome(Verdict.LATER, "not_authorized", "no", 0x87)
NEVER = Outcome(Verdict.NEVER, "too_large", "too large")
AT_ONCE = Backoff(0.0, 0.0)


def message(stream: str, seq: int, *, size: int = 20, retain: bool = False) -> Message:
    return Message(topic=stream, payload=b"x" * size, stream=stream, seq=seq, values=2, retain=retain)


@dataclass
class Broker:
    """A broker that obeys physics: a broken session stays broken, and accepted messages stay accepted."""

    verdict: Callable[[Message], Outcome | BaseException | None] = lambda message: DELIVERED
    """None: no verdict yet; `answer` gives it later.  An exception is raised by the session."""
    window: int = 4
    most_bytes: int = 2**28
    has_forgotten: bool = True
    taken: list[tuple[str, int]] = field(default_factory=list)
    got: list[Message] = field(default_factory=list)
    """The accepted messages."""
    waiting: list[tuple[Message, "asyncio.Future[Outcome]"]] = field(default_factory=list)
    """Messages without a verdict."""
    break_after: int | None = None
    sessions: int = 0
    left_in_order: int = 0
    is_there: bool = True
    current: "list[Session]" = field(default_factory=list)

    @asynccontextmanager
    async def session(self) -> AsyncIterator["Session"]:
        if not self.is_there:
            raise Unavailable("nobody listens there", "refused")
        self.sessions += 1
        session = Session(self)
        self.current.append(session)
        yield session
        self.left_in_order += 1

    def go(self) -> None:
        """Be unreachable from now on."""
        self.is_there = False
        for session in self.current:
            session.break_off()

    def answer(self, outcome: Outcome) -> None:
        """The verdict for all that waits for one."""
        for message, future in self.waiting:
            if not future.done():
                self._note(message, outcome)
                future.set_result(outcome)
        self.waiting.clear()

    def _note(self, message: Message, outcome: Outcome) -> None:
        if outcome is DELIVERED:
            self.taken.append((message.stream, message.seq))
            self.got.append(message)


class Session:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._broken = asyncio.Event()
        self.open: set[asyncio.Future[Outcome]] = set()

    @property
    def window(self) -> int:
        return self._broker.window

    @property
    def has_forgotten(self) -> bool:
        return self._broker.has_forgotten

    def tell(self, message: Message) -> Outcome | None:
        self._broker.got.append(message)
        return None

    @property
    def most_bytes(self) -> int:
        return self._broker.most_bytes

    @property
    def certificate_ends_s(self) -> float:
        return nan

    def send(self, message: Message) -> asyncio.Future[Outcome]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        if self._broken.is_set():
            future.set_exception(Unavailable("broken"))
            return future
        self.open.add(future)
        assert len(self.open) <= self.window
        future.add_done_callback(self.open.discard)
        loop.call_soon(self._answer, message, future)
        return future

    def _answer(self, message: Message, future: asyncio.Future[Outcome]) -> None:
        broker = self._broker
        if self._broken.is_set() or future.done():
            return
        outcome = broker.verdict(message)
        if outcome is None:
            broker.waiting.append((message, future))
            return
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
            return
        broker._note(message, outcome)
        if broker.break_after is not None and len(broker.taken) >= broker.break_after:
            broker.break_after = None
            self.break_off()
            return  # accepted, but without a PUBACK: it will be sent again
        future.set_result(outcome)

    def break_off(self) -> None:
        self._broken.set()
        for future in list(self.open):
            if not future.done():  # it got its verdict in this turn of the loop
                future.set_exception(Unavailable("broken"))

    async def arrivals(self, *topics: str) -> AsyncGenerator[Packet, None]:
        """Nothing ever arrives."""
        await self.wait_closed()
        yield Packet("", b"")

    def arrived(self) -> list[Packet]:
        return []

    async def wait_closed(self) -> None:
        await self._broken.wait()
        raise Unavailable("the connection broke")


@asynccontextmanager
async def queue(
    folder: Path,
    metrics: Metrics,
    retry_refused_s: float = 0.05,
    replay: ReplayConfig | None = None,
    expiry_s: float | None = None,
    main: dict[str, int] | None = None,
    refused: dict[str, int] | None = None,
    name: str = "b",
) -> AsyncIterator[BrokerQueue]:
    """`main` and `refused` are settings of these outboxes."""
    settings = {"main": main or {}, "refused": refused or {}, "dead": {}}

    def config(name: str) -> OutboxConfig:
        return OutboxConfig.model_validate({"path": folder / name, "commit": "os", **settings[name]})

    def count_drop(reader: str, reason: str, values: int) -> None:
        metrics.dropped.labels(reader, reason).inc(values)

    async with (
        open_outbox(config("main"), readers=(name,), on_drop=count_drop) as outbox,
        open_outbox(config("refused"), readers=(name,), on_drop=count_drop, numbered=False) as aside,
        open_outbox(config("dead"), numbered=False) as dead,
    ):
        found = BrokerQueue(name, outbox, aside, dead, metrics, retry_refused_s, replay, expiry_s)
        yield found


async def append(outbox: Buffer, metrics: Metrics, *streams: str, size: int = 20, retain: bool = False) -> None:
    for stream in streams:
        await outbox.append([message(stream, outbox.next_seq(stream), size=size, retain=retain)])
        metrics.for_source("s").received.inc(2)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0.005)


@asynccontextmanager
async def forwarding(found: BrokerQueue, broker: Broker) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        leave = asyncio.Event()
        tasks.create_task(forward(found, broker.session, Link("b", ""), AT_ONCE, leave), name="forward")
        yield
        leave.set()


def run(body: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(body, 60))


def seqs(broker: Broker, stream: str) -> list[int]:
    return [seq for s, seq in broker.taken if s == stream]
