"""Names, durations, powers and probabilities of a plant file."""

import math
import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

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


def _places(value: object) -> object:
    return math.inf if value == "unlimited" else value


def _whole(value: float) -> float:
    if value != math.inf and value != int(value):
        raise ValueError(f"write a whole number of places, or unlimited, not {value:g}")
    return value


Name = Annotated[str, AfterValidator(_name)]
UnitName = Annotated[str, AfterValidator(_unit)]
Power = Annotated[float, BeforeValidator(_power, json_schema_input_type=float | str), Field(ge=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, le=1)]
Places = Annotated[
    float, BeforeValidator(_places, json_schema_input_type=int | str), Field(ge=0), AfterValidator(_whole)
]
"""A number of places for parts: 0, 1, 2 … or `unlimited`."""


class FileSection(BaseModel):
    """Common rules of every section of the plant file: unknown keys are mistakes, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def no_twins(what: str, names: list[str]) -> None:
    """Raises ValueError when a name occurs more than once."""
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise ValueError(f"each {what} needs a name of its own: {', '.join(twins)} occurs more than once")
