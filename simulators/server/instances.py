"""Creates instances of published types, with the children that the type, its supertypes and the caller ask for.

asyncua's own instantiation follows only the declaration, and takes all optional children or none.  Here a child comes
from the declaration *and* from the type of the child.  Mandatory children are always made, optional ones when their
path is named (`Status/MachSpeed/EngineeringUnits`), placeholders never.  Browse names keep the namespace of their
specification; nodes get ids in our own namespace.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from asyncua import ua

from simulators.server.machines import NodeNamespace
from simulators.server.models import HAS_ADDIN, HAS_RULE
from simulators.server.nodes import AttributeIds, ObjectIds, localized, numeric, status
from simulators.server.space import HAS_COMPONENT, HAS_PROPERTY, HAS_SUBTYPE, HAS_TYPE, ORGANIZES, Variable

MANDATORY = numeric(ObjectIds.ModellingRule_Mandatory)
OPTIONAL = numeric(ObjectIds.ModellingRule_Optional)
CHILDREN = (HAS_COMPONENT, HAS_PROPERTY, HAS_ADDIN, ORGANIZES)


@dataclass(frozen=True, slots=True)
class Declared:
    """A child that a type or a declaration requires or offers."""

    name: ua.QualifiedName
    node_id: ua.NodeId
    how: ua.NodeId
    node_class: ua.NodeClass
    mandatory: bool


@dataclass(frozen=True, slots=True)
class Instance:
    """The nodes of a new instance, by browse path."""

    node_id: ua.NodeId
    nodes: dict[str, ua.NodeId] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)


class InstanceMaker:
    """Makes instances on one server."""

    def __init__(self, ns: NodeNamespace) -> None:
        self._ns = ns
        self._space = ns.space
        self._known: dict[ua.NodeId, dict[str, Declared]] = {}

    def make(
        self, type_id: ua.NodeId, text: str, name: ua.QualifiedName, parent: ua.NodeId, how: ua.NodeId,
        *, optional: Collection[str] = (), values: Mapping[str, object] | None = None,
    ) -> Instance:  # fmt: skip
        """Make an object of a type with the named optional children.  `values` by browse path."""
        node_id = self._space.add_object(self._ns.id(text), name, parent, type_id, how)
        return self.fill(node_id, text, type_id, optional=optional, values=values)

    def fill(
        self, node_id: ua.NodeId, text: str, type_id: ua.NodeId, *, optional: Collection[str] = (),
        values: Mapping[str, object] | None = None,
    ) -> Instance:  # fmt: skip
        """Add the children that its type requires to an existing object."""
        instance = Instance(node_id)
        self._fill(instance, node_id, text, "", self._of_type(type_id), optional=optional, values=values or {})
        return instance

    def _fill(
        self, instance: Instance, parent: ua.NodeId, text: str, path: str, declared: Mapping[str, Declared],
        *, optional: Collection[str], values: Mapping[str, object],
    ) -> None:  # fmt: skip
        for name, child in declared.items():
            here = f"{path}{name}"
            if not child.mandatory and here not in optional:
                continue
            node_id = self._add(instance, parent, f"{text}/{name}", here, child, values=values)
            inner = {**self._of_type(self._type_of(child.node_id)), **self._of_node(child.node_id)}
            if child.node_class is not ua.NodeClass.Method:
                self._fill(instance, node_id, f"{text}/{name}", f"{here}/", inner, optional=optional, values=values)

    def _add(
        self, instance: Instance, parent: ua.NodeId, text: str, path: str, child: Declared,
        *, values: Mapping[str, object],
    ) -> ua.NodeId:  # fmt: skip
        node_id, type_id = self._ns.id(text), self._type_of(child.node_id)
        instance.nodes[path] = node_id
        if child.node_class is ua.NodeClass.Object:
            return self._space.add_object(node_id, child.name, parent, type_id, child.how)
        if child.node_class is ua.NodeClass.Method:
            self._space.add_method(node_id, child.name, parent, None)
            for name, argument in self._of_node(child.node_id).items():
                content = self._read(argument.node_id, AttributeIds.Value)
                self._space.add_arguments(self._ns.id(f"{text}/{name}"), name, node_id, _arguments(content))
            return node_id
        data_type = self._read(child.node_id, AttributeIds.DataType)
        assert isinstance(data_type, ua.NodeId)
        rank = self._read(child.node_id, AttributeIds.ValueRank)
        kind = self.kind_of(data_type)
        content = values.get(path, self._read(child.node_id, AttributeIds.Value))
        if content is None:
            content = [] if rank == 1 else ZEROS[kind]() if kind in ZEROS else None
        instance.variables[path] = self._space.add_variable(
            node_id, child.name, parent, kind if content is not None else ua.VariantType.Null, content, type_id=type_id,
            reference=child.how, data_type=data_type, rank=rank if isinstance(rank, int) else None,
        )  # fmt: skip
        return node_id

    def kind_of(self, data_type: ua.NodeId) -> ua.VariantType:
        """The built-in type in which values of a data type are encoded (Part 6, 5.1.5)."""
        seen = data_type
        while seen.NamespaceIndex or not isinstance(seen.Identifier, int) or seen.Identifier not in BUILT_IN:
            above = [r.NodeId for r in self._references(seen) if not r.IsForward and r.ReferenceTypeId == HAS_SUBTYPE]
            if not above:
                return ua.VariantType.Null
            seen = above[0]
        return BUILT_IN[int(seen.Identifier)]

    def _of_type(self, type_id: ua.NodeId) -> dict[str, Declared]:
        """The children of a type.  Its own declarations override those of its supertypes."""
        if type_id.is_null():
            return {}
        if type_id not in self._known:
            above = [r for r in self._references(type_id) if not r.IsForward and r.ReferenceTypeId == HAS_SUBTYPE]
            inherited = self._of_type(above[0].NodeId) if above else {}
            self._known[type_id] = {**inherited, **self._of_node(type_id)}
        return self._known[type_id]

    def _of_node(self, node_id: ua.NodeId) -> dict[str, Declared]:
        found: dict[str, Declared] = {}
        for reference in self._references(node_id):
            if not reference.IsForward or reference.ReferenceTypeId not in CHILDREN:
                continue
            rules = [r.NodeId for r in self._references(reference.NodeId) if r.ReferenceTypeId == HAS_RULE]
            if rules and rules[0] in (MANDATORY, OPTIONAL):
                found[str(reference.BrowseName.Name)] = Declared(
                    reference.BrowseName, reference.NodeId, reference.ReferenceTypeId,
                    ua.NodeClass(reference.NodeClass), rules[0] == MANDATORY,
                )  # fmt: skip
        return found

    def _type_of(self, node_id: ua.NodeId) -> ua.NodeId:
        found = (r.NodeId for r in self._references(node_id) if r.IsForward and r.ReferenceTypeId == HAS_TYPE)
        return next(found, ua.NodeId())

    def _references(self, node_id: ua.NodeId) -> list[ua.ReferenceDescription]:
        node = self._space.store.get(node_id)
        return node.references if node else []

    def _read(self, node_id: ua.NodeId, attribute: AttributeIds) -> object:
        value = self._space.store.read_attribute_value(node_id, attribute).Value
        return value.Value if value else None


def _arguments(content: object) -> list[ua.Argument]:
    return [argument for argument in content if isinstance(argument, ua.Argument)] if isinstance(content, list) else []


BUILT_IN: Mapping[int, ua.VariantType] = {
    **{kind.value: kind for kind in ua.VariantType if 1 <= kind.value <= 25 and kind.value != 24},
    24: ua.VariantType.Null,
    26: ua.VariantType.Double,
    27: ua.VariantType.Int32,
    28: ua.VariantType.UInt32,
    29: ua.VariantType.Int32,
}
"""Built-in types by id.  Number, Integer and UInteger map to the type that we send, an enumeration to Int32."""
ZEROS: Mapping[ua.VariantType, Callable[[], object]] = {
    ua.VariantType.Boolean: bool,
    ua.VariantType.String: str,
    ua.VariantType.LocalizedText: lambda: localized(""),
    ua.VariantType.QualifiedName: ua.QualifiedName,
    ua.VariantType.NodeId: ua.NodeId,
    ua.VariantType.ByteString: bytes,
    ua.VariantType.StatusCode: lambda: status(0),
    ua.VariantType.DateTime: lambda: datetime.now(UTC),
    ua.VariantType.Float: float,
    ua.VariantType.Double: float,
    **dict.fromkeys(
        (
            ua.VariantType.SByte, ua.VariantType.Byte, ua.VariantType.Int16, ua.VariantType.UInt16,
            ua.VariantType.Int32, ua.VariantType.UInt32, ua.VariantType.Int64, ua.VariantType.UInt64,
        ),
        int,
    ),
}  # fmt: skip
"""The first value of a variable, before anything is written."""
