"""Models of any description: well-formed, the same every time, with names that do not collide, in bounded memory."""

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigError
from gateway.model import Priority, Tag, TagFacts
from gateway.modelling.describe import describe
from gateway.modelling.description import Description, SourceTable, Told
from gateway.modelling.formats import MODEL_FORMATS
from gateway.modelling.names import Names
from gateway.modelling.table_file import read, written
from gateway.modelling.units import unit_of
from tests.support.models import WORST_NAMES, config_of, tables_of_worst, worst_description
from tests.support.payloads import batch_of
from tests.support.sparkplug_edge import Plant


@given(st.lists(st.one_of(st.sampled_from(WORST_NAMES), st.text()), max_size=40), st.sampled_from([12, 64, 200]))
def test_names_are_legal_and_different_and_those_of_the_same_texts_the_same(texts: list[str], most: int) -> None:
    first, again = Names(most=most), Names(most=most)
    names = [first.of(text) for text in texts]
    assert names == [again.of(text) for text in texts]
    assert len({name.casefold() for name in names}) == len(names)
    assert all(name.isascii() and name.isidentifier() and name[0].isalpha() and len(name) <= most for name in names)


def test_many_equal_names_take_no_more_than_linear_time() -> None:
    names = Names()
    assert len({names.of("Temperature") for _ in range(20_000)}) == 20_000


@pytest.mark.parametrize("name", MODEL_FORMATS)
def test_a_model_of_the_worst_server_is_the_same_every_time(name: str) -> None:
    once, again = (b"".join(_octets(name, worst_description())) for _ in range(2))
    assert once == again
    assert once


def _octets(name: str, description: Description) -> list[bytes]:
    pieces = MODEL_FORMATS[name].write(description, Told())
    return [piece.encode() if isinstance(piece, str) else piece for piece in pieces]


def large(count: int) -> Description:
    config = config_of(
        sources=[{"name": "s", "url": "opc.tcp://h", "insecure": True, "select": [{"subtree": "i=85"}]}],
        payload={"topic": "t/{machine}"}, commands=None,
    )  # fmt: skip
    tags = [Tag(f"V{n}", f"nsu=urn:x;s=V{n}", {"machine": f"m{n // 500}"}, "°C") for n in range(count)]
    return describe(config, [SourceTable("s", "opc.tcp://h", tags, [TagFacts("a value", 1, 0, 1, "CEL")] * count)], "1")


@pytest.mark.parametrize("device", ["{source}", "{machine}", "{line}-{machine}", "cell"])
def test_topics_of_an_edge_node_are_those_of_its_devices(device: str, tmp_path: Path) -> None:
    machines = [{"line": "l1", "machine": name} for name in ("Press 1", "press/2", "press/2")]
    tags = [Tag(f"v{n}", f"i={n}", fields) for n, fields in enumerate(machines)]
    tags.append(Tag("alarms", "i=9", machines[0], priority=Priority.EVENT))
    config = config_of(payload={"format": "sparkplug", "sparkplug": {"device": device}}, name="edge", commands=None)
    description = describe(config, [SourceTable("shop", "opc.tcp://h", tags, [TagFacts()] * len(tags))], "1")
    made = Plant(tmp_path, device=device).store(
        replace(batch_of([(11, 1.0), (11, 2.0), (11, 3.0), (12, "a")], tags=tags), source="shop")
    )
    assert sorted(each.topic for each in description.topics) == sorted({m.topic for m in made if m.values})
    births = {m.topic for m in made if "DBIRTH" in m.topic}
    assert {each.described_on for each in description.topics} == births
    assert sum(len(each.points) for each in description.topics) == len(tags)


@pytest.mark.parametrize("name", MODEL_FORMATS)
def test_a_large_model_is_never_whole_in_memory(name: str) -> None:
    """What writing takes beside the description is less than a third of the model, and no piece is large."""
    description, size, largest = large(1_500), 0, 0
    list(MODEL_FORMATS[name].write(large(10), Told()))
    tracemalloc.start()
    for piece in MODEL_FORMATS[name].write(description, Told()):
        size += len(piece)
        largest = max(largest, len(piece))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < max(size / 3, 2**20)
    assert largest < max(size / 4, 2**16)


def test_units_are_known_by_code_by_symbol_and_by_name_and_unknown_ones_keep_what_they_have() -> None:
    assert unit_of("", "°C") == unit_of("CEL", None) == unit_of("", "degree Celsius")
    assert (celsius := unit_of("CEL", "C")) is not None
    assert (celsius.samm, celsius.opcua_id) == ("degreeCelsius", 4408652)
    assert (other := unit_of("ZZ9", "furlong")) is not None
    assert (other.code, other.symbol, other.samm) == ("ZZ9", "furlong", "")
    assert unit_of("", "furlong") is None
    assert unit_of("", None) is None


def test_the_table_of_a_server_survives_its_file(tmp_path: Path) -> None:
    path, tables = tmp_path / "plant.table", tables_of_worst()
    path.write_text("".join(written("edge-1", tables)), encoding="utf-8")
    assert [(t.name, t.url, tuple(t.tags), tuple(t.facts), tuple(t.commands)) for t in read(path)] == [
        (t.name, t.url, tuple(t.tags), tuple(t.facts), tuple(t.commands)) for t in tables
    ]


HEAD = '{"table":"connected-factory","version":1,"gateway":"g"}\n'
SOURCE = '{"source":"a","url":"opc.tcp://h"}\n'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ":1: Input data was truncated: it is no table of `gateway model read`"),
        (b"\xff\xfe\0", ":1: "),
        (b"[" * 100_000, ":1: "),
        (b'{"table":"connected-factory","version":2,"gateway":"g"}', ":1: Invalid enum value 2"),
        ((HEAD + '{"tag":{"name":"x","node_id":"i=1"}}').encode(), ":2: a variable without a source before it"),
        ((HEAD + SOURCE + '{"tag":{"name":"x","node_id":"i=1"},"type_of":0}').encode(), ":3: there is no type 0"),
        ((HEAD + SOURCE + '{"tag":{"name":7}}').encode(), ":3: Expected `str`, got `int`"),
        ((HEAD + SOURCE + "{}").encode(), ":3: the line says nothing"),
        ((HEAD + '{"x":' + "[" * 5000 + "]" * 5000 + "}").encode(), ":2: "),
        ((HEAD + '"' + "x" * 5_000_000).encode(), ":2: the line is longer than"),
    ],
)
def test_a_broken_table_says_what_and_where(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "plant.table"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert words in caught.value.problems[0]


@pytest.mark.parametrize("name", ["json-schema", "asyncapi", "wot", "dtdl"])
def test_names_and_descriptions_come_through_unharmed(name: str) -> None:
    document = json.loads(b"".join(_octets(name, worst_description())))
    text = json.dumps(document, ensure_ascii=False)
    assert "温度" in text
    assert 'quote\\"s\\\\and\\nlines' in text


@pytest.mark.parametrize("name", MODEL_FORMATS)
def test_several_brokers_and_a_table_with_commands_that_are_not_allowed_any_more(name: str) -> None:
    select, cloud = [{"subtree": "i=85"}], {"format": "json-columns", "topic": "e/{source}"}
    sources = [{"name": each, "url": "opc.tcp://h", "insecure": True, "select": select} for each in ("a", "A")]
    plant = {"name": "plant", "url": "mqtt://127.0.0.1"}
    brokers = [plant, {"name": "cloud", "url": "mqtts://b", "payload": cloud, "tags": [{"include": ["T*"]}]}]
    config = config_of(sources=sources, broker=None, brokers=brokers, payload={"topic": "p/{source}"}, commands=None)
    description = describe(config, tables_of_worst(), "1")
    assert {topic.brokers for topic in description.topics} == {("plant",), ("cloud",)}
    assert b"".join(_octets(name, description))
