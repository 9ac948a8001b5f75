"""What a soak found, and whether that is right."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from tests.chaos.plugs import PLUGS
from tests.chaos.steadiness import Floats, Slope, slope_of
from tests.support.load_chain import Books
from tests.support.load_checker import LoadChecker

WARM_UP = 1 / 12
"""Part of the run, at least `SHORTEST_WARM_UP_S`, that memory may take to settle."""
SHORTEST_WARM_UP_S = 20.0
MOST_GROWTH_KIB_PER_H = 1024.0
"""Memory counts as growing when all of the confidence interval of the second half lies above this.  The first half may
find new high-water marks: each kind of plug is pulled for the first time in it.  Not judged where it was too short for
that."""
MOST_GROWTH_KIB = 64 * 1024
"""And in every run, by the difference of its ends."""
MOST_CATCH_UP_S = 120.0


@dataclass(frozen=True)
class Sample:
    """One look at the gateway."""

    at_s: float
    resident_kib: int
    files: int
    cpu_s: float
    lag_s: float
    arrived: int
    stored: int
    books: int
    """By how much the books are off."""


@dataclass(frozen=True)
class Pulled:
    """One plug."""

    name: str
    seconds: float
    behind_s: float
    """How old the newest value was when the plug was put back."""
    caught_up_s: float


@dataclass
class Outcome:
    """Everything that is reported."""

    plan: dict[str, float]
    duration_s: float
    values: dict[str, int]
    books: dict[str, int]
    plugs: list[Pulled]
    resident: dict[str, float]
    resident_slope: Slope | None
    resident_slope_second_half: Slope | None
    files: dict[str, int]
    files_slope: Slope | None
    cpu_us_per_value: float
    delay_s: dict[str, float]
    looks: int
    wrong: list[str] = field(default_factory=list)


def judged(
    plan: dict[str, float], checker: LoadChecker, samples: list[Sample], plugs: list[Pulled], books: Books,
    exit_code: int, block_s: float,
) -> Outcome:  # fmt: skip
    """The outcome, with what is wrong in sentences."""
    warm_s = max(SHORTEST_WARM_UP_S, samples[-1].at_s * WARM_UP)
    warm = [sample for sample in samples if sample.at_s >= warm_s]
    times, memory = _column(warm, "at_s"), _column(warm, "resident_kib")
    files = _column(warm, "files")
    late = int(np.searchsorted(times, samples[-1].at_s / 2))
    outcome = Outcome(
        plan=plan,
        duration_s=samples[-1].at_s,
        values=_values(checker),
        books={name: int(value) for name, value in vars(books).items()} | {"difference": books.difference},
        plugs=plugs,
        resident={"min_kib": memory.min(), "mean_kib": round(memory.mean(), 1), "max_kib": memory.max()},
        resident_slope=_slope(times, memory, block_s),
        resident_slope_second_half=_slope(times[late:], memory[late:], block_s),
        files={"first": int(files[0]), "min": int(files.min()), "max": int(files.max()), "last": int(files[-1])},
        files_slope=_slope(times, files, block_s),
        cpu_us_per_value=round(samples[-1].cpu_s * 1e6 / max(1, checker.values), 2),
        delay_s=_delays(checker),
        looks=len(samples),
    )
    outcome.wrong = [*_lost(checker), *_off(books, samples, exit_code), *_grown(outcome, memory), *_late(plugs)]
    return outcome


def _values(checker: LoadChecker) -> dict[str, int]:
    return {
        "served": checker.owed, "arrived": checker.values, "missing": checker.missing,
        "missing_unexplained": sum(hole.values for hole in checker.unexplained),
        "repeated": checker.repeated_values, "messages": checker.messages, "gaps_announced": len(checker.gaps),
        "disordered": checker.disordered, "overflowed": checker.overflowed,
    }  # fmt: skip


def _delays(checker: LoadChecker) -> dict[str, float]:
    if not checker.delays_s:
        return {}
    found = np.percentile(np.frombuffer(checker.delays_s, np.float32), (50, 99, 100))
    return dict(zip(("p50", "p99", "max"), (round(float(each), 4) for each in found), strict=True))


def _column(samples: list[Sample], name: str) -> Floats:
    return np.array([getattr(sample, name) for sample in samples], np.float64)


def _slope(times: Floats, figures: Floats, block_s: float) -> Slope | None:
    try:
        return slope_of(times, figures, block_s)
    except ValueError:
        return None


def _lost(checker: LoadChecker) -> list[str]:
    wrong = [f"missing without an announced gap: {hole}" for hole in checker.unexplained[:10]]
    if checker.owed != checker.values + checker.missing - checker.disordered:
        wrong.append(f"{checker.owed} served, {checker.values} arrived, {checker.missing} missing: does not add up")
    if checker.disordered:
        wrong.append(f"{checker.disordered} values out of order or repeated under another number")
    return wrong + checker.numbers_missing + [f"{count} {what}" for what, count in checker.problems.items() if count]


def _off(books: Books, samples: list[Sample], exit_code: int) -> list[str]:
    wrong = [f"books off by {s.books} at {s.at_s} s" for s in samples if s.books]
    if books.stored:
        wrong.append(f"{books.stored} values still stored when everything had arrived")
    if exit_code:
        wrong.append(f"the gateway ended with {exit_code}")
    return wrong


def _grown(outcome: Outcome, memory: Floats) -> list[str]:
    slope, wrong = outcome.resident_slope_second_half, []
    if slope is not None and len(outcome.plugs) >= 2 * len(PLUGS) and slope.low > MOST_GROWTH_KIB_PER_H:
        wrong.append(f"memory grows: {slope.text} KiB")
    third = max(1, len(memory) // 3)
    if np.median(memory[-third:]) - np.median(memory[:third]) > MOST_GROWTH_KIB:
        wrong.append("memory grew by more than 64 MiB from the first third to the last")
    if outcome.files["last"] > outcome.files["first"] + 2:
        wrong.append(f"file descriptors grew from {outcome.files['first']} to {outcome.files['last']}")
    return wrong


def _late(plugs: list[Pulled]) -> list[str]:
    return [f"{p.name}: caught up only after {p.caught_up_s} s" for p in plugs if p.caught_up_s > MOST_CATCH_UP_S]


def text_of(outcome: Outcome) -> str:
    """The report as a table."""
    values, books, plan = outcome.values, outcome.books, outcome.plan
    kinds = Counter(plug.name for plug in outcome.plugs)
    rows = [
        (
            "duration",
            f"{outcome.duration_s / 60:.1f} min at {plan['values_per_second']:g} values/s, seed {plan['seed']:g}",
        ),
        ("served", f"{values['served']:,} values"),
        ("arrived", f"{values['arrived']:,} in {values['messages']:,} messages; repeated: {values['repeated']:,}"),
        ("missing", f"{values['missing']:,}, without an announced gap {values['missing_unexplained']:,}"),
        ("order", f"{values['disordered']} values out of order; {values['gaps_announced']} gaps announced"),
        ("books", ", ".join(f"{name} {value:,}" for name, value in books.items()) + f"; {outcome.looks} looks"),
        ("plugs", f"{len(outcome.plugs)}: " + ", ".join(f"{name} {count}" for name, count in sorted(kinds.items()))),
        ("catching up", _catching_up(outcome.plugs)),
        ("resident", "{min_kib:,.0f} to {max_kib:,.0f} KiB, mean {mean_kib:,.0f}".format(**outcome.resident)),
        ("  slope", _slope_text(outcome.resident_slope, " KiB")),
        ("  2nd half", _slope_text(outcome.resident_slope_second_half, " KiB")),
        ("files", "{min} to {max}, first {first}, last {last}".format(**outcome.files)),
        ("  slope", _slope_text(outcome.files_slope)),
        ("processor", f"{outcome.cpu_us_per_value} µs per value"),
        ("delay", ", ".join(f"{k} {v * 1000:.1f} ms" for k, v in outcome.delay_s.items()) + " when quiet"),
        ("verdict", "all well" if not outcome.wrong else f"{len(outcome.wrong)} things are wrong"),
    ]
    return "\n".join([f"{name:<12} {text}" for name, text in rows] + [f"  WRONG: {line}" for line in outcome.wrong])


def _slope_text(slope: Slope | None, unit: str = "") -> str:
    return slope.text + unit if slope else "run too short"


def _catching_up(plugs: list[Pulled]) -> str:
    if not plugs:
        return "no plug was pulled"
    times = sorted(plug.caught_up_s for plug in plugs)
    worst = max(plugs, key=lambda plug: plug.caught_up_s)
    longest = f"longest {worst.caught_up_s:.1f} s ({worst.name} for {worst.seconds:.0f} s)"
    return f"median {times[len(times) // 2]:.1f} s, {longest}"
