"""One car: what it is, and what it says at a time, as signals of VSS."""

import math
from collections.abc import Mapping

import msgspec

from simulators.flow import Part
from simulators.plant import Line
from simulators.streams import stream

WAVE_S = 90.0
"""From one stop to the next."""
FULL, EMPTY, PER_KM = 90.0, 20.0, 0.2
"""Charge in percent after and before charging, and used per kilometre."""
Value = float | int | str | list[str]


class Car(msgspec.Struct, frozen=True, gc=False):
    """A finished car, and what follows from how it was built."""

    vin: str
    built_s: float
    """Simulated time at which it left the line."""
    software: Mapping[str, str]
    """Version by control unit."""
    top_kmh: float
    troubles: tuple[tuple[float, str], ...]
    """Fault codes, and after how many seconds on the road each is set."""


def car_of(part: Part, line: Line, seed: int, built_s: float) -> Car:
    """The car that a finished part is."""
    luck = stream(seed, part.vin, "road")
    top_kmh = 50.0 + 80.0 * float(luck.random())
    found: dict[str, float] = {}
    for ecu in (ecu for station in line.stations for ecu in station.ecus):
        for bad in ecu.bad:
            if part.software.get(ecu.name) == bad.version and bad.per_hour:
                found[bad.trouble] = float(luck.exponential(3600.0 / bad.per_hour))
    return Car(part.vin, built_s, dict(part.software), top_kmh, tuple(sorted((at, code) for code, at in found.items())))


def vss(car: Car, now_s: float) -> dict[str, Value]:
    """What a car says at a simulated time, by path of VSS 5; `Private` holds what VSS leaves to the maker."""
    driven_s = max(0.0, now_s - car.built_s)
    turn = 2.0 * math.pi / WAVE_S
    speed_kmh = car.top_kmh / 2.0 * (1.0 - math.cos(turn * driven_s))
    distance_km = car.top_kmh / 2.0 * (driven_s - math.sin(turn * driven_s) / turn) / 3600.0
    codes = [code for at_s, code in car.troubles if at_s <= driven_s]
    versions = {f"Vehicle.Private.Software.{_branch(ecu)}": version for ecu, version in car.software.items()}
    return {
        "Vehicle.VehicleIdentification.VIN": car.vin,
        "Vehicle.Speed": round(speed_kmh, 3),
        "Vehicle.TraveledDistance": round(distance_km, 4),
        "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current": round(
            FULL - distance_km * PER_KM % (FULL - EMPTY), 3
        ),
        "Vehicle.Diagnostics.DTCList": codes,
        "Vehicle.Diagnostics.DTCCount": len(codes),
        **versions,
    }


def _branch(name: str) -> str:
    """The name of a control unit as a node of VSS: `body-control` becomes `BodyControl`."""
    return "".join(part[:1].upper() + part[1:] for part in name.replace("_", "-").split("-"))
