"""What is encoded and decoded by hand at every start is the same as what the library makes of it."""

import uuid

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua import ua_binary
from asyncua.ua.ua_binary import nodeid_to_binary, struct_from_binary, struct_to_binary

from gateway.opcua.codec.decode import read_response_header
from gateway.opcua.codec.node_ids import node_of, octets_of, text_of_node
from gateway.opcua.codec.references import (
    NOTHING,
    Reference,
    browse_next_request,
    browse_request,
    node_from,
    read_pages,
    texts_of,
)
from gateway.opcua.codec.wire import Dialect, Reader
from gateway.opcua.session.asyncua_edge import patch_asyncua
from gateway.opcua.space.event_filters import EventFilter
from gateway.opcua.space.selection import Asked, Item
from gateway.opcua.subscription.monitoring import Monitored, create_request, item_requests, read_created


def node_id(identifier: object, namespace: int = 0, **more: object) -> ua.NodeId:
    kind = ua.ExpandedNodeId if more else ua.NodeId
    return kind(identifier, namespace, **more)  # type: ignore[arg-type]  # plain values are what they want


URIS = ("http://opcfoundation.org/UA/", "urn:x", "urn:y")
NODES = [
    node_id(7), node_id(1001, 1), node_id(100_000, 2), node_id("Press", 2), node_id("", 1),
    node_id(uuid.UUID(int=5), 1), node_id(b"\x00\xff", 1),
]  # fmt: skip
OCTETS = [nodeid_to_binary(node) for node in NODES]


def behind_the_header(answer: object) -> Reader:
    octets = struct_to_binary(answer)
    r = Reader(octets, 0, len(octets), Dialect(URIS))
    assert read_response_header(r)[1] == 0
    return r


def test_browse_requests_are_encoded_as_by_asyncua() -> None:
    kind = node_id(33)
    octets = browse_request(OCTETS, kind, 3)
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
    references = [reference(node, f"n{n}", types[n % 3]) for n, node in enumerate(2 * NODES)]
    for shown, text in zip(references, ["", "a name", "another"], strict=False):
        shown.DisplayName = ua.LocalizedText(text or None, "en" if text == "another" else None)
    answer.Results = [ua.BrowseResult(), *2 * [ua.BrowseResult(ContinuationPoint=b"more", References=references)]]
    answer.Results += 3 * [ua.BrowseResult()]
    nothing, *pages, _, _, last = read_pages(behind_the_header(answer), URIS)
    assert nothing is last is NOTHING
    for page in pages:
        assert (page.status, page.continuation) == (0, b"more")
        assert page.references == [
            Reference(octets, f"n{n}", 2, nodeid_to_binary(node_id(47)), nodeid_to_binary(types[n % 3]))
            for n, octets in enumerate(2 * OCTETS)
        ]
        assert [each.node for each in page.references] == 2 * NODES
        assert {each.kind for each in page.references} == {node_id(47)}


@pytest.mark.parametrize("form", [b"\x01\x00\x07\x00", b"\x02\x00\x00\x07\x00\x00\x00"])
def test_a_node_id_that_is_longer_than_it_must_be_is_the_same_node(form: bytes) -> None:
    answer = ua.BrowseResponse()
    answer.Results = [ua.BrowseResult(References=[reference(node_id(n), "a", node_id(63)) for n in (9, 7)])]
    octets = struct_to_binary(answer).replace(b"\x00\x07\x01\x00", form + b"\x01\x00")
    r = Reader(octets, 0, len(octets), Dialect(URIS))
    read_response_header(r)
    [page] = read_pages(r, URIS)
    assert [each.octets for each in page.references] == [b"\x00\x09", b"\x00\x07"]


TEXTS = [
    "i=7", "s=a;s=b", "ns=1;s= a ", "nsu=urn:x;s=a;s=b", "nsu=urn:x;s=c\u00e4", "nsu=urn:y;s%=caf%E9;s=x", "ns=1;s=",
    "nsu=urn:x;i=1001", "nsu=urn:nobody;s=a", "nsu=urn:nobody;s=b", " nsu=urn:x;s=a", "nsu=urn:x;b=AP8=", "ns=1;s=d",
]  # fmt: skip


def test_many_texts_become_node_ids_and_texts_again_as_each_alone() -> None:
    nodes = [node_of(text, URIS) for text in TEXTS]
    made = octets_of([None, *TEXTS], URIS)
    assert made == [None, *(nodeid_to_binary(node) if node is not None else None for node in nodes)]
    known = [octets for octets in made if octets is not None]
    assert texts_of(known, URIS) == [text_of_node(node, URIS) for node in nodes if node is not None]
    assert [node_from(octets) for octets in known] == [node for node in nodes if node is not None]


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
    Item("", Asked(100.0, 5)),
    Item("", Asked(0.0, 1, discard_oldest=False, trigger=2, deadband_kind=1, deadband=0.5)),
    Item("", Asked(100.0, 5, events=EventFilter(("Time", "Message"), (), 500))),
])  # fmt: skip
def test_item_requests_are_encoded_as_by_asyncua(item: Item) -> None:
    octets = create_request(7, item_requests([(n, item, octets) for n, octets in enumerate(OCTETS)], URIS))
    made = struct_from_binary(ua.CreateMonitoredItemsParameters, Buffer(octets))
    asked = made.ItemsToCreate
    assert struct_to_binary(made) == octets
    assert [each.ItemToMonitor.NodeId for each in asked] == NODES
    assert [each.RequestedParameters.ClientHandle for each in asked] == list(range(len(NODES)))
    assert {each.ItemToMonitor.AttributeId for each in asked} == {12 if item.asked.events else 13}
    assert {(each.RequestedParameters.QueueSize, each.RequestedParameters.DiscardOldest) for each in asked} == {
        (item.asked.queue_size, item.asked.discard_oldest)
    }
    wanted = asked[0].RequestedParameters.Filter
    kind = "EventFilter" if item.asked.events else "DataChangeFilter" if item.asked.has_filter else "NoneType"
    assert type(wanted).__name__ in (kind, "ExtensionObject" if kind == "NoneType" else kind)


def test_item_results_are_decoded() -> None:
    answer = ua.CreateMonitoredItemsResponse()
    of_filter = ua.MonitoredItemCreateResult(
        ua.StatusCode(ua.UInt32(0x8043_0000)), ua.UInt32(2), 50.0, ua.UInt32(3), ua.EventFilterResult()
    )
    usual = ua.MonitoredItemCreateResult(ua.StatusCode(), ua.UInt32(1), 100.0, ua.UInt32(10))
    answer.Results = [usual, usual, of_filter, usual]
    granted, again, refused, last = read_created(behind_the_header(answer))
    assert granted is again, "equal answers are one object"
    assert (granted, refused, last) == (Monitored(0, 100.0, 10), Monitored(0x8043_0000, 50.0, 3), granted)


def test_what_equal_servers_send_is_decoded_once() -> None:
    answer = ua.BrowseResponse()
    answer.Results = [ua.BrowseResult(References=[reference(node, "a", node_id(63)) for node in NODES])]
    [first], [second], [other] = (read_pages(behind_the_header(answer), uris) for uris in (URIS, URIS, (*URIS, "z")))
    assert first is second
    assert first is not other, "a namespace may have another index there"


def test_a_patched_library_keeps_what_it_has_made_to_decode_with() -> None:
    patch_asyncua()
    struct_from_binary(ua.CallResponse, Buffer(struct_to_binary(ua.CallResponse())))
    made = ua_binary._create_dataclass_deserializer.cache_info().currsize
    patch_asyncua()
    assert ua_binary._create_dataclass_deserializer.cache_info().currsize == made > 0
