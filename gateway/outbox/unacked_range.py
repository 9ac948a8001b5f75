"""An unacknowledged range: consecutive records of one lane that one reader has not acknowledged, and how far it has
read in them.

A reader that takes everything in order has one range in each lane of its route, which begins at the oldest record it
wants and has no end.  One that leaves a backlog behind, to go on with what is new, has more: what lies between two
ranges is acknowledged.  One that went over to another route has ranges with an end in the lanes of the former one,
until these are acknowledged too.  That is all there is to keep of it on the disk (`Places`).
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from msgspec import Struct
from pydantic import BaseModel, model_validator

from gateway.outbox.segment import PRIORITIES, Lane, Segment

OPEN = 2**63
"""The end of a range that has none."""
MOST_RANGES = 12
"""Of one lane: then nothing more is left behind."""

Range = tuple[int, int, int, int, int]
"""Lane, first number, values before it, number behind the last, values before that."""


class Places(BaseModel):
    """The durable cursor of one reader, as the file holds it.  Of a lane that is not named nothing is wanted."""

    route: str = ""
    """Which one it follows."""
    lanes: list[tuple[int, int, int]]
    """Lane, the lowest number not acknowledged, and the values of all records below it."""
    ahead: list[Range] = []
    """What is acknowledged above that, in order; up to `OPEN` where the lane is not followed any more."""

    @model_validator(mode="before")
    @classmethod
    def _of_one_route(cls, data: object) -> object:
        """Before there were routes, the cursor had a pair for each of the three lanes."""
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
    """A record that was given out and not acknowledged."""

    segment: int
    """First number of the segment it is in."""
    offset: int
    values_before: int
    values: int
    clock_ns: int


@dataclass(slots=True, eq=False)
class UnackedRange:
    """Numbers `low` up to and without `end` of one lane."""

    low: int
    """Lowest number not acknowledged."""
    low_values: int
    """Values of all records below `low`."""
    end: int = OPEN
    end_values: int = 0
    """Values of all records below `end`; of no meaning for a range without end."""
    next: int = 0
    """Number to read next."""
    next_values: int = 0
    """Values of all records below `next`."""
    reached: int = 0
    """The furthest that `next` has been: damage below it has been counted."""
    segment: int = -1
    """First number of the segment that `offset` is for."""
    offset: int = 0
    """Where to look for `next` in that segment; 0 for the beginning."""
    since_ns: int = 0
    """No record in it came before this, by the age clock."""
    behind: bool = False
    """It was left behind, for `read_behind`."""
    given: "OrderedDict[int, Given]" = field(default_factory=OrderedDict)
    done: set[int] = field(default_factory=set)
    """Acknowledged above `low`."""

    def __post_init__(self) -> None:
        self.next, self.next_values = self.low, self.low_values

    def enter(self, lane: Lane) -> Segment | None:
        """The segment to read from next; None when there is nothing to read."""
        segment = lane.holding(self.next)
        if segment is None or segment.first >= self.end or self.next >= self.end:
            return None
        if self.segment != segment.first:
            self.segment, self.offset = segment.first, 0
        if self.next <= segment.first:
            self.next, self.next_values = segment.first, segment.values_before
        return segment

    def end_in(self, segment: Segment) -> tuple[int, int]:
        """Where in this segment it ends, and the values of all records before that."""
        return (self.end, self.end_values) if self.end < segment.end else (segment.end, segment.values_end)

    def count_in(self, segment: Segment) -> tuple[int, int]:
        """Messages and values of this segment in it."""
        if segment.end <= self.low or segment.first >= self.end:
            return 0, 0
        end, values = self.end_in(segment)
        before = self.low_values if segment.first <= self.low else segment.values_before
        return end - max(segment.first, self.low), values - before

    @property
    def is_open(self) -> bool:
        """It has no end: what comes belongs to it."""
        return self.end == OPEN

    def holds(self, number: int) -> bool:
        return self.low <= number < self.end

    def advance(self) -> bool:
        """Move `low` to the first record that is not acknowledged; whether it moved."""
        low = next(iter(self.given), self.next)
        if low == self.low:
            return False
        if self.done:
            self.done.difference_update(range(self.low, low))
        self.low = low
        self.low_values = self.given[low].values_before if low in self.given else self.next_values
        return True

    def rewind(self) -> None:
        """Read again whatever was given out and not acknowledged."""
        first = next(iter(self.given), None)
        if first is not None:
            given = self.given[first]
            self.next, self.next_values = first, given.values_before
            self.segment, self.offset = given.segment, given.offset
            self.since_ns = given.clock_ns
            self.given.clear()

    def skip(self, segment: Segment) -> None:
        """This segment, and all before it, is no more."""
        for number in [number for number in self.given if number < segment.end]:
            del self.given[number]
        end, values = self.end_in(segment)
        if self.next < end:
            self.next, self.next_values, self.segment = end, values, -1
            self.reached = max(self.reached, self.next)

    def touches(self, following: "UnackedRange") -> bool:
        """Whether nothing lies between the two, and the figures of one range would do for both."""
        return self.end == following.low and (self.reached >= self.end or following.reached <= following.low)

    def absorb(self, following: "UnackedRange") -> None:
        """Take in the range that it touches; nothing of either is given out."""
        self.end, self.end_values, self.behind = following.end, following.end_values, following.behind
        self.reached = max(self.reached, following.reached)
        self.done |= following.done


def ranges_of(lane: int, cursor: Places) -> list[UnackedRange]:
    """What a reader wants of one lane; nothing where its cursor does not name it."""
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
    """The cursor of a reader that follows a route and wants these, as `Places` reads it."""
    ahead = [
        (index, before.end, before.end_values, after.low, after.low_values)
        for index, ranges in lanes.items()
        for before, after in pairwise([*ranges, *([] if ranges[-1].is_open else [_NOTHING])])
    ]
    places = [(index, ranges[0].low, ranges[0].low_values) for index, ranges in lanes.items()]
    return {"route": route, "lanes": places, "ahead": ahead}


_NOTHING = UnackedRange(OPEN, 0)
"""What a reader wants of a lane behind what is left there of a route that it followed before."""
