"""Structures by the definitions of their server: every kind of field, and what cannot be read keeps its bytes."""

import struct
from collections.abc import Sequence

import orjson
import pytest
from asyncua import ua

from gateway.model import IS_ARRAY, IS_MATRIX
from gateway.opcua.codec.standard import DEFINITIONS, rows_of
from gateway.opcua.codec.wire import Dialect, Reader, read_structure, read_variant
from gateway.opcua.space.structures import Definition, Field, built_in, definition_of, readers_of
from gateway.payload.forms import Json, json_of
from gateway.payload.part6 import Encoding, form_of
from gateway.values import RawStructure, Structure, Typed
from tests.support import opcua_wire as wire
from tests.support.definitions import told

INT32, DOUBLE, STRING, VARIANT = "i=6", "i=11", "i=12", "i=24"
POINT, KINDS = "nsu=urn:t;s=Point", {INT32: 6, DOUBLE: 11, STRING: 12, VARIANT: 24, "i=22": 22, "i=50": 22, "i=26": 24}
MATRIX = IS_ARRAY | IS_MATRIX
PLAIN, OPTIONAL, UNION = 0, 1, 2
ENCODINGS: tuple[Encoding, ...] = ("verbose", "compact", "raw", "plain")


def ints(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}i", *numbers)


def array(*numbers: int) -> bytes:
    return ints(len(numbers), *numbers)


def extension(body: bytes, type_id: int = 5) -> bytes:
    """An ExtensionObject whose encoding is `ns=1;i=…`, with a header as in a Variant's body."""
    return struct.pack("<BBH", 1, 1, type_id) + b"\x01" + struct.pack("<i", len(body)) + body


def decoded(fields: Sequence[Field], body: bytes, kind: int = PLAIN) -> object:
    """The value of a Variant that holds a structure of these fields."""
    point = Definition(POINT, PLAIN, (Field("X", INT32), Field("Y", INT32)))
    made = Definition("nsu=urn:t;s=T", kind, tuple(fields))
    definitions = {"nsu=urn:t;s=T": made, POINT: point}
    encodings = {"nsu=urn:t;i=5": "nsu=urn:t;s=T", "nsu=urn:t;i=6": POINT}
    readers = readers_of(definitions, encodings, {**KINDS, "nsu=urn:t;s=T": 22, POINT: 22})
    data = b"\x16" + extension(body)
    type_id, value = read_variant(Reader(data, 0, len(data), Dialect(("urn:s", "urn:t"), readers)))
    assert type_id == 22
    return value


def fields_of(fields: Sequence[Field], body: bytes, kind: int = PLAIN) -> dict[str, Typed]:
    value = decoded(fields, body, kind)
    assert isinstance(value, Structure), value
    return dict(value.fields)


def test_fields_of_several_dimensions_are_nested_row_by_row() -> None:
    found = fields_of([Field("M", INT32, 2), Field("N", INT32)], array(2, 3) + ints(*range(6)) + ints(9))
    assert found == {"M": Typed(6 | MATRIX, [[0, 1, 2], [3, 4, 5]]), "N": Typed(6, 9)}
    cube = fields_of([Field("M", DOUBLE, 3)], array(1, 2, 2) + struct.pack("<4d", 1, 2, 3, 4))
    assert cube["M"].value == [[[1.0, 2.0], [3.0, 4.0]]]
    texts = array(1, 2) + wire.text("a") + wire.text(None)
    assert fields_of([Field("M", STRING, 2)], texts)["M"].value == [["a", None]]


def test_matrices_of_structures_may_be_empty_or_null() -> None:
    [row] = [fields_of([Field("M", POINT, 2)], array(1, 2) + ints(1, 2, 3, 4))["M"]]
    assert json_of(row.type, row.value) == [[{"X": 1, "Y": 2}, {"X": 3, "Y": 4}]]
    assert fields_of([Field("M", INT32, 2)], ints(-1))["M"] == Typed(6 | MATRIX, None)
    assert fields_of([Field("M", INT32, 2)], array(0, 4))["M"].value == []


def test_a_matrix_in_a_structure_keeps_its_dimensions_in_the_json_of_the_standard() -> None:
    value = decoded([Field("M", INT32, 2)], array(2, 1) + ints(7, 8))
    expected: Json = {"UaTypeId": "nsu=urn:t;s=T", "M": {"Array": [7, 8], "Dimensions": [2, 1]}}
    assert form_of(22, value, "verbose") == expected
    assert form_of(22, value, "raw") == {"M": [[7], [8]]}


@pytest.mark.parametrize("body", [array(2, 2**20) + ints(1), array(2**30, 2**30), array(2, 2) + ints(1, 2, 3)])
def test_impossible_dimensions_affect_only_their_structure(body: bytes) -> None:
    assert decoded([Field("M", INT32, 2)], body) == RawStructure("nsu=urn:t;i=5", body)


def test_optional_fields_that_are_not_there_are_left_out() -> None:
    fields = [Field("A", INT32), Field("B", INT32, is_optional=True), Field("C", POINT, 1, is_optional=True)]
    found = fields_of(fields, ints(2) + ints(1) + ints(1, 5, 6), OPTIONAL)
    assert list(found) == ["A", "C"]
    assert json_of(found["C"].type, found["C"].value) == [{"X": 5, "Y": 6}]


def test_fields_that_allow_subtypes_name_their_type() -> None:
    fields = [Field("Any", POINT, 0, allows_subtypes=True), Field("Many", POINT, 1, allows_subtypes=True),
              Field("Number", "i=26", 0, allows_subtypes=True), Field("Free", VARIANT)]  # fmt: skip
    body = extension(ints(1, 2), 6) + ints(2) + extension(ints(3, 4), 6) + b"\x00\x00\x00"
    body += wire.double(1.5) + b"\x86" + array(7)
    found = fields_of(fields, body)
    assert json_of(22, Structure("", found)) == {
        "Any": {"X": 1, "Y": 2}, "Many": [{"X": 3, "Y": 4}, None], "Number": 1.5, "Free": [7],
    }  # fmt: skip


def test_a_union_has_one_field_or_none() -> None:
    fields = [Field("A", INT32, 2), Field("P", POINT)]
    assert fields_of(fields, ints(2) + ints(1, 2), UNION)["P"].type == 22
    assert fields_of(fields, ints(1) + array(1, 1) + ints(3), UNION)["A"].value == [[3]]
    assert fields_of(fields, ints(0), UNION) == {}
    assert isinstance(decoded(fields, ints(3), UNION), RawStructure)


def test_a_structure_may_hold_any_structure_and_a_decimal() -> None:
    decimal = struct.pack("<BB", 0, 50) + b"\x01" + ints(4) + struct.pack("<hh", 2, -12345)
    found = fields_of([Field("S", "i=22"), Field("D", "i=50")], extension(ints(1, 2), 6) + decimal)
    assert json_of(22, Structure("", found)) == {"S": {"X": 1, "Y": 2}, "D": {"Scale": 2, "Value": "-12345"}}


def test_arrays_of_structures_may_hold_nulls_and_unknown_ones() -> None:
    body = b"\x96" + ints(2) + b"\x00\x00\x00" + struct.pack("<BB", 0, 99) + b"\x01" + ints(1) + b"z"
    kind, value = read_variant(Reader(body, 0, len(body), Dialect()))
    assert (kind, value) == (22 | IS_ARRAY, [None, RawStructure("i=99", b"z")])
    assert json_of(kind, value) == [None, {"type_id": "i=99", "body": "eg=="}]


def test_a_definition_is_read_as_a_server_sends_it() -> None:
    said = ua.StructureDefinition(DefaultEncodingId=ua.NodeId(ua.Int32(5), ua.Int16(0)))
    said.Fields = [ua.StructureField(Name=name, ArrayDimensions=[ua.UInt32(3)]) for name in "ab"]
    assert [row["Name"] for row in rows_of(told(said), "Fields")] == ["a", "b"]
    assert told(said).fields["DefaultEncodingId"].value == "i=5"
    states = ua.EnumDefinition(Fields=[ua.EnumField(Name="On", Value=ua.Int64(7))])
    assert [(row["Name"], row["Value"]) for row in rows_of(told(states), "Fields")] == [("On", 7)]
    cut = extension(b"\0" * 7, 122)
    assert isinstance(read_structure(Reader(cut, 0, len(cut), Dialect((), DEFINITIONS))), RawStructure)


def test_definitions_tell_inline_fields_and_refuse_types_without_encoding() -> None:
    field = ua.StructureField(Name="M", DataType=ua.NodeId(ua.Int32(6), ua.Int16(0)), ValueRank=ua.Int32(3))
    said = ua.StructureDefinition(Fields=[field], StructureType=ua.StructureType.Structure)
    assert definition_of("t", told(said)) == Definition("t", PLAIN, (Field("M", INT32, 3),))
    field.ValueRank = ua.Int32(0)
    assert definition_of("t", told(said)) is None
    assert [built_in(text, 24) for text in ("i=50", "i=26", "i=29", "i=6")] == [22, 24, 6, 6]


SCALARS: dict[int, bytes] = {
    1: b"\x01", 2: b"\xff", 3: b"\x01", 4: b"\x01\x00", 5: b"\x01\x00", 6: ints(-1), 7: ints(1), 8: ints(1, 1),
    9: ints(1, -1), 10: struct.pack("<f", 0.5), 11: struct.pack("<d", float("nan")), 12: wire.text("é"), 13: ints(0, 9),
    14: bytes(16), 15: ints(2) + b"ab", 16: wire.text("<a/>"), 17: b"\x00\x48", 18: b"\x00\x48", 19: ints(5),
    20: b"\x01\x00" + wire.text("n"), 21: b"\x02" + wire.text("x"), 22: extension(b"?"),
    23: b"\x03" + wire.double(1.0) + ints(-1), 25: b"\x61" + ints(4) + ints(-1) + b"\x10" + wire.text("why"),
}  # fmt: skip
SCALARS[24] = b"\x97" + ints(1) + SCALARS[23]


@pytest.mark.parametrize("kind", sorted(SCALARS))
def test_every_type_alone_in_arrays_matrices_and_variants_has_a_form_in_every_notation(kind: int) -> None:
    one = SCALARS[kind]
    many = bytes([kind | 0x80]) + ints(2) + one * 2
    matrix = bytes([kind | 0xC0]) + ints(2) + one * 2 + array(2, 1)
    bodies = [many, matrix, b"\x98" + ints(2) + many + matrix, *([bytes([kind]) + one] if kind != 24 else [])]
    for body in bodies:
        r = Reader(body, 0, len(body), Dialect(("urn:s", "urn:t")))
        type_id, value = read_variant(r)
        assert (r.pos, r.spoiled) == (len(body), "")
        assert orjson.dumps(json_of(type_id, value))
        for encoding in ENCODINGS:
            assert orjson.dumps(form_of(type_id, value, encoding))
