"""Files of other programs, read with bounds: size, depth and number of values."""

import json
import re
import tomllib
from pathlib import Path

from gateway.errors import ConfigError
from gateway.yaml_positions import read_yaml

MOST_BYTES = 64 * 2**20
_STRING_OR_COMMENT = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/', re.DOTALL)


def text_of(path: Path) -> str:
    """The text of a file.  Raises `ConfigError`."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    if len(data) > MOST_BYTES:
        raise ConfigError([f"{path}: is larger than {MOST_BYTES // 2**20} MiB: divide it"])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}:{line}: is not UTF-8 text: save it as UTF-8"]) from error


def json_of(path: Path) -> object:
    """A JSON file, which may have comments.  Raises `ConfigError` with the line."""
    text = _STRING_OR_COMMENT.sub(lambda match: match[0] if match[0][0] == '"' else " ", text_of(path))
    try:
        found: object = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise ConfigError([f"{path}:{error.lineno}: is not JSON: {error.msg}"]) from error
    except (RecursionError, ValueError) as error:
        why = "is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ConfigError([f"{path}: is not JSON that can be read here: {why}"]) from error
    return found


def _no_constant(text: str) -> object:
    raise ValueError(f"{text} is no number of JSON")


def toml_of(path: Path) -> dict[str, object]:
    """A TOML file.  Raises `ConfigError`."""
    try:
        return tomllib.loads(text_of(path))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}: is not TOML: {error}"]) from error
    except RecursionError as error:
        raise ConfigError([f"{path}: is nested too deeply"]) from error


def yaml_of(path: Path) -> object:
    """A YAML file, of the dialect of our own.  Raises `ConfigError` with the line."""
    return read_yaml(path).value
