"""A hostile server can neither stall nor bloat the gateway: what fuzzing and thinking found, one promise each."""

import asyncio
import struct
import time
import tracemalloc

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.crypto.security_policies import SecurityPolicyNone
from asyncua.ua import ua_binary
from asyncua.ua.ua_binary import variant_from_binary

from gateway.errors import Unavailable
from gateway.opcua.codec.wire import Dialect, Reader, read_structure
from gateway.opcua.session.asyncua_edge import _forward_structure, patch_asyncua, peer_errors
from gateway.opcua.session.transport import MOST_DECODED_BYTES, Protocol
from gateway.opcua.space.structures import Definition, Field, definition_of, readers_of
from gateway.values import Structure
from tests.support import opcua_wire as wire
from tests.support.definitions import told

STRUCTURE, INT32 = 22, 6


def read(definitions: list[Definition], data_type: str, body: bytes) -> object:
    known = {definition.data_type: definition for definition in definitions}
    kinds = {"i=6": INT32} | dict.fromkeys(known, STRUCTURE)
    dialect = Dialect((), readers_of(known, {f"i={n}": text for n, text in enumerate(known, 5000)}, kinds))
    encoded = wire.extension(5000 + list(known).index(data_type), body)
    return read_structure(Reader(encoded, 0, len(encoded), dialect))


def test_empty_structures_in_empty_structures_cost_no_more_than_their_bytes() -> None:
    """Each type holds the next twice: 2 ** 30 structures in no bytes at all."""
    types = [Definition(f"i={n}", 0, (Field("a", f"i={n + 1}"), Field("b", f"i={n + 1}"))) for n in range(100, 130)]
    began = time.process_time()
    assert not isinstance(read([*types, Definition("i=130", 0, ())], "i=100", b""), Structure)
    assert time.process_time() - began < 5


def test_an_empty_structure_is_read() -> None:
    outer = Definition("i=100", 0, (Field("a", "i=101"), Field("b", "i=101"), Field("n", "i=6")))
    found = read([outer, Definition("i=101", 0, ())], "i=100", struct.pack("<i", 5))
    assert isinstance(found, Structure)
    assert found.fields["n"].value == 5


def test_a_chain_of_types_may_be_longer_than_the_stack() -> None:
    types = [Definition(f"i={n}", 0, (Field("next", f"i={n + 1}"),)) for n in range(1000, 6000)]
    began = time.process_time()
    assert isinstance(read([*types, Definition("i=6000", 0, (Field("n", "i=6"),))], "i=5990", bytes(4)), Structure)
    assert not isinstance(read([*types, Definition("i=6000", 0, (Field("n", "i=0"),))], "i=5990", bytes(4)), Structure)
    assert time.process_time() - began < 5


def test_more_optional_fields_than_the_mask_has_bits_are_not_read() -> None:
    said = ua.StructureDefinition()
    said.StructureType = ua.StructureType.StructureWithOptionalFields
    field = ua.StructureField(Name="x", DataType=ua.NodeId(ua.Int32(6)), ValueRank=ua.Int32(-1), IsOptional=True)
    said.Fields = [field] * 32
    assert definition_of("i=100", told(said)) is not None
    said.Fields = [field] * 33
    assert definition_of("i=100", told(said)) is None


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(b"\x80" + struct.pack("<i", 2**31 - 1), id="an array of Nulls"),
        pytest.param(b"\xc6" + struct.pack("<iiiii", 1, 7, 2, 1000, 1000), id="dimensions without elements"),
        pytest.param(b"\x8f" + struct.pack("<ii", 2**31 - 1, -4), id="texts of less than nothing"),
        pytest.param(b"\xd8" + struct.pack("<i", 50) + b"\xc6" + struct.pack("<iii", 0, 1, 900_000) * 50, id="nested"),
    ],
)
def test_asyncua_decodes_nothing_larger_than_its_bytes(bomb: bytes) -> None:
    patch_asyncua()
    tracemalloc.start()
    try:
        with pytest.raises(Unavailable), peer_errors("read", "here"):
            variant_from_binary(Buffer(bomb))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_asyncua_decodes_correctly_after_an_xml_body(monkeypatch: pytest.MonkeyPatch) -> None:
    two = b"\x96" + struct.pack("<i", 2) + 2 * b"\x00\x00\x00"
    patch_asyncua()
    with monkeypatch.context() as unbounded:
        unbounded.setattr(ua_binary, "extensionobject_from_binary", _forward_structure)
        variant_from_binary(Buffer(two))  # asyncua keeps the decoder it makes here
        patch_asyncua()
    xml, binary = b"\x00\x05\x02" + wire.text("<v/>"), b"\x00\x06\x01" + wire.text("ab")
    body = Buffer(b"\x96" + struct.pack("<i", 4) + xml + binary + xml + b"\x00\x00\x00" + wire.double(2.5))
    found = variant_from_binary(body).Value
    assert [each.Body for each in found] == [b"<v/>", b"ab", b"<v/>", None]
    assert variant_from_binary(body).Value == 2.5


def test_asyncua_still_decodes_matrices() -> None:
    patch_asyncua()
    body = b"\xc6" + struct.pack("<i6i", 6, *range(6)) + struct.pack("<iii", 2, 2, 3)
    assert variant_from_binary(Buffer(body)).Value == [[0, 1, 2], [3, 4, 5]]
    assert variant_from_binary(Buffer(b"\x80" + struct.pack("<i", -1))).Value is None


def test_asyncua_decodes_no_large_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    head = struct.pack("<BBH", 1, 0, 634) + wire.RESPONSE_HEADER

    async def body() -> None:
        protocol = Protocol(1.0, SecurityPolicyNone())  # type: ignore[no-untyped-call]  # asyncua's
        answer: asyncio.Future[Buffer] = asyncio.get_running_loop().create_future()
        answer.set_result(Buffer(head + bytes(MOST_DECODED_BYTES)))
        monkeypatch.setattr(protocol, "_send_request", lambda *_: answer)
        assert len(await protocol.ask(None)) > MOST_DECODED_BYTES
        with pytest.raises(ua.uaerrors.BadResponseTooLarge):
            await protocol.send_request(None)

    asyncio.run(body())
