"""A broker's position in the group's log: what the outbox's `Reader` is for one machine.

Records are read in the order of the log.  Everything up to the cursor has its verdict; the cursor is in the log, so the
next owner of the broker goes on there, and repeats at most what had its verdict behind it.

With `newest-first`, what is unread may be left behind, and is read beside what is new.  The log also keeps what has its
verdict above the cursor, so the next owner does not deliver that again, but for what was acknowledged in the last
quarter of a second: it comes again with its number.

A format may have to know what records refer to (`Memory`).  Then all records are shown to it first, from the oldest
that the log has, and are given out once it has seen them.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from gateway.errors import Unavailable
from gateway.group.entry import Entry, Kind
from gateway.group.following import Follower, Memory
from gateway.group.holding import Holding, Lost
from gateway.group.log import Log
from gateway.group.stretch import OPEN, PER_RECORD, Stretch, ahead_of, joined, stretches_of
from gateway.outbox import Record

LOOK_EVERY_S = SAVE_EVERY_S = 0.25
RETRY_S = 0.5
AHEAD_BYTES = 2**20
"""As stored: text is several times as long in memory."""
MOST_STRETCHES = 64
"""The largest number of stretches.  Beyond it nothing more is left behind."""


class LogReader:
    """Only one task may `read`, and one `read_behind`."""

    def __init__(self, log: Log, holding: Holding, route: str, state: Entry, memory: Memory | None = None) -> None:
        """`state` is what the log has of the broker."""
        self.route = route
        self.holding = holding
        self.messages = self.values = 0
        """Read from the log and without a verdict."""
        self.number = state.number
        """How many connections the broker had, where its format counts them."""
        self._log = log
        self._stretches = stretches_of(state)
        self._former: list[tuple[int, str]] = []
        """Routes that were followed before, each up to a position."""
        self.seen = state.cursor
        """The last position that was read."""
        self.on_progress: Callable[[], None] = lambda: None
        self._left = asyncio.Event()
        """Set when something was left behind."""
        self.unsaved = asyncio.Event()
        """Set when the number is to be kept at once."""
        self._kept = asyncio.Event()
        """Set, and replaced, when the log has the present state, or never will."""
        self._saved_number = state.number
        self.follower = Follower(log, route, memory) if memory is not None else None
        self._remembered = asyncio.Event()

    # -- what the log keeps

    @property
    def cursor(self) -> int:
        """The last position up to which everything has its verdict."""
        return self._stretches[0].cursor

    @property
    def state(self) -> Entry:
        return Entry(cursor=self.cursor, number=self.number, ahead=ahead_of(self._stretches))

    def saved(self, state: Entry) -> None:
        """The log has this state; or, when the claim is lost, never will."""
        self._saved_number = state.number
        self._kept.set()
        self._kept = asyncio.Event()

    async def count_connection(self, least: int = 0) -> int:
        """The number of a new connection, at least this one, once the log has it.

        Raises `Unavailable` when the claim is lost.
        """
        number = self.number = max(self.number + 1, least)
        while not self.holding.is_lost:
            if self._saved_number >= number:
                return number
            kept = self._kept
            self.unsaved.set()
            await kept.wait()
        raise Unavailable(f"{self.holding.work} belongs to another member")

    async def confirm(self) -> None:
        """Look whether the claim is still ours.  Raises `Unavailable` when it is not, or nobody can say."""
        try:
            await self.holding.confirm()
        except Lost as error:
            raise Unavailable(f"{self.holding.work} belongs to another member") from error

    async def wait_caught_up(self) -> None:
        """Wait until the memory has seen what is in the log now.  Raises `Unavailable`."""
        if self.follower is not None:
            await self.follower.wait_caught_up()

    @property
    def memory(self) -> Memory | None:
        return self.follower.memory if self.follower is not None else None

    def remember(self, memory: Memory) -> None:
        """Show the records to another memory from now on, from the oldest."""
        if self.follower is not None:
            self.follower.begin(self.route, memory)
        else:
            self.follower = Follower(self._log, self.route, memory)
            self._remembered.set()

    async def live(self) -> None:
        """Keep the position in the log, and show the log to the memory if there is one, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._save_regularly(), name="group: keep a position")
            tasks.create_task(self._follow(), name="group: follow the log")

    async def _follow(self) -> None:
        while self.follower is None:
            await self._remembered.wait()
        await self.follower.run()

    async def _save_regularly(self) -> None:
        saved = self.state
        try:
            while True:
                self.unsaved.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(SAVE_EVERY_S):
                        await self.unsaved.wait()
                if (state := self.state) != saved:
                    mark = await self.holding.append(Kind.CURSOR, state)
                    saved = state
                    self.saved(state)
                    with suppress(Unavailable):
                        await self._log.purge(self.holding.work, mark.seq)
        except Lost:
            pass
        finally:
            self.saved(saved)  # who waits for more learns that it is lost

    # -- for the pipeline

    @property
    def left_behind(self) -> int:
        """How many positions of the log were left behind: not fewer than messages, where there are any."""
        return sum(each.end - each.cursor for each in self._stretches if each.is_behind)

    @property
    def oldest_ns(self) -> int:
        """When the oldest message without a verdict was appended; 0: there is none."""
        for each in self._stretches:
            if record := next(iter(each.given.values()), None) or (each.buffer[0] if each.buffer else None):
                return record.appended_at_ns
        return 0

    @property
    def unread(self) -> int:
        """Messages that were read, and positions that were not, as far as is known."""
        ahead = (each for each in self._stretches if not each.is_behind)
        return sum(len(each.buffer) + max(0, min(each.end, self._log.last_seq) + 1 - each.next) for each in ahead)

    def follow(self, route: str, end: int) -> None:
        """Follow another route behind this position."""
        if route != self.route:
            self._former.append((end, self.route))
            self.route = route

    def _route_at(self, seq: int) -> str:
        return next((route for end, route in self._former if seq <= end), self.route)

    async def read(self, max_messages: int, max_bytes: int) -> list[Record]:
        """The next records, at least one: waits for it.  Waits for ever when the claim is lost."""
        return await self._read(max_messages, max_bytes, behind=False)

    async def read_behind(self, max_messages: int, max_bytes: int) -> list[Record]:
        """Like `read`, for the records left behind, oldest first."""
        return await self._read(max_messages, max_bytes, behind=True)

    async def _read(self, max_messages: int, max_bytes: int, *, behind: bool) -> list[Record]:
        while True:
            if self.holding.is_lost:
                await asyncio.Event().wait()
            self._left.clear()
            if self.follower is None:
                self._log.written.clear()
            if behind and not any(each.is_behind for each in self._stretches):
                await self._left.wait()
                continue
            stretch = next((e for e in self._stretches if e.is_behind is behind and not e.is_read), None)
            if stretch is not None and stretch.buffer:
                return _given(stretch, max_messages, max_bytes)
            if stretch is None or not await self._fetch(stretch):
                await self._wait_written()

    async def _wait_written(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY_S):
                await (self._log.written if self.follower is None else self.follower.progress).wait()

    async def _fetch(self, stretch: Stretch) -> bool:
        """Read on.  False: there is nothing more at present."""
        first = stretch.next
        try:
            found = await self._found(first)
        except Unavailable:
            await asyncio.sleep(RETRY_S)
            return False
        if first != stretch.next:
            return True  # rewound meanwhile
        for seq, entry in found:
            if seq > stretch.end:
                stretch.next = stretch.end + 1  # only a later record shows that there is none before: servers may lag
                break
            self._take(stretch, seq, entry)
        self._advance()
        return bool(found)

    async def _found(self, first: int) -> Sequence[tuple[int, Entry]]:
        """Entries with their positions."""
        if self.follower is not None and (recent := self.follower.since(first)) is not None:
            return recent
        found = await self._log.read(first, f"{self._log.names.root}.log.source.*", AHEAD_BYTES)
        most = self.follower.seen if self.follower is not None else OPEN
        return [(stored.mark.seq, stored.entry) for stored in found if stored.mark.seq <= most]

    def _take(self, stretch: Stretch, seq: int, entry: Entry) -> None:
        numbered = enumerate(entry.messages.get(self._route_at(seq), ()))
        wanted = stretch.take(
            seq, [Record(seq * PER_RECORD + at, message, entry.appended_ns) for at, message in numbered]
        )
        self.messages += len(wanted)
        self.values += sum(record.message.values for record in wanted)
        self.seen = max(self.seen, seq)

    async def retained_ahead(self) -> set[str]:
        """The topics of the retained messages that have their verdict ahead of those left behind."""
        topics: set[str] = set()
        for first, last in ahead_of(self._stretches):
            at = first + 1
            while at <= last:
                try:
                    found = await self._log.read(at, f"{self._log.names.root}.log.source.*", AHEAD_BYTES)
                except Unavailable:
                    await asyncio.sleep(RETRY_S)
                    continue
                if not found:
                    break
                for stored in found:
                    some = stored.entry.messages.get(self._route_at(stored.mark.seq), ())
                    topics |= {message.topic for message in some if message.retain and stored.mark.seq <= last}
                at = found[-1].mark.seq + 1
        return topics

    def leave_behind(self) -> bool:
        """Leave what is unread to `read_behind`; `read` continues with what is new.

        False: there is nothing unread, or too much was left behind already.
        """
        last = self._stretches[-1]
        end = max(last.next - 1, self._log.last_seq)
        if len(self._stretches) < MOST_STRETCHES and (end >= last.next or last.buffer):
            last.end = end
            self._stretches.append(Stretch(end))
        left = False
        for each in self._stretches:
            if each.end != OPEN and not each.is_behind and not each.is_read:
                each.is_behind = left = True
        if left:
            self._left.set()
        return left

    def rewind(self) -> None:
        """Read everything without a verdict again, in order."""
        for each in self._stretches:
            each.rewind()
        self._stretches = joined(self._stretches)
        self.messages = self.values = 0

    def ack(self, number: int) -> bool:
        """This one has its verdict.  False: it had, or it is to be read again."""
        seq = number // PER_RECORD
        stretch = next((each for each in self._stretches if each.cursor < seq <= each.end), None)
        record = stretch.settle(number) if stretch is not None else None
        if record is None:
            return False
        self.messages -= 1
        self.values -= record.message.values
        self._advance()
        return True

    def _advance(self) -> None:
        moved = [each.advance() for each in self._stretches]
        if any(moved):
            self._stretches = [each for each in self._stretches if not each.is_over]
            self._former = [each for each in self._former if each[0] > self.cursor]
            self.on_progress()


def _given(stretch: Stretch, max_messages: int, max_bytes: int) -> list[Record]:
    records, size = list[Record](), 0
    buffer: deque[Record] = stretch.buffer
    while buffer and len(records) < max_messages and size < max_bytes:
        record = buffer.popleft()
        stretch.given[record.number] = record
        records.append(record)
        size += len(record.message.payload)
    return records
