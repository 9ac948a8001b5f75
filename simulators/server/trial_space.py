"""The address space of a test server: groups, shapes, odd node ids, structures, payloads, JSON nodes.

    Objects / TestNodes / Slow, Fast, Shapes, OddIds, Structures, Payloads, <folders of JSON files>

What changes is a function of the number of the step, and of the seed, so two runs give the same values in the same
order.  `step` writes what is due; nothing else has a clock.
"""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from asyncua import ua

from simulators.server.machines import NOTIFIES, NodeNamespace
from simulators.server.nodes import ObjectIds, numeric, status
from simulators.server.space import HAS_COMPONENT, OBJECTS, READ, WRITE, Variable
from simulators.server.structures import Field, add_enumeration, add_structure
from simulators.trial import Folder, Group, Node, TrialNodes

KINDS = {
    "bool": ua.VariantType.Boolean, "int16": ua.VariantType.Int16, "uint16": ua.VariantType.UInt16,
    "int32": ua.VariantType.Int32, "uint32": ua.VariantType.UInt32, "int64": ua.VariantType.Int64,
    "uint64": ua.VariantType.UInt64, "float": ua.VariantType.Float, "double": ua.VariantType.Double,
    "string": ua.VariantType.String,
}  # fmt: skip
STATES = {"Idle": 0, "Running": 1, "Faulted": 2}
LONG_ID = "long-" + "x" * 4000
Content = bool | int | float | str
Make = Callable[[int], object]


@dataclass(slots=True)
class Moving:
    """Variables that change together."""

    every_s: float
    variables: list[tuple[Variable, Make]]
    step: int = 0
    began_at: int = 0
    """Steps before the last reset."""

    def due(self, now_s: float) -> bool:
        return now_s >= (self.began_at + self.step + 1) * self.every_s - 1e-9


class TrialSpace:
    """The nodes of one test server."""

    def __init__(self, ns: NodeNamespace, spec: TrialNodes, seed: int) -> None:
        self._ns = ns
        self._space = ns.space
        self._rng = random.Random(seed)
        self.moving: list[Moving] = []
        self.root = self._folder("TestNodes", OBJECTS)
        for name, group in (("Slow", spec.slow), ("Fast", spec.fast)):
            self._add_group(name, group)
        if spec.shapes:
            self._add_shapes(spec.shape_every)
        if spec.odd_ids:
            self._add_odd_ids()
        if spec.structures:
            self._add_structures()
        if spec.payloads:
            self._add_payloads(spec.payloads)

    def _folder(self, text: str, parent: ua.NodeId) -> ua.NodeId:
        name = text.rpartition("/")[2]
        return self._space.add_object(
            self._ns.id(text), self._ns.name(name), parent, numeric(ObjectIds.FolderType),
            numeric(ObjectIds.Organizes), notifier=NOTIFIES if text == "TestNodes" else 0,
        )  # fmt: skip

    def _variable(
        self, text: str, parent: ua.NodeId, kind: ua.VariantType, content: object, *,
        node_id: ua.NodeId | None = None, data_type: ua.NodeId | None = None, access: int = READ | WRITE,
        what: str = "",
    ) -> Variable:  # fmt: skip
        name = text.rpartition("/")[2][:200]
        return self._space.add_variable(
            node_id or self._ns.id(text), self._ns.name(name), parent, kind, content, access=access,
            data_type=data_type, description=what, reference=HAS_COMPONENT,
        )  # fmt: skip

    def _add_group(self, name: str, group: Group) -> None:
        folder = self._folder(f"TestNodes/{name}", self.root)
        moving = Moving(group.every, [])
        for number in range(1, group.nodes + 1):
            make = maker(group, random.Random(self._rng.random()))
            text = f"{name}{group.type.title()}{number}"
            moving.variables.append((self._variable(text, folder, KINDS[group.type], make(0)), make))
        self.moving.append(moving)

    def _add_shapes(self, every_s: float) -> None:
        folder = self._folder("TestNodes/Shapes", self.root)
        moving = Moving(every_s, [])
        for name, kind, make in shapes(random.Random(self._rng.random())):
            moving.variables.append((self._variable(name, folder, kind, make(0), access=READ), make))
        self.moving.append(moving)

        async def reset(parent: ua.NodeId, *arguments: ua.Variant) -> ua.StatusCode:
            moving.began_at, moving.step = moving.began_at + moving.step, 0
            return status(0)

        self._space.add_method(self._ns.id("Shapes/Reset"), self._ns.name("Reset"), folder, reset)

    def _add_odd_ids(self) -> None:
        folder, index = self._folder("TestNodes/OddIds", self.root), ua.Int16(self._ns.index)
        ids: dict[str, ua.NodeId] = {
            "LongId": self._ns.id(LONG_ID),
            "GuidId": ua.NodeId(ua.Guid(hex="0d0b4d4e2a464c0e8f0a6a0a1f3c7b11"), index),
            "OpaqueId": ua.NodeId(ua.ByteString(bytes(range(32))), index),
            "LargestNumber": numeric(2**32 - 1, self._ns.index),
            "OddId": self._ns.id("a;b=c \"d\" 'e' /ä?#%20&<f>\\{g}"),
            "Ünïcode 名前": self._ns.id("名前 🏭"),
        }
        for name, node_id in ids.items():
            self._variable(name, folder, ua.VariantType.Int32, 1, node_id=node_id)

    def _add_structures(self) -> None:
        folder, ns = self._folder("TestNodes/Structures", self.root), self._ns
        state = add_enumeration(
            self._space, ns.id("MachineStateEnum"), ns.name("MachineStateEnum"), STATES,
            ns.id("MachineStateEnum/Strings"),
        )  # fmt: skip
        fields = (
            Field("Name", ua.VariantType.String), Field("Speed", ua.VariantType.Double),
            Field("State", ua.VariantType.Int32), Field("Curve", ua.VariantType.Float, 1),
        )  # fmt: skip
        shape = add_structure(
            self._space, ns.id("ReadingDataType"), ns.id("ReadingDataType/Binary"), ns.name("ReadingDataType"), fields
        )

        def reading(step: int) -> ua.ExtensionObject:
            return shape.value(Name=f"reading {step}", Speed=step / 2, State=step % 3, Curve=[step, step + 0.5])

        kind = ua.VariantType.ExtensionObject
        variables: list[tuple[Variable, Make]] = [
            (self._variable("Reading", folder, kind, reading(0), data_type=shape.type_id), reading),
            (
                self._variable("MachineState", folder, ua.VariantType.Int32, 0, data_type=state),
                lambda step: step % len(STATES),
            ),
        ]
        self.moving.append(Moving(1.0, variables))

    def _add_payloads(self, sizes: tuple[int, ...]) -> None:
        folder = self._folder("TestNodes/Payloads", self.root)
        moving = Moving(10.0, [])
        for size in sizes:

            def filled(step: int, size: int = size) -> bytes:
                return bytes([65 + step % 26]) * (size * 1000)

            name = f"Payload{size}kB"
            moving.variables.append((self._variable(name, folder, ua.VariantType.ByteString, filled(0)), filled))
        self.moving.append(moving)

    def add_json(self, folder: Folder, parent: ua.NodeId | None = None, path: str = "TestNodes") -> None:
        """Add the folder of a JSON file, with everything below it."""
        text = f"{path}/{folder.folder}"
        node_id = self._folder(text, parent or self.root)
        for node in folder.nodes:
            self._add_json_node(node, node_id)
        for inner in folder.folders:
            self.add_json(inner, node_id, text)

    def _add_json_node(self, node: Node, parent: ua.NodeId) -> None:
        own = isinstance(node.node_id, int)
        node_id = numeric(int(node.node_id), self._ns.index) if own else self._ns.id(str(node.node_id))
        kind = ua.VariantType[node.data_type]
        zero: object = [] if node.rank == 1 else {"Boolean": False, "String": ""}.get(node.data_type, 0)
        content = zero if node.value is None else node.value
        if kind in (ua.VariantType.Float, ua.VariantType.Double):
            content = [float(v) for v in content] if isinstance(content, list) else float(str(content))
        access = READ | (WRITE if node.access == "CurrentReadOrWrite" else 0)
        name = node.name or str(node.node_id)
        self._variable(name, parent, kind, content, node_id=node_id, access=access, what=node.description)

    def step(self, now_s: float) -> int:
        """Write every change that is due since the start.  Returns their number."""
        written = 0
        for moving in self.moving:
            while moving.due(now_s):
                moving.step += 1
                now = datetime.now(UTC)
                for variable, make in moving.variables:
                    self._space.write(variable, make(moving.step), now, now)
                    written += 1
        return written


def maker(group: Group, rng: random.Random) -> Make:
    """The values of a group's variable, by number of the step."""
    span = group.high - group.low

    def one(step: int) -> Content:
        value = rng.uniform(group.low, group.high) if group.random else group.low + (step * group.step) % span
        if group.type == "bool":
            return bool(step % 2) if not group.random else rng.random() < 0.5
        if group.type == "string":
            return f"value {value:g}"
        return value if group.type in ("float", "double") else int(value)

    def make(step: int) -> object:
        return [one(step + n) for n in range(group.array)] if group.array else one(step)

    return make


def shapes(rng: random.Random) -> Iterator[tuple[str, ua.VariantType, Make]]:
    """Signals with a shape that a test can look for."""
    double, boolean = ua.VariantType.Double, ua.VariantType.Boolean

    def sine(step: int) -> float:
        return 100.0 * math.sin(2 * math.pi * step / 100)

    yield "SpikeData", double, lambda step: 1000.0 if step and step % 50 == 0 else sine(step)
    yield "DipData", double, lambda step: -1000.0 if step and step % 50 == 0 else sine(step)
    yield "PositiveTrendData", double, lambda step: 100.0 + max(0, step - 50)
    yield "NegativeTrendData", double, lambda step: 100.0 - max(0, step - 50)
    yield "StepUp", ua.VariantType.UInt32, lambda step: step % 2**32
    yield "AlternatingBoolean", boolean, lambda step: bool(step // 10 % 2)
    yield "RandomSignedInt32", ua.VariantType.Int32, lambda step: rng.randint(-(2**31), 2**31 - 1)
    yield "RandomUnsignedInt32", ua.VariantType.UInt32, lambda step: rng.randint(0, 2**32 - 1)
