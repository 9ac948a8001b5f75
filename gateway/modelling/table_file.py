"""The tables of servers in a file of JSON lines, so that models can be made without the servers.

    {"table": "connected-factory", "version": 1, "gateway": "edge-1"}
    {"source": "press-shop", "url": "opc.tcp://…"}
    {"tag": {…}, "facts": {…}}            of the last source, one for each variable
    {"command": {…}}

A data type that many variables have is written once (`"type": N`, `"type_of": N`).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec.structs import replace

from gateway.errors import ConfigError
from gateway.model import Tag, TagFacts, VariableType
from gateway.modelling.description import CommandTarget, SourceTable

MOST_LINE = 4 * 2**20
"""A longer line is none of ours."""
MOST_TAGS = 2_000_000


class _Head(msgspec.Struct, forbid_unknown_fields=True):
    table: Literal["connected-factory"]
    version: Literal[1]
    gateway: str


class _Line(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    source: str | None = None
    url: str = ""
    type: int | None = None
    is_a: VariableType | None = None
    tag: Tag | None = None
    type_of: int | None = None
    facts: TagFacts | None = None
    command: CommandTarget | None = None


def written(gateway: str, tables: Sequence[SourceTable]) -> Iterator[str]:
    """The lines of the file."""
    encode = msgspec.json.encode
    yield encode(_Head("connected-factory", 1, gateway)).decode() + "\n"
    types: dict[VariableType, int] = {}
    for table in tables:
        yield encode(_Line(source=table.name, url=table.url)).decode() + "\n"
        for tag, facts in zip(table.tags, table.facts, strict=True):
            said, number = tag.variable_type, None
            if said is not None:
                if said not in types:
                    types[said] = len(types)
                    yield encode(_Line(type=types[said], is_a=said)).decode() + "\n"
                number = types[said]
                tag = replace(tag, variable_type=None)
            yield encode(_Line(tag=tag, type_of=number, facts=facts)).decode() + "\n"
        for command in table.commands:
            yield encode(_Line(command=command)).decode() + "\n"


def read(path: Path) -> list[SourceTable]:
    """The tables of a file.  Raises `ConfigError` with file and line of what is wrong."""
    line = 0
    try:
        with path.open("rb") as file:
            msgspec.json.decode(_next(file, path, 1), type=_Head)
            reading = _Reading()
            line = 1
            while data := _next(file, path, line + 1):
                line += 1
                reading.take(msgspec.json.decode(data, type=_Line))
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError, IndexError) as error:
        hint = (
            "it is no table of `gateway model read`: make it again"
            if line == 0
            else "make it again with `gateway model read`"
        )
        raise ConfigError([f"{path}:{max(line, 1)}: {error}: {hint}"]) from error
    return reading.tables


def _next(file: object, path: Path, line: int) -> bytes:
    data: bytes = file.readline(MOST_LINE + 1)  # type: ignore[attr-defined]  # a binary file
    if len(data) > MOST_LINE:
        raise ConfigError([f"{path}:{line}: the line is longer than {MOST_LINE} bytes: it is no table of ours"])
    return data


class _Reading:
    def __init__(self) -> None:
        self.tables: list[SourceTable] = []
        self._types: list[VariableType] = []
        self._count = 0

    def take(self, line: _Line) -> None:
        if line.source is not None:
            self.tables.append(SourceTable(line.source, line.url, [], [], []))
        elif line.is_a is not None:
            self._types.append(line.is_a)
        elif not self.tables:
            raise ValueError("a variable without a source before it")
        elif line.tag is not None:
            self._add(line)
        elif line.command is not None:
            self.tables[-1].commands.append(line.command)  # type: ignore[attr-defined]  # made here as a list
        else:
            raise ValueError("the line says nothing")

    def _add(self, line: _Line) -> None:
        self._count += 1
        if self._count > MOST_TAGS:
            raise ValueError(f"more than {MOST_TAGS} variables")
        tag, table = line.tag, self.tables[-1]
        assert tag is not None
        if line.type_of is not None:
            if not 0 <= line.type_of < len(self._types):
                raise ValueError(f"there is no type {line.type_of}")
            said = self._types[line.type_of]
            tag = replace(tag, variable_type=said)
        table.tags.append(tag)  # type: ignore[attr-defined]  # made here as a list
        table.facts.append(line.facts or TagFacts())  # type: ignore[attr-defined]
