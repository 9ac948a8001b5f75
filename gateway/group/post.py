"""Letters between members: requests on their way to who has a source, answers on their way to who has a broker.

The stream `CF-<group>-post` has one subject per box.  A letter stays until it is removed, so whoever has the source or
the broker next finds it.  It may be found again after it was removed: whoever reads must know a letter by its content.
"""

import asyncio
from contextlib import suppress

from gateway.errors import Unavailable
from gateway.group.log import Log, answer_or_wait, stream_of

MOST_BYTES = 64 * 2**20
KEPT_S = 3600.0
LOOK_EVERY_S = 3.0
"""Without being told of a letter."""
RETRY_S = 0.5
_AT_ONCE = 50


class Post:
    """Of a member, while it is connected."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._waiting: dict[str, asyncio.Event] = {}
        self._is_open = False

    async def open(self) -> None:
        """Make the stream where it is missing; waits for the cluster."""
        while not self._is_open:
            with suppress(Unavailable):
                names = self._log.names
                small = {"max_bytes": MOST_BYTES, "max_age": int(KEPT_S * 1e9)}
                await self._log.make(stream_of(names.post, [f"{names.root}.post.>"], self._log.replicas, **small))
                await self._log.hear(f"{names.root}.came.>", self._came)
                self._is_open = True
                return
            await asyncio.sleep(RETRY_S)

    def _came(self, subject: str) -> None:
        kind, name = subject.split(".")[-2:]
        if (event := self._waiting.get(f"{kind}.{name}")) is not None:
            event.set()

    async def put(self, box: str, letter: bytes) -> None:
        """Returns when it is stored, for as long as it takes."""
        token = self._log.names.box(box)
        while True:
            with suppress(Unavailable):
                answer_or_wait(await self._log.ask(f"{self._log.names.root}.post.{token}", letter))
                break
            await asyncio.sleep(RETRY_S)
        with suppress(Unavailable):  # who has it looks by itself
            await self._log.tell(f"{self._log.names.root}.came.{token}")

    async def read(self, box: str, after: int) -> list[tuple[int, bytes]]:
        """The letters of a box behind a position, at least one: waits for it.  Only one task may read a box."""
        token = self._log.names.box(box)
        came = self._waiting.setdefault(token, asyncio.Event())
        while True:
            came.clear()
            with suppress(Unavailable):
                if found := await self._log.letters(self._log.names.post, f"{self._log.names.root}.post.{token}",
                                                    after + 1, _AT_ONCE):  # fmt: skip
                    return found
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await came.wait()

    async def remove(self, box: str, up_to: int) -> None:
        """Remove the letters of a box up to a position; when that fails, they are found again by the next reader."""
        token = self._log.names.box(box)
        with suppress(Unavailable):
            await self._log.purge_of(self._log.names.post, f"{self._log.names.root}.post.{token}", up_to + 1)
