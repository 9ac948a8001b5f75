"""What configurations are made of: durations, sizes, names, addresses, secrets, and strict models."""

import os
import re
from functools import partial
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gateway.errors import ConfigError

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
    """An address, with one of these schemes.  Raises `ValueError` with what to write instead."""
    parts = urlsplit(value)
    if parts.username or parts.password:
        raise ValueError("keep user name and password out of the address: use username and password")
    if parts.scheme not in schemes or not parts.hostname:
        shown = "this" if "@" in value else value  # what may hold a password is not printed
        raise ValueError(f"{shown}: write an address as {' or '.join(f'{s}://host:port' for s in schemes)}")
    try:
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"{value}: a port is a number up to 65535") from error
    return value


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


def _fields(value: dict[str, str]) -> dict[str, str]:
    for key in value:
        if not _FIELD.match(key):
            raise ValueError(f"a field name is lower case letters, digits and '_': {key!r} is not")
    return value


Fields = Annotated[dict[str, str], AfterValidator(_fields)]


class Strict(BaseModel):
    """Unknown keys are mistakes, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True)


class Secret(Strict):
    """Where a secret is kept: never in the configuration itself."""

    file: Path | None = None
    """A file that holds nothing but the secret; its mode must not let others read it (0600)."""
    env: str | None = None
    """The name of an environment variable."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.file is None) == (self.env is None):
            raise ValueError("name one place: file or env")
        return self

    def read(self) -> str:
        """The secret itself, without a trailing newline.  Raises `ConfigError` with what is missing."""
        if self.env is not None:
            if self.env not in os.environ:
                raise ConfigError([f"the environment variable {self.env} is not set: it should hold a secret"])
            return os.environ[self.env]
        assert self.file is not None
        try:
            if self.file.stat().st_mode & 0o077:
                raise ConfigError([f"{self.file} holds a secret but others may read it: chmod 600 {self.file}"])
            return self.file.read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            raise ConfigError([f"cannot read the secret in {self.file}: {error.strerror}"]) from error
