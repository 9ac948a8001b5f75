"""What happened, in order: the only thing that leaves the flow."""

from typing import NamedTuple

Value = bool | int | float | str


class Change(NamedTuple):
    """One thing changed: when (simulated seconds), on which machine (`line/machine`), what, and the new value."""

    at_s: float
    machine: str
    name: str
    value: Value


class Ledger:
    """The changes since they were last taken.  Whoever publishes takes them after each slice of time."""

    __slots__ = ("changes", "keeping")

    def __init__(self, keeping: bool) -> None:
        self.keeping = keeping
        self.changes: list[Change] = []

    def note(self, at_s: float, machine: str, name: str, value: Value) -> None:
        if self.keeping:
            self.changes.append(Change(at_s, machine, name, value))

    def take(self) -> list[Change]:
        taken, self.changes = self.changes, []
        return taken
