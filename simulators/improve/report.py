"""`simulators improve`: learn, compare, print, draw."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from simulators.flow.change import Value
from simulators.improve.compare import Gain, Guesses, compare, guess
from simulators.improve.learn import Plan, learn
from simulators.improve.picture import picture
from simulators.plant import Plant

LEARNING_SEED = 1_000_003
"""What is decided, is decided on this seed; it is judged on others."""
GUESSED_SEEDS = 3


@dataclass(frozen=True, slots=True)
class Effort:
    """How long and how often to simulate."""

    seeds: int = 20
    days: float = 4.0
    guesses: int = 24


def improve(
    plant: Plant, effort: Effort, say: Callable[[str], None], drawn: Path | None = None
) -> tuple[Plan, Gain, Guesses | None]:
    """Improve a plant, judge it on `effort.seeds` seeds, and tell what it won and what it cost."""
    length_s, seeds = 86_400 * effort.days, range(1, effort.seeds + 1)
    plan = learn(plant, LEARNING_SEED, length_s / 2)
    say(f"{plant.name}: {plan.rounds} rounds of observation")
    for number, each in plan.bottlenecks:
        check = "as the check says" if each.agreed else f"while {each.check} waits least"
        say(f"  round {number}: {each.station} limits, active for {each.period_s:.0f} s on average, {check}")
    for setting in plan.settings.values():
        say(f"  {setting.tag} = {setting.value}   ({setting.why})")
    settings: dict[str, Value] = {tag: setting.value for tag, setting in plan.settings.items()}
    gain = compare(plant, settings, seeds, length_s)
    before, after = (fmean(run.good_per_h for run in runs) for runs in (gain.before, gain.after))
    say(f"  good parts per hour {before:.1f} -> {after:.1f}: {gain.gain}, {effort.seeds} seeds of {effort.days:g} days")
    say(f"  costs: {_costs(plan, gain)}")
    guesses = None
    if effort.guesses and settings:
        some = list(seeds)[:GUESSED_SEEDS]
        guesses = guess(plant, gain.before, some, length_s, guesses=effort.guesses, changes=len(settings))
        say(f"  random guesses, {len(settings)} set-points each: {guesses.gain}, the best {max(guesses.gains):+.1%}")
    if drawn is not None:
        drawn.parent.mkdir(parents=True, exist_ok=True)
        drawn.write_text(picture(plant.name, gain, guesses), encoding="utf-8")
    return plan, gain, guesses


def _costs(plan: Plan, gain: Gain) -> str:
    """What the improvement takes: places, parts between machines, time from entry to exit, larger lots."""

    def both(numbers: Sequence[Sequence[float]], form: str) -> str:
        return " -> ".join(format(fmean(each), form) for each in numbers)

    in_work = both([[run.in_work for run in runs] for runs in (gain.before, gain.after)], ".1f")
    lead = both([[60 * run.lead_h for run in runs] for runs in (gain.before, gain.after)], ".1f")
    lots = [str(s.value) for tag, s in plan.settings.items() if tag.endswith("LotFactor")]
    larger = f", lots {lots[0]} times as large, with the stock of each product" if lots else ""
    return f"{plan.places} places, parts in work {in_work}, minutes on the line {lead}{larger}"
