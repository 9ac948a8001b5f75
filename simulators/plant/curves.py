"""Curves within a cycle: what a machine measures while it works on one part, as an array."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from simulators.distributions import Positive
from simulators.plant.quantities import FileSection, Name, UnitName

Share = Annotated[float, Field(ge=0, le=1)]


class Curved(FileSection):
    name: Name
    unit: UnitName
    points: Annotated[int, Field(ge=2, le=2000, description="values of one curve")] = 60
    noise: Annotated[float, Field(ge=0, description="standard deviation of each value")] = 0.0
    wear: Share = Field(0.0, description="share of the height that is lost with a worn tool")

    @property
    def high(self) -> float:
        """The highest value that can be expected."""
        raise NotImplementedError


class Pulses(Curved):
    """Pulses over the time of the cycle, such as the current of weld spots."""

    kind: Literal["pulses"]
    pulses: Annotated[int, Field(ge=1, le=200)] = 4
    height: float = Field(description="value of a pulse")
    duty: Annotated[float, Field(gt=0, lt=1, description="share of the time in which a pulse is on")] = 0.3

    @property
    def high(self) -> float:
        return 1.5 * self.height


class Tightening(Curved):
    """Torque over the angle of a screw: a flat part until the head is seated, then a steep one up to the target."""

    kind: Literal["tightening"]
    target: float = Field(description="torque at the end")
    seated: float = Field(0.15, description="share of the target at which the head is seated")
    angle: Positive = Field(360.0, description="angle of the whole, in degrees")
    falls_short: Share = Field(0.3, description="share of the target that a part with a defect lacks")

    @property
    def high(self) -> float:
        return 1.5 * self.target


class Zone(FileSection):
    value: float
    share: Annotated[float, Field(gt=0, description="part of the cycle time, relative to the others")] = 1.0


class Zones(Curved):
    """What a part goes through, zone by zone, such as the temperatures of a reflow oven."""

    kind: Literal["zones"]
    zones: Annotated[tuple[Zone, ...], Field(min_length=1)]
    start: float = Field(25.0, description="value of the part before the first zone")
    lag: Annotated[float, Field(gt=0, le=1, description="how slowly the part follows, in shares of the cycle")] = 0.05

    @property
    def high(self) -> float:
        return 1.2 * max(zone.value for zone in self.zones)


class Progress(Curved):
    """Progress of flashing in percent over time: it begins again with each control unit, and after a failed attempt."""

    kind: Literal["progress"]

    @property
    def high(self) -> float:
        return 100.0

    @model_validator(mode="after")
    def _in_percent(self) -> Self:
        if self.unit != "%" or self.noise or self.wear:
            raise ValueError("progress is in % and has neither noise nor wear")
        return self


CurveSpec = Annotated[Pulses | Tightening | Zones | Progress, Field(discriminator="kind")]
