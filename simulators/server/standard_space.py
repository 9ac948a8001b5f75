"""The address space that every OPC UA server has, built once for all servers of a process."""

from collections.abc import Mapping
from functools import cache

from asyncua import ua
from asyncua.server.address_space import AddressSpace, AttributeValue, NodeData, NodeManagementService
from asyncua.server.standard_address_space.standard_address_space import fill_address_space

from simulators.server.nodes import AttributeIds


@cache
def standard_nodes() -> Mapping[ua.NodeId, NodeData]:
    """The address space that every OPC UA server has.  Built once, as it takes a second; nobody may change it.

    Its methods are not executable, until something stands behind them (`bind_method`).
    """
    store = AddressSpace()
    fill_address_space(NodeManagementService(store))  # type: ignore[no-untyped-call]  # generated code
    shut = ua.DataValue(ua.Variant(False, ua.VariantType.Boolean))
    for node_id in store.keys():  # noqa: SIM118 - it is no dict
        executable = store[node_id].attributes.get(AttributeIds.Executable)
        if executable is not None:
            executable.value = store[node_id].attributes[AttributeIds.UserExecutable].value = shut
    return {node_id: store[node_id] for node_id in store.keys()}  # noqa: SIM118 - it is no dict


def copied(node: NodeData) -> NodeData:
    """A copy of a node, with values that nobody changes in place."""
    twin = NodeData(node.nodeid)
    twin.references = list(node.references)
    for attribute, held in node.attributes.items():
        assert held.value is not None
        twin.attributes[attribute] = AttributeValue(held.value)
    return twin
