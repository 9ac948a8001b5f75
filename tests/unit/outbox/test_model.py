"""The outbox against a plain model: any order of appends, reads, acknowledgements, faults, kills and power cuts.

Promises: what `append` returned for comes back, whole and in order, until it was acknowledged or a loss of it was
noted; what was delivered never has its number used again; figures match what comes out.  `OUTBOX_EXAMPLES=20000` in
the environment makes it long.
"""

import asyncio
import errno
import os
import random
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
NAMES = (("alarm", Priority.EVENT), ("state", Priority.STATE), ("a", Priority.TELEMETRY), ("b", Priority.TELEMETRY))
Key = tuple[str, int]


class OutboxMachine(RuleBasedStateMachine):
    """A model of streams and one reader beside the real thing on a simulated disk."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = Disk()
        self.life: Life | None = None
        self.known: dict[Key, Message] = {}
        """The last message of each number that was ever handed to `append`."""
        self.promised: set[Key] = set()
        """What `append` returned for."""
        self.acked: set[Key] = set()
        """May come again after a crash, and need not."""
        self.lost: set[Key] = set()
        self.given: dict[int, Record] = {}
        self.delivered: dict[Key, Message] = {}
        self.pending: list[tuple[asyncio.Task[None], list[Key]]] = []
        self.last_mark = 0
        self.marks_tried = 0
        self.marked: dict[int, list[Key]] = {0: []}
        """The messages that were appended with each checkpoint."""
        self.epoch = ""

    @initialize(cap=st.sampled_from([8_000, 20_000, 10**8]), policy=st.sampled_from(["drop_oldest", "block"]))
    def begin(self, cap: int, policy: str) -> None:
        self.blocks = policy == "block"
        if self.blocks:
            cap = 10**8  # waiting for room is tested by name: here nobody would make it
        self.config = OutboxConfig.model_validate(
            {"path": FOLDER, "max_bytes": cap, "segment_bytes": 1500, "when_full": policy, "min_free": 1}
        )
        self.open()

    def configure(self, compress: str) -> None:
        """Another start, another setting: what is there was written with the one before."""
        self.config = self.config.model_copy(update={"compress": compress})

    def open(self) -> None:
        self.life = Life(self.config, self.disk.files(), lambda reader, reason, values: None, ("r",))
        self.given.clear()
        outbox = self.life.outbox
        self.epoch = outbox.epoch
        for stream in {stream for stream, _ in self.known}:
            last = outbox.next_seq(stream) - 1
            if stream.endswith(self.epoch):
                taken = [seq for name, seq in {*self.promised, *self.delivered} if name == stream]
                assert last >= max(taken, default=0), f"{stream} goes on at {last + 1}"
        checkpoint = int(outbox.checkpoints.get("s", b"0"))
        assert self.last_mark <= checkpoint <= self.marks_tried
        self.last_mark = checkpoint
        for stream, seq in self.marked[checkpoint]:
            assert outbox.next_seq(stream) > seq, "a checkpoint is never durable before the messages it stands for"

    def messages(self, choice: list[tuple[int, int]]) -> list[Message]:
        assert self.life is not None
        nexts: dict[str, int] = {}
        made = []
        for which, size in choice:
            name, priority = NAMES[which]
            stream = f"{name}.{self.epoch}"
            seq = nexts.get(stream) or self.life.outbox.next_seq(stream)
            nexts[stream] = seq + 1
            payload = f"{stream} {seq} ".encode() * size
            made.append(Message(f"t/{name}", payload, stream, seq, values=size, source="s", priority=priority))
        return made

    compressions = st.sampled_from(["none", "zlib"])
    batches = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 20)), max_size=4).filter(
        lambda choice: sum(size for _, size in choice) < 50
    )

    @rule(choice=batches, marked=st.booleans())
    def append(self, choice: list[tuple[int, int]], marked: bool) -> None:
        assert self.life is not None
        made = self.messages(choice)
        checkpoint = self.next_mark(marked, made)
        self.life.do(self.life.outbox.append(made, source="s", checkpoint=checkpoint))
        self.known.update({(message.stream, message.seq): message for message in made})
        self.promised.update((message.stream, message.seq) for message in made)
        if checkpoint:
            self.last_mark = self.marks_tried
        self.settle()

    @rule(choice=batches, marked=st.booleans(), cancel=st.booleans())
    def begin_append(self, choice: list[tuple[int, int]], marked: bool, cancel: bool) -> None:
        assert self.life is not None
        made = self.messages(choice)
        task = self.life.begin(self.life.outbox.append(made, source="s", checkpoint=self.next_mark(marked, made)))
        self.known.update({(message.stream, message.seq): message for message in made})
        if cancel:
            task.cancel()
        self.pending.append((task, [(message.stream, message.seq) for message in made]))

    def next_mark(self, marked: bool, made: list[Message]) -> bytes:
        self.marks_tried += marked
        if marked:
            self.marked[self.marks_tried] = [(message.stream, message.seq) for message in made]
        return str(self.marks_tried).encode() if marked else b""

    def settle(self) -> None:
        """Appends are made durable in order: with the last one, all before it were."""
        for _, keys in self.pending:
            self.promised.update(keys)
        self.pending.clear()
        assert self.life is not None
        for loss in self.life.outbox.take_losses():
            assert loss.cause == "outbox_full", loss
            dropped = {(loss.stream, seq) for seq in range(loss.from_seq, loss.to_seq + 1)}
            assert loss.values == sum(self.known[key].values for key in dropped)
            self.lost |= dropped

    @rule(most=st.integers(1, 10), size=st.sampled_from([1, 1000, 10**6]), behind=st.booleans())
    def read(self, most: int, size: int, behind: bool) -> None:
        assert self.life is not None
        reader = self.life.outbox.reader("r")
        if reader.messages <= len(self.given) or (behind and not reader.left_behind):
            return
        read = reader.read_behind if behind else reader.read
        for record in self.life.within(0.2, read(most, size)) or []:
            key = (record.message.stream, record.message.seq)
            assert record.message == self.known[key]
            assert record.number not in self.given
            self.given[record.number] = record
            self.delivered[key] = record.message

    @rule()
    def leave_behind(self) -> None:
        assert self.life is not None
        self.life.now(self.life.outbox.reader("r").leave_behind)

    @rule(which=st.lists(st.integers(0, 20), max_size=8))
    def acknowledge(self, which: list[int]) -> None:
        assert self.life is not None
        for n in which:
            if self.given:
                number, record = sorted(self.given.items())[n % len(self.given)]
                del self.given[number]
                if self.life.now(self.life.outbox.reader("r").ack, number):
                    self.acked.add((record.message.stream, record.message.seq))

    @rule()
    def rewind(self) -> None:
        assert self.life is not None
        self.life.outbox.reader("r").rewind()
        self.given.clear()

    @rule(
        operation=st.sampled_from(["write", "sync", "rename", "sync_folder", "truncate", "open", "remove"]),
        skip=st.integers(0, 3), error=st.sampled_from([errno.EIO, errno.ENOSPC, errno.EROFS]),
    )  # fmt: skip
    def fail(self, operation: str, skip: int, error: int) -> None:
        self.disk.faults[operation] = [0] * skip + [error]

    @rule(compress=compressions)
    def restart(self, compress: str) -> None:
        assert self.life is not None
        self.configure(compress)
        self.disk.faults.clear()
        self.life.end()
        self.drop_pending()
        self.open()

    @rule(compress=compressions)
    def kill(self, compress: str) -> None:
        self.configure(compress)
        self.disk.kill()
        self.after_crash()

    @rule(seed=st.integers(0, 2**16), compress=compressions)
    def cut_power(self, seed: int, compress: str) -> None:
        self.configure(compress)
        self.disk.cut_power(random.Random(seed))
        self.after_crash()

    def after_crash(self) -> None:
        assert self.life is not None
        self.disk.faults.clear()
        self.life.forget()
        self.drop_pending()
        self.open()

    def drop_pending(self) -> None:
        for task, keys in self.pending:
            if not task.cancelled() and task.exception() is None:
                self.promised.update(keys)
        self.pending.clear()

    @invariant()
    def figures_match(self) -> None:
        if self.life is not None and not self.pending:
            assert self.life.outbox.messages >= len(self.given)

    @invariant()
    def within_bounds(self) -> None:
        if self.life is not None and self.life.outbox.messages:
            assert self.life.outbox.bytes <= self.config.max_bytes

    def teardown(self) -> None:
        if self.life is None:
            return
        try:
            self.disk.faults.clear()
            self.append([(0, 1)], False)
            self.drain()
        finally:
            self.disk.kill()
            self.life.forget()

    def drain(self) -> None:
        assert self.life is not None
        self.rewind()
        reader = self.life.outbox.reader("r")
        got: list[Record] = []
        counted = (reader.messages, reader.values)
        behind = reader.left_behind
        while len(got) < behind:
            got += self.life.do(reader.read_behind(3, 500))
        while reader.messages > len(got):
            got += self.life.do(reader.read(3, 500))
        assert counted == (len(got), sum(record.message.values for record in got))
        self.check(got)

    def check(self, got: list[Record]) -> None:
        keys = [(record.message.stream, record.message.seq) for record in got]
        for record, key in zip(got, keys, strict=True):
            assert record.message == self.known[key]
        assert self.promised - self.acked - self.lost - set(keys) == set()
        for stream in {stream for stream, _ in keys}:
            seqs = [seq for name, seq in keys if name == stream]
            assert seqs == sorted(set(seqs))


TestOutbox = OutboxMachine.TestCase
TestOutbox.settings = settings(
    max_examples=int(os.environ.get("OUTBOX_EXAMPLES", "30")), stateful_step_count=25, deadline=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
