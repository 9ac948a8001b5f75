"""What commands need of a group: letters between its members, and the log of each source that this one has."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol


class Boxes(Protocol):
    """Letters that every member can put, and whoever has a source or a broker can read."""

    async def open(self) -> None: ...

    async def put(self, box: str, letter: bytes) -> None:
        """Returns when it is stored, for as long as it takes."""

    async def read(self, box: str, after: int) -> list[tuple[int, bytes]]:
        """The letters behind a position, at least one: waits for it."""

    async def remove(self, box: str, up_to: int) -> None: ...


class SourceLog(Protocol):
    """The log of one source that this member has claimed."""

    journal: Callable[[], Sequence[bytes]]
    """The records that the log must keep; as claimed, until it is set."""
    is_ending: bool

    def begin_records(self, records: Sequence[bytes]) -> "asyncio.Future[None]":
        """Done when they are stored; never, when the claim is lost."""

    async def confirm(self) -> None:
        """Look whether the claim is still ours.  Raises `Unavailable` when it is not, or nobody can say."""
