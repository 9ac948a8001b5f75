"""A range of consecutive records of one lane that one reader has not acknowledged, and how far it has read in them.

A reader that takes everything in order has one range in each lane of its route.  The range begins at the oldest wanted
record and has no end.  A reader that leaves a backlog behind has several; the records between two ranges are
acknowledged.  A reader that changed its route has ranges with an end in the lanes of the former route, until they are
acknowledged.  The disk holds no more than that (`Places`).
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from msgspec import Struct
from pydantic import BaseModel, model_validator

from gateway.outbox.segment import PRIORITIES, Lane, Segment

OPEN = 2**63
"""The end of a range without an end."""
MOST_RANGES = 12
"""The largest number of ranges of one lane.  Beyond it nothing more is left behind."""

Range = tuple[int, int, int, int, int]
"""Lane, first number, values before it, number behind the last record, values before that."""


class Places(BaseModel):
    """The durable cursor of one reader, as in the file.  Of a lane that is not named, nothing is wanted."""

    route: str = ""
    """The route that it follows."""
    lanes: list[tuple[int, int, int]]
    """For each lane: the lowest unacknowledged number, and the values of all records below it."""
    ahead: list[Range] = []
    """The acknowledged ranges above that, in order; up to `OPEN` where the lane is not followed any more."""

    @model_validator(mode="before")
    @classmethod
    def _of_one_route(cls, data: object) -> object:
        """Read a cursor from before there were routes: a pair for each of the three lanes."""
        if isinstance(data, dict) and isinstance(data.get("places"), list) and len(data["places"]) == len(PRIORITIES):
            places = data["places"]
            return {"lanes": [(lane, *place) for lane, place in enumerate(places)], "ahead": data.get("ahead", [])}
        return data

    def wants(self, lane: int, number: int) -> bool:
        """Whether this record is not acknowledged."""
        if not any(index == lane and number >= low for index, low, _ in self.lanes):
            return False
        return not any(index == lane and first <= number < behind for index, first, _, behind, _ in self.ahead)


class Given(Struct, frozen=True):
    """A record that was given out and is not acknowledged."""

    segment: int
    """First number of its segment."""
    offset: int
    values_before: int
    values: int
    clock_ns: int


@dataclass(slots=True, eq=False)
class UnackedRange:
    """The numbers from `low` up to, not including, `end` of one lane."""

    low: int
    """The lowest unacknowledged number."""
    low_values: int
    """Values of all records below `low`."""
    end: int = OPEN
    end_values: int = 0
    """Values of all records below `end`; without meaning for a range without an end."""
    next: int = 0
    """The next number to read."""
    next_values: int = 0
    """Values of all records below `next`."""
    reached: int = 0
    """The highest value that `next` has had.  Damage below it is counted already."""
    segment: int = -1
    """First number of the segment to which `offset` belongs."""
    offset: int = 0
    """Where to look for `next` in that segment; 0: at the beginning."""
    since_ns: int = 0
    """No record of the range is older than this (age clock)."""
    behind: bool = False
    """Whether it was left behind, for `read_behind`."""
    given: "OrderedDict[int, Given]" = field(default_factory=OrderedDict)
    done: set[int] = field(default_factory=set)
    """Numbers acknowledged above `low`."""

    def __post_init__(self) -> None:
        self.next, self.next_values = self.low, self.low_values

    def enter(self, lane: Lane) -> Segment | None:
        """The segment to read from next.  None: nothing to read."""
        segment = lane.holding(self.next)
        if segment is None or segment.first >= self.end or self.next >= self.end:
            return None
        if self.segment != segment.first:
            self.segment, self.offset = segment.first, 0
        if self.next <= segment.first:
            self.next, self.next_values = segment.first, segment.values_before
        return segment

    def end_in(self, segment: Segment) -> tuple[int, int]:
        """Where the range ends in this segment, and the values of all records before that."""
        return (self.end, self.end_values) if self.end < segment.end else (segment.end, segment.values_end)

    def count_in(self, segment: Segment) -> tuple[int, int]:
        """Messages and values of this segment that are in the range."""
        if segment.end <= self.low or segment.first >= self.end:
            return 0, 0
        end, values = self.end_in(segment)
        before = self.low_values if segment.first <= self.low else segment.values_before
        return end - max(segment.first, self.low), values - before

    @property
    def is_open(self) -> bool:
        """Whether it has no end, so that new records belong to it."""
        return self.end == OPEN

    def holds(self, number: int) -> bool:
        return self.low <= number < self.end

    def advance(self) -> bool:
        """Move `low` to the first unacknowledged record.  Returns whether it moved."""
        low = next(iter(self.given), self.next)
        if low == self.low:
            return False
        if self.done:
            self.done.difference_update(range(self.low, low))
        self.low = low
        self.low_values = self.given[low].values_before if low in self.given else self.next_values
        return True

    def rewind(self) -> None:
        """Read again whatever was given out and is not acknowledged."""
        first = next(iter(self.given), None)
        if first is not None:
            given = self.given[first]
            self.next, self.next_values = first, given.values_before
            self.segment, self.offset = given.segment, given.offset
            self.since_ns = given.clock_ns
            self.given.clear()

    def skip(self, segment: Segment) -> None:
        """Skip this segment and all before it, which no longer exist."""
        for number in [number for number in self.given if number < segment.end]:
            del self.given[number]
        end, values = self.end_in(segment)
        if self.next < end:
            self.next, self.next_values, self.segment = end, values, -1
            self.reached = max(self.reached, self.next)

    def touches(self, following: "UnackedRange") -> bool:
        """Whether nothing lies between the two, so that they can become one range."""
        return self.end == following.low and (self.reached >= self.end or following.reached <= following.low)

    def absorb(self, following: "UnackedRange") -> None:
        """Merge with the following range.  No record of either is given out."""
        self.end, self.end_values, self.behind = following.end, following.end_values, following.behind
        self.reached = max(self.reached, following.reached)
        self.done |= following.done


def ranges_of(lane: int, cursor: Places) -> list[UnackedRange]:
    """The wanted ranges of one lane.  Empty when the cursor does not name the lane."""
    low, low_values = next(((low, values) for index, low, values in cursor.lanes if index == lane), (OPEN, 0))
    found: list[UnackedRange] = []
    for index, first, values, behind, behind_values in cursor.ahead:
        if index == lane:
            found.append(UnackedRange(low, low_values, first, values, behind=True))
            low, low_values = behind, behind_values
    if low < OPEN:
        found.append(UnackedRange(low, low_values))
    elif found:
        found[-1].behind = False
    return found


def places_of(route: str, lanes: Mapping[int, Sequence[UnackedRange]]) -> dict[str, object]:
    """The cursor of a reader with this route and these ranges, in the form of `Places`."""
    ahead = [
        (index, before.end, before.end_values, after.low, after.low_values)
        for index, ranges in lanes.items()
        for before, after in pairwise([*ranges, *([] if ranges[-1].is_open else [_NOTHING])])
    ]
    places = [(index, ranges[0].low, ranges[0].low_values) for index, ranges in lanes.items()]
    return {"route": route, "lanes": places, "ahead": ahead}


_NOTHING = UnackedRange(OPEN, 0)
"""The empty last range in a lane of a former route."""
