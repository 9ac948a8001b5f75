"""How many times less CPU the gateway needs per value than others for the same work, today and as it was recorded.

A ratio within one run means the same on a slow machine and on a busy one; microseconds do not.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench.chain.measured import Measured
from tests.bench.chain.results import Results

PAIRS = (
    ("node", "ours-json"), ("node", "ours-columns"), ("python", "ours-json"), ("python", "ours-columns"),
    ("node-value", "ours-tag"), ("python-value", "ours-tag"), ("node-red", "ours-tag"), ("thingsboard", "ours-tag"),
)  # fmt: skip
"""Who does the same work, message for message as nearly as the formats allow."""


@dataclass(frozen=True)
class Ratio:
    """CPU per value of another contestant over ours: above 1, ours is cheaper."""

    other: str
    ours: str
    case: str
    today: float
    before: float | None
    """As recorded; None where it is not."""


def cpu_us(measured: Measured) -> float:
    return measured.cpu_us


def ratio(results: Results, other: str, ours: str, case: str) -> float | None:
    """Of the medians; None where one of them was not measured."""
    theirs, own = results.spread(other, case, cpu_us), results.spread(ours, case, cpu_us)
    return theirs.median / own.median if theirs and own and own.median else None


def ratios(today: Results, before: Results | None) -> Iterator[Ratio]:
    """Of all pairs and cases in today's results."""
    against = [(name + "@against", name) for name in today.contestants() if name + "@against" in today.contestants()]
    for other, ours in (*PAIRS, *against):
        for case in today.cases():
            now = ratio(today, other, ours, case)
            if now is not None:
                yield Ratio(other, ours, case, now, ratio(before, other, ours, case) if before else None)
