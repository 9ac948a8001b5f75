"""The address space of one server: nodes are written directly into asyncua's store, thousands in a tenth of a second.

asyncua's own way compares a new node with every node of its parent, which grows with the square of their number.  Here
the caller guarantees that node ids and browse names are unique; a node id that exists is a bug and raises.

A `Variable` is a handle for writing: type, node id and the attribute's slot, looked up once.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from asyncua import ua
from asyncua.server.address_space import AddressSpace, AttributeValue, NodeData

from simulators.server.items import Items
from simulators.server.nodes import GOOD, AttributeIds, ObjectIds, localized, numeric
from simulators.server.nodes import value as data_value

HAS_COMPONENT = numeric(ObjectIds.HasComponent)
HAS_PROPERTY = numeric(ObjectIds.HasProperty)
ORGANIZES = numeric(ObjectIds.Organizes)
HAS_SUBTYPE = numeric(ObjectIds.HasSubtype)
HAS_TYPE = numeric(ObjectIds.HasTypeDefinition)
OBJECTS = numeric(ObjectIds.ObjectsFolder)
FOLDER_TYPE = numeric(ObjectIds.FolderType)
BASE_OBJECT = numeric(ObjectIds.BaseObjectType)
PROPERTY_TYPE = numeric(ObjectIds.PropertyType)
DATA_VARIABLE = numeric(ObjectIds.BaseDataVariableType)
READ = 0x01
WRITE = 0x02
HISTORY_READ = 0x04

Method = Callable[..., Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable that can be written."""

    node_id: ua.NodeId
    kind: ua.VariantType
    slot: AttributeValue

    @property
    def content(self) -> object:
        """The present value."""
        held = self.slot.value
        return held.Value.Value if held and held.Value else None


class Space:
    """Adds, finds, writes and removes nodes."""

    def __init__(self, store: AddressSpace) -> None:
        self.store = store

    def add_object(
        self, node_id: ua.NodeId, name: ua.QualifiedName, parent: ua.NodeId, type_id: ua.NodeId = BASE_OBJECT,
        reference: ua.NodeId = HAS_COMPONENT, *, description: str = "", notifier: int = 0,
    ) -> ua.NodeId:  # fmt: skip
        node = self._add(node_id, ua.NodeClass.Object, name, description)
        _set(node, AttributeIds.EventNotifier, notifier, ua.VariantType.Byte)
        self._type(node, type_id)
        self.refer(parent, node_id, reference)
        return node_id

    def add_folder(self, node_id: ua.NodeId, name: ua.QualifiedName, parent: ua.NodeId) -> ua.NodeId:
        return self.add_object(node_id, name, parent, FOLDER_TYPE, ORGANIZES)

    def add_variable(
        self, node_id: ua.NodeId, name: ua.QualifiedName, parent: ua.NodeId, kind: ua.VariantType, content: object,
        *, type_id: ua.NodeId = DATA_VARIABLE, reference: ua.NodeId = HAS_COMPONENT, data_type: ua.NodeId | None = None,
        access: int = READ, description: str = "", rank: int | None = None,
    ) -> Variable:  # fmt: skip
        node = self._add(node_id, ua.NodeClass.Variable, name, description)
        rank = rank or (1 if isinstance(content, list | tuple) else -1)
        _set(node, AttributeIds.DataType, data_type or numeric(kind.value), ua.VariantType.NodeId)
        _set(node, AttributeIds.ValueRank, rank, ua.VariantType.Int32)
        if rank >= 1:
            _set(node, AttributeIds.ArrayDimensions, [0] * rank, ua.VariantType.UInt32)
        _set(node, AttributeIds.AccessLevel, access, ua.VariantType.Byte)
        _set(node, AttributeIds.UserAccessLevel, access, ua.VariantType.Byte)
        _set(node, AttributeIds.MinimumSamplingInterval, 0.0, ua.VariantType.Double)
        _set(node, AttributeIds.Historizing, False, ua.VariantType.Boolean)
        now = datetime.now(UTC)
        slot = AttributeValue(data_value(content, kind, now, now))
        node.attributes[AttributeIds.Value] = slot
        self._type(node, type_id)
        self.refer(parent, node_id, reference)
        return Variable(node_id, kind, slot)

    def add_property(
        self, node_id: ua.NodeId, name: ua.QualifiedName, parent: ua.NodeId, kind: ua.VariantType, content: object,
        *, data_type: ua.NodeId | None = None,
    ) -> Variable:  # fmt: skip
        return self.add_variable(
            node_id, name, parent, kind, content, type_id=PROPERTY_TYPE, reference=HAS_PROPERTY, data_type=data_type
        )

    def add_type(
        self, node_id: ua.NodeId, name: ua.QualifiedName, parent: ua.NodeId, node_class: ua.NodeClass, abstract: bool
    ) -> ua.NodeId:
        """Add an object, variable, data or reference type as a subtype of `parent`."""
        node = self._add(node_id, node_class, name, "")
        _set(node, AttributeIds.IsAbstract, abstract, ua.VariantType.Boolean)
        if node_class is ua.NodeClass.VariableType:
            _set(node, AttributeIds.DataType, numeric(ObjectIds.BaseDataType), ua.VariantType.NodeId)
            _set(node, AttributeIds.ValueRank, -2, ua.VariantType.Int32)
        if node_class is ua.NodeClass.ReferenceType:
            _set(node, AttributeIds.Symmetric, False, ua.VariantType.Boolean)
        self.refer(parent, node_id, HAS_SUBTYPE)
        return node_id

    def add_method(
        self, node_id: ua.NodeId, name: ua.QualifiedName, parent: ua.NodeId, method: Method | None
    ) -> ua.NodeId:
        """Add a method to `parent`.  It is called with the id of the object and then its arguments."""
        node = self._add(node_id, ua.NodeClass.Method, name, "")
        _set(node, AttributeIds.Executable, True, ua.VariantType.Boolean)
        _set(node, AttributeIds.UserExecutable, True, ua.VariantType.Boolean)
        node.call = method
        self.refer(parent, node_id, HAS_COMPONENT)
        return node_id

    def add_arguments(self, node_id: ua.NodeId, name: str, method: ua.NodeId, arguments: Sequence[ua.Argument]) -> None:
        """Add `InputArguments` or `OutputArguments` to a method."""
        self.add_property(
            node_id, ua.QualifiedName(ua.String(name)), method, ua.VariantType.ExtensionObject, list(arguments),
            data_type=numeric(ObjectIds.Argument),
        )  # fmt: skip

    def refer(self, source: ua.NodeId, target: ua.NodeId, kind: ua.NodeId) -> None:
        """Add a reference of `kind` from `source` to `target`, and its inverse."""
        self.store[source].references.append(self._description(target, kind, forward=True))
        self.store[target].references.append(self._description(source, kind, forward=False))

    def nodes_of(self, namespace: int) -> list[tuple[ua.NodeId, NodeData]]:
        """The nodes of a namespace."""
        keys = [node_id for node_id in self.store.keys() if node_id.NamespaceIndex == namespace]  # noqa: SIM118 - no dict
        return [(node_id, self.store[node_id]) for node_id in keys]

    def remove(self, node_id: ua.NodeId) -> NodeData:
        """Remove a node and return it for `restore`.  References to it stay."""
        node = self.store[node_id]
        del self.store[node_id]
        return node

    def restore(self, node: NodeData) -> None:
        self.store[node.nodeid] = node

    def write(
        self, variable: Variable, content: object, source_time: datetime, server_time: datetime, code: int = 0
    ) -> ua.DataValue:
        """Write a value with both timestamps and notify the subscribers.  Returns the written DataValue."""
        written = data_value(content, variable.kind, source_time, server_time, code)
        variable.slot.value = written
        for handle, callback in variable.slot.datachange_callbacks.items():
            items: Items = getattr(callback, "__self__")  # noqa: B009 - every callback is a method of Items
            items.notify(handle, written)
        return written

    def _add(self, node_id: ua.NodeId, node_class: ua.NodeClass, name: ua.QualifiedName, description: str) -> NodeData:
        if node_id in self.store:
            raise ValueError(f"the node {node_id.to_string()} exists already")
        node = NodeData(node_id)
        _set(node, AttributeIds.NodeId, node_id, ua.VariantType.NodeId)
        _set(node, AttributeIds.NodeClass, node_class, ua.VariantType.Int32)
        _set(node, AttributeIds.BrowseName, name, ua.VariantType.QualifiedName)
        _set(node, AttributeIds.DisplayName, localized(name.Name), ua.VariantType.LocalizedText)
        _set(node, AttributeIds.Description, localized(description), ua.VariantType.LocalizedText)
        _set(node, AttributeIds.WriteMask, 0, ua.VariantType.UInt32)
        _set(node, AttributeIds.UserWriteMask, 0, ua.VariantType.UInt32)
        self.store[node_id] = node
        return node

    def _type(self, node: NodeData, type_id: ua.NodeId) -> None:
        if type_id.is_null():
            return
        node.references.append(self._description(type_id, HAS_TYPE, forward=True))

    def _description(self, target: ua.NodeId, kind: ua.NodeId, forward: bool) -> ua.ReferenceDescription:
        node = self.store[target]
        type_id = next((r.NodeId for r in node.references if r.IsForward and r.ReferenceTypeId == HAS_TYPE), None)
        return ua.ReferenceDescription(
            ReferenceTypeId=kind,
            IsForward=forward,
            NodeId=target,
            BrowseName=_get(node, AttributeIds.BrowseName),
            DisplayName=_get(node, AttributeIds.DisplayName),
            NodeClass=_get(node, AttributeIds.NodeClass),
            TypeDefinition=type_id or ua.NodeId(),
        )


def bind_method(space: Space, method_id: ua.NodeId, method: Method) -> None:
    """Let clients call a method that exists."""
    node = space.store[method_id]
    node.call = method
    for attribute in (AttributeIds.Executable, AttributeIds.UserExecutable):
        _set(node, attribute, True, ua.VariantType.Boolean)


def set_attribute(
    space: Space, node_id: ua.NodeId, attribute: AttributeIds, content: object, kind: ua.VariantType
) -> None:
    """Set an attribute of a node that exists, before the first client connects."""
    _set(space.store[node_id], attribute, content, kind)


def _set(node: NodeData, attribute: AttributeIds, content: object, kind: ua.VariantType) -> None:
    held = _plain(int(content), kind) if isinstance(content, int) else _held(content, kind)
    node.attributes[attribute] = AttributeValue(held)


def _held(content: object, kind: ua.VariantType) -> ua.DataValue:
    return ua.DataValue(ua.Variant(content, kind, is_array=isinstance(content, list)), GOOD)


@cache
def _plain(content: int, kind: ua.VariantType) -> ua.DataValue:
    """A shared DataValue for masks, ranks and flags, which are the same in thousands of nodes."""
    return _held(bool(content) if kind is ua.VariantType.Boolean else content, kind)


def _get(node: NodeData, attribute: AttributeIds) -> object:
    held = node.attributes[attribute].value
    return held.Value.Value if held and held.Value else None


def variables_below(space: Space, root: ua.NodeId) -> list[ua.NodeId]:
    """The variables below a node, by its forward hierarchy; properties are none."""
    found: list[ua.NodeId] = []
    waiting = [root]
    while waiting:
        for reference in space.store[waiting.pop()].references:
            if reference.IsForward and reference.ReferenceTypeId in (ORGANIZES, HAS_COMPONENT):
                waiting.append(reference.NodeId)
                if reference.NodeClass == ua.NodeClass.Variable:
                    found.append(reference.NodeId)
    return found
