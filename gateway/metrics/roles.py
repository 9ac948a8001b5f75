"""What a variable means for its machine or line: said by its selection, or found from the specification it follows.

With `role: auto`, a variable has a role when it is where Machinery (OPC 40001-1), PackML (OPC 30050) or the types of
our simulators put it; any other has none, so that no name is guessed.

| where | role |
| --- | --- |
| …/MachineryItemState/CurrentState | `state` |
| …/OperationCounters/OperationCycleCounter | `all_parts`: good or not |
| …/BaseStateMachine[/MachineState[/ExecuteState]]/CurrentState | `state`, of the deepest level that is active |
| …/Status/EquipmentBlocked | `blocked`: a suspended machine is blocked, not starved |
| …/Admin/ProdProcessedCount, ProdDefectiveCount | `all_parts`, `scrap_parts`: the sum of their counts |
| …/Admin/MachDesignSpeed | `design_speed`: parts per minute, the ideal |
| our own machines: State, Good, Scrap, Rework, IdealCycleTime, IdealTime, CycleTime, Energy | as they are called |
| our own lines: Entered, Good, Scrap | `line_entered`, `line_good_parts`, `line_scrap_parts` |

Where a machine has several states, ours is the finest and Machinery's the coarsest: the finest counts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.model import Tag

BLOCKS = ("MachineryBuildingBlocks", "PackML", "Production", "Status", "Admin", "BaseStateMachine", "OperationCounters")
OURS = "nsu=urn:connected-factory:simulator;s="
LEVELS = ("BaseStateMachine", "BaseStateMachine/MachineState", "BaseStateMachine/MachineState/ExecuteState")
PACK_STATES = ("pack_state_0", "pack_state_1", "pack_state_2")
"""The roles of the three nested states of PackML, the outer one first."""
STANDARD: Mapping[str, str] = {
    **{f"{level}/CurrentState": role for level, role in zip(LEVELS, PACK_STATES, strict=True)},
    "MachineryItemState/CurrentState": "item_state",
    "OperationCounters/OperationCycleCounter": "all_parts",
    "Status/EquipmentBlocked": "blocked",
    "Admin/ProdProcessedCount": "all_parts",
    "Admin/ProdDefectiveCount": "scrap_parts",
    "Admin/MachDesignSpeed": "design_speed",
}
OF_OUR_MACHINES: Mapping[str, str] = {
    "State": "state", "Good": "good_parts", "Scrap": "scrap_parts", "Rework": "rework_parts", "CycleTime": "cycle_time",
    "IdealCycleTime": "ideal_cycle", "IdealTime": "ideal_time", "Energy": "energy",
}  # fmt: skip
OF_OUR_LINES: Mapping[str, str] = {"Entered": "line_entered", "Good": "line_good_parts", "Scrap": "line_scrap_parts"}
FINER: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(PACK_STATES, ("state",)),
    "item_state": ("state", *PACK_STATES),
    "all_parts": ("good_parts",),
    "design_speed": ("ideal_cycle", "ideal_time"),
    "blocked": ("state",),
}
"""Which roles of the same machine make a role superfluous."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """The role of a variable, and the machine and line that it belongs to; a line's own variable has no machine."""

    role: str
    machine: str
    line: str


def meanings(source: str, tags: Iterable[tuple[int, Tag, str]]) -> dict[int, Meaning]:
    """By handle, what the tags of a source mean.  Each comes with its handle and the role of its selection."""
    found = {handle: meaning for handle, tag, role in tags if (meaning := _meaning(source, tag, role)) is not None}
    roles: dict[str, set[str]] = {}
    for each in found.values():
        roles.setdefault(each.machine, set()).add(each.role)
    return {
        handle: each for handle, each in found.items() if not roles[each.machine] & set(FINER.get(each.role, ()))
    }  # fmt: skip


def _meaning(source: str, tag: Tag, role: str) -> Meaning | None:
    if role == "auto":
        return _found(source, tag)
    machine = machine_of(source, tag)
    if role.startswith("line_"):
        return Meaning(role, "", tag.fields.get("line") or machine)
    return Meaning(role, machine, line_of(source, tag, machine))


def _found(source: str, tag: Tag) -> Meaning | None:
    if tag.node_id.startswith(OURS):
        path = tag.node_id.removeprefix(OURS).split("/")
        if len(path) == 3 and path[2] in OF_OUR_MACHINES:
            return Meaning(OF_OUR_MACHINES[path[2]], "/".join(path[:2]), path[0])
        if len(path) == 2 and path[1] in OF_OUR_LINES:
            return Meaning(OF_OUR_LINES[path[1]], "", path[0])
        return None
    role = next((role for place, role in STANDARD.items() if f"/{tag.name}".endswith(f"/{place}")), None)
    machine = machine_of(source, tag)
    return Meaning(role, machine, line_of(source, tag, machine)) if role is not None else None


def machine_of(source: str, tag: Tag) -> str:
    """The machine of a tag: its field `machine`, or its path up to the building blocks, or its source."""
    if "machine" in tag.fields:
        return tag.fields["machine"]
    path = tag.name.split("/")[:-1]
    cut = next((n for n, each in enumerate(path) if each in BLOCKS), len(path))
    return "/".join(path[:cut]) or source


def line_of(source: str, tag: Tag, machine: str) -> str:
    """The line of a machine: the field `line` of its tag, or the first part of its path, or its source."""
    return tag.fields.get("line") or (machine.partition("/")[0] if "/" in machine else source)
