"""The time elements and key figures of ISO 22400-2, computed in one place.

Elements add up; figures do not.  For a line, a plant or several shifts, sum the elements and divide once.  A figure
without a meaning yet (nothing was planned, nothing was made) is None, never 0 and never 1.

The time elements follow the mapping of OPC 40501-1 annex C: working is APT, setup is AUST, and the rest of the planned
time is ADET, since an order is always registered here.  Off-shift time and planned maintenance lie outside the planned
busy time.  Where texts differ, two conventions hold: MTBF and MTTR divide by the number of failures (not by one more),
and the share of time that the machine is not down is called `up_share`, since it is not the availability of ISO 22400.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from simulators.account import Account
from simulators.states import State


@dataclass(frozen=True, slots=True)
class Elements:
    """What the figures are computed from: seconds, pieces, joules.  They add up."""

    pbt_s: float = 0.0
    """Planned busy time."""
    apt_s: float = 0.0
    """Actual production time."""
    aust_s: float = 0.0
    """Actual unit setup time."""
    adet_s: float = 0.0
    """Actual unit delay time: down, starved, blocked, held."""
    down_s: float = 0.0
    """Corrective maintenance time, waiting for the crew included."""
    care_s: float = 0.0
    """Preventive maintenance time."""
    ideal_s: float = 0.0
    """Planned run time per item times produced quantity."""
    good: int = 0
    scrap: int = 0
    rework: int = 0
    failures: int = 0
    energy_j: float = 0.0

    def __add__(self, other: "Elements") -> "Elements":
        return Elements(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Elements)))


@dataclass(frozen=True, slots=True)
class Figures:
    """The key figures.  None: not defined yet."""

    availability: float | None
    effectiveness: float | None
    quality_ratio: float | None
    oee: float | None
    nee: float | None
    technical_efficiency: float | None
    utilisation_efficiency: float | None
    setup_rate: float | None
    scrap_ratio: float | None
    rework_ratio: float | None
    corrective_ratio: float | None
    up_share: float | None
    mtbf_s: float | None
    mttr_s: float | None
    throughput_per_h: float | None
    energy_per_good_j: float | None


def total(elements: Iterable[Elements]) -> Elements:
    """The sum of the elements of several machines or periods."""
    return sum(elements, Elements())


def figures(e: Elements) -> Figures:
    """Every key figure of ISO 22400-2 that can be computed from the elements."""
    made = e.good + e.scrap + e.rework
    busy_s = e.apt_s + e.aust_s + e.adet_s
    availability, effectiveness, quality = _share(e.apt_s, e.pbt_s), _share(e.ideal_s, e.apt_s), _share(e.good, made)
    per_h = _share(made, busy_s)
    return Figures(
        availability=availability,
        effectiveness=effectiveness,
        quality_ratio=quality,
        oee=_product(availability, effectiveness, quality),
        nee=_product(_share(e.apt_s + e.aust_s, e.pbt_s), effectiveness, quality),
        technical_efficiency=_share(e.apt_s, e.apt_s + e.adet_s),
        utilisation_efficiency=_share(e.apt_s, busy_s),
        setup_rate=_share(e.aust_s, e.apt_s + e.aust_s),
        scrap_ratio=_share(e.scrap, made),
        rework_ratio=_share(e.rework, made),
        corrective_ratio=_share(e.down_s, e.down_s + e.care_s),
        up_share=_share(e.pbt_s - e.down_s, e.pbt_s),
        mtbf_s=_share(e.apt_s, e.failures),
        mttr_s=_share(e.down_s, e.failures),
        throughput_per_h=None if per_h is None else per_h * 3600.0,
        energy_per_good_j=_share(e.energy_j, e.good),
    )


def elements_of(
    seconds: Mapping[State, float],
    *,
    good: int,
    scrap: int,
    rework: int = 0,
    ideal_s: float,
    failures: int = 0,
    energy_j: float = 0.0,
) -> Elements:
    """The elements of one machine from its time account and its counts.  `ideal_s`: ideal time x pieces, in seconds."""
    waiting_s = seconds[State.STARVED] + seconds[State.BLOCKED] + seconds[State.HELD]
    adet_s = waiting_s + seconds[State.DOWN]
    return Elements(
        pbt_s=seconds[State.WORKING] + seconds[State.SETUP] + adet_s,
        apt_s=seconds[State.WORKING],
        aust_s=seconds[State.SETUP],
        adet_s=adet_s,
        down_s=seconds[State.DOWN],
        care_s=seconds[State.MAINTENANCE],
        ideal_s=ideal_s,
        good=good,
        scrap=scrap,
        rework=rework,
        failures=failures,
        energy_j=energy_j,
    )


Record = tuple[float, str, bool | int | float | str]
"""A recorded change: seconds, name (`state`, `fault` or one of `COUNTERS`), and the new value."""
COUNTERS = ("good", "scrap", "rework", "energy_j", "ideal_s")


def elements_of_records(
    records: Iterable[Record],
    until_s: float,
    ideal_cycle_s: float,
    *,
    from_s: float = 0.0,
    state: State = State.STARVED,
    counters: Mapping[str, float] | None = None,
) -> Elements:
    """The elements of one machine from recorded telemetry, oldest record first.  A cloud can compute them the same way.

    `state` and `counters` are the state and the counts at `from_s` (default of the counts: 0).  A repeated record
    changes nothing.  A counter that falls has restarted.  `ideal_s`, the cumulative ideal time, counts in place of
    `ideal_cycle_s` x pieces where it is among the records: so it does with several products.
    """
    account, last, failures, fault = Account(state, from_s), dict(counters or {}), 0, ""
    gained = dict.fromkeys(COUNTERS, 0.0)
    for at_s, name, value in records:
        if name == "state":
            account.enter(State(str(value)), at_s)
        elif name == "fault":
            failures += bool(value) and value != fault
            fault = str(value)
        elif name in gained:
            number, before = float(value), last.get(name, 0.0)
            gained[name] += number - before if number >= before else number
            last[name] = number
    good, scrap, rework = (round(gained[name]) for name in COUNTERS[:3])
    return elements_of(
        account.seconds(until_s),
        good=good,
        scrap=scrap,
        rework=rework,
        ideal_s=gained["ideal_s"] if "ideal_s" in last else ideal_cycle_s * (good + scrap + rework),
        failures=failures,
        energy_j=gained["energy_j"],
    )


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def _product(*factors: float | None) -> float | None:
    result = 1.0
    for factor in factors:
        if factor is None:
            return None
        result *= factor
    return result
