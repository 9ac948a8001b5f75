"""The file of a test server: which nodes it has beside no factory at all.  Every key has a default.

    slow: {nodes: 20, every: 10s, type: uint32, low: 0, high: 1000, step: 5}
    fast: {nodes: 20, every: 1s, type: double, array: 8}
    payloads: [10, 50, 100, 200]
    nodesets: [boiler.xml]
    nodes: [nodes.json]

`nodes` files have the form of OPC PLC's: Folder, NodeList (NodeId, Name, DataType, …) and FolderList.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from simulators.distributions import Positive
from simulators.errors import ConfigError
from simulators.yaml_models import validated
from simulators.yaml_positions import Problem, read_yaml

Type = Literal["bool", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float", "double", "string"]
WHOLE = {"int16": 2**15, "uint16": 2**16, "int32": 2**31, "uint32": 2**32, "int64": 2**63, "uint64": 2**64}


class FileSection(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Group(FileSection):
    """Variables that step from `low` to `high` and begin again."""

    nodes: Annotated[int, Field(ge=0, le=100_000)] = 5
    every: Positive = Field(1.0, description="time from one change to the next")
    type: Type = "uint32"
    low: float = 0.0
    high: float = 4_000_000_000.0
    step: Annotated[float, Field(gt=0)] = 1.0
    array: Annotated[int, Field(ge=0, le=100_000, description="elements; 0: no array")] = 0
    random: bool = Field(False, description="values by chance (from the seed) in place of steps")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.high <= self.low:
            raise ValueError("high must be above low")
        size = WHOLE.get(self.type)
        if size is not None and not (-size if self.type.startswith("int") else 0) <= self.low < self.high < size:
            raise ValueError(f"low and high must fit into {self.type}")
        return self


class TrialNodes(FileSection):
    """A whole file."""

    name: Annotated[str, Field(min_length=1)] = "test-server"
    slow: Group = Group(every=10.0)
    fast: Group = Group(every=1.0)
    shapes: bool = Field(True, description="spikes, dips, trends, steps, random and alternating values")
    shape_every: Positive = 0.1
    odd_ids: bool = Field(True, description="long, GUID, opaque and odd node ids")
    structures: bool = Field(True, description="a structure and an enumeration of our own")
    payloads: tuple[Annotated[int, Field(ge=1, le=16_000)], ...] = Field((10, 50, 100, 200), description="in kB")
    nodesets: tuple[Path, ...] = Field((), description="NodeSet2 files")
    nodes: tuple[Path, ...] = Field((), description="JSON files of nodes")


class Node(FileSection):
    """One variable of a JSON file."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    node_id: int | str = Field(alias="NodeId")
    name: str | None = Field(None, alias="Name")
    description: str = Field("", alias="Description")
    data_type: str = Field("Int32", alias="DataType")
    rank: Literal[-1, 1] = Field(-1, alias="ValueRank")
    access: Literal["CurrentRead", "CurrentReadOrWrite"] = Field("CurrentReadOrWrite", alias="AccessLevel")
    namespace: int | None = Field(None, alias="NamespaceIndex")
    value: object = Field(None, alias="Value")


class Folder(FileSection):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    folder: Annotated[str, Field(min_length=1)] = Field(alias="Folder")
    nodes: tuple[Node, ...] = Field((), alias="NodeList")
    folders: "tuple[Folder, ...]" = Field((), alias="FolderList")


JSON_TYPES = {
    "Boolean": bool, "SByte": int, "Byte": int, "Int16": int, "UInt16": int, "Int32": int, "UInt32": int,
    "Int64": int, "UInt64": int, "Float": float, "Double": float, "String": str,
}  # fmt: skip


def load_trial(path: Path | None) -> TrialNodes:
    """Read a file; None: all defaults.  Paths in it are relative to it.  Raises `ConfigError`."""
    if path is None:
        return TrialNodes()
    found = validated(TrialNodes, read_yaml(path))
    own = {key: tuple(path.parent / each for each in getattr(found, key)) for key in ("nodesets", "nodes")}
    missing = [str(each) for paths in own.values() for each in paths if not each.is_file()]
    if missing:
        raise ConfigError([f"{path}: there is no file {each}" for each in missing])
    return found.model_copy(update=own)


def load_folder(path: Path) -> Folder:
    """Read a JSON file of nodes.  Raises `ConfigError` with file, line and key of every mistake."""
    return validated(Folder, read_yaml(path), lambda folder: list(_problems(folder, (), set())))


def _problems(folder: Folder, place: tuple[str | int, ...], seen: set[int | str]) -> Sequence[Problem]:
    found: list[Problem] = []
    for number, node in enumerate(folder.nodes):
        here = (*place, "NodeList", number)
        if node.node_id in seen:
            found.append(((*here, "NodeId"), f"the node id {node.node_id} is taken"))
        seen.add(node.node_id)
        kind = JSON_TYPES.get(node.data_type)
        if kind is None:
            found.append(((*here, "DataType"), f"unknown type {node.data_type!r}; known are {', '.join(JSON_TYPES)}"))
        elif not _is_of(node, kind):
            found.append(((*here, "Value"), f"is no {node.data_type}{' array' if node.rank == 1 else ''}"))
    for number, inner in enumerate(folder.folders):
        found.extend(_problems(inner, (*place, "FolderList", number), seen))
    return found


def _is_of(node: Node, kind: type) -> bool:
    if node.value is None:
        return True
    values = node.value if isinstance(node.value, list) and node.rank == 1 else [node.value]
    if (node.rank == 1) != isinstance(node.value, list):
        return False
    return all(isinstance(v, kind) or (kind is float and type(v) is int) for v in values) and not (
        kind is int and any(isinstance(v, bool) for v in values)
    )
