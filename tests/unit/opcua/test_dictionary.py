"""Old type dictionaries: what a `.bsd` file says of a structure is read from its bytes, or it is said why not."""

import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import IS_ARRAY
from gateway.opcua.codec.dictionary import MOST_BYTES, Compiler, Unreadable, parse_dictionary
from gateway.opcua.codec.standard import STANDARD_TYPES
from gateway.opcua.codec.wire import SCALARS, Dialect, Reader, read_structure
from gateway.values import RawStructure, Structure, Typed
from tests.support import opcua_wire as wire

HEAD = (
    '<?xml version="1.0" encoding="utf-8"?><opc:TypeDictionary xmlns:opc="http://opcfoundation.org/BinarySchema/"'
    ' xmlns:tns="urn:plc" xmlns:ua="http://opcfoundation.org/UA/" DefaultByteOrder="LittleEndian"'
    ' TargetNamespace="urn:plc"><opc:Import Namespace="http://opcfoundation.org/UA/"/>'
)
SHARED = (
    '<opc:StructuredType BaseType="ua:ExtensionObject" Name="Step"><opc:Field TypeName="opc:CharArray" Name="Name"/>'
    '<opc:Field TypeName="opc:Double" Name="Seconds"/></opc:StructuredType>'
    '<opc:EnumeratedType LengthInBits="32" Name="Color"><opc:EnumeratedValue Name="Red" Value="0"/>'
    "</opc:EnumeratedType>"
    '<opc:EnumeratedType LengthInBits="8" Name="Small"/>'
    '<opc:StructuredType Name="Empty"/>'
)
KNOWN = {
    ("http://opcfoundation.org/UA/", "Range"): (22, STANDARD_TYPES["i=884"]),
    ("http://opcfoundation.org/UA/", "Duration"): (11, SCALARS[11]),
}


def field(kind: str, name: str, **more: object) -> str:
    return f'<opc:Field TypeName="{kind}" Name="{name}"' + "".join(f' {k}="{v}"' for k, v in more.items()) + "/>"


def dictionary(*fields: str) -> bytes:
    own = f'<opc:StructuredType Name="T">{"".join(fields)}</opc:StructuredType>'
    return f"{HEAD}{SHARED}{own}</opc:TypeDictionary>".encode()


def read(data: bytes, body: bytes) -> object:
    target, types = parse_dictionary(data)
    ids = {(target, "T"): "nsu=urn:plc;i=1", (target, "Step"): "nsu=urn:plc;i=2"}
    reader = Compiler(types, KNOWN, ids).reader((target, "T"))
    encoded = wire.extension(5, body)
    return read_structure(Reader(encoded, 0, len(encoded), Dialect((), {"i=5": reader})))


def step(name: str, seconds: float) -> Structure:
    return Structure("nsu=urn:plc;i=2", {"Name": Typed(12, name), "Seconds": Typed(11, seconds)})


def step_bytes(name: str, seconds: float) -> bytes:
    return wire.text(name) + struct.pack("<d", seconds)


READABLE = [
    pytest.param(
        [field("opc:Float", "speed"), field("opc:Boolean", "running"), field("opc:String", "name")],
        struct.pack("<f?", 12.5, True) + wire.text("M1"),
        {"speed": Typed(10, 12.5), "running": Typed(1, True), "name": Typed(12, "M1")},
        id="plain",
    ),
    pytest.param(
        [field("opc:Int32", "NoOfA"), field("opc:Int16", "A", LengthField="NoOfA"),
         field("opc:Int32", "NoOfS"), field("tns:Step", "S", LengthField="NoOfS"),
         field("opc:Int32", "NoOfN"), field("opc:String", "N", LengthField="NoOfN")],
        struct.pack("<ihhi", 2, 1, -1, 1) + step_bytes("a", 0.5) + struct.pack("<i", -1),
        {"A": Typed(4 | IS_ARRAY, [1, -1]), "S": Typed(22 | IS_ARRAY, [step("a", 0.5)]),
         "N": Typed(12 | IS_ARRAY, None)},
        id="arrays",
    ),
    pytest.param(
        [field("tns:Step", "first"), field("tns:Color", "color"), field("tns:Small", "small"),
         field("ua:Range", "range"), field("ua:Duration", "d"),
         field("ua:NodeId", "id"), field("ua:LocalizedText", "t"), field("tns:Empty", "e")],
        step_bytes("x", 1.5) + struct.pack("<iBddd", 2, 7, 0.0, 9.0, 4.5) + b"\x00\x48" + b"\x02" + wire.text("hi"),
        {"first": step("x", 1.5), "color": 2, "small": 7, "range": {"Low": 0.0, "High": 9.0}, "d": 4.5, "id": "i=72"},
        id="other types",
    ),
    pytest.param(
        [field("opc:Bit", "ASpecified"), field("opc:Bit", "BSpecified"), field("opc:Bit", "Reserved1", Length=30),
         field("opc:Int32", "A", SwitchField="ASpecified"), field("opc:Int32", "NoOfB", SwitchField="BSpecified"),
         field("opc:Byte", "B", SwitchField="BSpecified", LengthField="NoOfB"), field("opc:Byte", "last")],
        struct.pack("<IiBBB", 2, 2, 8, 9, 5),
        {"B": Typed(3 | IS_ARRAY, [8, 9]), "last": Typed(3, 5)},
        id="optional",
    ),
    pytest.param(
        [field("opc:UInt32", "SwitchField"), field("opc:Double", "A", SwitchField="SwitchField", SwitchValue=1),
         field("opc:Int32", "B", SwitchField="SwitchField", SwitchValue=2)],
        struct.pack("<Ii", 2, 77),
        {"B": Typed(6, 77)},
        id="union",
    ),
    pytest.param(
        [field("opc:Bit", "on"), field("opc:Bit", "mode", Length=3), field("opc:Byte", "raw", Length=2)],
        bytes([0b1011, 1, 2]),
        {"on": Typed(1, True), "mode": Typed(7, 5), "raw": Typed(3 | IS_ARRAY, [1, 2])},
        id="bits and a fixed length",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "body", "expected"), READABLE)
def test_a_structure_is_read_as_its_dictionary_says(
    fields: list[str], body: bytes, expected: dict[str, object]
) -> None:
    found = read(dictionary(*fields), body)
    assert isinstance(found, Structure)
    assert found.type_id == "nsu=urn:plc;i=1"
    for name, value in expected.items():
        typed = found.fields[name]
        plain = typed.value
        if isinstance(value, dict) and isinstance(plain, Structure):
            plain = {key: each.value for key, each in plain.fields.items()}
        assert (typed if isinstance(value, Typed) else plain) == value
    if all(isinstance(value, Typed) for value in expected.values()):
        assert found.fields.keys() == expected.keys()


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ([field("tns:Nothing", "x")], "Nothing"),
        ([field("ua:Unheard", "x")], "Unheard"),
        ([field("opc:Int32", "x", LengthField="NoOfX")], "NoOfX"),
        ([field("opc:Int32", "n"), field("opc:Byte", "x", LengthField="n", IsLengthInBytes="true")], "IsLengthInBytes"),
        ([field("opc:Byte", "x", Terminator="00")], "Terminator"),
        ([field("opc:Int32", "n"), field("opc:Byte", "x", SwitchField="n", SwitchOperand="Like")], "not known"),
        ([field("opc:Byte", "x", Length="many")], "cannot be read"),
    ],
)
def test_an_unknown_part_of_a_dictionary_is_reported_and_not_guessed(fields: list[str], why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        read(dictionary(*fields), b"")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<a",
        b"\xff\xfe<\x00a\x00",
        b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>',
        '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x><x/>'.encode("utf-16"),
        b" " * (MOST_BYTES + 1),
        HEAD.replace("LittleEndian", "BigEndian").encode() + b"</opc:TypeDictionary>",
    ],
)
def test_a_file_that_is_no_dictionary_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable):
        parse_dictionary(data)


def test_a_value_that_contradicts_its_dictionary_keeps_its_bytes() -> None:
    assert read(dictionary(field("opc:Int32", "x")), b"abc") == RawStructure("i=5", b"abc")
    assert read(dictionary(field("opc:Int32", "x")), b"abcdefgh") == RawStructure("i=5", b"abcdefgh")


def test_types_in_types_cost_no_more_than_their_bytes_and_may_be_longer_than_the_stack() -> None:
    def chain(fields: int) -> bytes:
        types = [
            f'<opc:StructuredType Name="C{n}">{field(f"tns:C{n + 1}", "a") * fields}</opc:StructuredType>'
            for n in range(3000)
        ]
        return f'{HEAD}{"".join(types)}<opc:StructuredType Name="C3000"/></opc:TypeDictionary>'.encode()

    began = time.process_time()
    for fields in (1, 2):
        target, types = parse_dictionary(chain(fields))
        reader = Compiler(types, {}, {}).reader((target, "C0"))
        encoded = wire.extension(5, b"")
        found = read_structure(Reader(encoded, 0, len(encoded), Dialect((), {"i=5": reader})))
        assert isinstance(found, RawStructure)
    assert time.process_time() - began < 5


SAMPLE = dictionary(*READABLE[3].values[0])  # type: ignore[misc]  # its fields


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255)), max_size=8), st.binary(max_size=40))
def test_damaged_dictionaries_raise_only_declared_errors(edits: list[tuple[int, int]], body: bytes) -> None:
    data = bytearray(SAMPLE)
    for place, octet in edits:
        data[place] = octet
    try:
        found = read(bytes(data), body)
    except Unreadable:
        return
    assert isinstance(found, Structure | RawStructure) or found is None
