"""The Prometheus series of the simulator, `factory_*`: all of them are named and described here.

The flow counts parts, seconds per state and energy itself; each scrape reads them from it, so the two cannot disagree.
Only cycle times are observed one by one.  Labels are machines of the plant file and small fixed sets.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from simulators.flow import Change, Line, Machine
from simulators.flow.crew import Crew
from simulators.kpis import figures
from simulators.states import State

ELEMENTS = ("pbt", "apt", "aust", "adet", "down", "care", "ideal")
"""The time elements that are exposed: see `kpis.Elements`."""
CYCLE_BUCKETS_S = (0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0)


@dataclass(frozen=True, slots=True)
class RunStatus:
    """Simulated time, speed and lag at one instant."""

    sim_time_s: float
    speed: float
    achieved_speed: float
    lag_s: float
    slipped_s: float
    sessions: int
    subscriptions: int
    values_written: int
    events_sent: int


class _Factory(Collector):
    """Reads the flow and its pace at each scrape."""

    def __init__(self, machines: Sequence[Machine], pace: Callable[[], RunStatus]) -> None:
        self._machines = machines
        self._pace = pace

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        pace = self._pace()
        yield from self._flow(pace.sim_time_s)
        yield _gauge("factory_simulated_seconds", "Simulated time since the start.", pace.sim_time_s)
        yield _gauge("factory_speed", "Simulated seconds per second, requested.", pace.speed)
        yield _gauge("factory_achieved_speed", "Simulated seconds per second, achieved.", pace.achieved_speed)
        yield _gauge("factory_lag_seconds", "Wall time by which the simulation is late.", pace.lag_s)
        yield _gauge("factory_sessions", "OPC UA sessions.", pace.sessions)
        yield _gauge("factory_subscriptions", "OPC UA subscriptions.", pace.subscriptions)
        yield _counter("factory_slipped_seconds", "Wall time that the late policy skipped.", pace.slipped_s)
        yield _counter("factory_values_written", "Values written to variables.", pace.values_written)
        yield _counter("factory_events", "OPC UA events generated.", pace.events_sent)

    def _flow(self, now_s: float) -> Iterator[Metric]:
        parts = CounterMetricFamily("factory_parts", "Parts finished, by verdict.", labels=("machine", "verdict"))
        seconds = CounterMetricFamily(
            "factory_state_seconds", "Simulated seconds spent in each state.", labels=("machine", "state")
        )
        energy = CounterMetricFamily("factory_energy_joules", "Electrical energy used.", labels=("machine",))
        failures = CounterMetricFamily("factory_failures", "Breakdowns.", labels=("machine",))
        defects = CounterMetricFamily("factory_defects", "Defects found, by code.", labels=("machine", "code"))
        ratio = GaugeMetricFamily("factory_oee_ratio", "OEE of ISO 22400; absent while undefined.", labels=("machine",))
        yield from self._elements(now_s)
        for machine in self._machines:
            for verdict in ("good", "scrap", "rework"):
                parts.add_metric((machine.path, verdict), getattr(machine, verdict))
            for state, spent_s in machine.account.seconds(now_s).items():
                seconds.add_metric((machine.path, state.value), spent_s)
            energy.add_metric((machine.path,), machine.energy_j(now_s))
            failures.add_metric((machine.path,), machine.failures)
            for code, count in machine.defects.items():
                defects.add_metric((machine.path, code), count)
            index = oee(machine, now_s)
            if index is not None:
                ratio.add_metric((machine.path,), index)
        yield from (parts, seconds, energy, failures, defects, ratio)

    def _elements(self, now_s: float) -> Iterator[Metric]:
        """The time elements of OEE.  Sum them over machines and time before dividing.  Belts make no parts."""
        elements = CounterMetricFamily(
            "factory_element_seconds", "Time elements of ISO 22400, simulated.", labels=("machine", "element")
        )
        states = GaugeMetricFamily(
            "factory_machine_state", "1 for the present state of the machine, else 0.", labels=("machine", "state")
        )
        ideal = GaugeMetricFamily(
            "factory_ideal_cycle_seconds", "Work time of a part at the planned speed.", labels=("machine",)
        )
        for machine in self._machines:
            for state in State:
                states.add_metric((machine.path, state.value), float(machine.state is state))
            if machine.station.kind == "conveyor":
                continue
            found = machine.elements(now_s)
            for element in ELEMENTS:
                elements.add_metric((machine.path, element), getattr(found, f"{element}_s"))
            ideal.add_metric((machine.path,), machine.ideal_cycle_s)
        yield from (elements, states, ideal)


class _Lines(Collector):
    """Reads the figures of lines, buffers and crews at each scrape.

    A line counts its own parts.  With rework, branches, parallel machines or scrap at more than one station, no sum or
    minimum of the machines' counters gives its figures.
    """

    def __init__(self, lines: Sequence[Line], crews: Iterable[Crew], now_s: Callable[[], float]) -> None:
        self._lines = lines
        self._crews = list(crews)
        self._now_s = now_s

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        now_s = self._now_s()
        parts = CounterMetricFamily(
            "factory_line_parts", "Parts that entered, left good, left as scrap.", labels=("line", "what")
        )
        seconds = CounterMetricFamily(
            "factory_line_seconds", "Simulated seconds since the line started.", labels=("line",)
        )
        inside = GaugeMetricFamily("factory_line_parts_in_work", "Parts on the line.", labels=("line",))
        stalled = GaugeMetricFamily("factory_line_stalled", "1 when nothing can move any more.", labels=("line",))
        level = GaugeMetricFamily("factory_buffer_parts", "Parts in front of a station.", labels=("line", "station"))
        places = GaugeMetricFamily(
            "factory_buffer_places", "Places in front of a station; +Inf without limit.", labels=("line", "station")
        )
        for line in self._lines:
            for what, count in (("entered", line.entered), ("good", line.delivered), ("scrap", line.lost)):
                parts.add_metric((line.name, what), count)
            seconds.add_metric((line.name,), now_s)
            inside.add_metric((line.name,), line.parts)
            stalled.add_metric((line.name,), float(line.stalled))
            for station, buffer in line.buffers.items():
                level.add_metric((line.name, station), len(buffer))
                places.add_metric((line.name, station), buffer.capacity)
        yield from (parts, seconds, inside, stalled, level, places)
        yield from self._people()

    def _people(self) -> Iterator[Metric]:
        queue = GaugeMetricFamily("factory_crew_waiting", "Machines waiting for the crew.", labels=("crew",))
        worked = CounterMetricFamily("factory_crew_worked_seconds", "Working time on finished jobs.", labels=("crew",))
        people = GaugeMetricFamily("factory_crew_people", "People in a crew.", labels=("crew",))
        for crew in self._crews:
            queue.add_metric((crew.name,), crew.waiting)
            worked.add_metric((crew.name,), crew.worked_s)
            people.add_metric((crew.name,), crew.people)
        yield from (queue, worked, people)


class Metrics:
    """All series of one simulator, in their own registry."""

    def __init__(
        self,
        machines: Sequence[Machine],
        pace: Callable[[], RunStatus],
        *,
        lines: Sequence[Line] = (),
        crews: Iterable[Crew] = (),
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library does not annotate it
        self.registry = CollectorRegistry()
        self.registry.register(_Factory(machines, pace))
        self.registry.register(_Lines(lines, crews, lambda: pace().sim_time_s))
        family = Histogram(
            "factory_cycle_seconds", "Work time per part.", ["machine"], buckets=CYCLE_BUCKETS_S, registry=self.registry
        )
        self._cycles = {machine.path: family.labels(machine.path) for machine in machines}
        self.faults = Counter("factory_faults", "Faults injected, by kind.", ["kind"], registry=self.registry)

    def observe(self, changes: Iterable[Change]) -> None:
        """Observe the cycle times among the changes."""
        for change in changes:
            if change.name == "cycle_s":
                self._cycles[change.machine].observe(float(change.value))


def oee(machine: Machine, now_s: float) -> float | None:
    """The OEE index up to `now_s`.  None while undefined, and for belts, which carry many parts and make none."""
    return None if machine.station.kind == "conveyor" else figures(machine.elements(now_s)).oee


def _gauge(name: str, text: str, number: float) -> Metric:
    return GaugeMetricFamily(name, text, value=number)


def _counter(name: str, text: str, number: float) -> Metric:
    return CounterMetricFamily(name, text, value=number)
