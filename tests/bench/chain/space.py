"""The load's nodes in the address space of asyncua's server: Objects / load / m000 … / v000000 …, all Double."""

from typing import Any

from asyncua import Server, ua
from asyncua.server.address_space import AddressSpace, AttributeValue, NodeData

from tests.bench.chain.browsing import groups, variable_name


def _value(value: object, kind: ua.VariantType) -> AttributeValue:
    return AttributeValue(ua.DataValue(ua.Variant(value, kind)))


def node_id(name: str) -> ua.NodeId:
    return ua.NodeId(ua.String(name), ua.Int16(2))


def _standard(number: int) -> ua.NodeId:
    return ua.NodeId(ua.Int32(number))


def add_variable(space: AddressSpace, parent: NodeData, name: str) -> None:
    """A Double below a node, without the checks that make 100 000 of them slow."""
    attribute, kind, own = ua.AttributeIds, ua.VariantType, node_id(name)
    data = NodeData(own)
    data.attributes.update({
        attribute.NodeId: _value(own, kind.NodeId),
        attribute.NodeClass: _value(ua.NodeClass.Variable, kind.Int32),
        attribute.BrowseName: _value(ua.QualifiedName(name, 2), kind.QualifiedName),
        attribute.DisplayName: _value(ua.LocalizedText(name), kind.LocalizedText),
        attribute.DataType: _value(_standard(11), kind.NodeId),
        attribute.ValueRank: _value(-1, kind.Int32),
        attribute.AccessLevel: _value(1, kind.Byte),
        attribute.UserAccessLevel: _value(1, kind.Byte),
        attribute.Historizing: _value(False, kind.Boolean),
        attribute.Value: _value(0.0, kind.Double),
    })  # fmt: skip
    component, definition = _standard(ua.ObjectIds.HasComponent), _standard(ua.ObjectIds.HasTypeDefinition)
    variable_type = _standard(ua.ObjectIds.BaseDataVariableType)
    data.references.append(
        _reference(definition, True, variable_type, "BaseDataVariableType", ua.NodeClass.VariableType)
    )
    data.references.append(_reference(component, False, parent.nodeid, "group", ua.NodeClass.Object))
    parent.references.append(_reference(component, True, own, name, ua.NodeClass.Variable, variable_type))
    space[own] = data


def _reference(
    kind: ua.NodeId, forward: bool, to: ua.NodeId, name: str, node_class: ua.NodeClass, definition: Any = None
) -> ua.ReferenceDescription:
    browse_name = ua.QualifiedName(name, to.NamespaceIndex)
    definition = definition or ua.NodeId()
    return ua.ReferenceDescription(kind, forward, to, browse_name, ua.LocalizedText(name), node_class, definition)


async def populate(server: Server, variables: int) -> None:
    root = await server.nodes.objects.add_object(node_id("load"), "load")
    space = server.iserver.aspace
    for place, numbers in enumerate(groups(variables)):
        name = f"m{place:03}"
        node = await root.add_object(node_id(name), f"2:{name}")
        for number in numbers:
            add_variable(space, space[node.nodeid], variable_name(number))
