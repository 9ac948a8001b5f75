"""Browse and Read of the load server, held against asyncua's own decoding and against what its own server answers."""

import struct
from collections.abc import Sequence

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary

from tests.bench.chain.browsing import Browsing, Tree
from tests.bench.chain.wire import Reader, Status

VARIABLES = 25
"""In nine groups of three, the last one short."""


def node(name: str) -> ua.NodeId:
    return ua.NodeId(ua.String(name), ua.Int16(2))


def standard(number: int) -> ua.NodeId:
    return ua.NodeId(ua.Int32(number))


@pytest.fixture
def browsing() -> Browsing:
    return Browsing(Tree(VARIABLES))


def browse(
    browsing: Browsing,
    nodes: Sequence[ua.NodeId],
    most: int = 0,
    reference: int = 33,
    direction: int = 0,
    mask: int = 0,
) -> list[ua.BrowseResult] | None:
    wanted = ua.BrowseParameters()
    wanted.RequestedMaxReferencesPerNode = ua.UInt32(most)
    for each in nodes:
        one = ua.BrowseDescription()
        one.NodeId, one.BrowseDirection = each, ua.BrowseDirection(direction)
        one.ReferenceTypeId, one.IncludeSubtypes = standard(reference), True
        one.NodeClassMask, one.ResultMask = ua.UInt32(mask), ua.UInt32(63)
        wanted.NodesToBrowse.append(one)
    return results(browsing.browse(Reader(struct_to_binary(wanted))))


def results(body: bytes | None) -> list[ua.BrowseResult] | None:
    if body is None:
        return None
    buffer = Buffer(body)
    count = struct.unpack("<i", buffer.read(4))[0]
    return [struct_from_binary(ua.BrowseResult, buffer) for _ in range(count)]


def names(result: ua.BrowseResult) -> list[str]:
    return [str(each.BrowseName.Name) for each in result.References]


def test_the_tree_is_browsed_level_by_level(browsing: Browsing) -> None:
    top = browse(browsing, [node("load")])
    assert top is not None
    assert names(top[0]) == [f"m{n:03}" for n in range(9)]
    below = browse(browsing, [each.NodeId for each in top[0].References])
    assert below is not None
    assert [name for result in below for name in names(result)] == [f"v{n:06}" for n in range(VARIABLES)]


def test_a_reference_has_every_field_of_its_description(browsing: Browsing) -> None:
    found = browse(browsing, [node("m000")])
    assert found is not None
    first = found[0].References[0]
    assert (first.NodeId.Identifier, first.NodeId.NamespaceIndex) == ("v000000", 2)
    assert (first.ReferenceTypeId, first.IsForward) == (standard(47), True)
    assert (first.NodeClass, first.DisplayName.Text) == (ua.NodeClass.Variable, "v000000")
    assert first.TypeDefinition == standard(63)


def test_references_that_do_not_fit_come_with_browse_next(browsing: Browsing) -> None:
    found = browse(browsing, [node("load")], most=4)
    told: list[str] = []
    while found is not None:
        told += names(found[0])
        point = found[0].ContinuationPoint
        if not point:
            break
        body = struct.pack("<Bii", 0, 1, len(point)) + point
        found = results(browsing.browse_next(Reader(body)))
    assert told == [f"m{n:03}" for n in range(9)]


def test_a_continuation_point_is_good_once_and_can_be_given_back(browsing: Browsing) -> None:
    found = browse(browsing, [node("load")], most=4)
    assert found is not None
    point = found[0].ContinuationPoint
    body = struct.pack("<ii", 1, len(point)) + point
    given_back = results(browsing.browse_next(Reader(b"\1" + body)))
    assert given_back is not None
    assert given_back[0].References == []
    gone = results(browsing.browse_next(Reader(b"\0" + body)))
    assert gone is not None
    assert gone[0].StatusCode.value == Status.CONTINUATION_POINT_INVALID


def test_unrequested_classes_and_references_are_left_out(browsing: Browsing) -> None:
    for changes in ({"mask": 1}, {"reference": 46}):
        found = browse(browsing, [node("m000")], **changes)
        assert found is not None
        assert found[0].References == []


def test_other_nodes_directions_and_references_are_left_to_asyncua(browsing: Browsing) -> None:
    assert browse(browsing, [node("load"), standard(85)]) is None
    assert browse(browsing, [node("load")], direction=1) is None
    assert browse(browsing, [node("load")], reference=40) is None


def read(browsing: Browsing, *wanted: tuple[ua.NodeId, int]) -> list[ua.DataValue] | None:
    asked = ua.ReadParameters()
    for each, attribute in wanted:
        one = ua.ReadValueId()
        one.NodeId, one.AttributeId = each, ua.AttributeIds(attribute)
        asked.NodesToRead.append(one)
    body = browsing.read(Reader(struct_to_binary(asked)))
    if body is None:
        return None
    buffer = Buffer(body)
    count = struct.unpack("<i", buffer.read(4))[0]
    return [struct_from_binary(ua.DataValue, buffer) for _ in range(count)]


def test_attributes_of_variables_are_read_and_missing_ones_refused(browsing: Browsing) -> None:
    one = node("v000024")
    found = read(browsing, (one, 3), (one, 14), (one, 15), (one, 2), (one, 17), (one, 16))
    assert found is not None
    values = [each.Value.Value if each.Value else None for each in found]
    assert values[:5] == [ua.QualifiedName("v000024", ua.UInt16(2)), standard(11), -1, 2, 1]
    assert found[5].StatusCode is not None
    assert found[5].StatusCode.value == Status.ATTRIBUTE_ID_INVALID


def test_values_and_other_nodes_are_left_to_asyncua(browsing: Browsing) -> None:
    assert read(browsing, (node("v000000"), 13)) is None
    assert read(browsing, (node("v000000"), 14), (standard(2255), 14)) is None
