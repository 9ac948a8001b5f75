"""The outbox with several routes against a plain model, beside `test_model.py`, which has one.

Promises: a reader gets, in order, whole and until it acknowledged it, what was appended for the route that it followed
at that moment, and nothing else; going over to another route loses nothing and repeats nothing, whatever dies
meanwhile; what is lost is told with the readers who lose it.  `OUTBOX_EXAMPLES=20000` in the environment makes it long.
"""

import asyncio
import errno
import os
import random
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.config import OutboxConfig
from gateway.model import Message, Priority
from gateway.outbox import Record
from tests.support.disk import Disk
from tests.support.outbox_life import Life

FOLDER = Path("/outbox")
ROUTES = ("", "far", "third")
READERS = ("near", "far", "other")
Key = tuple[str, int]


@dataclass
class Expected:
    """What the model knows of one reader."""

    route: str
    handed: set[Key] = field(default_factory=set)
    """Appended for it, whether or not that was promised."""
    promised: set[Key] = field(default_factory=set)
    acked: set[Key] = field(default_factory=set)
    """May come again after a crash, and need not."""
    lost: set[Key] = field(default_factory=set)
    given: dict[int, Key] = field(default_factory=dict)


class RoutesMachine(RuleBasedStateMachine):
    """Three readers and three routes on a simulated disk."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = Disk()
        self.life: Life | None = None
        self.known: dict[Key, Message] = {}
        self.readers = {name: Expected("") for name in READERS}
        self.pending: list[tuple[asyncio.Task[None], list[tuple[str, Key]]]] = []
        self.tried = 0
        self.marked: dict[int, list[Key]] = {0: []}

    routes = st.sampled_from(ROUTES)

    @initialize(cap=st.sampled_from([24_000, 50_000, 10**8]), chosen=st.tuples(routes, routes, routes))
    def begin(self, cap: int, chosen: tuple[str, str, str]) -> None:
        self.config = OutboxConfig.model_validate(
            {"path": FOLDER, "max_bytes": cap, "segment_bytes": 1500, "min_free": 1}
        )
        for expected, route in zip(self.readers.values(), chosen, strict=True):
            expected.route = route
        self.open()

    def open(self) -> None:
        routes = {name: expected.route for name, expected in self.readers.items()}
        self.life = Life(self.config, self.disk.files(), lambda reader, reason, values: None, routes)
        outbox = self.life.outbox
        for name, expected in self.readers.items():
            expected.given.clear()
            assert self.life.now(outbox.reader, name).route == expected.route
        for key in self.marked[int(outbox.checkpoints.get("s", b"0"))]:
            assert outbox.next_seq(key[0]) > key[1], "a checkpoint is never durable before the messages it stands for"
        for stream, seq in {key for expected in self.readers.values() for key in expected.promised}:
            if f".{outbox.epoch}" in stream:
                assert outbox.next_seq(stream) > seq

    def make(self, choice: list[tuple[str, Priority, int]]) -> dict[str, list[Message]]:
        assert self.life is not None
        nexts: dict[str, int] = {}
        made: dict[str, list[Message]] = {}
        for route, priority, size in choice:
            stream = f"e.{self.life.outbox.epoch}.{priority.name}@{route}"
            seq = nexts.get(stream) or self.life.outbox.next_seq(stream)
            nexts[stream] = seq + 1
            message = Message("t", f"{stream} {seq} ".encode() * size, stream, seq, values=size, priority=priority)
            made.setdefault(route, []).append(message)
        return made

    batches = st.lists(st.tuples(routes, st.sampled_from(Priority), st.integers(1, 12)), max_size=5)

    @rule(choice=batches, marked=st.booleans(), cancel=st.booleans(), wait=st.booleans())
    def append(self, choice: list[tuple[str, Priority, int]], marked: bool, cancel: bool, wait: bool) -> None:
        assert self.life is not None
        made = self.make(choice)
        self.tried += marked
        checkpoint = str(self.tried).encode() if marked else b""
        if marked:
            self.marked[self.tried] = [(m.stream, m.seq) for some in made.values() for m in some]
        others = {route: some for route, some in made.items() if route}
        task = self.life.begin(
            self.life.outbox.append(made.get("", []), others=others, source="s", checkpoint=checkpoint)
        )
        keys = [(route, (m.stream, m.seq)) for route, some in made.items() for m in some]
        self.known |= {(m.stream, m.seq): m for some in made.values() for m in some}
        followers = [(name, key) for route, key in keys for name, e in self.readers.items() if e.route == route]
        for name, key in followers:
            self.readers[name].handed.add(key)
        self.pending.append((task, followers))
        if wait:
            self.life.do(task)
            self.settle()
        elif cancel:
            task.cancel()

    def settle(self) -> None:
        """Appends are made durable in order: with the last one, all before it were."""
        assert self.life is not None
        for _, followers in self.pending:
            for name, key in followers:
                self.readers[name].promised.add(key)
        self.pending.clear()
        for loss in self.life.outbox.take_losses():
            assert loss.cause == "outbox_full", loss
            dropped = {(loss.stream, seq) for seq in range(loss.from_seq, loss.to_seq + 1)}
            assert loss.values == sum(self.known[key].values for key in dropped)
            for name in loss.readers:
                assert dropped <= self.readers[name].handed
                self.readers[name].lost |= dropped

    @rule(name=st.sampled_from(READERS), route=routes)
    def follow(self, name: str, route: str) -> None:
        assert self.life is not None
        if self.life.now(self.life.outbox.may_follow, name, route):
            self.life.now(self.life.outbox.follow, name, route)
            self.readers[name].route = route

    @rule(name=st.sampled_from(READERS), most=st.integers(1, 10), size=st.sampled_from([1, 1000, 10**6]))
    def read(self, name: str, most: int, size: int) -> None:
        assert self.life is not None
        reader, expected = self.life.outbox.reader(name), self.readers[name]
        if not reader.unread:
            return
        for record in self.life.within(0.2, reader.read(most, size)) or []:
            self.take(expected, record)

    def take(self, expected: Expected, record: Record) -> None:
        key = (record.message.stream, record.message.seq)
        assert record.message == self.known[key]
        assert key in expected.handed, "this was not for this reader"
        assert record.number not in expected.given
        expected.given[record.number] = key

    @rule(name=st.sampled_from(READERS))
    def leave_behind(self, name: str) -> None:
        assert self.life is not None
        self.life.now(self.life.outbox.reader(name).leave_behind)

    @rule(name=st.sampled_from(READERS), which=st.lists(st.integers(0, 20), max_size=8))
    def acknowledge(self, name: str, which: list[int]) -> None:
        assert self.life is not None
        expected = self.readers[name]
        for n in which:
            if expected.given:
                number, key = sorted(expected.given.items())[n % len(expected.given)]
                del expected.given[number]
                if self.life.now(self.life.outbox.reader(name).ack, number):
                    expected.acked.add(key)

    @rule(name=st.sampled_from(READERS))
    def rewind(self, name: str) -> None:
        assert self.life is not None
        self.life.outbox.reader(name).rewind()
        self.readers[name].given.clear()

    @rule(
        operation=st.sampled_from(["write", "sync", "rename", "sync_folder", "truncate", "open", "remove"]),
        skip=st.integers(0, 3), error=st.sampled_from([errno.EIO, errno.ENOSPC, errno.EROFS]),
    )  # fmt: skip
    def fail(self, operation: str, skip: int, error: int) -> None:
        self.disk.faults[operation] = [0] * skip + [error]

    @rule(how=st.sampled_from(["restart", "kill", "cut power"]), seed=st.integers(0, 2**16),
          again=st.none() | st.tuples(routes, routes, routes))  # fmt: skip
    def begin_anew(self, how: str, seed: int, again: tuple[str, str, str] | None) -> None:
        """Perhaps with other routes than before."""
        assert self.life is not None
        if how == "cut power":
            self.disk.cut_power(random.Random(seed))
        elif how == "kill":
            self.disk.kill()
        self.disk.faults.clear()
        if how == "restart":
            self.life.end()
        else:
            self.life.forget()
        for task, followers in self.pending:
            if not task.cancelled() and task.exception() is None:
                for name, key in followers:
                    self.readers[name].promised.add(key)
        self.pending.clear()
        for expected, route in zip(
            self.readers.values(), again or [e.route for e in self.readers.values()], strict=True
        ):
            expected.route = route
        self.open()

    @invariant()
    def within_bounds(self) -> None:
        if self.life is not None and self.life.outbox.messages and not self.pending:
            assert self.life.outbox.bytes <= self.config.max_bytes

    def teardown(self) -> None:
        if self.life is None:
            return
        try:
            self.disk.faults.clear()
            self.append([("", Priority.STATE, 1)], False, False, wait=True)
            for name in READERS:
                self.drain(name)
        finally:
            self.disk.kill()
            self.life.forget()

    def drain(self, name: str) -> None:
        assert self.life is not None
        reader, expected = self.life.outbox.reader(name), self.readers[name]
        self.rewind(name)
        counted, got = (reader.messages, reader.values), list[Record]()
        while reader.left_behind and len(got) < reader.left_behind:
            got += self.life.do(reader.read_behind(3, 500))
        while reader.messages > len(got):
            got += self.life.do(reader.read(3, 500))
        for record in got:
            self.take(expected, record)
        keys = [(record.message.stream, record.message.seq) for record in got]
        assert counted == (len(got), sum(record.message.values for record in got))
        assert expected.promised - expected.acked - expected.lost - set(keys) == set()
        for stream in {stream for stream, _ in keys}:
            seqs = [seq for each, seq in keys if each == stream]
            assert seqs == sorted(set(seqs))


TestRoutes = RoutesMachine.TestCase
TestRoutes.settings = settings(
    max_examples=int(os.environ.get("OUTBOX_EXAMPLES", "20")), stateful_step_count=30, deadline=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
