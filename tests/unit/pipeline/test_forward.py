"""Forwarding: order within a stream, nothing lost whatever the link does, books that balance."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.config import OutboxConfig
from gateway.errors import Unavailable
from gateway.link import Backoff, Link
from gateway.metrics import Metrics, books_of
from gateway.model import Message
from gateway.mqtt.reasons import DELIVERED, Outcome, Verdict
from gateway.outbox import Outbox, open_outbox
from gateway.pipeline.forward import Shelves, forward

LATER = Outcome(Verdict.LATER, "not_authorized", "no")
NEVER = Outcome(Verdict.NEVER, "too_large", "too large")
AT_ONCE = Backoff(0.0, 0.0)


def message(stream: str, seq: int) -> Message:
    return Message(topic=stream, payload=b"x" * 20, stream=stream, seq=seq, values=2)


@dataclass
class Broker:
    """A broker that obeys physics: a session that broke stays broken, and what it took is taken."""

    verdict: Callable[[Message], Outcome] = lambda message: DELIVERED
    window: int = 4
    taken: list[tuple[str, int]] = field(default_factory=list)
    break_after: int | None = None
    sessions: int = 0
    left_in_order: int = 0

    @asynccontextmanager
    async def session(self) -> AsyncIterator["Session"]:
        self.sessions += 1
        yield Session(self)
        self.left_in_order += 1


class Session:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._broken = asyncio.Event()
        self.open: set[asyncio.Future[Outcome]] = set()

    @property
    def window(self) -> int:
        return self._broker.window

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
        if outcome is DELIVERED:
            broker.taken.append((message.stream, message.seq))
        if broker.break_after is not None and len(broker.taken) >= broker.break_after:
            broker.break_after = None
            self._break()
            return  # taken, but the PUBACK never came: it will be sent again
        future.set_result(outcome)

    def _break(self) -> None:
        self._broken.set()
        for future in list(self.open):
            future.set_exception(Unavailable("broken"))

    async def wait_closed(self) -> None:
        await self._broken.wait()
        raise Unavailable("the connection broke")


@asynccontextmanager
async def shelves(folder: Path, metrics: Metrics, retry_refused_s: float = 0.05) -> AsyncIterator[Shelves]:
    def config(name: str) -> OutboxConfig:
        return OutboxConfig(path=folder / name, commit="os")

    async with (
        open_outbox(config("main"), readers=("b",)) as outbox,
        open_outbox(config("refused"), readers=("b",), numbered=False) as refused,
        open_outbox(config("dead"), numbered=False) as dead,
    ):
        found = Shelves("b", outbox, refused, dead, metrics, retry_refused_s)
        yield found


async def append(outbox: Outbox, metrics: Metrics, *streams: str) -> None:
    for stream in streams:
        await outbox.append([message(stream, outbox.next_seq(stream))])
        metrics.for_source("s").received.inc(2)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.005)


@asynccontextmanager
async def forwarding(found: Shelves, broker: Broker) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        leave = asyncio.Event()
        tasks.create_task(forward(found, broker.session, Link("b", ""), AT_ONCE, leave), name="forward")
        yield
        leave.set()


def run(body: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(body, 20))


def test_told_to_leave_it_ends_the_session_in_order(tmp_path: Path) -> None:
    async def body() -> None:
        broker = Broker()
        async with shelves(tmp_path, Metrics()) as found, forwarding(found, broker):
            await until(lambda: broker.sessions == 1)
        assert broker.left_in_order == 1

    run(body())


def seqs(broker: Broker, stream: str) -> list[int]:
    return [seq for s, seq in broker.taken if s == stream]


def test_everything_arrives_in_order_and_leaves_the_outbox(tmp_path: Path) -> None:
    async def body() -> None:
        metrics, broker = Metrics(), Broker()
        async with shelves(tmp_path, metrics) as found, forwarding(found, broker):
            await append(found.outbox, metrics, *"ab" * 50)
            await found.outbox.wait_empty()
        assert seqs(broker, "a") == seqs(broker, "b") == list(range(1, 51))
        books = books_of(metrics.registry, "b")
        assert books.balance
        assert (books.delivered, books.messages) == (200, 100)

    run(body())


def test_a_lost_connection_repeats_at_most_a_window_and_loses_nothing(tmp_path: Path) -> None:
    async def body() -> None:
        metrics, broker = Metrics(), Broker(break_after=30)
        async with shelves(tmp_path, metrics) as found:
            await append(found.outbox, metrics, *"a" * 60)
            async with forwarding(found, broker):
                await found.outbox.wait_empty()
        assert broker.sessions == 2
        assert sorted(set(seqs(broker, "a"))) == list(range(1, 61))
        assert len(broker.taken) - 60 <= broker.window
        repeated = metrics.registry.get_sample_value("gateway_sink_messages_repeated_total", {"sink": "b"})
        assert repeated is not None
        assert len(broker.taken) - 60 <= repeated <= broker.window
        assert books_of(metrics.registry, "b").balance

    run(body())


def test_a_refused_stream_waits_in_order_while_others_pass(tmp_path: Path) -> None:
    async def body() -> None:
        allowed = {"b"}
        metrics, broker = Metrics(), Broker(lambda m: DELIVERED if m.stream in allowed else LATER)
        async with shelves(tmp_path, metrics) as found, forwarding(found, broker):
            await append(found.outbox, metrics, *"ab" * 20)
            await found.outbox.wait_empty()
            assert seqs(broker, "b") == list(range(1, 21))
            assert found.refused.messages == 20
            assert books_of(metrics.registry, "b").balance
            allowed.add("a")
            await append(found.outbox, metrics, *"a" * 5)
            await until(lambda: len(seqs(broker, "a")) == 25 and not found.held)
            await append(found.outbox, metrics, "a")
            await found.outbox.wait_empty()
        assert seqs(broker, "a") == list(range(1, 27))
        books = books_of(metrics.registry, "b")
        assert books.balance
        assert (books.stored, books.dropped) == (0, 0)

    run(body())


def test_what_was_refused_survives_a_restart_and_still_goes_first(tmp_path: Path) -> None:
    async def body() -> None:
        metrics = Metrics()
        async with shelves(tmp_path, metrics, 30.0) as found, forwarding(found, Broker(lambda m: LATER)):
            await append(found.outbox, metrics, *"a" * 5)
            await found.outbox.wait_empty()
        metrics, broker = Metrics(), Broker()
        async with shelves(tmp_path, metrics) as found, forwarding(found, broker):
            await append(found.outbox, metrics, *"a" * 5)
            await until(lambda: len(broker.taken) == 10)
            await found.refused.wait_empty()
        assert seqs(broker, "a") == list(range(1, 11))
        books = books_of(metrics.registry, "b")
        assert books.balance
        assert books.recovered == 10

    run(body())


def test_what_is_never_taken_becomes_a_dead_letter_and_is_counted(tmp_path: Path) -> None:
    async def body() -> None:
        metrics, broker = Metrics(), Broker(lambda m: NEVER if m.seq == 3 else DELIVERED)
        async with shelves(tmp_path, metrics) as found, forwarding(found, broker):
            await append(found.outbox, metrics, *"a" * 5)
            await found.outbox.wait_empty()
        assert seqs(broker, "a") == [1, 2, 4, 5]
        books = books_of(metrics.registry, "b")
        assert books.balance
        assert books.dropped == 2

    run(body())
