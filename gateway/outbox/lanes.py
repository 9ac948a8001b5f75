"""Lanes: one for each route and priority.

A route is an audience: what is appended for it is for the readers that follow it.  The route without a name is there
from the beginning; others come with their first follower or message.  A lane is numbered `3 * route + priority`, so
those of the route without a name are 0, 1 and 2.

The number of a route stands in the header of every segment from then on, and in the cursor of who follows it.  While an
epoch lasts it is given to no other route, because streams are counted by lane.
"""

from collections.abc import Iterator, Mapping

from gateway.errors import ConfigError
from gateway.model import Priority
from gateway.outbox.segment import LAST_LANE, PRIORITIES, Lane

DEFAULT_ROUTE = ""
MOST_ROUTES = 16
"""With something stored or somebody who follows, at one time: what is noted of their lanes fits one slot."""
_LAST_NUMBER = LAST_LANE // len(PRIORITIES)


class Lanes:
    """The lanes of one outbox, by their number; made when they are first asked for."""

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
        """The numbers of all routes that were ever there in this epoch."""
        return self._numbers

    @property
    def named(self) -> dict[str, int]:
        """The numbers of those that have a name."""
        return {route: number for route, number in self._numbers.items() if route}

    def learn(self, route: str, number: int) -> None:
        """What the disk says of a route.  The first who says something is believed."""
        if route not in self._numbers and number not in self._numbers.values():
            self._numbers = {**self._numbers, route: number}  # the writing thread may be looking at the other

    def of(self, route: str) -> tuple[Lane, ...]:
        """The lanes of a route, the most urgent first.  Raises `ConfigError` when there are too many routes."""
        number = self._numbers.get(route)
        if number is None or number * len(PRIORITIES) not in self._lanes:
            self._check_room()
        if number is None:
            self.learn(route, number := self._free_number())
        return tuple(self[number * len(PRIORITIES) + priority] for priority in PRIORITIES)

    def route_of(self, index: int) -> str | None:
        """Whose lane this is; None when the disk does not tell any more."""
        number = index // len(PRIORITIES)
        return next((route for route, each in self._numbers.items() if each == number), None)

    def _check_room(self) -> None:
        if len(self._in_use) >= MOST_ROUTES:
            text = f"the outbox holds messages of {MOST_ROUTES} different payloads"
            raise ConfigError([f"{text}: no other will do before some are delivered, and the gateway is started again"])

    @property
    def _in_use(self) -> set[int]:
        return {index // len(PRIORITIES) for index in self._lanes}

    def _free_number(self) -> int:
        taken = {*self._numbers.values(), *self._in_use}
        free = next((number for number in range(_LAST_NUMBER + 1) if number not in taken), None)
        if free is None:
            raise ConfigError([f"the outbox has seen {_LAST_NUMBER} different payloads: give it another folder"])
        return free

    def retire(self, index: int) -> None:
        """Nobody wants anything of this lane, and none of its files is there: it may begin anew."""
        del self._lanes[index]


def priority_of(index: int) -> Priority:
    """Of a lane."""
    return PRIORITIES[index % len(PRIORITIES)]
