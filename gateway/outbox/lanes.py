"""Lanes: one for each route and priority.

A route is an audience: messages appended for it go to the readers that follow it.  The route without a name always
exists; others come with their first follower or message.  A lane is numbered `3 * route + priority`, so the lanes of
the route without a name are 0, 1 and 2.

The number of a route is in the header of every later segment, and in the cursor of each follower.  Within an epoch no
other route gets that number, because streams are counted by lane.
"""

from collections.abc import Iterator, Mapping

from gateway.errors import ConfigError
from gateway.model import Priority
from gateway.outbox.segment import LAST_LANE, PRIORITIES, Lane

DEFAULT_ROUTE = ""
MOST_ROUTES = 16
"""Routes with stored messages or followers at one time.  The note of their lanes must fit into one slot."""
_LAST_NUMBER = LAST_LANE // len(PRIORITIES)


class Lanes:
    """The lanes of one outbox by number.  A lane is created on first access."""

    def __init__(self) -> None:
        self._lanes: dict[int, Lane] = {index: Lane(index) for index in range(len(PRIORITIES))}
        self._numbers: dict[str, int] = {DEFAULT_ROUTE: 0}

    def __getitem__(self, index: int) -> Lane:
        lane = self._lanes.get(index)
        if lane is None:
            lane = self._lanes[index] = Lane(index)
            self._lanes = dict(sorted(self._lanes.items()))
        return lane

    def __iter__(self) -> Iterator[Lane]:
        return iter(tuple(self._lanes.values()))

    def __contains__(self, index: int) -> bool:
        return index in self._lanes

    @property
    def routes(self) -> Mapping[str, int]:
        """The numbers of all routes that ever existed in this epoch."""
        return self._numbers

    @property
    def named(self) -> dict[str, int]:
        """The numbers of the routes with a name."""
        return {route: number for route, number in self._numbers.items() if route}

    def learn(self, route: str, number: int) -> None:
        """Take the number of a route from the disk.  The first number that is found counts."""
        if route not in self._numbers and number not in self._numbers.values():
            self._numbers = {**self._numbers, route: number}  # a new dict: the writer may be reading the old one

    def of(self, route: str) -> tuple[Lane, ...]:
        """The lanes of a route, the most urgent first.  Raises `ConfigError` when there are too many routes."""
        number = self._numbers.get(route)
        if number is None or number * len(PRIORITIES) not in self._lanes:
            self._check_room()
        if number is None:
            self.learn(route, number := self._free_number())
        return tuple(self[number * len(PRIORITIES) + priority] for priority in PRIORITIES)

    def route_of(self, index: int) -> str | None:
        """The route of a lane.  None: the disk does not say."""
        number = index // len(PRIORITIES)
        return next((route for route, each in self._numbers.items() if each == number), None)

    def _check_room(self) -> None:
        if len(self._in_use) >= MOST_ROUTES:
            text = f"the outbox holds messages of {MOST_ROUTES} different payloads"
            raise ConfigError([f"{text}: deliver some of them and restart the gateway before you add another"])

    @property
    def _in_use(self) -> set[int]:
        return {index // len(PRIORITIES) for index in self._lanes}

    def _free_number(self) -> int:
        taken = {*self._numbers.values(), *self._in_use}
        free = next((number for number in range(_LAST_NUMBER + 1) if number not in taken), None)
        if free is None:
            raise ConfigError([f"the outbox has used up its {_LAST_NUMBER} route numbers: give it another folder"])
        return free

    def retire(self, index: int) -> None:
        """Reset a lane that no reader wants and that has no files."""
        del self._lanes[index]


def priority_of(index: int) -> Priority:
    """The priority of a lane."""
    return PRIORITIES[index % len(PRIORITIES)]
