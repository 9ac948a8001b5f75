"""`simulators verify`: the flow against queueing theory.

Every anchor is a small plant like those that users write.  The same kernel runs it, and the theoretical standard error
judges the result.  Seeds are fixed, so a run either always passes or always fails.

Two published tables are missing, since the flow does not have their mechanism:

- Bernoulli machines after Li and Meerkov.  In their model the first machine, in front of a full buffer, can finish a
  part in the same slot in which the second takes one.  Here a machine begins a part at the end of the slot that frees
  the place (before service), or waits with the finished part (after service), so a place is free from the next slot on.
  Two machines of 0.9 with N = 2 make 0.825 and not 6/7, and no whole N gives their figure.  The anchors of 3.5e are the
  same machines with the law of our convention, for which there is no published constant.
- The preset of ManufacturingOntologies.  Its cycle time is the ideal one plus a tenth of it times a half-normal number,
  and a fault spoils the part and stops the machine in the same cycle.  No law of the plant file is half-normal, and a
  failure that counts cycles strikes at the start of the next cycle and does not change the verdict on the part.  Only
  the share of good parts could be compared, which the yields of 3.7 do already.
"""

from collections.abc import Callable, Iterator

from simulators.verify import further, limits, queues, renewals, serial_cases
from simulators.verify.case import LIMIT, Case, Measure, Outcome, run

__all__ = ["LIMIT", "QUICK", "Case", "Measure", "Outcome", "anchors", "run", "verify"]

QUICK = 0.1
"""The share of the full length that the quick run takes."""


def anchors() -> Iterator[Case]:
    """Every anchor, in the order of the table."""
    yield from queues.cases()
    yield from serial_cases.cases()
    yield from limits.cases()
    yield from renewals.cases()
    yield from further.cases()


def verify(report: Callable[[str], None], *, quick: bool = False, seed: int = 1) -> bool:
    """Run every anchor, report each outcome at once, and return whether all have passed.

    `quick` runs every anchor for a shorter time: less sharp, under a minute in all.
    """
    cases = list(anchors())
    outcomes: list[Outcome] = []
    report(f"{'':>7} {'':5} {'case':<66} {'exact':>12} {'estimate':>12} {'z':>6}")
    for number, case in enumerate(cases, 1):
        for outcome in run(case, QUICK if quick else 1.0, 1000 * seed + number):
            outcomes.append(outcome)
            report(_row(f"{number}/{len(cases)}", outcome))
    failed = [outcome for outcome in outcomes if not outcome.passed]
    report(f"{len(cases)} anchors, {len(outcomes)} figures: {len(failed) or 'none'} with |z| of {LIMIT:g} or more")
    return not failed


def _row(progress: str, outcome: Outcome) -> str:
    z = f"{outcome.z:6.2f}" if outcome.z else "exact" if outcome.estimate == outcome.exact else "  0.00"
    verdict = "" if outcome.passed else "  FAILED"
    return (
        f"{progress:>7} {outcome.section:5} {outcome.name:<66.66} {outcome.exact:12.6f} {outcome.estimate:12.6f} {z:>6}"
        f"{verdict}"
    )
