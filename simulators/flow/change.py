"""The changes of the flow, in order.  They are its only output."""

import msgspec

Value = bool | int | float | str


class Change(msgspec.Struct, frozen=True, gc=False):
    """One change: when (simulated seconds), on which machine (`line/machine`), which name, and the new value."""

    at_s: float
    machine: str
    name: str
    value: Value


class Command(msgspec.Struct, frozen=True, gc=False):
    """One command from outside: when (simulated seconds), to which machine, which name, and with which value."""

    at_s: float
    machine: str
    name: str
    value: Value


class Ledger:
    """The changes since they were last taken, and every command that was obeyed.

    Whoever publishes takes the changes after each slice of simulated time.  The commands stay: plant, seed and commands
    reproduce the whole run.
    """

    __slots__ = ("changes", "commands", "keeping")

    def __init__(self, keeping: bool) -> None:
        self.keeping = keeping
        self.changes: list[Change] = []
        """This list object never changes, so a frequent writer may append to it directly while `keeping` is true."""
        self.commands: list[Command] = []

    def note(self, at_s: float, machine: str, name: str, value: Value) -> None:
        if self.keeping:
            self.changes.append(Change(at_s, machine, name, value))

    def take(self) -> list[Change]:
        taken = self.changes.copy()
        self.changes.clear()
        return taken
