"""Messages as the gateway delivers them: the name of a variable, its value, and when it was so."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

import orjson

from simulators.flow import Change, Factory
from simulators.flow.change import Value

VARIABLES = {
    "state": "State", "reason": "Reason", "product": "Product", "good": "Good", "scrap": "Scrap", "rework": "Rework",
    "cycle_s": "CycleTime",
}  # fmt: skip
"""The variables that are looked at, by the names of changes."""


RANKS = {"Product": 1, "Good": 2, "Scrap": 2, "Rework": 2, "State": 3}
"""What comes later among the values of one instant."""


class Message(NamedTuple):
    """One value: tag (`line/machine/State`), value, seconds of any clock."""

    tag: str
    value: Value
    at_s: float


def first_messages(factory: Factory) -> Iterator[Message]:
    """What a new subscriber gets: the present values."""
    for point in factory.set_points.all.values():
        yield Message(f"{point.path}/{point.name}", point.read(), factory.now_s)
    for line in factory.lines:
        yield Message(f"{line.name}/Good", line.delivered, factory.now_s)
    for machine in factory.machines:
        yield Message(f"{machine.path}/State", machine.state.value, factory.now_s)
        for name, count in (("Good", machine.good), ("Scrap", machine.scrap), ("Rework", machine.rework)):
            yield Message(f"{machine.path}/{name}", count, factory.now_s)


def messages_of(changes: Iterable[Change]) -> Iterator[Message]:
    """The messages that these changes become."""
    for at_s, machine, name, value in ((c.at_s, c.machine, c.name, c.value) for c in changes):
        if (variable := VARIABLES.get(name)) is not None:
            yield Message(f"{machine}/{variable}", value, at_s)


def messages_in(lines: Iterable[str | bytes]) -> list[Message]:
    """The messages in payloads of the gateway's `json` format, one payload per line, in the order of their times.

    `mosquitto_sub -t 'factory/#' -F %p` prints such lines.  Other lines are passed over.  A server reports variable by
    variable, so the order of arrival is not that of time; at one instant a reason comes before its state.
    """
    return sorted(_read(lines), key=lambda each: (each.at_s, RANKS.get(each.tag.rpartition("/")[2], 0)))


def _read(lines: Iterable[str | bytes]) -> Iterator[Message]:
    for line in lines:
        try:
            values = orjson.loads(line)["values"]
            found = [(each["name"], each["value"], each["time"]) for each in values]
            instants = [datetime.fromisoformat(f"{time[:26]}+00:00").timestamp() for _, _, time in found]
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            continue
        for (name, value, _), at_s in zip(found, instants, strict=True):
            if isinstance(name, str) and isinstance(value, bool | int | float | str):
                yield Message(name, value, at_s)
