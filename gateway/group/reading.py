"""A broker's position in the group's log: what the outbox's `Reader` is for one machine.

Records are read in the order of the log.  Everything up to the cursor has its verdict; the cursor is in the log, so the
next owner of the broker goes on there, and repeats at most what had its verdict behind it.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from gateway.errors import Unavailable
from gateway.group.holding import Holding
from gateway.group.log import Log
from gateway.outbox import Record

LOOK_EVERY_S = 0.25
RETRY_S = 0.5
_PER_RECORD = 2**20
"""More messages than a record holds."""
AHEAD_BYTES = 2**20
"""As stored: text is several times as long in memory."""


class LogReader:
    """Only one task may `read`."""

    def __init__(self, log: Log, holding: Holding, route: str, cursor: int) -> None:
        self.route = route
        self.holding = holding
        self.cursor = cursor
        """The last position up to which everything has its verdict."""
        self.messages = self.values = 0
        """Read from the log and without a verdict."""
        self._log = log
        self._next = cursor + 1
        self._buffer: deque[Record] = deque()
        self._open: dict[int, set[int]] = {}
        """By position in the log, in order: the messages without a verdict."""
        self._given: dict[int, Record] = {}
        self._done: set[int] = set()
        """Messages above the cursor that have their verdict."""
        self._former: list[tuple[int, str]] = []
        """Routes that were followed before, each up to a position."""
        self.seen = cursor
        """The last position that was read."""
        self.on_progress: Callable[[], None] = lambda: None

    @property
    def left_behind(self) -> int:
        return 0

    @property
    def oldest_ns(self) -> int:
        """When the oldest message without a verdict was appended; 0: there is none."""
        record = next(iter(self._given.values()), None) or (self._buffer[0] if self._buffer else None)
        return record.appended_at_ns if record is not None else 0

    @property
    def unread(self) -> int:
        return len(self._buffer)

    def follow(self, route: str, end: int) -> None:
        """Follow another route behind this position."""
        if route != self.route:
            self._former.append((end, self.route))
            self.route = route

    def _route_at(self, seq: int) -> str:
        return next((route for end, route in self._former if seq <= end), self.route)

    async def read(self, max_messages: int, max_bytes: int) -> list[Record]:
        """The next records, at least one: waits for it.  Waits for ever when the claim is lost."""
        while not self._buffer:
            if self.holding.is_lost:
                await asyncio.Event().wait()
            self._log.written.clear()
            if not await self._fetch():
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await self._log.written.wait()
        records, size = list[Record](), 0
        while self._buffer and len(records) < max_messages and size < max_bytes:
            record = self._buffer.popleft()
            self._given[record.number] = record
            records.append(record)
            size += len(record.message.payload)
        return records

    async def _fetch(self) -> bool:
        """Read on.  False: there is nothing more at present."""
        first = self._next
        try:
            found = await self._log.read(first, f"{self._log.names.root}.log.source.*", AHEAD_BYTES)
        except Unavailable:
            await asyncio.sleep(RETRY_S)
            return False
        if first != self._next:
            return True  # rewound meanwhile
        for stored in found:
            seq, route = stored.mark.seq, self._route_at(stored.mark.seq)
            entry = stored.entry
            numbered = enumerate(entry.messages.get(route, ()))
            records = [Record(seq * _PER_RECORD + at, message, entry.appended_ns) for at, message in numbered]
            wanted = [record for record in records if record.number not in self._done]
            self._open[seq] = {record.number for record in wanted}
            self._buffer += wanted
            self.messages += len(wanted)
            self.values += sum(record.message.values for record in wanted)
            self._next, self.seen = seq + 1, seq
        self._advance()
        return bool(found)

    async def read_behind(self, max_messages: int, max_bytes: int) -> list[Record]:
        """Nothing is left behind: the log is read in order."""
        await asyncio.Event().wait()
        return []

    async def retained_ahead(self) -> set[str]:
        return set()

    def leave_behind(self) -> bool:
        return False

    def rewind(self) -> None:
        """Read everything without a verdict again, in order."""
        self._buffer.clear()
        self._given.clear()
        self._open.clear()
        self._next, self.messages, self.values = self.cursor + 1, 0, 0

    def ack(self, number: int) -> bool:
        """This one has its verdict.  False: it had, or it is to be read again."""
        record = self._given.pop(number, None)
        if record is None:
            return False
        self.messages -= 1
        self.values -= record.message.values
        self._done.add(number)
        self._open[number // _PER_RECORD].discard(number)
        self._advance()
        return True

    def _advance(self) -> None:
        moved = False
        while self._open and not self._open[first := next(iter(self._open))]:
            del self._open[first]
            self.cursor, moved = first, True
        if moved:
            self._done = {number for number in self._done if number // _PER_RECORD > self.cursor}
            self._former = [each for each in self._former if each[0] > self.cursor]
            self.on_progress()
