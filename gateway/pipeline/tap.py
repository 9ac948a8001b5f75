"""What passes inside, for somebody who looks: values after decoding and after shaping, messages after encoding.

While nobody looks, the path of a batch meets an empty list three times, and nothing else.  A tap takes a bounded number
of values a second, and keeps a bounded number for a reader that is slow.  It counts what it did not take and what it
threw away.  It never waits, so the path does not.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gateway.model import Batch, Message, Tag
from gateway.patterns import pattern
from gateway.pipeline.routing import Encoded
from gateway.pipeline.standing import LastValue

Stage = Literal["decode", "shape", "encode"]
STAGES: tuple[Stage, ...] = get_args(Stage)
MOST_A_SECOND = 500
"""How many values and messages one tap takes in a second."""
MOST_KEPT = 2000
"""How many a tap keeps for its reader."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a tap shows.  Empty: all."""

    stages: Sequence[Stage] = STAGES
    source: str = ""
    tag: str = ""
    """A pattern for the name of a tag, `source/name`, or its node."""
    stream: str = ""
    """A pattern for a stream.  Values belong to none before they are encoded, so only messages are shown."""

    def has(self, source: str, tag: Tag) -> bool:
        """Whether this tag is wanted."""
        names = (tag.name, f"{source}/{tag.name}", tag.node_id)
        return not self.tag or any(pattern(self.tag).fullmatch(name) for name in names)


@dataclass(frozen=True, slots=True)
class PassedValue:
    """A value at one stage."""

    stage: Stage
    unix_s: float
    source: str
    tag: Tag
    value: LastValue


@dataclass(frozen=True, slots=True)
class PassedMessage:
    """A message that has just become durable."""

    unix_s: float
    route: str
    """Empty for that of the gateway's own payload."""
    message: Message


Passed = PassedValue | PassedMessage


@dataclass(slots=True)
class Tap:
    """One person who looks."""

    wish: Wish
    topics: frozenset[str] | None = None
    """The topics of the tags that are wanted.  None: all."""
    clock: Callable[[], float] = time.time
    left_out: int = 0
    """How many values and messages were not taken, since too many passed in one second."""
    dropped: int = 0
    """How many were thrown away, since the reader is slow."""
    _kept: deque[Passed] = field(default_factory=deque)
    _some: asyncio.Event = field(default_factory=asyncio.Event)
    _second: int = 0
    _taken: int = 0
    """In the present second."""
    _wanted: dict[Stage, tuple[Sequence[Tag], NDArray[np.bool_]]] = field(default_factory=dict)
    """By stage: the last table of tags, and which of them are wanted."""

    def values(self, stage: Stage, batch: Batch) -> None:
        """Take what is wanted of a batch."""
        wish = self.wish
        if stage not in wish.stages or wish.stream or (wish.source and wish.source != batch.source):
            return
        rows = np.flatnonzero(self._mask(stage, batch)[batch.handles])
        fits = rows[: self._room(len(rows))]
        if not len(fits):
            return
        some, unix_s = batch.rows(fits), self.clock()
        values = some.values.tolist() if isinstance(some.values, np.ndarray) else some.values
        columns = (some.statuses.tolist(), some.source_ticks.tolist(), some.server_ticks.tolist())
        for handle, *row in zip(some.handles.tolist(), some.types.tolist(), values, *columns, strict=True):
            self._keep(PassedValue(stage, unix_s, batch.source, batch.tags[handle], LastValue(*row)))

    def messages(self, source: str, encoded: Encoded) -> None:
        """Take what is wanted of the messages of one append."""
        wish = self.wish
        if "encode" not in wish.stages or (wish.source and wish.source != source):
            return
        found = [
            (route, message)
            for route, made in (("", encoded.messages), *encoded.others.items())
            for message in made
            if self.topics is None or message.topic in self.topics
            if not wish.stream or pattern(wish.stream).fullmatch(message.stream)
        ]
        unix_s = self.clock()
        for route, message in found[: self._room(len(found))]:
            self._keep(PassedMessage(unix_s, route, message))

    async def taken(self, within_s: float) -> list[Passed]:
        """What passed since the last question; empty when nothing did within this time."""
        try:
            async with asyncio.timeout(within_s):
                await self._some.wait()
        except TimeoutError:
            return []
        found = list(self._kept)
        self._kept.clear()
        self._some.clear()
        return found

    def _mask(self, stage: Stage, batch: Batch) -> NDArray[np.bool_]:
        tags, mask = self._wanted.get(stage, ((), np.zeros(0, np.bool_)))
        if tags is not batch.tags:
            mask = np.array([self.wish.has(batch.source, tag) for tag in batch.tags], np.bool_)
            self._wanted[stage] = batch.tags, mask
        return mask

    def _room(self, wanted: int) -> int:
        """How many of so many may still be taken in this second.  Counts the others."""
        second = int(self.clock())
        if second != self._second:
            self._second, self._taken = second, 0
        fits = min(wanted, MOST_A_SECOND - self._taken)
        self._taken += fits
        self.left_out += wanted - fits
        return fits

    def _keep(self, passed: Passed) -> None:
        if len(self._kept) >= MOST_KEPT:
            self._kept.popleft()
            self.dropped += 1
        self._kept.append(passed)
        self._some.set()
