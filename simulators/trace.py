"""`simulators trace`: every change of a run, line by line, and the hash of all lines.

The same plant and seed give the same lines in every run and at every speed; comparing the hash shows it.
"""

import hashlib
from collections.abc import Iterable, Iterator

from simulators.flow import Change, Factory
from simulators.plant import Plant

SLICE_S = 600.0
"""Simulated seconds between two readings of the changes, so that a long trace needs little memory."""


def trace(plant: Plant, seed: int, until_s: float) -> Iterator[str]:
    """The lines of the trace up to, but not at, `until_s`.  The last line is the hash of all lines before it."""
    yield from hashed(_lines(Factory(plant, seed), until_s))


def hashed(lines: Iterable[str]) -> Iterator[str]:
    """The lines, then their SHA-256 (each line with its line feed)."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update(f"{line}\n".encode())
        yield line
    yield f"sha256 {digest.hexdigest()}"


def line_of(change: Change) -> str:
    """A change as one line: seconds with all their digits, machine, name, value."""
    return f"{change.at_s!r} {change.machine} {change.name} {change.value!r}"


def _lines(factory: Factory, until_s: float) -> Iterator[str]:
    while factory.now_s < until_s:
        factory.run(min(factory.now_s + SLICE_S, until_s))
        yield from map(line_of, factory.take_changes())
