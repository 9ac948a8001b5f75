"""The signals of a machine, and the faults of its sensors."""

from typing import Annotated, Literal

from pydantic import Field

from simulators.distributions import Duration, Positive
from simulators.plant.quantities import FileSection, Name, UnitName


class SensorFault(FileSection):
    """A sensor that shows a wrong value, for some time from a fixed simulated time on."""

    kind: Literal["stuck", "drift", "spike", "sentinel"] = Field(
        description="stuck: keeps its value; drift: moves away by `amount` per hour; spike: is off by `amount` for a"
        " moment, repeatedly; sentinel: always shows `amount`"
    )
    at: Duration = Field(description="when it begins, in simulated time since the start")
    lasts: Positive = 600.0
    amount: float = 0.0
    every: Positive = Field(60.0, description="time from one spike to the next")
    width: Positive = Field(1.0, description="how long one spike lasts")


class Sensed(FileSection):
    name: Name
    unit: UnitName
    low: float = Field(0.0, description="lower end of the range")
    high: float = Field(description="upper end of the range")
    noise: Annotated[float, Field(ge=0, description="standard deviation of the wandering noise")] = 0.0
    correlation: Positive = Field(20.0, description="correlation time of the noise")
    shared: Annotated[float, Field(ge=-1, le=1)] = Field(
        0.0, description="correlation of the noise with the noise that all signals of this machine share"
    )
    faults: tuple[SensorFault, ...] = ()


class Lagging(Sensed):
    """Approaches one value while working and another one while not."""

    kind: Literal["lag"]
    working: float
    idle: float
    off: float | None = Field(None, description="value outside the shifts; default: as idle")
    down: float | None = Field(None, description="value while down; default: as idle")
    lag: Positive = 120.0


class Wearing(Sensed):
    """Grows with the time worked since the last tool change or maintenance, and then starts anew."""

    kind: Literal["wear"]
    new: float = Field(description="value while working with a new tool")
    worn: float = Field(description="value while working with a tool that has worked for `life`")
    idle: float | None = Field(
        None, description="value when not working (as for a vibration); default: the wear shows then, too"
    )
    life: Positive = Field(28_800.0, description="working time until worn; it starts anew then if nothing renews it")


class Loading(Sensed):
    """Follows the load: a value proportional to the machine's present power in watts."""

    kind: Literal["load"]
    per_watt: float
    lag: Duration = 0.5


class Counting(Sensed):
    """Grows with simulated time only; for load tests."""

    kind: Literal["ramp"]
    per_second: float = 1.0


SignalSpec = Annotated[Lagging | Wearing | Loading | Counting, Field(discriminator="kind")]

USUAL_SIGNALS: tuple[SignalSpec, ...] = (
    Lagging(kind="lag", name="temperature", unit="°C", high=120, working=65, idle=24, noise=0.3),
    Wearing(
        kind="wear", name="vibration", unit="mm/s", high=12, new=1.2, worn=6.0, idle=0.1, noise=0.08, correlation=5
    ),
)
"""The signals of a station whose file names none."""
