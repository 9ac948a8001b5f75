"""Shows all records of a route to a memory, in the order of the log, from the oldest that it has.

Some formats send what earlier records have told: Sparkplug begins each session with births.  One machine has that in
memory; in a group the sources may be on other members, and the log is what all of them see.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from gateway.config import PayloadConfig
from gateway.errors import Unavailable
from gateway.group.entry import Entry
from gateway.group.log import Log, mark_of
from gateway.model import Message

LOOK_EVERY_S = 0.25
RETRY_S = 0.5
READ_BYTES = 2**20
RECENT_BYTES = 2**20
"""So much of what was read last is kept for the reader, as stored."""


class Memory(Protocol):
    """What a format knows of a route from its records."""

    @property
    def payload(self) -> PayloadConfig:
        """For which it was made."""

    @property
    def sources_alive(self) -> int:
        """How many sources have a server that is there."""

    def learn(self, message: Message) -> None:
        """A record of the route that is in the log."""

    def kept(self) -> Sequence[Message]:
        """Records that say all of it again, none longer than some ten thousand bytes but for what cannot be divided."""


Memories = Mapping[str, Memory]
"""By route."""


def show(memories: Memories, entry: Entry) -> None:
    """Show the memories what one entry of the log has for them."""
    for route, memory in memories.items():
        for message in (*entry.kept.get(route, ()), *entry.messages.get(route, ())):
            memory.learn(message)


class Follower:
    """One memory, and how far in the log it is."""

    def __init__(self, log: Log, route: str, memory: Memory) -> None:
        self._log = log
        self.progress = asyncio.Event()
        """Set when there is more."""
        self.begin(route, memory)

    def begin(self, route: str, memory: Memory) -> None:
        """Begin again, with the oldest record."""
        self.memory = memory
        self._route = route
        self.seen = 0
        """The last position that the memory has seen."""
        self._recent: deque[tuple[int, int, Entry]] = deque()
        """Position, bytes as stored, and content."""
        self._recent_from, self._recent_bytes = 0, 0

    def since(self, first: int) -> list[tuple[int, Entry]] | None:
        """The entries from a position on that were read last.  None: that is longer ago."""
        if first > self.seen:
            return []
        if not self._recent or first <= self._recent_from:
            return None
        return [(seq, entry) for seq, _, entry in self._recent if seq >= first]

    async def run(self) -> None:
        """Follow the log until cancelled."""
        while True:
            self._log.written.clear()
            if not await self._step():
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await self._log.written.wait()

    async def _step(self) -> bool:
        first, memory = self.seen + 1, self.memory
        try:
            found = await self._log.read(first, f"{self._log.names.root}.log.source.*", READ_BYTES)
        except Unavailable:
            await asyncio.sleep(RETRY_S)
            return False
        if memory is not self.memory:
            return True
        for stored in found:
            entry = stored.entry
            show({self._route: memory}, entry)
            self.seen = stored.mark.seq
            self._keep(self.seen, len(stored.body), entry)
        if found:
            self.progress.set()
            self.progress = asyncio.Event()
        return bool(found)

    def _keep(self, seq: int, size: int, entry: Entry) -> None:
        self._recent.append((seq, size, entry))
        self._recent_bytes += size
        while self._recent_bytes > RECENT_BYTES and len(self._recent) > 1:
            self._recent_from, gone_bytes, _ = self._recent.popleft()
            self._recent_bytes -= gone_bytes

    async def wait_caught_up(self) -> None:
        """Wait until the memory has seen what is in the log now.  Raises `Unavailable` when nobody can say."""
        lasts = await self._log.last_of_all(f"{self._log.names.root}.log.source.*")
        newest = max((mark_of(stored).seq for stored in lasts.values()), default=0)
        while self.seen < newest:
            await self.progress.wait()
