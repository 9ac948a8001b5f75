"""A source of the group on its way into the log: what waits is appended together, one record at a time.

What the next owner needs to go on is in the log: the checkpoint with every record, the counters of the streams as the
sum of all records, and the journal of commands.  So that old records may go, a STATE repeats counters and journal from
time to time; only what is before the latest STATE is purged.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from gateway.errors import Rejected, Unavailable
from gateway.group.entry import Entry, Kind
from gateway.group.following import Memories, Memory, show
from gateway.group.holding import Holding, Lost
from gateway.group.log import Log
from gateway.model import Message

OVERHEAD_BYTES = 200
"""More than what a message takes in a record beside its texts."""
ROOM_EVERY_S = 0.5
NO_ROOM = "the log has reached its maximum bytes (group.max_bytes): brokers must take values first"
STATE_EVERY_S = 20.0
STATE_EVERY_BYTES = 64 * 2**20
STREAMS_PER_STATE = 4000
Part = TypeVar("Part")


@dataclass(slots=True)
class Waiting:
    """One append."""

    messages: Mapping[str, Sequence[Message]]
    checkpoint: bytes
    on_stored: Callable[[], None]
    done: "asyncio.Future[None]"
    size: int = 0
    commands: Sequence[bytes] = ()


@dataclass(slots=True)
class State:
    """What the records of a source add up to."""

    seqs: dict[str, int] = field(default_factory=dict)
    checkpoint: bytes = b""
    kept_from: int = 0
    """Where the latest STATE begins: nothing before it is needed to go on."""
    commands: list[bytes] = field(default_factory=list)
    """The journal of commands, as it was claimed."""

    def add(self, entry: Entry) -> None:
        self.seqs.update(entry.seqs)
        for messages in entry.messages.values():
            for message in messages:
                self.seqs[message.stream] = message.seq
        self.checkpoint = entry.checkpoint or self.checkpoint


class SourceWriter:
    """The appends of one source that this member owns."""

    def __init__(self, log: Log, holding: Holding, state: State, memories: Memories | None = None) -> None:
        self.holding = holding
        self.memories: dict[str, Memory] = dict(memories or {})
        """By route: what the log says of this source, which a STATE must repeat."""
        self.is_ending = False
        """Whether it is handed over: nothing is begun any more."""
        self.state = state
        """As the log has it."""
        self.accepted = dict(state.seqs)
        """The numbers that were given out."""
        self.journal: Callable[[], Sequence[bytes]] = lambda: state.commands
        """The records of the journal of commands that a STATE must repeat."""
        self._log = log
        self._waiting: deque[Waiting] = deque()
        self._woken, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._state_s, self._state_bytes, self._is_new = time.monotonic(), 0, True

    async def confirm(self) -> None:
        """Look whether the claim is still ours.  Raises `Unavailable` when it is not, or nobody can say."""
        try:
            await self.holding.confirm()
        except Lost as error:
            raise Unavailable(f"{self.holding.work} belongs to another member") from error

    async def wait_idle(self) -> None:
        """Wait until everything is stored that was taken; for ever when the claim is lost."""
        await self._idle.wait()

    def begin(
        self, messages: Mapping[str, Sequence[Message]], checkpoint: bytes, on_stored: Callable[[], None]
    ) -> "asyncio.Future[None]":
        """Take an append.  Raises `Rejected` for a message that is too long for one record."""
        sizes = [_size(message) for some in messages.values() for message in some]
        if max(sizes, default=0) + len(checkpoint) > self._log.most_bytes:
            raise Rejected("too_large", f"a message of {max(sizes)} bytes does not fit a record of the group's log")
        for some in messages.values():
            for message in some:
                self.accepted[message.stream] = message.seq
        return self._queued(messages, checkpoint, on_stored, sum(sizes) + len(checkpoint))

    def begin_records(self, records: Sequence[bytes]) -> "asyncio.Future[None]":
        """Take records of the journal of commands.  Done when they are stored; never, when the claim is lost."""
        return self._queued({}, b"", lambda: None, sum(map(len, records)), records)

    def _queued(
        self, messages: Mapping[str, Sequence[Message]], checkpoint: bytes, on_stored: Callable[[], None], size: int,
        commands: Sequence[bytes] = (),
    ) -> "asyncio.Future[None]":  # fmt: skip
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(Waiting(messages, checkpoint, on_stored, done, size, commands))
        self._woken.set()
        self._idle.clear()
        return done

    async def run(self) -> None:
        """Append what waits, until the claim is lost.  Then nothing that waits is ever done."""
        try:
            while True:
                self._woken.clear()
                if not self._waiting:
                    await self._woken.wait()
                if self._is_state_due:
                    await self._append_state()
                if not self._log.has_room and not self._waiting[0].commands:
                    await self._wait_for_room()
                    continue
                await self._append_next()
        except Lost:
            return

    async def _wait_for_room(self) -> None:
        """Values stop before the log is full: what is left is for STATEs and cursors, by which it becomes emptier.

        Records of commands go past the values that wait.
        """
        self.holding.tell(NO_ROOM)
        urgent = [each for each in self._waiting if each.commands]
        if urgent:
            self._waiting = deque([*urgent, *(each for each in self._waiting if not each.commands)])
            return
        self._woken.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(ROOM_EVERY_S):
                await self._woken.wait()

    async def _append_next(self) -> None:
        group, size = [self._waiting[0]], self._waiting[0].size
        for each in list(self._waiting)[1:]:
            size += each.size
            if size > self._log.most_bytes // 2 or not (self._log.has_room or each.commands):
                break
            group.append(each)
        for entry in self._entries(group):
            await self.holding.append(Kind.VALUES, entry)
            self.state.add(entry)
            show(self.memories, entry)
            self._state_bytes += sum(len(m.payload) for some in entry.messages.values() for m in some)
            with suppress(Unavailable):  # readers look by themselves
                await self._log.tell_written()
        for each in group:
            self._waiting.popleft()
            _settle(each)
        if not self._waiting:
            self._idle.set()

    def _entries(self, group: list[Waiting]) -> list[Entry]:
        """One record, or several when it would be too long; the checkpoint comes with the last."""
        now_ns, most = time.time_ns(), self._log.most_bytes
        checkpoint = next((each.checkpoint for each in reversed(group) if each.checkpoint), b"")
        entries, size = [Entry({}, appended_ns=now_ns)], len(checkpoint)
        for each in group:
            for record in each.commands:
                if (size := size + len(record)) > most and (entries[-1].messages or entries[-1].commands):
                    entries.append(Entry({}, appended_ns=now_ns))
                    size = len(checkpoint) + len(record)
                entries[-1].commands = [*entries[-1].commands, record]
            for route, some in each.messages.items():
                for message in some:
                    if (size := size + _size(message)) > most and entries[-1].messages:
                        entries.append(Entry({}, appended_ns=now_ns))
                        size = len(checkpoint) + _size(message)
                    entries[-1].messages.setdefault(route, []).append(message)
        entries[-1].checkpoint = checkpoint
        return entries

    @property
    def _is_state_due(self) -> bool:
        late = time.monotonic() - self._state_s > STATE_EVERY_S
        return self._is_new or late or self._state_bytes > STATE_EVERY_BYTES

    async def _append_state(self) -> None:
        """Repeat counters, journal and what formats must know, in as many records as they need."""
        names, first = list(self.state.seqs), 0
        for part in in_parts(self.journal(), len, self._log.most_bytes // 2):
            mark = await self.holding.append(Kind.STATE, Entry(commands=part))
            first = first or mark.seq
        for route, memory in self.memories.items():
            for some in in_parts(memory.kept(), _size, self._log.most_bytes // 2):
                mark = await self.holding.append(Kind.STATE, Entry(kept={route: some}))
                first = first or mark.seq
        for at in range(0, max(1, len(names)), STREAMS_PER_STATE):
            seqs = {name: self.state.seqs[name] for name in names[at : at + STREAMS_PER_STATE]}
            mark = await self.holding.append(Kind.STATE, Entry(checkpoint=self.state.checkpoint, seqs=seqs))
            first = first or mark.seq
        self.state.kept_from = first
        self._state_s, self._state_bytes, self._is_new = time.monotonic(), 0, False


def in_parts(records: Sequence[Part], size_of: Callable[[Part], int], most_bytes: int) -> list[list[Part]]:
    """Records in order, in parts that are not longer together; a longer one is alone."""
    parts, size = list[list[Part]](), 0
    for record in records:
        if not parts or size + size_of(record) > most_bytes:
            parts.append([])
            size = 0
        parts[-1].append(record)
        size += size_of(record)
    return parts


def _settle(append: Waiting) -> None:
    """Tell that it is stored.  An error of the callback is its caller's, and ends no other append."""
    error: BaseException | None = None
    try:
        append.on_stored()
    except BaseException as raised:  # noqa: BLE001 - raised to the caller of `append`
        error = raised
    if append.done.done():
        return
    if error is None:
        append.done.set_result(None)
    else:
        append.done.set_exception(error)


def _size(message: Message) -> int:
    texts = len(message.topic) + len(message.stream) + len(message.source) + len(message.content_type)
    properties = sum(len(key) + len(value) for key, value in message.properties)
    return OVERHEAD_BYTES + len(message.payload) + 4 * (texts + properties)


async def state_of(log: Log, holding: Holding, memories: Memories | None = None) -> State:
    """What the records up to our claim add up to; the memories are shown them.

    Raises `Unavailable` when they cannot all be read.
    """
    state, at, subject = State(), 1, log.names.work(holding.work)
    while at <= holding.claimed.seq:
        found = await log.read(at, subject)
        if not found:
            raise Unavailable(f"the log's records of {holding.work} cannot be read to their end yet")
        for stored in found:
            if stored.mark.seq <= holding.claimed.seq:
                entry = stored.entry
                state.add(entry)
                state.commands += entry.commands
                show(memories or {}, entry)
        at = found[-1].mark.seq + 1
    return state
