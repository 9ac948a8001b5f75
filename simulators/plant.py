"""The plant file: one frozen tree, decoded strictly, checked whole before anything runs.

A plant has a name, a site and lines; a line has stations, in the order in which parts pass them.  Every key is
documented where it is declared; the JSON Schema is generated from here.
"""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from simulators.distributions import Distribution, Positive
from simulators.located import read_yaml, validated
from simulators.signals import UNITS

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
_POWER = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*(W|kW|MW)\s*$")
_POWER_W = {"W": 1.0, "kW": 1e3, "MW": 1e6}


def _name(value: str) -> str:
    if not _NAME.match(value):
        raise ValueError(f"write a name with letters, digits, - and _ only, not {value!r}")
    return value


def _power(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = _POWER.match(value)
    if match is None:
        raise ValueError(f"write a power as a number and a unit: 400W, 3kW or 1.2MW, not {value!r}")
    return float(match[1]) * _POWER_W[match[2]]


def _unit(value: str) -> str:
    if value not in UNITS:
        raise ValueError(f"no such unit: {value!r}: allowed are {', '.join(UNITS)}")
    return value


Name = Annotated[str, AfterValidator(_name)]
Power = Annotated[float, BeforeValidator(_power, json_schema_input_type=float | str), Field(ge=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    """What every part of the plant file has in common: unknown keys are mistakes, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Powers(Part):
    """Electrical power by state."""

    working: Power = 3000.0
    setup: Power | None = Field(None, description="as idle when left out")
    idle: Power = Field(800.0, description="starved, blocked or held")
    down: Power = 400.0
    off: Power = 50.0


class Lagging(Part):
    """Goes towards one value while working and towards another while not."""

    kind: Literal["lag"]
    name: Name
    unit: Annotated[str, AfterValidator(_unit)]
    low: float = Field(0.0, description="lower end of the range")
    high: float = Field(description="upper end of the range")
    working: float
    idle: float
    lag: Positive = 120.0
    noise: Annotated[float, Field(ge=0)] = 0.0
    correlation: Positive = 20.0


class Wearing(Part):
    """Grows with the time worked since the tool was new; falls to `idle` when the machine does not work."""

    kind: Literal["wear"]
    name: Name
    unit: Annotated[str, AfterValidator(_unit)]
    low: float = 0.0
    high: float
    new: float = Field(description="value of a new tool at work")
    worn: float = Field(description="value of a tool that has worked for `life`")
    idle: float = 0.0
    life: Positive = 28_800.0
    noise: Annotated[float, Field(ge=0)] = 0.0
    correlation: Positive = 5.0


SignalSpec = Annotated[Lagging | Wearing, Field(discriminator="kind")]

USUAL_SIGNALS: tuple[SignalSpec, ...] = (
    Lagging(kind="lag", name="temperature", unit="°C", high=120, working=65, idle=24, noise=0.3),
    Wearing(kind="wear", name="vibration", unit="mm/s", high=12, new=1.2, worn=6.0, idle=0.1, noise=0.08),
)


class Failure(Part):
    """A reason to break down."""

    name: Name = "failure"
    every: Distribution = Field(description="time to the next failure, in the time that `counts` names")
    repair: Distribution
    counts: Literal["operating", "calendar"] = Field(
        "operating", description="operating: strikes only while working; calendar: also while starved or blocked"
    )


class Station(Part):
    name: Name
    cycle: Distribution
    machines: Annotated[int, Field(ge=1, le=100)] = 1
    buffer: Annotated[int, Field(ge=0)] = Field(0, description="places for parts waiting in front of the station")
    failures: tuple[Failure, ...] = ()
    scrap: Probability = Field(0.0, description="share of the parts that leave here as scrap")
    power: Powers = Powers()
    signals: tuple[SignalSpec, ...] = USUAL_SIGNALS

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        _no_twins("signal", [s.name for s in self.signals])
        return self

    @property
    def ideal_cycle_s(self) -> float:
        return self.cycle.mean_s

    @property
    def machine_names(self) -> list[str]:
        """`press` alone, or `press-1`, `press-2` … when the station has several machines."""
        return [self.name] if self.machines == 1 else [f"{self.name}-{n}" for n in range(1, self.machines + 1)]


class Line(Part):
    name: Name
    product: Name = "part"
    stations: Annotated[tuple[Station, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        _no_twins("machine", [name for station in self.stations for name in station.machine_names])
        return self


class Plant(Part):
    name: Name
    site: Name
    lines: Annotated[tuple[Line, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        _no_twins("line", [line.name for line in self.lines])
        return self


def _no_twins(what: str, names: list[str]) -> None:
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise ValueError(f"each {what} needs a name of its own: {', '.join(twins)} stands more than once")


def load(path: str | Path) -> Plant:
    """Read a plant file.  Raises `ConfigError` with every mistake: file, line, key, what is wrong, what is allowed."""
    return validated(Plant, read_yaml(Path(path)))
