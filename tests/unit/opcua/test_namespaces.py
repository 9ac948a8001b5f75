"""Node ids as text and back, whatever a server calls its nodes and its namespaces."""

import uuid
from pathlib import Path

import numpy as np
import orjson
import pytest
from asyncua import ua
from asyncua.ua.ua_binary import nodeid_to_binary
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cli.browse import _on_one_line, _yaml
from gateway.loading import load
from gateway.model import Tag
from gateway.opcua.codec.namespaces import STANDARD, index_of, nameless, printable, uri_at, uris_of
from gateway.opcua.codec.node_ids import node_of, text_of_node
from gateway.opcua.codec.read_values import ReadValue
from gateway.opcua.codec.references import _node
from gateway.opcua.codec.wire import Dialect, Reader, read_node_id
from gateway.opcua.explore import Browsed, Entry, selection_of
from gateway.payload.choose import encoder_for
from gateway.payload.read import PayloadReader
from tests.support.payloads import Counting, batch_of, config_of
from tests.unit.payload.test_read import VARIANTS, packet_of

URIS = uris_of([STANDARD, "urn:server", "urn:a;b%c", "urn:dup", "urn:dup", "", None, "urn:\udcff", STANDARD])
AWKWARD = (
    '"DB Motor"."Antrieb 1"."Ist[0]"', "trailing ", " leading", " ", "", "a;b;s=c", "ns=3;s=x", "nsu=urn:x;s=y",
    "a%3Bb%25", "Größe_µm", "温度", "emoji😀", "nul\0mid", "tab\tnl\nend\r", "L" * 300, "lat\udcf6n1", "50%\udcff%41",
    "\udced\udca0\udc80", "#", "- x", "off", "010", "{x}", "'", '"', "\x1b[31m", "\u2028", "\ufeff", "\x85",
)  # fmt: skip


def any_bytes(raw: bytes) -> str:
    """A string identifier as the library keeps it."""
    return raw.decode("utf-8", "surrogateescape")


identifiers = st.one_of(
    st.sampled_from(AWKWARD), st.binary(max_size=12).map(any_bytes), st.integers(0, 2**32 - 1), st.binary(max_size=8),
    st.uuids(),
)  # fmt: skip
nodes = st.builds(ua.NodeId, identifiers, st.sampled_from([*range(len(URIS)), 300, 65535]))


@given(nodes)
@settings(deadline=None)
def test_a_node_id_survives_its_text_form(node: ua.NodeId) -> None:
    text = text_of_node(node, URIS)
    assert node_of(text, URIS) == node
    assert text.encode()
    encoded = nodeid_to_binary(node)
    assert read_node_id(Reader(encoded, 0, len(encoded), Dialect(URIS))) == text
    assert _node(Reader(encoded, 0, len(encoded), Dialect(URIS)), URIS) == node


def test_a_uri_names_a_namespace_only_if_it_is_unique() -> None:
    assert [uri_at(n, URIS) for n in (1, 2, 3, 4, 5, 6, 7, 99)] == ["urn:server", "urn:a;b%c", *[None] * 6]
    assert [index_of(uri, URIS) for uri in (STANDARD, "urn:server", "urn:dup", "", "urn:x")] == [0, 1, None, None, None]
    assert node_of("nsu=urn:dup;s=X", URIS) is None
    assert nameless(URIS) == "3, 4 (urn:dup); 5, 6 (no URI); 7 (urn:\ufffd); 8 (http://opcfoundation.org/UA/)"
    assert nameless(URIS[:3]) == ""
    assert uris_of(None) == ()


@pytest.fixture(scope="module")
def awkward() -> list[ua.NodeId]:
    others = (b"\x80\x2e\xff\x00", b"", uuid.UUID(int=7), 0, 2**32 - 1)
    return [ua.NodeId(i, ns) for ns in (1, 2, 3, 7) for i in (*AWKWARD, *others)]  # type: ignore[arg-type]  # plain values


def test_the_selection_that_browse_prints_is_a_valid_configuration(awkward: list[ua.NodeId], tmp_path: Path) -> None:
    entries = [
        Entry(printable(str(node.Identifier)), text_of_node(node, URIS), "", ReadValue(0, None, 0), "", None)
        for node in awkward
    ]
    select = _yaml({"select": selection_of(Browsed(entries, [], len(entries) + 1))})
    path = tmp_path / "gateway.yaml"
    indented = "".join(f"    {line}\n" for line in select.split("\n"))
    head = "name: e\nsources:\n  - name: s\n    url: opc.tcp://127.0.0.1\n    insecure: true\n"
    path.write_bytes(f"{head}{indented}broker: {{url: 'mqtt://127.0.0.1'}}\npayload: {{topic: f}}\n".encode())
    read = load(path).sources[0].select
    assert [node_of(each.node or "", URIS) for each in read] == awkward


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_format_and_topic_accepts_any_node_id_and_name(variant: str, awkward: list[ua.NodeId]) -> None:
    names = [f"{printable(str(node.Identifier))}{node.NamespaceIndex}" for node in awkward]
    tags = [
        Tag(name, text_of_node(node, URIS), {"machine": name}, unit=name)
        for name, node in zip(names, awkward, strict=True)
    ]
    batch = batch_of([(17, tag.node_id) for tag in tags], tags=tags)
    form, counting, reader = (
        encoder_for(config_of(VARIANTS[variant]), "line-1", "edge.k3x9q2"),
        Counting(),
        PayloadReader(),
    )
    messages = counting.append(form.encode(batch, counting.next_seq))
    got = [(m, reader.read(packet_of(m))) for m in messages]
    assert sorted(value for _, reading in got for _, value in reading.values if isinstance(value, str)) == sorted(
        tag.node_id for tag in tags
    )
    for message, _ in got:
        assert not set(message.topic) & set("+#\0\n\x7f")
        assert message.topic.encode()
        assert all(value.encode() for _, value in message.properties)


def test_control_characters_of_a_name_are_escaped_in_the_terminal() -> None:
    lines = [_on_one_line(printable(text)) for text in AWKWARD]
    assert all(line.isprintable() for line in lines)
    assert _on_one_line("a\x1b[31m\nb Größe 温度") == "a\\x1b[31m\\nb Größe 温度"
    assert orjson.dumps(lines)
    assert np.array(lines).shape == (len(AWKWARD),)
