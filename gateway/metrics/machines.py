"""Series of real machines under the names that the simulator uses, so that rules, alerts and dashboards serve both.

A selection with a `role` says what its variables mean, or has it found (`roles.py`).  Time in a state is counted by
source timestamps, up to the newest value of the source: so it is right at any delay, and for a simulated machine at any
speed.  A counter that falls has begun anew.  States are those of Machinery (MachineryItemState), PackML and our own; an
unknown one counts nowhere.

A line counts what its own counters say.  Where it has none and consists of one machine, that machine's parts are the
line's; with several, nothing is counted, because no sum over machines gives the figure.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.config import SourceConfig
from gateway.metrics.roles import PACK_STATES, Meaning, meanings
from gateway.model import Batch, Tag
from gateway.values import LocalizedText, Structure

BAD = 0x8000_0000
TICKS_PER_S = 10_000_000
STATES: Mapping[str, tuple[str, ...]] = {
    "working": ("executing", "execute", "starting", "completing"),
    "setup": ("setup",),
    "starved": ("notexecuting", "idle", "complete", "suspending", "suspended", "unsuspending"),
    "blocked": ("blocked",),
    "held": ("holding", "held", "unholding", "stopping", "stopped", "resetting"),
    "down": ("aborting", "aborted", "clearing"),
    "maintenance": ("outofservice",),
    "off": ("notavailable",),
}
"""Our states, and the names that mean the same in Machinery and PackML, in small letters."""
STATE_OF = {name: state for state, names in STATES.items() for name in (state, *names)}
PACK_NAMES = (
    "", "clearing", "stopped", "starting", "idle", "suspended", "execute", "stopping", "aborting", "aborted", "holding",
    "held", "unholding", "suspending", "unsuspending", "resetting", "completing", "complete",
)  # fmt: skip
"""The states of PackML by number (ISA TR88.00.02)."""
PASSED_ON = ("cleared", "running")
"""States of PackML that leave the answer to the level below."""
ELEMENTS: Mapping[str, tuple[str, ...]] = {
    "pbt": ("working", "setup", "starved", "blocked", "held", "down"), "apt": ("working",), "aust": ("setup",),
    "adet": ("starved", "blocked", "held", "down"), "down": ("down",), "care": ("maintenance",),
}  # fmt: skip
"""The time elements of ISO 22400 by the states that they add up."""
VERDICTS = {"good_parts": "good", "scrap_parts": "scrap", "rework_parts": "rework"}
OF_LINE = {"line_entered": "entered", "line_good_parts": "good", "line_scrap_parts": "scrap"}


@dataclass(slots=True)
class _Counts:
    """Counters of a server, added up over its restarts; from the first value on."""

    last: dict[str, float] = field(default_factory=dict)
    sums: Counter[str] = field(default_factory=Counter)

    def take(self, role: str, value: float) -> float:
        """Returns how much the counter of this role has grown."""
        before = self.last.get(role, value)
        self.last[role] = value
        more = value - before if value >= before else value
        self.sums[role] += more  # type: ignore[assignment]  # a Counter of floats
        return more


@dataclass(slots=True)
class _Machine:
    """What is known of one machine."""

    line: str
    state: str = ""
    since: int = 0
    """Source ticks of the last change of state."""
    words: dict[str, str] = field(default_factory=dict)
    """What each of its state variables says, by role."""
    is_blocked: bool = False
    spent_s: Counter[str] = field(default_factory=Counter)
    failures: int = 0
    counts: _Counts = field(default_factory=_Counts)
    ideal_cycle_s: float = 0.0
    ideal_s: float = 0.0
    cycles: int = 0
    cycle_s: float = 0.0
    shown_good: float = 0.0

    def parts(self, verdict: str) -> float:
        """Parts with this verdict; good ones never fall, although scrap may be told before all parts are."""
        sums = self.counts.sums
        if verdict != "good":
            return sums[f"{verdict}_parts"]
        good = sums["all_parts"] - sums["scrap_parts"] if "all_parts" in self.counts.last else sums["good_parts"]
        self.shown_good = max(self.shown_good, good)
        return self.shown_good

    def is_in(self, words: str) -> str:
        """Our state for what a variable says."""
        state = STATE_OF.get(words, "")
        return "blocked" if state == "starved" and self.is_blocked else state


@dataclass(slots=True)
class _Source:
    roles: Mapping[int, str]
    """The roles by number of the selection."""
    first: int = 0
    now: int = 0
    """The oldest and the newest source ticks."""
    tags: Sequence[Tag] = ()
    known: dict[int, Meaning] = field(default_factory=dict)
    """By handle."""
    machines: dict[str, _Machine] = field(default_factory=dict)
    lines: dict[str, _Counts] = field(default_factory=dict)

    def parts_of(self, line: str, what: str) -> float | None:
        """What a line has counted, or its only machine.  None: nobody knows."""
        if line in self.lines:
            role = next(role for role, name in OF_LINE.items() if name == what)
            return self.lines[line].sums[role] if role in self.lines[line].last else None
        members = [machine for machine in self.machines.values() if machine.line == line]
        if len(members) != 1:
            return None
        entered = ("good", "scrap") if what == "entered" else (what,)
        return sum(members[0].parts(each) for each in entered)


@dataclass(frozen=True, slots=True)
class Shown:
    """How a machine stands."""

    source: str
    line: str
    machine: str
    state: str
    """One of `STATES`; empty: nobody says."""
    for_s: float
    """How long, by the source's timestamps."""
    good: float
    scrap: float


class MachineSeries(Collector):
    """`factory_*` of the machines and lines whose variables have roles."""

    def __init__(self) -> None:
        self._sources: dict[str, _Source] = {}

    def watching(self, source: SourceConfig) -> Callable[[Batch], None] | None:
        """What is to see the batches of a source; None when no variable of it has a role."""
        roles = {number: selection.role for number, selection in enumerate(source.select) if selection.role is not None}
        if not roles:
            self.forget(source.name)
            return None
        self._sources[source.name] = _Source(roles)
        return self.take

    def forget(self, source: str) -> None:
        self._sources.pop(source, None)

    def take(self, batch: Batch) -> None:
        """Count what a batch says."""
        seen = self._sources.get(batch.source)
        if seen is None or batch.historical or not len(batch.handles):
            return
        if batch.tags is not seen.tags:
            self._know(seen, batch)
        seen.now = max(seen.now, int(batch.source_ticks.max()))
        seen.first = seen.first or int(batch.source_ticks.min())
        for row, handle in enumerate(batch.handles.tolist()):
            meaning = seen.known.get(handle)
            if meaning is None or batch.statuses[row] & BAD:
                continue
            if not meaning.machine:
                _count_line(seen.lines[meaning.line], meaning.role, batch.values[row])
            else:
                _note(meaning.role, seen.machines[meaning.machine], batch.values[row], int(batch.source_ticks[row]))

    def _know(self, seen: _Source, batch: Batch) -> None:
        seen.tags = batch.tags
        chosen = (
            (n, tag, seen.roles[tag.selection]) for n, tag in enumerate(batch.tags) if tag.selection in seen.roles
        )
        seen.known = meanings(batch.source, chosen)
        for each in seen.known.values():
            if each.machine:
                seen.machines.setdefault(each.machine, _Machine(each.line))
            else:
                seen.lines.setdefault(each.line, _Counts())

    def present(self) -> Iterator[Shown]:
        """How each machine stands, as its source last said."""
        for name, source in self._sources.items():
            for machine, known in source.machines.items():
                for_s = max(0, source.now - known.since) / TICKS_PER_S if known.state else 0.0
                yield Shown(name, known.line, machine, known.state, for_s, known.parts("good"), known.parts("scrap"))

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        if not self._sources:
            return
        yield from self._times()
        yield from self._counts()
        yield from self._lines()

    def _times(self) -> Iterator[Metric]:
        labels = ("machine", "line")
        seconds = CounterMetricFamily("factory_state_seconds", "Seconds in each state.", labels=(*labels, "state"))
        elements = CounterMetricFamily(
            "factory_element_seconds", "Time elements of ISO 22400.", labels=(*labels, "element")
        )
        states = GaugeMetricFamily(
            "factory_machine_state", "1 for the present state of the machine, else 0.", labels=(*labels, "state")
        )
        for source in self._sources.values():
            for name, machine in source.machines.items():
                spent_s = Counter(machine.spent_s)
                if machine.state:
                    spent_s[machine.state] += max(0, source.now - machine.since) / TICKS_PER_S  # type: ignore[assignment]
                for state in STATES:
                    seconds.add_metric((name, machine.line, state), spent_s[state])
                    states.add_metric((name, machine.line, state), float(machine.state == state))
                for element, of in ELEMENTS.items():
                    elements.add_metric((name, machine.line, element), sum(spent_s[state] for state in of))
                elements.add_metric((name, machine.line, "ideal"), machine.ideal_s)
        yield from (seconds, elements, states)

    def _counts(self) -> Iterator[Metric]:
        labels = ("machine", "line")
        parts = CounterMetricFamily("factory_parts", "Parts finished, by verdict.", labels=(*labels, "verdict"))
        ideal = GaugeMetricFamily("factory_ideal_cycle_seconds", "Ideal work time of a part.", labels=labels)
        failures = CounterMetricFamily("factory_failures", "Breakdowns.", labels=labels)
        energy = CounterMetricFamily("factory_energy_joules", "Electrical energy used.", labels=labels)
        cycles = HistogramMetricFamily("factory_cycle_seconds", "Work time per part.", labels=labels)
        for source in self._sources.values():
            for name, machine in source.machines.items():
                of = (name, machine.line)
                for verdict in VERDICTS.values():
                    parts.add_metric((*of, verdict), machine.parts(verdict))
                ideal.add_metric(of, machine.ideal_cycle_s)
                failures.add_metric(of, machine.failures)
                if "energy" in machine.counts.last:
                    energy.add_metric(of, machine.counts.sums["energy"])
                if machine.cycles:
                    cycles.add_metric(of, [("+Inf", machine.cycles)], machine.cycle_s)
        yield from (parts, ideal, failures, energy, cycles)

    def _lines(self) -> Iterator[Metric]:
        parts = CounterMetricFamily(
            "factory_line_parts", "Parts that entered, left good, left as scrap.", labels=("line", "what")
        )
        seconds = CounterMetricFamily("factory_line_seconds", "Seconds since the first value.", labels=("line",))
        for source in self._sources.values():
            for line in dict.fromkeys((*source.lines, *(machine.line for machine in source.machines.values()))):
                for what in OF_LINE.values():
                    if (count := source.parts_of(line, what)) is not None:
                        parts.add_metric((line, what), count)
                seconds.add_metric((line,), (source.now - source.first) / TICKS_PER_S)
        yield from (parts, seconds)


def _count_line(counts: _Counts, role: str, value: object) -> None:
    if isinstance(value, int | float) and value == value:
        counts.take(role, float(value))


def _note(role: str, machine: _Machine, value: object, ticks: int) -> None:
    """Take one value of a machine."""
    if role == "blocked":
        machine.is_blocked = bool(value)
        _turn(machine, ticks)
    elif role in ("state", "item_state", *PACK_STATES):
        machine.words[role] = _words(value)
        _turn(machine, ticks)
    elif (number := _number(value)) is not None:
        _count(role, machine, number)


def _count(role: str, machine: _Machine, number: float) -> None:
    match role:
        case "ideal_cycle":
            machine.ideal_cycle_s = number
        case "design_speed":
            machine.ideal_cycle_s = 60.0 / number if number > 0 else 0.0
        case "cycle_time":
            machine.cycles, machine.cycle_s = machine.cycles + 1, machine.cycle_s + number
        case "ideal_time":
            machine.ideal_s += machine.counts.take(role, number)
        case "energy" | "rework_parts":
            machine.counts.take(role, number)
        case _:  # counters of parts
            more = machine.counts.take(role, number)
            counts_scrap_too = role == "scrap_parts" and "all_parts" in machine.counts.last
            if "ideal_time" not in machine.counts.last and not counts_scrap_too:
                machine.ideal_s += more * machine.ideal_cycle_s


def _turn(machine: _Machine, ticks: int) -> None:
    """Book the time in the former state, and enter the present one."""
    words = next((machine.words[role] for role in ("state", "item_state") if role in machine.words), "")
    for role in PACK_STATES:
        if role in machine.words and (not words or words in PASSED_ON):
            words = machine.words[role]
    state = machine.is_in(words)
    if machine.state and ticks > machine.since:
        machine.spent_s[machine.state] += (ticks - machine.since) / TICKS_PER_S  # type: ignore[assignment]
    if state == "down" and machine.state not in ("", "down"):
        machine.failures += 1
    machine.state, machine.since = state, max(ticks, machine.since)


def _words(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return PACK_NAMES[value] if 0 < value < len(PACK_NAMES) else ""
    return str(value.text if isinstance(value, LocalizedText) else value).lower()


def _number(value: object) -> float | None:
    """A number, or the sum of the counts of PackML; None for everything else."""
    if isinstance(value, list):
        counts = [_number(each.fields["Count"].value) for each in value if _counts(each)]
        return sum(each for each in counts if each is not None) if counts else None
    return float(value) if isinstance(value, int | float) and value == value else None


def _counts(each: object) -> bool:
    return isinstance(each, Structure) and "Count" in each.fields
