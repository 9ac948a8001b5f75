"""Parts of anchors: small plants, and readings."""

from collections.abc import Callable, Sequence

from simulators.distributions import Constant, Distribution, Exponential
from simulators.flow import Factory, Part
from simulators.plant import Arrivals, Crew, Endless, Line, Loop, Orders, Plant, Process, Station
from simulators.states import State
from simulators.verify.case import Reading

INFINITE = float("inf")


def constant(value: float) -> Constant:
    return Constant(law="constant", value=value)


def exponential(mean: float) -> Exponential:
    return Exponential(law="exponential", mean=mean)


def station(name: str, cycle: Distribution, **more: object) -> Process:
    """A station without signals, which play no part in the verification."""
    return Process.model_validate({"name": name, "cycle": cycle, "signals": (), **more})


def one_line(
    stations: Sequence[Station],
    source: Endless | Arrivals | Orders | None = None,
    crews: tuple[Crew, ...] = (),
    loops: tuple[Loop, ...] = (),
) -> Plant:
    """A plant of one line."""
    line = Line(name="line", source=source or Endless(), loops=loops, stations=tuple(stations))
    return Plant(name="anchor", site="theory", crews=crews, lines=(line,))


def delivered(factory: Factory) -> Reading:
    """Finished good parts."""
    line = factory.lines[0]
    return lambda now_s: line.delivered


def lost(factory: Factory) -> Reading:
    """Parts that became scrap."""
    line = factory.lines[0]
    return lambda now_s: line.lost


def turned_away(factory: Factory) -> Reading:
    """Arrivals that found no room."""
    arrivals = factory.lines[0].arrivals
    assert arrivals is not None
    return lambda now_s: arrivals.turned_away


def on_line(factory: Factory) -> Reading:
    """Part seconds of all parts on the line."""
    return factory.lines[0].part_seconds


def waiting(name: str) -> Callable[[Factory], Reading]:
    """Part seconds in the places in front of a station."""
    return lambda factory: factory.lines[0].buffers[name].part_seconds


def at_station(name: str) -> Callable[[Factory], Reading]:
    """Part seconds in front of and in a station of one reliable machine."""

    def read(factory: Factory) -> Reading:
        buffer, machine = factory.lines[0].buffers[name], factory.machine(f"line/{name}")
        return lambda now_s: buffer.part_seconds(now_s) + machine.worked_s(now_s)

    return read


def spent(name: str, *states: State) -> Callable[[Factory], Reading]:
    """Seconds of a machine in some states."""

    def read(factory: Factory) -> Reading:
        account = factory.machine(f"line/{name}").account
        return lambda now_s: sum(account.seconds_in(state, now_s) for state in states)

    return read


def failures(name: str) -> Callable[[Factory], Reading]:
    """Breakdowns of a machine."""

    def read(factory: Factory) -> Reading:
        machine = factory.machine(f"line/{name}")
        return lambda now_s: machine.failures

    return read


def energy(name: str) -> Callable[[Factory], Reading]:
    """Joules of a machine."""
    return lambda factory: factory.machine(f"line/{name}").energy_j


def up_share(factory: Factory) -> Reading:
    """Seconds not down, averaged over all machines."""
    machines = factory.machines
    return lambda now_s: now_s - sum(m.account.seconds_in(State.DOWN, now_s) for m in machines) / len(machines)


def waiting_for_crew(factory: Factory) -> Reading:
    """Seconds that machines have waited for somebody to repair them."""
    crew = next(iter(factory.crews.values()))
    return lambda now_s: crew.waited_s


def work_ahead(name: str) -> Callable[[Factory], Reading]:
    """The time integral of the work in a station.

    Per part: service time x wait, and half of the squared service time.
    """

    def read(factory: Factory) -> Reading:
        total = 0.0

        def witness(part: Part, began_s: float) -> None:
            nonlocal total
            service_s = float(factory.env.now) - began_s
            total += service_s * (began_s - part.queued_s) + service_s**2 / 2

        factory.machine(f"line/{name}").witnesses.append(witness)
        return lambda now_s: total

    return read


def found_on_arrival(factory: Factory) -> Reading:
    """How many parts each arrival finds on the line, added up."""
    total = 0

    def witness(found: int) -> None:
        nonlocal total
        total += found

    factory.lines[0].gatekeepers.append(witness)
    return lambda now_s: total


def last_departure(factory: Factory) -> Reading:
    """When the last finished part left."""
    departures: list[float] = []
    factory.lines[0].departures = departures
    return lambda now_s: departures[-1] if departures else 0.0
