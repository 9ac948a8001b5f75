"""What happened, in order: the only thing that leaves the flow."""

import msgspec

Value = bool | int | float | str


class Change(msgspec.Struct, frozen=True, gc=False):
    """One thing changed: when (simulated seconds), on which machine (`line/machine`), what, and the new value."""

    at_s: float
    machine: str
    name: str
    value: Value


class Command(msgspec.Struct, frozen=True, gc=False):
    """What somebody ordered from outside: when (simulated seconds), of which machine, what, and with which value."""

    at_s: float
    machine: str
    name: str
    value: Value


class Ledger:
    """The changes since they were last taken, and every command that was obeyed.

    Whoever publishes takes the changes after each slice of time.  The commands stay: with plant and seed they tell the
    whole run again.
    """

    __slots__ = ("changes", "commands", "keeping")

    def __init__(self, keeping: bool) -> None:
        self.keeping = keeping
        self.changes: list[Change] = []
        """The same list for ever: whoever notes very often may append by itself when `keeping`."""
        self.commands: list[Command] = []

    def note(self, at_s: float, machine: str, name: str, value: Value) -> None:
        if self.keeping:
            self.changes.append(Change(at_s, machine, name, value))

    def take(self) -> list[Change]:
        taken = self.changes.copy()
        self.changes.clear()
        return taken
