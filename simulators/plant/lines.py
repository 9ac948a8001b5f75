"""A plant: its lines of stations, their supply of parts, shifts and crews."""

from datetime import UTC, datetime, time
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, model_validator

from simulators.distributions import Constant, Distribution, Duration, Lasting
from simulators.plant.quantities import FileSection, Name, no_twins
from simulators.plant.stations import OUT, AnyStation, Station
from simulators.plant.vehicles import Version, Vin

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


OWN_NAMES = {"Buffers", "SetPoints", "Entered", "Good", "Scrap", "InWork", "Stalled", "Product", "Order", "Vin"}
"""What stands beside the machines below a line in the address space."""


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"no such time zone: {value!r}: write an IANA name such as Europe/Berlin or UTC") from error
    return value


def _clock(value: object) -> object:
    """Read `06:00`, which YAML 1.1 takes for the number 360 when it is not quoted."""
    return time(value // 60 % 24, value % 60) if isinstance(value, int) and 0 <= value <= 1440 else value


ClockTime = Annotated[time, BeforeValidator(_clock, json_schema_input_type=str | int)]


class Endless(FileSection):
    """An unlimited supply of raw parts."""

    kind: Literal["endless"] = "endless"


class Arrivals(FileSection):
    """Raw parts arrive one by one."""

    kind: Literal["arrivals"]
    every: Lasting
    when_full: Literal["wait", "lose"] = Field("wait", description="what a part does that finds no room")


class Order(FileSection):
    product: Name
    quantity: Annotated[int, Field(ge=1)]
    at: Duration = Field(0.0, description="earliest simulated time at which it begins")
    software: dict[Name, Version] = Field(
        default_factory=dict, description="version by control unit, where it is not the usual one"
    )


class Orders(FileSection):
    """Parts are made to order, one order after another."""

    kind: Literal["orders"]
    orders: Annotated[tuple[Order, ...], Field(min_length=1)]
    repeat: bool = Field(True, description="start again with the first order after the last")


Source = Annotated[Endless | Arrivals | Orders, Field(discriminator="kind")]


class Shift(FileSection, populate_by_name=True):
    """Work on these days, between two times of the plant's clock; past midnight when `to` is not later than `from`."""

    days: Annotated[tuple[Day, ...], Field(min_length=1)] = DAYS
    begin: ClockTime = Field(alias="from")
    end: ClockTime = Field(alias="to")


class Loop(FileSection):
    """Carriers (pallets, skids): a part needs one from the station `first` to the station `last`."""

    name: Name
    carriers: Annotated[int, Field(ge=1)]
    first: Name
    last: Name
    back: Distribution = Field(Constant(law="constant", value=0.0), description="time that an empty carrier takes back")


class Line(FileSection):
    name: Name
    product: Name = "part"
    mix: dict[Name, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict, description="share of each product; replaces `product`"
    )
    source: Source = Endless()
    shifts: tuple[Shift, ...] = Field((), description="when people work; default: always")
    loops: tuple[Loop, ...] = ()
    vin: Vin | None = Field(None, description="the line makes cars, and each has such a number")
    standstill: Literal["swap", "wait"] = Field(
        "swap",
        description="when machines wait in a circle for room (rework into full buffers) - swap: the one that closes the"
        " circle hands its part over without room; wait: the line stands still, and reports it",
    )
    stations: Annotated[tuple[AnyStation, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        no_twins("machine", [name for station in self.stations for name in station.machine_names])
        no_twins("station", [station.name for station in self.stations])
        if taken := sorted({name for s in self.stations for name in (s.name, *s.machine_names)} & OWN_NAMES):
            raise ValueError(f"no station may be called {', '.join(taken)}: the line shows values of its own there")
        return self

    def ways_from(self, station: Station) -> tuple[tuple[str, float, str | None], ...]:
        """Where good parts go: station or `out`, share, and the product it holds for (None: all)."""
        if station.next:
            return tuple((route.to, route.share, route.product) for route in station.next)
        names = [s.name for s in self.stations]
        following = [*names[1:], OUT][names.index(station.name)]
        return ((following, 1.0, None),)

    def station(self, name: str) -> Station:
        return next(s for s in self.stations if s.name == name)


class Crew(FileSection):
    """People who repair.  They serve the most urgent job first, then the one that has waited longest."""

    name: Name
    people: Annotated[int, Field(ge=1)] = 1
    shifts: tuple[Shift, ...] = Field(
        (), description="when they work; repairs and maintenance pause outside; default: always"
    )


class Stress(FileSection):
    """Variables for load tests, which only change."""

    name: Name
    variables: Annotated[int, Field(ge=1, le=200_000)]
    rate: Annotated[float, Field(gt=0, le=1000, description="changes of each variable per simulated second")] = 1.0
    type: Literal["bool", "int32", "uint32", "int64", "float", "double", "string"] = "double"


class Plant(FileSection):
    """A whole plant."""

    name: Name
    site: Name
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    start: AwareDatetime = Field(
        datetime(2026, 1, 5, tzinfo=UTC), description="the instant of simulated time 0: a Monday, midnight in UTC"
    )
    servers: Literal["plant", "line", "machine"] = Field("plant", description="one OPC UA server for each of these")
    security: tuple[Literal["None", "Basic256Sha256", "Aes256_Sha256_RsaPss"], ...] = Field(
        (),
        description="security policies of the servers; default: the secure ones; None must be named",
    )
    crews: tuple[Crew, ...] = ()
    lines: tuple[Line, ...] = ()
    stress: tuple[Stress, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        no_twins("line", [line.name for line in self.lines])
        no_twins("stress", [stress.name for stress in self.stress])
        if not self.lines and not self.stress:
            raise ValueError("needs lines, stress or both")
        no_twins("crew", [crew.name for crew in self.crews])
        return self
