"""Types of configuration values: durations, sizes, names, addresses, and strict models."""

import re
from functools import partial
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from gateway.urls import checked_host, parse_url

_DURATION = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|min|h|d)\s*$")
_DURATION_S = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*(B|KiB|MiB|GiB|TiB|kB|MB|GB|TB)\s*$")
_SIZE_BYTES = {
    "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
}  # fmt: skip
_FIELD = re.compile(r"^[a-z][a-z0-9_]*$")


def _duration(value: object) -> object:
    if isinstance(value, str):
        match = _DURATION.match(value)
        if match is None:
            raise ValueError("write a duration as a number and a unit: 250ms, 5s, 10min, 2h or 7d")
        return float(match[1]) * _DURATION_S[match[2]]
    return value


def _size(value: object) -> object:
    if isinstance(value, str):
        match = _SIZE.match(value)
        if match is None:
            raise ValueError("write a size as a number and a unit: 64KiB, 16MiB or 2GiB (or MB, GB for powers of ten)")
        return int(float(match[1]) * _SIZE_BYTES[match[2]])
    return value


def url_of(*schemes: str) -> AfterValidator:
    return AfterValidator(partial(checked_url, schemes=schemes))


def checked_url(value: str, schemes: tuple[str, ...]) -> str:
    """A normalised address with one of these schemes.  Raises `ValueError` with the remedy.

    The address of an OPC UA server is complete, with its port, since it is compared with the server's own endpoint
    URLs.
    """
    url = parse_url(value, schemes)
    return str(url) if url.scheme == "opc.tcp" else url.scheme + value[len(url.scheme) :]


Host = Annotated[str, AfterValidator(checked_host)]
"""A host name, or an IP address."""
Seconds = Annotated[float, BeforeValidator(_duration, json_schema_input_type=float | str), Field(gt=0, le=31_536_000)]
"""A duration: `250ms`, `5s`, `10min`, `2h`, `7d`, or a number of seconds."""
SecondsOrZero = Annotated[
    float, BeforeValidator(_duration, json_schema_input_type=float | str), Field(ge=0, le=31_536_000)
]
"""A duration that may be 0."""
Bytes = Annotated[int, BeforeValidator(_size, json_schema_input_type=int | str), Field(gt=0)]
"""A size: `64KiB`, `16MiB`, `2GiB`, or a number of bytes."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
"""A name: letters, digits, `_`, `.` and `-`; up to 64 of them."""


def _utf8(value: str) -> str:
    if len(value.encode()) > 65_535:
        raise ValueError("is longer than 65535 bytes")
    return value


MqttText = Annotated[str, AfterValidator(_utf8)]
"""A text that MQTT can carry (5, 1.5.4)."""


def _fields(value: dict[str, str]) -> dict[str, str]:
    for key in value:
        if not _FIELD.match(key):
            raise ValueError(f"a field name has lower case letters, digits and '_' only: {key!r} does not")
    return value


Fields = Annotated[dict[str, str], AfterValidator(_fields)]


class Strict(BaseModel):
    """Unknown keys are mistakes, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True)
