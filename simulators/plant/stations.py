"""A station: what it does to a part, how long that takes, and what can interrupt it."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from simulators.distributions import Distribution, Duration, Lasting, Positive
from simulators.plant.curves import CurveSpec
from simulators.plant.quantities import FileSection, Name, Places, Power, Probability, no_twins
from simulators.plant.sensing import USUAL_SIGNALS, SignalSpec
from simulators.plant.vehicles import Ecu

SPARE_PLACES = 10
"""Places that a buffer can be given besides those that it has, where the file does not say."""
OUT = "out"
"""Where finished parts go."""


class Powers(FileSection):
    """Electrical power by state."""

    working: Power = 3000.0
    setup: Power | None = Field(None, description="default: as idle")
    idle: Power = Field(800.0, description="starved, blocked, held or under maintenance")
    down: Power = 400.0
    off: Power = 50.0


class SpeedLaws(FileSection):
    """The costs of working faster than the cycle times: each grows with a power of the speed factor.

    At the usual speed (1) none has an effect.  The exponent 0 switches one off.
    """

    power: Annotated[float, Field(ge=0, le=6, description="exponent for the power above idle; 3 as for fans")] = 3.0
    failures: Annotated[float, Field(ge=0, le=6, description="exponent for the failures per second worked")] = 2.0
    defects: Annotated[float, Field(ge=0, le=6, description="exponent for the probability of scrap and defects")] = 2.0
    tool: Annotated[
        float,
        Field(
            ge=0,
            le=9,
            description="exponent for the tool life that one part uses; 3 after Taylor (v T^n = C with n = 0.25)",
        ),
    ] = 3.0


class Failure(FileSection):
    """A kind of breakdown."""

    name: Name = "failure"
    every: Lasting = Field(description="time (or cycles, see `counts`) to the next failure")
    repair: Distribution
    counts: Literal["operating", "calendar", "cycles"] = Field(
        "operating",
        description="operating: strikes only while working; calendar: also while starved or blocked;"
        " cycles: `every` is a number of cycles, and the failure strikes at the start of the next one",
    )
    crew: Name | None = Field(None, description="crew that repairs it; default: none, repair starts at once")
    priority: int = Field(0, description="a crew serves the lowest number first")
    severity: Literal["abort", "hold"] = Field("abort", description="state in PackML: Aborted or Held")


class Maintenance(FileSection):
    """Planned maintenance.  `by: age` counts working time since the last repair or maintenance, `by: parts` cycles."""

    name: Name = "maintenance"
    by: Literal["age", "calendar", "parts"]
    every: Positive = Field(description="a duration; with `by: parts` a number of parts")
    takes: Distribution
    when: Literal["between_parts", "at_once"] = "between_parts"
    renews: bool = Field(True, description="the failures of this machine start to count anew")
    crew: Name | None = None
    priority: int = 10


class Tool(FileSection):
    life: Annotated[int, Field(ge=1, description="number of parts that one tool makes")]
    change: Distribution


class Setup(FileSection):
    """Changeover times between products."""

    usual: Distribution = Field(description="time for every changeover that `changeovers` does not name")
    changeovers: dict[Name, dict[Name, Distribution]] = Field(
        default_factory=dict, description="by old product, by new product: the time"
    )


class Defect(FileSection):
    """A defect that a part can have after this station."""

    code: Name
    probability: Probability
    to: Name | None = Field(None, description="station that reworks it (this one: at once); default: scrap")
    at_most: Annotated[int, Field(ge=1)] | None = Field(
        None, description="how often one part may be reworked before it is scrap; default: any number of times"
    )


class Route(FileSection):
    to: Name = Field(description=f"a station of this line, or `{OUT}`")
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    product: Name | None = Field(None, description="for this product only")


class Component(FileSection):
    """A component that is built into every part here, and shows in its pedigree."""

    name: Name
    lot: Annotated[int, Field(ge=1)] = Field(1, description="pieces per lot; 1: each has a serial number of its own")
    line: Name | None = Field(
        None, description="line whose finished parts are built in, one each; the station waits for them"
    )
    places: Annotated[int, Field(ge=1)] = Field(4, description="with `line`: finished parts that can wait here")


class Cause(FileSection):
    """What makes defects and failures more likely.  The factors of all causes multiply."""

    by: Literal["wear", "signal", "product_change", "lot", "machine"] = Field(
        description="wear: of the tool, or of the machine since its last renewal; signal: outside of its band;"
        " product_change: the first parts of another product; lot: a bad lot of a component in the part;"
        " machine: this one of several"
    )
    defects: Annotated[float, Field(ge=0, le=100)] = Field(1.0, description="factor for scrap and defects, at its full")
    failures: Annotated[float, Field(ge=0, le=100)] = Field(1.0, description="factor for failures per second worked")
    life: Positive = Field(28_800.0, description="wear without a tool: working time until worn")
    signal: Name | None = None
    below: float | None = Field(None, description="signal: it acts below this value, such as after a cold start")
    above: float | None = Field(None, description="signal: it acts above this value")
    parts: Annotated[int, Field(ge=1)] = Field(5, description="product_change: how many parts")
    component: Name | None = Field(None, description="lot: of which component, built in here or before")
    share: Probability = Field(0.05, description="lot: share of the lots that are bad")
    machine: Name | None = Field(None, description="machine: which one of the station, such as press-2")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.by == "signal") != (self.signal is not None) or (self.by == "lot") != (self.component is not None):
            raise ValueError("by: signal needs a `signal`, by: lot a `component`, and no other cause has them")
        if (self.by == "machine") != (self.machine is not None):
            raise ValueError("by: machine needs a `machine`, and no other cause has one")
        if self.by == "signal" and self.below is None and self.above is None:
            raise ValueError("by: signal needs `below` or `above`")
        if self.by == "lot" and self.failures != 1.0:
            raise ValueError("a lot causes defects, not failures")
        return self


class Station(FileSection):
    """The keys that every kind of station has."""

    kind: str
    name: Name
    cycle: Lasting
    cycles: dict[Name, Lasting] = Field(default_factory=dict, description="cycle time by product, where it differs")
    ideal: Positive | None = Field(None, description="ideal cycle time for the key figures; default: the mean")
    machines: Annotated[int, Field(ge=1, le=200)] = 1
    buffer: Places = Field(0, description="places for parts waiting in front of the station, or `unlimited`")
    room: Places | None = Field(
        None,
        description="places that there are in all, for the set-point of its limit; default: `buffer` + 10",
    )
    blocking: Literal["after", "before"] = Field(
        "after", description="after: keeps a finished part until there is room; before: starts only when there is room"
    )
    failures: tuple[Failure, ...] = ()
    maintenance: tuple[Maintenance, ...] = ()
    tool: Tool | None = None
    setup: Setup | None = None
    scrap: Probability = Field(0.0, description="share of the parts that leave here as scrap, on top of the defects")
    defects: tuple[Defect, ...] = ()
    components: tuple[Component, ...] = ()
    next: tuple[Route, ...] = Field((), description="where good parts go; default: the following station")
    power: Powers = Powers()
    speed: SpeedLaws = Field(SpeedLaws(), description="costs of working faster, and savings of working slower")
    causes: tuple[Cause, ...] = Field((), description="what makes defects and failures more likely; default: nothing")
    signals: tuple[SignalSpec, ...] = USUAL_SIGNALS
    curves: tuple[CurveSpec, ...] = Field((), description="what is measured within each cycle, as arrays")
    team: Name | None = Field(None, description="crew whose people work here, in turns; shown in the part results")
    ecus: tuple[Ecu, ...] = Field((), description="control units that are flashed here, one after another")
    model: Literal["machinery", "packml", "machine-tool"] = Field(
        "machinery", description="information model that the OPC UA server shows besides Machinery"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.room is not None and self.room < self.buffer:
            raise ValueError(f"room: {self.room:g} is less than the buffer, which has {self.buffer:g} places")
        no_twins("signal", [s.name for s in self.signals])
        no_twins("failure or maintenance", [*(f.name for f in self.failures), *(m.name for m in self.maintenance)])
        if unknown := {c.signal for c in self.causes if c.signal} - {s.name for s in self.signals}:
            raise ValueError(f"causes: no signal {', '.join(sorted(unknown))} at this station")
        if unknown := {c.machine for c in self.causes if c.machine} - set(self.machine_names):
            raise ValueError(f"causes: no machine {', '.join(sorted(unknown))} at this station")
        no_twins("defect", [d.code for d in self.defects])
        no_twins("signal or curve", [*(s.name for s in self.signals), *(c.name for c in self.curves)])
        self._check_flashing()
        if (total := self.scrap + sum(d.probability for d in self.defects)) > 1:
            raise ValueError(f"scrap and defects add up to {total:g}: they may add up to 1 at most")
        if self.blocking == "before" and (len(self.next) > 1 or any(d.to for d in self.defects)):
            raise ValueError("blocking: before needs a single next station: no shares and no rework from here")
        return self

    def _check_flashing(self) -> None:
        no_twins("control unit", [ecu.name for ecu in self.ecus])
        codes = [defect.code for defect in self.defects]
        if self.ecus and (self.kind != "process" or not codes):
            raise ValueError("ecus: only a station of kind process flashes, and it needs `defects` for what fails")
        if wrong := sorted({ecu.defect for ecu in self.ecus if ecu.defect and ecu.defect not in codes}):
            raise ValueError(f"ecus: no defect {', '.join(wrong)} at this station: allowed are {', '.join(codes)}")
        if not self.ecus and any(curve.kind == "progress" for curve in self.curves):
            raise ValueError("curves: progress needs `ecus`")

    @property
    def most_places(self) -> float:
        """Up to how many places a set-point may raise the buffer."""
        return self.buffer + SPARE_PLACES if self.room is None else self.room

    @property
    def ideal_cycle_s(self) -> float:
        """The ideal time per part of one machine for the usual product, in seconds."""
        return self.cycle.mean_s if self.ideal is None else self.ideal

    def ideal_of(self, product: str) -> float:
        """The ideal time per part for one product, in seconds."""
        special = self.cycles.get(product)
        return special.mean_s if special is not None and self.ideal is None else self.ideal_cycle_s

    @property
    def machine_names(self) -> list[str]:
        """`press` alone; `press-1`, `press-2` … when the station has several machines."""
        return [self.name] if self.machines == 1 else [f"{self.name}-{n}" for n in range(1, self.machines + 1)]


class Process(Station):
    """One part at a time per machine."""

    kind: Literal["process"] = "process"


class Transport(Station):
    """Vehicles (as many as `machines`): each carries one part for a `cycle`, hands it over, and comes `back` empty."""

    kind: Literal["transport"]
    back: Distribution = Field(description="duration of the empty way back")


class Conveyor(Station):
    """A belt.  It moves a part from end to end in a `cycle`, holds at most `places` parts, and queues at its end."""

    kind: Literal["conveyor"]
    places: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _never_at_work(self) -> Self:
        if any(f.counts == "operating" for f in self.failures) or any(m.by == "age" for m in self.maintenance):
            raise ValueError("a conveyor has no working time: let its failures and maintenance count the calendar")
        return self


class Oven(Station):
    """Works on a batch at once.  It starts with `batch` parts, or `patience` after the first."""

    kind: Literal["oven"]
    batch: Annotated[int, Field(ge=1)]
    patience: Duration = Field(0.0, description="0: waits for a full batch")


def _kind(value: object) -> str | None:
    kind = value.get("kind", "process") if isinstance(value, dict) else getattr(value, "kind", None)
    return kind if isinstance(kind, str) else None


def _named(value: object) -> object:
    return {"kind": "process", **value} if isinstance(value, dict) else value


AnyStation = Annotated[
    Annotated[Process, Tag("process")]
    | Annotated[Transport, Tag("transport")]
    | Annotated[Conveyor, Tag("conveyor")]
    | Annotated[Oven, Tag("oven")],
    Discriminator(_kind),
    BeforeValidator(_named, json_schema_input_type=Process | Transport | Conveyor | Oven),
]
