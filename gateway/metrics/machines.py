"""Series of real machines under the names that the simulator uses, so that rules, alerts and dashboards serve both.

A selection with a `role` says what its variables mean: `state`, `good_parts`, `scrap_parts`, `rework_parts`,
`ideal_cycle`, `ideal_time`.  The machine is the field `machine` of the tag, or the path above the variable and above
the building blocks of Machinery and PackML.  Time in a state is counted by source timestamps, up to the newest value of
the source: so it is right at any delay, and for a simulated machine at any speed.  A counter that falls has begun anew.
States are those of Machinery (MachineryItemState), PackML and our own; an unknown one counts nowhere.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.config import SourceConfig
from gateway.model import Batch, Tag
from gateway.values import LocalizedText

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
ELEMENTS: Mapping[str, tuple[str, ...]] = {
    "pbt": ("working", "setup", "starved", "blocked", "held", "down"), "apt": ("working",), "aust": ("setup",),
    "adet": ("starved", "blocked", "held", "down"), "down": ("down",), "care": ("maintenance",),
}  # fmt: skip
"""The time elements of ISO 22400 by the states that they add up."""
BLOCKS = ("MachineryBuildingBlocks", "PackML", "Production", "Status", "Admin", "BaseStateMachine")
VERDICTS = {"good_parts": "good", "scrap_parts": "scrap", "rework_parts": "rework"}


@dataclass(slots=True)
class _Machine:
    """What is known of one machine."""

    state: str = ""
    since: int = 0
    """Source ticks of the last change of state."""
    spent_s: Counter[str] = field(default_factory=Counter)
    parts: Counter[str] = field(default_factory=Counter)
    last: dict[str, float] = field(default_factory=dict)
    """The last value of each counter, by role."""
    ideal_cycle_s: float = 0.0
    ideal_s: float = 0.0

    def count(self, role: str, value: float) -> float:
        """How much a counter has grown; from the first value on."""
        before = self.last.get(role, value)
        self.last[role] = value
        return value - before if value >= before else value


@dataclass(slots=True)
class _Source:
    roles: Mapping[int, str]
    """The roles by number of the selection."""
    now: int = 0
    """The newest source ticks."""
    tags: Sequence[Tag] = ()
    known: dict[int, tuple[str, _Machine]] = field(default_factory=dict)
    """Role and machine by handle."""
    machines: dict[str, _Machine] = field(default_factory=dict)


class MachineSeries(Collector):
    """`factory_*` of the machines whose variables have roles."""

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
        for row, handle in enumerate(batch.handles.tolist()):
            found = seen.known.get(handle)
            if found is not None and not batch.statuses[row] & BAD:
                _note(*found, batch.values[row], int(batch.source_ticks[row]))

    def _know(self, seen: _Source, batch: Batch) -> None:
        seen.tags = batch.tags
        seen.known = {
            handle: (seen.roles[tag.selection], seen.machines.setdefault(machine_of(batch.source, tag), _Machine()))
            for handle, tag in enumerate(batch.tags)
            if tag.selection in seen.roles
        }

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        if not self._sources:
            return
        parts = CounterMetricFamily("factory_parts", "Parts finished, by verdict.", labels=("machine", "verdict"))
        seconds = CounterMetricFamily("factory_state_seconds", "Seconds in each state.", labels=("machine", "state"))
        elements = CounterMetricFamily(
            "factory_element_seconds", "Time elements of ISO 22400.", labels=("machine", "element")
        )
        states = GaugeMetricFamily(
            "factory_machine_state", "1 for the present state of the machine, else 0.", labels=("machine", "state")
        )
        ideal = GaugeMetricFamily("factory_ideal_cycle_seconds", "Ideal work time of a part.", labels=("machine",))
        for source in self._sources.values():
            for name, machine in source.machines.items():
                spent_s = Counter(machine.spent_s)
                if machine.state:
                    spent_s[machine.state] += max(0, source.now - machine.since) / TICKS_PER_S  # type: ignore[assignment]
                for verdict in VERDICTS.values():
                    parts.add_metric((name, verdict), machine.parts[verdict])
                for state in STATES:
                    seconds.add_metric((name, state), spent_s[state])
                    states.add_metric((name, state), float(machine.state == state))
                for element, of in ELEMENTS.items():
                    elements.add_metric((name, element), sum(spent_s[state] for state in of))
                elements.add_metric((name, "ideal"), machine.ideal_s)
                ideal.add_metric((name,), machine.ideal_cycle_s)
        yield from (parts, seconds, elements, states, ideal)


def _note(role: str, machine: _Machine, value: object, ticks: int) -> None:
    if role == "state":
        words = value.text if isinstance(value, LocalizedText) else value
        state = STATE_OF.get(str(words).lower(), "")
        if machine.state and ticks > machine.since:
            machine.spent_s[machine.state] += (ticks - machine.since) / TICKS_PER_S  # type: ignore[assignment]
        machine.state, machine.since = state, max(ticks, machine.since)
    elif isinstance(value, int | float) and value == value:
        if role == "ideal_cycle":
            machine.ideal_cycle_s = float(value)
        elif role == "ideal_time":
            machine.ideal_s += machine.count(role, float(value))
        else:
            more = machine.count(role, float(value))
            machine.parts[VERDICTS[role]] += more  # type: ignore[assignment]
            if "ideal_time" not in machine.last:
                machine.ideal_s += more * machine.ideal_cycle_s


def machine_of(source: str, tag: Tag) -> str:
    """The machine of a tag: its field `machine`, or its path up to the building blocks, or its source."""
    if "machine" in tag.fields:
        return tag.fields["machine"]
    path = tag.name.split("/")[:-1]
    cut = next((n for n, each in enumerate(path) if each in BLOCKS), len(path))
    return "/".join(path[:cut]) or source
