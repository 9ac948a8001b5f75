"""The plant file: one frozen tree, decoded strictly, checked as a whole before anything runs.

A plant has a name, a site and lines.  A line has stations, in the order in which parts pass them.  Every key is
documented where it is declared; the JSON Schema is generated from these declarations.
"""

from pathlib import Path

from simulators.plant.checks import problems_of, warnings_of
from simulators.plant.curves import CurveSpec, Progress, Pulses, Tightening, Zones
from simulators.plant.lines import (
    Arrivals,
    Crew,
    Endless,
    Line,
    Loop,
    Order,
    Orders,
    Plant,
    Shift,
    Stress,
)  # fmt: skip
from simulators.plant.sensing import Counting, Lagging, Loading, SensorFault, SignalSpec, Wearing
from simulators.plant.stations import (
    OUT,
    AnyStation,
    Cause,
    Component,
    Conveyor,
    Defect,
    Failure,
    Maintenance,
    Oven,
    Powers,
    Process,
    Route,
    Setup,
    SpeedLaws,
    Station,
    Tool,
    Transport,
)  # fmt: skip
from simulators.plant.vehicles import BadVersion, Ecu, Vin, is_vin
from simulators.yaml_models import validated
from simulators.yaml_positions import read_yaml

__all__ = [
    "OUT", "AnyStation", "Arrivals", "BadVersion", "Cause", "Component", "Conveyor", "Counting", "Crew", "CurveSpec",
    "Defect", "Ecu", "Endless", "Failure", "Lagging", "Line", "Loading", "Loop", "Maintenance", "Order", "Orders",
    "Oven", "Plant", "Powers", "Process", "Progress", "Pulses", "Route", "SensorFault", "Setup", "Shift", "SignalSpec",
    "SpeedLaws", "Station", "Stress", "Tightening", "Tool", "Transport", "Vin", "Wearing", "Zones", "is_vin", "load",
    "schema", "warnings_of",
]  # fmt: skip


def load(path: str | Path) -> Plant:
    """Read a plant file.  Raises `ConfigError` with file, line, key and remedy of every mistake."""
    return validated(Plant, read_yaml(Path(path)), problems_of)


def schema() -> dict[str, object]:
    """The JSON Schema of a plant file (draft 2020-12), for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Plant.model_json_schema(by_alias=True)}
