"""The address space that every OPC UA server has, built once for all servers of a process."""

from collections.abc import Mapping
from functools import cache

from asyncua import ua
from asyncua.server.address_space import AddressSpace, AttributeValue, NodeData, NodeManagementService
from asyncua.server.standard_address_space.standard_address_space import fill_address_space


@cache
def standard_nodes() -> Mapping[ua.NodeId, NodeData]:
    """The address space that every OPC UA server has.  Built once, as it takes a second; nobody may change it."""
    store = AddressSpace()
    fill_address_space(NodeManagementService(store))  # type: ignore[no-untyped-call]  # generated code
    return {node_id: store[node_id] for node_id in store.keys()}  # noqa: SIM118 - it is no dict


def copied(node: NodeData) -> NodeData:
    """A copy of a node, with values that nobody changes in place."""
    twin = NodeData(node.nodeid)
    twin.references = list(node.references)
    for attribute, held in node.attributes.items():
        assert held.value is not None
        twin.attributes[attribute] = AttributeValue(held.value)
    return twin
