"""Collecting with rules: at every step every value is in the books or held, through reconnections, ends and kills."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from gateway.config import OutboxConfig, SourceConfig
from gateway.errors import Unavailable
from gateway.link import Backoff, Link
from gateway.metrics import Metrics, SourceMetrics, books_of
from gateway.model import Batch, Message, Tag
from gateway.outbox import Outbox, Record, open_outbox
from gateway.payload.json import JsonEncoder
from gateway.payload.splitting import ANY_SIZE, FormatSettings, NextSeq, SizeLimits
from gateway.pipeline.collect import Intake, Source, collect
from gateway.shaping import Shaper
from tests.support.payloads import one_route

S = 10_000_000
TAGS = tuple(Tag(f"T{n}", f"s=T{n}", {"line": str(n % 2)}, selection=n) for n in range(5))
SHAPES: list[dict[str, object]] = [
    {},
    {"deadband": 2, "rate_limit": 3},
    {"rate_limit": 2},
    {"swinging_door": 1, "at_least": 20},
    {"aggregate": {"window": 5, "functions": ["mean", "count"], "grace": 0}},
]
SOURCE = SourceConfig.model_validate(
    {
        "name": "s",
        "url": "opc.tcp://h:1",
        "insecure": True,
        "select": [{"node": f"i={n}", "shape": shape} for n, shape in enumerate(SHAPES)],
    }
)
Row = tuple[int, int, float, int]
"""Handle, seconds, value, status."""


def batch_of(rows: list[Row], number: int) -> Batch:
    ticks = np.array([row[1] * S for row in rows], np.int64)
    statuses = np.array([row[3] for row in rows], np.uint32)
    handles = np.array([row[0] for row in rows], np.uint32)
    kinds = np.full(len(rows), 11, np.uint8)
    return Batch("s", TAGS, handles, kinds, [row[2] for row in rows], statuses, ticks, ticks, (), b"%d" % number)


def form() -> JsonEncoder:
    return JsonEncoder(FormatSettings("p", "f/{line}", "g", SizeLimits(3)))


@dataclass
class Server:
    """A server that obeys physics: it forgets what was acknowledged, sends the rest again, and breaks for good until
    somebody connects."""

    batches: list[Batch]
    breaks: set[int]
    kept_from: int = 0
    marks: list[bytes] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def connect(self, mark: bytes) -> AsyncIterator[Source]:
        self.marks.append(mark)
        yield Session(self, int(mark or b"-1") + 1)


class Session:
    def __init__(self, server: Server, start: int) -> None:
        assert start >= server.kept_from
        self._server, self._next = server, start
        self._tags = tuple(TAGS)

    async def batches(self) -> AsyncIterator[Batch]:
        server, tags = self._server, tuple(structs.replace(tag) for tag in TAGS)
        while self._next < len(server.batches):
            if self._next in server.breaks:
                server.breaks.discard(self._next)
                raise Unavailable("the line was cut")
            yield replace(server.batches[self._next], tags=tags)
            self._next += 1
            server.kept_from = self._next
        server.ended.set()
        await asyncio.Event().wait()


rows = st.lists(
    st.tuples(
        st.integers(0, 4), st.integers(0, 3), st.floats(-9, 9), st.sampled_from([0] * 6 + [0x80000000, 0x40000000])
    ),
    max_size=8,
)


def series(given_rows: list[list[Row]]) -> list[Batch]:
    """Time goes on from batch to batch."""
    made, now = [], 1000
    for number, some in enumerate(given_rows):
        timed: list[Row] = []
        for handle, step, value, status in some:
            now += step
            timed.append((handle, now, value, status))
        made.append(batch_of(timed, number))
    return made


def life(body: Callable[[Outbox, Metrics], Awaitable[None]], folder: Path | None = None) -> None:
    async def run(path: Path) -> None:
        async with open_outbox(OutboxConfig(path=path, commit="os"), readers=("b",)) as outbox:
            await body(outbox, Metrics())

    with tempfile.TemporaryDirectory() as made:
        asyncio.run(asyncio.wait_for(run(folder or Path(made)), 60))


def held_of(metrics: SourceMetrics) -> int:
    return round(metrics.held.value)


def derived_of(metrics: SourceMetrics) -> int:
    return round(metrics.derived.value)


def assert_exact(outbox: Outbox, metrics: Metrics, sent: int) -> None:
    """The books balance, and with what is held they hold every value the server sent."""
    metrics.for_sink("b").stored_values.set(outbox.values)
    books, bound = books_of(metrics.registry, "b"), metrics.for_source("s")
    assert books.balance
    assert books.received - derived_of(bound) + held_of(bound) == sent


@given(st.lists(rows, max_size=12), st.sets(st.integers(0, 12)), st.sets(st.integers(0, 12)))
def test_received_values_equal_passed_plus_filtered_plus_held(
    given_rows: list[list[Row]], flushes: set[int], tables: set[int]
) -> None:
    shaper, tags, sent, received, shown = Shaper(SOURCE), TAGS, 0, 0, 0
    for number, batch in enumerate(series(given_rows)):
        tags = tuple(structs.replace(tag) for tag in TAGS) if number in tables else tags
        sent += len(batch)
        steps = [shaper.take(replace(batch, tags=tags), 0)]
        steps += [shaper.flush(10 * S)] if number in flushes else []
        for step in steps:
            received += step.received - step.derived
            shown += sum(map(len, step.batches)) - step.derived + sum(step.filtered.values())
        assert sent == received + shaper.held
        assert received == shown


@settings(max_examples=12, deadline=None)
@given(st.lists(rows, max_size=12), st.sets(st.integers(0, 12)))
def test_the_counters_balance_at_every_step(given_rows: list[list[Row]], flushes: set[int]) -> None:
    async def body(outbox: Outbox, metrics: Metrics) -> None:
        now, sent = 1000 * S, 0
        intake = Intake("s", one_route(form()), outbox, metrics.for_source("s"), Shaper(SOURCE), lambda: now)
        for number, batch in enumerate(series(given_rows)):
            sent += len(batch)
            await intake.store(batch)
            assert_exact(outbox, metrics, sent)
            if number in flushes:
                now += 4 * S
                await intake.flush()
                assert_exact(outbox, metrics, sent)
        await intake.drain()
        assert_exact(outbox, metrics, sent)
        assert held_of(metrics.for_source("s")) == 0
        assert intake.mark == outbox.checkpoints.get("s", b"")

    life(body)


@settings(max_examples=8, deadline=None)
@given(st.lists(rows, min_size=1, max_size=8), st.sets(st.integers(0, 8)))
def test_reconnections_and_a_regular_end_lose_nothing(given_rows: list[list[Row]], breaks: set[int]) -> None:
    async def body(outbox: Outbox, metrics: Metrics) -> None:
        server = Server(series(given_rows), {b for b in breaks if b < len(given_rows)})
        expected = len(server.breaks) + 1
        bound, shaper = metrics.for_source("s"), Shaper(SOURCE)
        intake = Intake("s", one_route(form()), outbox, bound, shaper, lambda: 0)

        def connect(mark: bytes) -> AbstractAsyncContextManager[Source]:
            return server.connect(mark)

        link = Link("s", "fake")
        task = asyncio.create_task(collect(intake, connect, link, Backoff(0.0, 0.0)))
        await server.ended.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert len(server.marks) == expected
        assert_exact(outbox, metrics, sum(len(b) for b in server.batches))
        assert (shaper.held, held_of(bound)) == (0, 0)

    life(body)


def test_values_held_at_a_kill_are_announced_with_their_number(tmp_path: Path) -> None:
    held = [(4, 1000, 1.0, 0), (4, 1001, 2.0, 0), (0, 1001, 5.0, 0)]

    async def killed(outbox: Outbox, metrics: Metrics) -> None:
        intake = Intake("s", one_route(form()), outbox, metrics.for_source("s"), Shaper(SOURCE), lambda: 0)
        await intake.store(batch_of(held, 7))

    async def after(outbox: Outbox, metrics: Metrics) -> None:
        intake = Intake("s", one_route(form()), outbox, metrics.for_source("s"), None, lambda: 0)
        assert intake.mark == b"7"
        await intake.store(batch_of([], 8))
        records: list[Record] = []
        while len(records) < outbox.messages:
            records += await outbox.reader("b").read(100, 10**6)
        gaps = [gap for r in records for gap in orjson.loads(r.message.payload).get("gaps", [])]
        assert {(gap["cause"], gap["count"]) for gap in gaps} == {("held_lost", 2)}
        assert outbox.checkpoints["s"] == b"8"

    life(killed, tmp_path)
    life(after, tmp_path)


class FaultyOnce(JsonEncoder):
    """Does not get a certain value into a message, the first time."""

    def __init__(self, fault: BaseException) -> None:
        super().__init__(FormatSettings("p", "f/{line}", "g", SizeLimits(3)))
        self._fault: BaseException | None = fault

    def encode(self, batch: Batch, next_seq: NextSeq, packet_bytes: int = ANY_SIZE) -> list[Message]:
        if 13.0 in batch.values and self._fault is not None:
            fault, self._fault = self._fault, None
            raise fault
        return super().encode(batch, next_seq, packet_bytes)


def test_after_a_fault_in_encoding_unstored_values_come_again_and_held_ones_are_announced() -> None:
    """What the fault interrupted is not taken for stored: the server sends it again to the next life."""

    async def body(outbox: Outbox, metrics: Metrics) -> None:
        held, faulty = batch_of([(4, 1000, 1.0, 0), (4, 1001, 2.0, 0), (3, 1000, 5.0, 0)], 0), [(0, 1002, 13.0, 0)]
        server, encoder = Server([held, batch_of([*faulty, (4, 1003, 3.0, 0)], 1)], set()), FaultyOnce(KeyError("x"))

        def intake() -> Intake:
            return Intake("s", one_route(encoder), outbox, metrics.for_source("s"), Shaper(SOURCE), lambda: 0)

        with pytest.raises(ExceptionGroup):
            await collect(intake(), server.connect, Link("s", "fake"), Backoff(0.0, 0.0))
        task = asyncio.create_task(collect(intake(), server.connect, Link("s", "fake"), Backoff(0.0, 0.0)))
        await server.ended.wait()
        task.cancel()
        await asyncio.wait([task])
        assert server.marks == [b"", b"0"]
        records = await outbox.reader("b").read(100, 10**6)
        payloads = [orjson.loads(record.message.payload) for record in records]
        assert 13.0 in {value["value"] for payload in payloads for value in payload["values"]}
        gaps = {(gap["cause"], gap["count"]) for payload in payloads for gap in payload.get("gaps", [])}
        assert gaps == {("held_lost", 2)}

    life(body)


@settings(max_examples=8, deadline=None)
@given(st.lists(rows, min_size=1, max_size=8), st.integers(0, 7), st.booleans(), st.booleans())
def test_a_change_of_rules_loses_nothing(
    given_rows: list[list[Row]], at: int, ruled_before: bool, ruled_after: bool
) -> None:
    async def body(outbox: Outbox, metrics: Metrics) -> None:
        before, after = (Shaper(SOURCE) if ruled else None for ruled in (ruled_before, ruled_after))
        intake, sent = Intake("s", one_route(form()), outbox, metrics.for_source("s"), before, lambda: 0), 0
        for number, batch in enumerate(series(given_rows)):
            sent += len(batch)
            await intake.store(batch)
            if number == at:
                await intake.change(after)
                assert_exact(outbox, metrics, sent)
        await intake.drain()
        assert_exact(outbox, metrics, sent)
        assert intake.mark == series(given_rows)[-1].checkpoint

    life(body)


def test_a_window_is_sent_although_no_value_comes() -> None:
    async def body(outbox: Outbox, metrics: Metrics) -> None:
        now = 0
        server = Server([batch_of([(4, 1000, 1.0, 0)], 0)], set())
        intake = Intake("s", one_route(form()), outbox, metrics.for_source("s"), Shaper(SOURCE), lambda: now)
        task = asyncio.create_task(collect(intake, server.connect, Link("s", "fake"), Backoff(0.0, 0.0)))
        await server.ended.wait()
        now = 6 * S
        records = await outbox.reader("b").read(10, 10**6)
        values = [(v["name"], v["value"]) for r in records for v in orjson.loads(r.message.payload)["values"]]
        assert values == [("T4.mean", 1.0), ("T4.count", 1)]
        task.cancel()
        await asyncio.wait([task])

    life(body)
