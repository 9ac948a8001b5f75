"""What is encoded and decoded by hand at every start is the same as what the library makes of it."""

import uuid

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary

from gateway.opcua.codec.decode import read_response_header
from gateway.opcua.codec.references import Page, Reference, browse_next_request, browse_request, read_pages
from gateway.opcua.codec.wire import Dialect, Reader
from gateway.opcua.space.event_filters import EventFilter
from gateway.opcua.space.selection import Item
from gateway.opcua.subscription.monitoring import Monitored, create_request, item_request, read_created


def node_id(identifier: object, namespace: int = 0, **more: object) -> ua.NodeId:
    kind = ua.ExpandedNodeId if more else ua.NodeId
    return kind(identifier, namespace, **more)  # type: ignore[arg-type]  # plain values are what they want


URIS = ("http://opcfoundation.org/UA/", "urn:x", "urn:y")
NODES = [
    node_id(7), node_id(1001, 1), node_id(100_000, 2), node_id("Press", 2), node_id("", 1),
    node_id(uuid.UUID(int=5), 1), node_id(b"\x00\xff", 1),
]  # fmt: skip


def behind_the_header(answer: object) -> Reader:
    octets = struct_to_binary(answer)
    r = Reader(octets, 0, len(octets), Dialect(URIS))
    assert read_response_header(r)[1] == 0
    return r


def test_browse_requests_are_encoded_as_by_asyncua() -> None:
    kind = node_id(33)
    octets = browse_request(NODES, kind, 3)
    made = struct_from_binary(ua.BrowseParameters, Buffer(octets))
    assert [described.NodeId for described in made.NodesToBrowse] == NODES
    assert {(d.ReferenceTypeId, d.IncludeSubtypes, d.NodeClassMask) for d in made.NodesToBrowse} == {(kind, True, 3)}
    assert struct_to_binary(made) == octets
    more = struct_from_binary(ua.BrowseNextParameters, Buffer(browse_next_request([b"a", b""])))
    assert (more.ReleaseContinuationPoints, more.ContinuationPoints) == (False, [b"a", b""])


def reference(node: ua.NodeId, name: str, definition: ua.NodeId) -> ua.ReferenceDescription:
    made = ua.ReferenceDescription()
    made.ReferenceTypeId, made.IsForward, made.NodeId = node_id(47), True, node
    made.BrowseName, made.DisplayName = ua.QualifiedName(ua.String(name), ua.UInt16(1)), ua.LocalizedText()
    made.NodeClass, made.TypeDefinition = ua.NodeClass.Variable, definition
    return made


def test_references_are_decoded_with_every_kind_of_node_id() -> None:
    types = [node_id(63), node_id(2368, 0), node_id("Type", 1)]
    answer = ua.BrowseResponse()
    references = [reference(node, f"n{n}", types[n % 3]) for n, node in enumerate(NODES)]
    answer.Results = [ua.BrowseResult(ContinuationPoint=b"more", References=references), ua.BrowseResult()]
    first, second = read_pages(behind_the_header(answer), URIS)
    assert (first.status, first.continuation, second) == (0, b"more", Page(0, b"", []))
    assert first.references == [Reference(node, f"n{n}", 2, node_id(47), types[n % 3]) for n, node in enumerate(NODES)]


@pytest.mark.parametrize(
    ("node", "found"),
    [
        (node_id("a", 0, NamespaceUri="urn:y"), [node_id("a", 2)]),
        (node_id("a", 0, NamespaceUri="urn:nobody"), []),
        (node_id("a", 1, ServerIndex=3), []),
    ],
)
def test_references_are_decoded_with_a_uri_or_another_server(node: ua.NodeId, found: list[ua.NodeId]) -> None:
    answer = ua.BrowseResponse()
    answer.Results = [ua.BrowseResult(References=[reference(node, "a", node_id(63))])]
    [page] = read_pages(behind_the_header(answer), URIS)
    assert [each.node for each in page.references] == found


def test_a_name_that_is_not_utf_8_can_still_be_sent() -> None:
    answer = ua.BrowseResponse()
    answer.Results = [ua.BrowseResult(References=[reference(node_id(1), "caf\udce9", node_id(63))])]
    [page] = read_pages(behind_the_header(answer), URIS)
    assert page.references[0].name == "caf�"


@pytest.mark.parametrize("item", [
    Item("", 100.0, 5),
    Item("", 0.0, 1, discard_oldest=False, trigger=2, deadband_kind=1, deadband=0.5),
    Item("", 100.0, 5, events=EventFilter(("Time", "Message"), (), 500)),
])  # fmt: skip
def test_item_requests_are_encoded_as_by_asyncua(item: Item) -> None:
    octets = create_request(7, [item_request(n, item, node, URIS) for n, node in enumerate(NODES)])
    made = struct_from_binary(ua.CreateMonitoredItemsParameters, Buffer(octets))
    asked = made.ItemsToCreate
    assert struct_to_binary(made) == octets
    assert [each.ItemToMonitor.NodeId for each in asked] == NODES
    assert [each.RequestedParameters.ClientHandle for each in asked] == list(range(len(NODES)))
    assert {each.ItemToMonitor.AttributeId for each in asked} == {12 if item.events else 13}
    assert {(each.RequestedParameters.QueueSize, each.RequestedParameters.DiscardOldest) for each in asked} == {
        (item.queue_size, item.discard_oldest)
    }
    wanted = asked[0].RequestedParameters.Filter
    kind = "EventFilter" if item.events else "DataChangeFilter" if item.has_filter else "NoneType"
    assert type(wanted).__name__ in (kind, "ExtensionObject" if kind == "NoneType" else kind)


def test_item_results_are_decoded() -> None:
    answer = ua.CreateMonitoredItemsResponse()
    of_filter = ua.MonitoredItemCreateResult(
        ua.StatusCode(ua.UInt32(0x8043_0000)), ua.UInt32(2), 50.0, ua.UInt32(3), ua.EventFilterResult()
    )
    answer.Results = [ua.MonitoredItemCreateResult(ua.StatusCode(), ua.UInt32(1), 100.0, ua.UInt32(10)), of_filter]
    assert read_created(behind_the_header(answer)) == [Monitored(0, 100.0, 10), Monitored(0x8043_0000, 50.0, 3)]
