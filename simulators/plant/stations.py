"""A station: what it does to a part, how long that takes, and what gets in the way."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from simulators.distributions import Distribution, Duration, Lasting, Positive
from simulators.plant.quantities import FileSection, Name, Places, Power, Probability, no_twins
from simulators.plant.sensing import USUAL_SIGNALS, SignalSpec

OUT = "out"
"""Where finished parts go."""


class Powers(FileSection):
    """Electrical power by state."""

    working: Power = 3000.0
    setup: Power | None = Field(None, description="as idle when left out")
    idle: Power = Field(800.0, description="starved, blocked, held or under maintenance")
    down: Power = 400.0
    off: Power = 50.0


class SpeedLaws(FileSection):
    """What it costs to work faster than the cycle times say: each grows with a power of the speed factor.

    At the usual speed (1) all of them are without effect; 0 makes that one free.
    """

    power: Annotated[float, Field(ge=0, le=6, description="of the power beyond idling: 3, as for fans and drives")] = (
        3.0
    )
    failures: Annotated[float, Field(ge=0, le=6, description="of the failures per second worked")] = 2.0
    defects: Annotated[float, Field(ge=0, le=6, description="of the probability of scrap and of each defect")] = 2.0
    tool: Annotated[
        float,
        Field(
            ge=0,
            le=9,
            description="of the tool's life that one part takes: 3, after Taylor (v T^n = C with n = 0.25)",
        ),
    ] = 3.0


class Failure(FileSection):
    """A reason to break down."""

    name: Name = "failure"
    every: Lasting = Field(description="time to the next failure, in what `counts` names")
    repair: Distribution
    counts: Literal["operating", "calendar", "cycles"] = Field(
        "operating",
        description="operating: strikes only while working; calendar: also while starved or blocked;"
        " cycles: `every` is a number of cycles, and it strikes at the beginning of the next",
    )
    crew: Name | None = Field(None, description="who repairs it; nobody to wait for when left out")
    priority: int = Field(0, description="whom a crew serves first: the lowest")
    severity: Literal["abort", "hold"] = Field("abort", description="what PackML shows: Aborted or Held")


class Maintenance(FileSection):
    """Planned care.  `by` age: working time since the last repair or care; parts: cycles since the last care."""

    name: Name = "maintenance"
    by: Literal["age", "calendar", "parts"]
    every: Positive = Field(description="a duration, or with `by: parts` a number of parts")
    takes: Distribution
    when: Literal["between_parts", "at_once"] = "between_parts"
    renews: bool = Field(True, description="the failures of this machine start to age anew")
    crew: Name | None = None
    priority: int = 10


class Tool(FileSection):
    life: Annotated[int, Field(ge=1, description="parts that one tool makes")]
    change: Distribution


class Setup(FileSection):
    """What it takes to go from one product to the next."""

    usual: Distribution = Field(description="for every change of product that `changeovers` does not name")
    changeovers: dict[Name, dict[Name, Distribution]] = Field(
        default_factory=dict, description="from product, to product, time"
    )


class Defect(FileSection):
    """What can be wrong with a part after this station."""

    code: Name
    probability: Probability
    to: Name | None = Field(
        None, description="the station that puts it right, at once if it is this one; scrap when left out"
    )
    at_most: Annotated[int, Field(ge=1)] | None = Field(
        None, description="how often one part may be sent there before it is scrap; without end when left out"
    )


class Route(FileSection):
    to: Name = Field(description=f"a station of this line, or `{OUT}`")
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    product: Name | None = Field(None, description="only for this product")


class Component(FileSection):
    """Something that is built into every part here, for its pedigree."""

    name: Name
    lot: Annotated[int, Field(ge=1)] = Field(1, description="pieces per lot; 1: each has a serial number of its own")


class Station(FileSection):
    """The keys that every kind of station has."""

    kind: str
    name: Name
    cycle: Lasting
    cycles: dict[Name, Lasting] = Field(default_factory=dict, description="cycle by product, where it differs")
    ideal: Positive | None = Field(None, description="ideal cycle time for the indicators; the mean when left out")
    machines: Annotated[int, Field(ge=1, le=200)] = 1
    buffer: Places = Field(0, description="places for parts waiting in front of the station, or `unlimited`")
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
    next: tuple[Route, ...] = Field((), description="where good parts go; the following station when left out")
    power: Powers = Powers()
    speed: SpeedLaws = Field(SpeedLaws(), description="what it costs to work faster, and spares to work slower")
    signals: tuple[SignalSpec, ...] = USUAL_SIGNALS
    model: Literal["machinery", "packml", "machine-tool"] = Field(
        "machinery", description="information model that the OPC UA server adds to the machinery one"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        no_twins("signal", [s.name for s in self.signals])
        no_twins("failure or maintenance", [*(f.name for f in self.failures), *(m.name for m in self.maintenance)])
        no_twins("defect", [d.code for d in self.defects])
        if (total := self.scrap + sum(d.probability for d in self.defects)) > 1:
            raise ValueError(f"scrap and defects add up to {total:g}: at most 1 is possible")
        if self.blocking == "before" and (len(self.next) > 1 or any(d.to for d in self.defects)):
            raise ValueError("blocking before service needs one place to go: no shares and no rework from here")
        return self

    @property
    def ideal_cycle_s(self) -> float:
        """The ideal time per part of one machine, for the usual product."""
        return self.cycle.mean_s if self.ideal is None else self.ideal

    def ideal_of(self, product: str) -> float:
        """The ideal time per part for one product."""
        special = self.cycles.get(product)
        return special.mean_s if special is not None and self.ideal is None else self.ideal_cycle_s

    @property
    def machine_names(self) -> list[str]:
        """`press` alone, or `press-1`, `press-2` … when the station has several machines."""
        return [self.name] if self.machines == 1 else [f"{self.name}-{n}" for n in range(1, self.machines + 1)]


class Process(Station):
    """One part at a time per machine."""

    kind: Literal["process"] = "process"


class Transport(Station):
    """Vehicles (as many as `machines`): carry one part for a `cycle`, hand it over, and come `back` empty."""

    kind: Literal["transport"]
    back: Distribution = Field(description="the way back, empty")


class Conveyor(Station):
    """A belt that takes a part for a `cycle` from end to end, and holds at most `places`; it queues at its end."""

    kind: Literal["conveyor"]
    places: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _never_at_work(self) -> Self:
        if any(f.counts == "operating" for f in self.failures) or any(m.by == "age" for m in self.maintenance):
            raise ValueError("a conveyor has no working time of its own: count its failures and care by calendar")
        return self


class Oven(Station):
    """Works on a batch at once: starts when `batch` parts are in, or `patience` after the first."""

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
