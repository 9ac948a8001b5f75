"""Checks the whole chain from both ends."""

from tests.support.programs import Factory, wait_until
from tests.support.record import arrived, last_change, losses, served
from tests.support.subscriber import Subscriber


def complete(factory: Factory, checker: Subscriber, within_s: float = 120.0) -> None:
    """Everything served until now arrives, in order and complete, and every gap in the numbering is announced."""
    until = served(factory.record)

    def all_there() -> bool:
        got = arrived(checker.changes)
        return all(name in got and last_change(changes) <= got[name][-1][1] for name, changes in until.items())

    wait_until(all_there, "the last values served to arrive", within_s)
    got = arrived(checker.changes)  # before the record is read, which may lack later arrivals
    assert losses(served(factory.record), got) == []
    assert checker.missing == []
