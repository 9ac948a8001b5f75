"""What `sparkplug` stores and says, read with Eclipse Tahu's own reader."""

import json
import math
import re
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cli.watch import Watcher
from gateway.delivery import Packet
from gateway.errors import ConfigError
from gateway.loading import load
from gateway.model import Batch, DataField, Gap, Loss, Message, Tag, VariableType
from gateway.model import DataType as OpcType
from gateway.mqtt.watch import Arrived
from gateway.payload.choose import announcement_for
from gateway.payload.read import Reading
from gateway.payload.sparkplug.births import dbirth, nbirth, ndeath
from gateway.payload.sparkplug.compression import compressed
from gateway.payload.sparkplug.datatypes import value_field
from gateway.payload.sparkplug.host import HostState
from gateway.payload.sparkplug.latest import Row
from gateway.payload.sparkplug.library import Library
from gateway.payload.sparkplug.node import Names, Node
from gateway.payload.sparkplug.numbers import Numbers
from gateway.payload.sparkplug.own_metrics import OwnMetrics
from gateway.payload.sparkplug.read import read_payload
from gateway.payload.sparkplug.rows import MOST_TEXT, Heads, metrics_of
from gateway.payload.sparkplug.table import unpacked_table
from gateway.payload.sparkplug.wire import MalformedError, as_historical, fields_in, metric_of
from gateway.values import LocalizedText, QualifiedName, RawStructure, Structure, Typed
from tests.support.payloads import TICKS, batch_of, config_of
from tests.support.sparkplug import Json, SparkplugHost, Tahu, tahu
from tests.support.sparkplug_edge import Plant
from tests.support.sparkplug_structures import in_definition, in_value, is_definition, plain

MS = 1_755_526_400_123
"""`TICKS` in milliseconds since 1970."""
TOPIC = "spBv1.0/factory/DDATA/edge/line-1"


@pytest.fixture(scope="module")
def reader() -> Iterator[Tahu]:
    with tahu() as found:
        yield found


def born(reader: Tahu, plant: Plant, device: str = "line-1") -> Json:
    """A birth of the present table, which also tells the reader the types of the data that follows."""
    table = plant.node.devices[device].table
    assert table is not None
    return reader.read(f"spBv1.0/factory/DBIRTH/edge/{device}", dbirth(table, plant.node.latest.get, MS))


def rows_of(reader: Tahu, plant: Plant, batch: Batch) -> list[Json]:
    made = plant.store(batch)
    born(reader, plant)
    return [m for each in made if each.values for m in reader.read(each.topic, each.payload)["metrics"]]


def same(got: object, sent: object) -> bool:
    if isinstance(sent, float):
        return float(str(got)) == sent or (math.isnan(sent) and str(got) == "NaN")
    return str(got) == str(sent) if isinstance(sent, int) and not isinstance(sent, bool) else got == sent


@pytest.mark.parametrize(
    ("kind", "value", "datatype", "told"),
    [
        (1, True, "Boolean", True), (2, -5, "Int8", -5), (3, 250, "UInt8", 250), (4, -300, "Int16", -300),
        (5, 65535, "UInt16", 65535), (6, -(2**31), "Int32", -(2**31)), (7, 123, "UInt32", 123),
        (8, -(2**63), "Int64", -(2**63)), (9, 2**64 - 1, "UInt64", 2**64 - 1), (10, 1.5, "Float", 1.5),
        (11, -1.25e300, "Double", -1.25e300), (12, "ü\u2603", "String", "ü\u2603"), (13, TICKS, "DateTime", MS),
        (14, uuid.UUID(int=7), "UUID", str(uuid.UUID(int=7))), (15, b"\0\xff", "Bytes", {"base64": "AP8="}),
        (16, "<a/>", "Text", "<a/>"), (17, "nsu=urn:u;i=1", "String", "nsu=urn:u;i=1"),
        (19, 0x80340000, "UInt32", None),
        (20, QualifiedName("urn:u", "q"), "String", "urn:u:q"), (21, LocalizedText("de", "hallo"), "String", "hallo"),
        (13, 5, "DateTime", 0),
    ],
)  # fmt: skip
def test_each_type_has_its_datatype_and_value(
    reader: Tahu, tmp_path: Path, kind: int, value: object, datatype: str, told: object
) -> None:
    """tck-id-payloads-metric-datatype-value, tck-id-payloads-metric-datatype-value-type"""
    plant = Plant(tmp_path)
    [metric] = rows_of(reader, plant, batch_of([(kind, value)]))
    assert metric["type"] == datatype
    assert told is None or same(metric["value"], told)
    first = next(each for each in born(reader, plant)["metrics"] if each["name"] == "tag0")
    assert (first["type"], first["value"]) == (datatype, metric["value"])


@pytest.mark.parametrize(
    ("kind", "values", "datatype"),
    [(1, [True, False] * 5, 32), (2, [-1, 1], 22), (3, [255], 26), (4, [-2, 2], 23), (5, [7], 27), (6, [-3], 24),
     (7, [2**32 - 1], 28), (8, [-(2**40)], 25), (9, [2**63], 29), (10, [0.5, -1.5], 30), (11, [1e300], 31),
     (12, ["a", "", "ü"], 33), (6, [], 24)],
)  # fmt: skip
def test_arrays_are_packed(reader: Tahu, tmp_path: Path, kind: int, values: list[object], datatype: int) -> None:
    [metric] = rows_of(reader, Plant(tmp_path), batch_of([(kind | 0x80, values)]))
    assert metric["datatype"] == datatype
    assert [str(each) for each in metric["value"] or []] == [str(each) for each in values]


@pytest.mark.parametrize(
    ("kind", "value", "columns", "rows"),
    [
        (6, [[1, -2], [3, 4]], ["0", "1"], [[1, -2], [3, 4]]),
        (11, [[0.5, 1.5, 2.5]], ["0", "1", "2"], [[0.5, 1.5, 2.5]]),
        (1, [[True], [False]], ["0"], [[True], [False]]),
        (9, [[2**63, 1]], ["0", "1"], [[str(2**63), "1"]]),
        (8, [[-(2**40)]], ["0"], [[str(-(2**40))]]),
        (12, [["a", None]], ["0", "1"], [["a", ""]]),
        (14, [[uuid.UUID(int=1)]], ["0"], [[str(uuid.UUID(int=1))]]),
        (13, [[TICKS]], ["0"], [[str(MS)]]),
        (6, [[[1], [2]], [[3], [4]]], ["i0", "i1", "0"], [[0, 0, 1], [0, 1, 2], [1, 0, 3], [1, 1, 4]]),
        (6, [[], []], ["0"], []),
    ],
)  # fmt: skip
def test_a_matrix_is_a_dataset(
    reader: Tahu, tmp_path: Path, kind: int, value: object, columns: list[str], rows: list[list[object]]
) -> None:
    """tck-id-payloads-dataset-column-size, tck-id-payloads-dataset-column-num-headers,
    tck-id-payloads-dataset-types-def, tck-id-payloads-dataset-types-num, tck-id-payloads-dataset-types-type,
    tck-id-payloads-dataset-types-value, tck-id-payloads-dataset-parameter-type-req,
    tck-id-payloads-template-dataset-value
    """
    plant = Plant(tmp_path)
    [metric] = rows_of(reader, plant, batch_of([(kind | 0xC0, value)]))
    assert metric["type"] == "DataSet"
    told = metric["value"]
    assert (told["columns"], told["rows"]) == (columns, rows)
    assert list(in_value(metric, {}, "data")) == []
    first = next(each for each in born(reader, plant)["metrics"] if each["name"] == "tag0")
    assert first["value"] == told


def recipe(**more: Typed) -> Structure:
    """A value of a structure that nobody describes."""
    inner = Structure("nsu=urn:u;i=8", {"X": Typed(10, 0.5), "Y": Typed(6, -3)})
    return Structure("nsu=urn:u;i=9", {"Name": Typed(12, "a"), "At": Typed(22, inner), **more})


def test_a_structure_is_an_instance_of_a_template(reader: Tahu, tmp_path: Path) -> None:
    """tck-id-payloads-template-instance-is-definition, tck-id-payloads-template-instance-ref,
    tck-id-payloads-template-instance-members, tck-id-payloads-template-instance-members-birth,
    tck-id-payloads-template-definition-nbirth, tck-id-payloads-template-definition-nbirth-only,
    tck-id-payloads-template-definition-is-definition, tck-id-payloads-template-definition-ref,
    tck-id-payloads-template-definition-members, tck-id-payloads-template-version,
    tck-id-payloads-template-ref-definition, tck-id-payloads-template-ref-instance,
    tck-id-payloads-template-is-definition, tck-id-payloads-template-is-definition-definition,
    tck-id-payloads-template-is-definition-instance, tck-id-topics-nbirth-templates
    """
    plant = Plant(tmp_path)
    sizes = Typed(0x86, [1, 2])
    [metric] = rows_of(reader, plant, batch_of([(22, recipe(Sizes=sizes, Parts=Typed(0x96, [Structure("p", {})])))]))
    told = {"Name": "a", "At": {"X": 0.5, "Y": -3}, "Sizes": [1, 2], "Parts": "[{}]"}
    table = plant.node.devices["line-1"].table
    assert table is not None
    birth = reader.read("spBv1.0/factory/NBIRTH/edge", nbirth(1, MS, (), table.templates))
    known = {each["name"]: each for each in birth["metrics"] if is_definition(each)}
    assert list(known) == ["nsu=urn:u;i=8", "nsu=urn:u;i=9"]
    assert [list(in_definition(each, known)) for each in known.values()] == [[], []]
    [first, _] = born(reader, plant)["metrics"]
    for each, verb in ((metric, "data"), (first, "birth")):
        found = plain(each)
        assert isinstance(found, dict)
        assert found | {"Sizes": [1, 2]} == told  # the members of arrays are bytes for that reader
        assert list(in_value(each, known, verb)) == []


def test_the_template_is_what_the_server_describes_and_what_is_absent_is_null(reader: Tahu, tmp_path: Path) -> None:
    point = OpcType("i=8", "Point", 22, fields=(DataField("X", "i=10", -1), DataField("Y", "i=6", -1)))
    fields = (
        DataField("Name", "i=12", -1), DataField("At", "i=8", -1), DataField("Path", "i=8", 1),
        DataField("Grid", "i=6", 2), DataField("Mode", "i=77", -1, is_optional=True), DataField("Any", "i=24", -1),
        DataField("Self", "i=9", -1),
    )  # fmt: skip
    mode = OpcType("i=77", "Mode", 6, ((0, "Off"),))
    described = VariableType(-1, (OpcType("i=9", "Recipe", 22, kind=1, fields=fields), point, mode))
    plant = Plant(tmp_path)
    tags = [Tag("r", "i=1", variable_type=described), Tag("s", "i=2", variable_type=described)]
    value = Structure("i=9", {**recipe().fields, "Grid": Typed(0xC6, [[1, 2]]), "Any": Typed(24, Typed(6, 5))})
    made = [m for m in plant.store(batch_of([(22, value)], tags=tags)) if m.values]
    table = plant.node.devices["line-1"].table
    assert table is not None
    assert [each.name for each in table.templates] == ["Point", "Recipe"]
    assert [each.datatype for each in table.templates[1].members] == [12, 19, 12, 16, 3, 12, 12]
    r, s, _ = (plain(each) for each in born(reader, plant)["metrics"])
    empty = dict.fromkeys((each.name for each in fields), None)
    assert r == {**empty, "Name": "a", "At": {"X": 0.5, "Y": -3}, "Grid": [[1, 2]], "Any": "5"}
    assert s == {**empty, "At": {"X": None, "Y": None}}
    [metric] = reader.read(made[0].topic, made[0].payload)["metrics"]
    assert plain(metric) == r


def test_a_structure_that_grows_has_another_template_and_a_text_at_last(tmp_path: Path) -> None:
    plant, names = Plant(tmp_path), []
    for count in (0, 0, *range(1, 12)):
        plant.store(batch_of([(22, recipe(**{f"More{n}": Typed(6, n) for n in range(count)}))]))
        table = plant.node.devices["line-1"].table
        assert table is not None
        names.append(table.metrics[0].template)
    wider = [f"nsu=urn:u;i=9~{number}" for number in range(2, 9)]
    assert names == ["nsu=urn:u;i=9", "nsu=urn:u;i=9", *wider, "", "", "", ""]
    plant.store(batch_of([(22, RawStructure("i=1", b""))], tags=[Tag("raw", "i=7")]))
    table = plant.node.devices["line-1"].table
    assert table is not None
    assert [metric.datatype for metric in table.metrics] == [12, 12]


def test_a_member_of_changing_type_becomes_a_text_and_the_rest_stays(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    for value in (Typed(6, 1), Typed(11, 0.5), Typed(1, True)):
        plant.store(batch_of([(22, recipe(Odd=value))]))
    table = plant.node.devices["line-1"].table
    assert table is not None
    assert [(each.name, each.datatype) for each in table.templates[-1].members] == [
        ("Name", 12),
        ("At", 19),
        ("Odd", 12),
    ]
    assert table.templates[-1].name == "nsu=urn:u;i=9~2"


def test_unit_and_range_are_properties_of_births(reader: Tahu, tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    tags = [Tag("a", "i=1", unit="bar", range=(-1.5, 16.0)), Tag("b", "i=2", range=(0.0, 1.0)), Tag("c", "i=3")]
    plant.store(batch_of([(11, 1.0), (11, 2.0), (11, 3.0)], tags=tags, statuses=[0, 0x80310000, 0]))
    told = [each.get("properties", {}) for each in born(reader, plant)["metrics"][:3]]
    assert {name: each["value"] for name, each in told[0].items()} == {
        "engUnit": "bar",
        "engLow": -1.5,
        "engHigh": 16.0,
    }
    assert {name: each["value"] for name, each in told[1].items() if "eng" in name} == {"engLow": 0.0, "engHigh": 1.0}
    assert {each["type"] for name, each in told[0].items() if name != "engUnit"} == {"Double"}
    assert told[1]["Quality"]["value"] == 0
    assert not told[2]


def test_what_sparkplug_lacks_is_text_as_json_has_it(reader: Tahu, tmp_path: Path) -> None:
    metrics = rows_of(reader, Plant(tmp_path), batch_of([(0x96, [Structure("t", {})]), (0x8E, [uuid.UUID(int=1)])]))
    assert [each["type"] for each in metrics] == ["String", "String"]
    assert json.loads(metrics[0]["value"]) == [{}]


def test_for_hosts_that_read_neither_structures_and_matrices_are_text(reader: Tahu, tmp_path: Path) -> None:
    plant, motor = Plant(tmp_path, structures="json"), Structure("t", {"Speed": Typed(11, 1.5)})
    metrics = rows_of(reader, plant, batch_of([(22, motor), (0xC6, [[1, 2], [3, 4]])]))
    assert [each["type"] for each in metrics] == ["String", "String"]
    assert [json.loads(each["value"]) for each in metrics] == [{"Speed": 1.5}, [[1, 2], [3, 4]]]


def test_a_metric_of_changing_type_becomes_a_text_once(reader: Tahu, tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    tables = []
    for kind, value in ((6, 1), (11, 1.5), (12, "x"), (6, 2), (1, True)):
        made = plant.store(batch_of([(kind, value)], tags=[Tag("v", "i=1")]))
        tables += [m for m in made if "DBIRTH" in m.topic]
    assert len(tables) == 2
    born(reader, plant)
    texts = [
        reader.read(m.topic, m.payload)["metrics"][0]["value"]
        for m in plant.stored
        if m.values and m.seq > tables[1].seq
    ]
    assert texts == ["1.5", "x", "2", "true"]


def test_values_have_times_null_and_quality(reader: Tahu, tmp_path: Path) -> None:
    """tck-id-payloads-name-birth-data-requirement, tck-id-payloads-metric-timestamp-in-UTC,
    tck-id-payloads-propertyset-quality-value-type, tck-id-payloads-propertyset-quality-value-value,
    tck-id-payloads-propertyset-keys-array-size, tck-id-payloads-propertyset-values-array-size,
    tck-id-payloads-metric-propertyvalue-type-req, tck-id-payloads-metric-propertyvalue-type-type,
    tck-id-payloads-metric-propertyvalue-type-value
    """
    plant = Plant(tmp_path)
    batch = batch_of(
        [(11, 1.0), (11, 2.0), (0, None), (11, 3.0)], handles=[0, 0, 0, 0], statuses=[0, 0x40900000, 0x80310000, 0],
        ticks=[TICKS, TICKS + 10_000, TICKS + 20_000, TICKS + 30_000],
    )  # fmt: skip
    found = rows_of(reader, plant, batch)
    assert [int(each["timestamp"]) - MS for each in found] == [0, 1, 2, 3]
    assert [each.get("properties", {}).get("Quality", {}).get("value") for each in found] == [None, 500, 0, 192]
    assert found[1]["properties"]["StatusCode"] == {"type": "UInt32", "value": str(0x40900000)}
    assert "isNull" in found[2]["fields"]
    later = rows_of(reader, plant, batch_of([(11, 4.0)], tags=batch.tags))
    assert later[0].get("properties") is None


def test_a_quality_is_not_forgotten_when_a_message_is_split(reader: Tahu, tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    plant.payload = plant.payload.model_copy(update={"max_bytes": 1024})
    tags = [Tag(f"t{n}", f"i={n}") for n in range(100)]
    plant.store(batch_of([(11, 1.0)] * 100, tags=tags, statuses=[0x80310000] * 100))
    metrics = rows_of(reader, plant, batch_of([(11, 2.0)] * 100, tags=tags))
    assert [metric["properties"]["Quality"]["value"] for metric in metrics] == [192] * 100
    assert len([m for m in plant.stored if m.values]) > 2


def test_the_full_source_time_is_a_property_where_asked(reader: Tahu, tmp_path: Path) -> None:
    [metric] = rows_of(reader, Plant(tmp_path, source_time=True), batch_of([(11, 1.0)]))
    assert metric["properties"]["sourceTime"]["value"] == "2025-08-18T14:13:20.1234567Z"


def test_rows_are_in_order_of_time_and_each_tag_in_its_own(reader: Tahu, tmp_path: Path) -> None:
    """tck-id-operational-behavior-data-publish-dbirth-order"""
    plant = Plant(tmp_path)
    rows = [(11, float(n)) for n in range(4)]
    mixed = batch_of(rows, handles=[0, 1, 2, 3], ticks=[TICKS + 10_000 * n for n in (3, 1, 2, 0)])
    assert [each["value"] for each in rows_of(reader, plant, mixed)] == [3, 1, 2, 0]
    set_back = batch_of(rows, handles=[0, 0, 1, 0], tags=mixed.tags, ticks=[TICKS + 10_000 * n for n in (9, 5, 7, 6)])
    made = [m for m in plant.store(set_back) if m.values]
    times = [[int(x["timestamp"]) for x in reader.read(m.topic, m.payload)["metrics"]] for m in made]
    assert all(each == sorted(each) for each in times)
    values = [x["value"] for m in made for x in reader.read(m.topic, m.payload)["metrics"]]
    assert [v for v in values if v != 2] == [0, 1, 3]


def test_history_is_flagged_and_a_stored_row_can_become_history(reader: Tahu, tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    batch = batch_of([(11, 1.5), (12, "x"), (6, 300)])
    made = [m for m in plant.store(batch) if m.values]
    born(reader, plant)
    before = [m for each in made for m in reader.read(TOPIC, each.payload)["metrics"]]
    after = [m for each in made for m in reader.read(TOPIC, as_historical(each.payload))["metrics"]]
    assert [m.get("isHistorical") for m in before] == [False] * 3
    assert [{**m, "isHistorical": False} for m in after] == before
    assert all(m["isHistorical"] for m in after)
    history = rows_of(reader, plant, replace(batch, historical=True))
    assert all(m["isHistorical"] for m in history)


def test_names_differ_for_those_who_ignore_case_too(tmp_path: Path) -> None:
    """tck-id-case-sensitivity-metric-names"""
    plant = Plant(tmp_path)
    names = ["a/Temp", "a/temp", "A/TEMP", "gateway/gaps", "a/temp~2"]
    plant.store(batch_of([(6, 1)] * 5, tags=[Tag(name, f"i={n}") for n, name in enumerate(names)]))
    table = plant.node.devices["line-1"].table
    assert table is not None
    made = [metric.name for metric in table.metrics]
    assert len({name.lower() for name in made}) == len(made) == 6
    assert made[:2] == ["a/Temp", "a/temp~2"]


def test_two_servers_with_a_device_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """tck-id-topic-structure-namespace-unique-device-id, tck-id-case-sensitivity-sparkplug-ids"""
    plant = Plant(tmp_path, device="{machine}")
    for source, machine in (("line-1", "Press"), ("line-2", "press"), ("line-1", "oven")):
        plant.store(replace(batch_of([(6, 1)], tags=[Tag("x", "i=1", {"machine": machine})]), source=source))
    assert sorted(plant.node.devices) == ["Press", "oven", "press~line-2"]


def test_a_device_id_may_be_anything_that_a_machine_is_called(tmp_path: Path) -> None:
    """tck-id-topic-structure-namespace-valid-device-id"""
    plant = Plant(tmp_path, device="{machine}")
    plant.store(batch_of([(6, 1)], tags=[Tag("x", "i=1", {"machine": "a/b+c#"})]))
    [device] = plant.node.devices
    assert not set(device) & set("+/#")


def test_gaps_and_losses_are_a_metric(reader: Tahu, tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    batch = replace(batch_of([(6, 1)]), gaps=(Gap("server_overflow", "the queue ran over", TICKS, TICKS),))
    gap = next(m for m in plant.store(batch) if m.content_type)
    assert json.loads(gap.payload)[0]["cause"] == "server_overflow"
    loss = Loss(1, gap.stream, 3, 5, 3, 30, "corrupt", 0, 0, ("broker",))
    told = announcement_for(plant.payload, "edge")(loss, gap.stream, TOPIC, 6)
    assert json.loads(told.payload)[0]["cause"] == "corrupt"


def test_a_table_comes_first_and_again_and_anew_when_tags_are_added(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    tags = [Tag("a", "i=1")]
    made = [m for _ in range(600) for m in plant.store(batch_of([(6, 1)], tags=tags))]
    at = [n for n, m in enumerate(made) if "DBIRTH" in m.topic]
    assert at[0] == 0
    assert len(at) == 3
    grown = plant.store(batch_of([(6, 1), (6, 2)], tags=[*tags, Tag("b", "i=2")]))
    first, second = (unpacked_table(m.payload) for m in (made[0], grown[0]))
    assert second.covers(first)
    assert not first.covers(second)
    assert first.by_name["a"].alias == second.by_name["a"].alias


def test_types_that_the_server_describes_are_in_the_first_table(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    described = VariableType(-1, (OpcType("i=11", "Double", 11),))
    tags = [Tag("a", "i=1"), Tag("b", "i=2", variable_type=described), Tag("c", "i=3", variable_type=None)]
    plant.store(batch_of([(6, 1)], tags=tags))
    table = plant.node.devices["line-1"].table
    assert table is not None
    assert [metric.datatype for metric in table.metrics] == [3, 10, 12, 12]


def test_births_and_deaths_of_the_node(reader: Tahu) -> None:
    """tck-id-topics-ndeath-payload, tck-id-payloads-ndeath-seq, tck-id-topics-ndeath-seq,
    tck-id-topics-nbirth-bdseq-included, tck-id-topics-nbirth-bdseq-matching, tck-id-topics-nbirth-rebirth-metric
    """
    host, numbers = SparkplugHost(reader), Numbers()
    for verb, payload in (("NBIRTH", nbirth(7, MS)), ("NDEATH", ndeath(7, MS))):
        message = numbers.dress(Message(f"spBv1.0/g/{verb}/n", payload, "", 0, 0))
        host.see(message.topic, message.payload, 1 if verb == "NDEATH" else 0)
    assert not host.violations
    assert not host.is_online
    assert host.bd_seq == 7


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["NBIRTH", "DBIRTH", "DDATA", "DDEATH", "NDEATH", "other"]), max_size=600))
def test_seq_rises_by_one_from_each_birth_and_only_with_what_is_sent(verbs: list[str]) -> None:
    """tck-id-payloads-sequence-num-incrementing, tck-id-payloads-sequence-num-always-included,
    tck-id-payloads-sequence-num-req-nbirth, tck-id-topics-nbirth-seq-num, tck-id-topics-dbirth-seq,
    tck-id-topics-ddata-seq-num, tck-id-topics-ddeath-seq-num
    """
    numbers, expected = Numbers(clock_ms=lambda: 1), 0
    for verb in verbs:
        topic = "gateways/x" if verb == "other" else f"spBv1.0/g/{verb}/n"
        message = Message(topic, b"", "", 0, 0)
        unsent, sent = numbers.dress(message), numbers.dress(message)
        assert unsent == sent
        numbers.sent(sent)
        told = {number: value for number, _, value in fields_in(sent.payload)}
        if verb in ("other", "NDEATH"):
            assert not told
            continue
        expected = 0 if verb == "NBIRTH" else expected
        assert told == {1: 1, 3: expected % 256}
        expected += 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("AB"), st.sampled_from("xyzuvw")), max_size=60), st.integers(0, 60))
def test_aliases_are_unique_in_the_node_and_stay_also_over_a_restart(
    asked: list[tuple[str, str]], restart_at: int
) -> None:
    """tck-id-payloads-alias-uniqueness"""
    with tempfile.TemporaryDirectory() as folder:
        plant, seen = Plant(Path(folder)), dict[tuple[str, str], int]()
        tags: dict[str, list[Tag]] = {"A": [], "B": []}
        for number, (source, name) in enumerate(asked):
            if number == restart_at:
                plant.start()
            if all(tag.name != name for tag in tags[source]):
                tags[source] = [*tags[source], Tag(name, f"i={len(tags[source])}")]
            count = len(tags[source])
            made = plant.store(replace(batch_of([(6, 1)] * count, tags=tags[source]), source=source))
            for message in made:
                if "DBIRTH" not in message.topic:
                    continue
                table = unpacked_table(message.payload)
                Library(Path(folder) / "sparkplug" / "broker").save(table)
                for metric in table.metrics:
                    assert seen.setdefault((source, metric.name), metric.alias) == metric.alias
        assert len(set(seen.values())) == len(seen)


ROWS = st.one_of(
    st.tuples(st.just(3), st.integers(-(2**31), 2**31 - 1)),
    st.tuples(st.just(7), st.one_of(st.integers(0, 300), st.integers(0, 2**32 - 1))),
    st.tuples(st.just(4), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just(8), st.integers(0, 2**64 - 1)),
    st.tuples(st.just(9), st.floats(width=32, allow_nan=False)),
    st.tuples(st.just(10), st.floats(allow_nan=False)),
    st.tuples(st.just(11), st.booleans()),
    st.tuples(st.just(12), st.one_of(st.text(max_size=20), st.text("aü\ud800", min_size=10, max_size=80))),
)
KIND_OF = {3: 6, 7: 7, 4: 8, 8: 9, 9: 10, 10: 11, 11: 1, 12: 12}


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2**43), ROWS), min_size=1, max_size=40),
    st.booleans(), st.booleans(), st.data(),
)  # fmt: skip
def test_columns_have_the_bytes_of_single_metrics(
    rows: list[tuple[int, int, tuple[int, object]]], historical: bool, is_even: bool, data: st.DataObject
) -> None:
    aliases = [128, 129, 16_383, 130, 131] if is_even else [128, 2**20, 16_384, 1, 2**40]
    if data.draw(st.booleans()):  # one type alone, at times of this decade
        rows = [(handle, MS + ms % 50_000, (10, float(ms))) for handle, ms, _ in rows]
    handles, ms, told = zip(*rows, strict=True)
    kinds, values = zip(*told, strict=True)
    flat, lengths = metrics_of(
        Heads(aliases), np.array(handles, np.uint32), np.array(kinds, np.uint8), np.array(ms, np.uint64), values, None,
        historical,
    )  # fmt: skip
    single = [
        metric_of(aliases[handle], at, value_field(kind, KIND_OF[kind], value), historical=historical)
        for handle, at, (kind, value) in rows
    ]
    made = [True] * len(single) if lengths is None else [bool(length) for length in lengths.tolist()]
    assert flat == b"".join(one for one, is_made in zip(single, made, strict=True) if is_made)
    assert lengths is None or lengths.tolist() == [
        len(one) * is_made for one, is_made in zip(single, made, strict=True)
    ]
    for (_, at, (kind, value)), is_made in zip(rows, made, strict=True):
        fits = kind != 12 or len(str(value).encode(errors="replace")) <= MOST_TEXT
        assert is_made == (fits and 2**35 <= at < 2**42)


def test_the_number_of_the_birth_starts_at_zero_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    """tck-id-topics-nbirth-bdseq-increment,
    tck-id-message-flow-edge-node-birth-publish-will-message-payload-bdSeq
    """
    assert [Library(tmp_path).next_bd_seq() for _ in range(258)] == [*range(256), 0, 1]


def test_a_damaged_file_of_tables_is_left_out(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    made = plant.store(batch_of([(6, 1)]))
    library = Library(tmp_path)
    library.save(unpacked_table(made[0].payload))
    (tmp_path / "damaged.tables").write_bytes(b"\xc1")
    assert [table.device for table in Library(tmp_path).load()] == ["line-1"]


@pytest.mark.parametrize(
    ("said", "online"),
    [
        ([], None),
        ([(True, 5)], True),
        ([(True, 5), (False, 5)], False),
        ([(True, 5), (False, 4)], True),
        ([(False, 5), (True, 4)], False),
        ([(True, 5), (False, 6), (True, 6)], True),
    ],
)
def test_the_latest_state_of_the_primary_host_counts(said: list[tuple[bool, int]], online: bool | None) -> None:
    """tck-id-message-flow-edge-node-birth-publish-phid-wait-timestamp,
    tck-id-message-flow-edge-node-birth-publish-phid-wait-online,
    tck-id-message-flow-edge-node-birth-publish-phid-wait-id,
    tck-id-operational-behavior-edge-node-termination-host-offline-timestamp
    """
    host = HostState("scada")
    for is_online, at_ms in said:
        host.see("spBv1.0/STATE/scada", json.dumps({"online": is_online, "timestamp": at_ms}).encode())
    for other in (b"ONLINE", b"[]", b'{"online": 1, "timestamp": 9}', b'{"online": false}', b"\xff"):
        assert not host.see("spBv1.0/STATE/scada", other)
    assert not host.see("spBv1.0/STATE/other", b'{"online": false, "timestamp": 99}')
    assert host.is_online is online


def test_topics_have_the_form_of_the_specification() -> None:
    """tck-id-topic-structure, tck-id-topic-structure-namespace-a, tck-id-topics-nbirth-topic,
    tck-id-topics-dbirth-topic, tck-id-topics-ddata-topic, tck-id-topics-ndeath-topic, tck-id-topics-ddeath-topic,
    tck-id-topic-structure-namespace-device-id-associated-message-types,
    tck-id-topic-structure-namespace-device-id-non-associated-message-types
    """
    names = Names("g", "n")
    assert [names.topic(verb) for verb in ("NBIRTH", "NDEATH", "NCMD")] == [
        "spBv1.0/g/NBIRTH/n", "spBv1.0/g/NDEATH/n", "spBv1.0/g/NCMD/n"
    ]  # fmt: skip
    assert names.topic("DDATA", "d") == "spBv1.0/g/DDATA/n/d"
    assert names.parts("spBv1.0/g/DDATA/n/d") == ("DDATA", "d")
    assert [names.parts(each) for each in ("spBv1.0/g/DDATA/m/d", "spBv1.0/STATE/n", "gateways/x")] == [None] * 3


def test_an_id_that_no_topic_can_hold_is_refused() -> None:
    """tck-id-topic-structure-namespace-valid-group-id, tck-id-topic-structure-namespace-valid-edge-node-id"""
    for key in ("group", "node", "device", "primary_host"):
        for text in ("a/b", "a+", "#", ""):
            with pytest.raises(ValueError, match=key):
                config_of({"format": "sparkplug", "sparkplug": {key: text}})


def test_many_tags_have_one_birth_and_aliases_of_three_bytes(tmp_path: Path) -> None:
    """100 000 take three seconds of this; `tests/bench/bench_sparkplug.py` measures them."""
    plant = Plant(tmp_path)
    count = 20_000
    tags = [Tag(f"machine-{n // 100}/tag-{n % 100}", f"i={n}") for n in range(count)]
    batch = Batch(
        "line-1", tags, np.arange(count, dtype=np.uint32), np.full(count, 11, np.uint8), np.arange(float(count)),
        np.zeros(count, np.uint32), np.full(count, TICKS, np.int64), np.zeros(count, np.int64),
    )  # fmt: skip
    made = plant.store(batch)
    assert sum(m.values for m in made) == count
    table = plant.node.devices["line-1"].table
    assert table is not None
    birth = dbirth(table, plant.node.latest.get, MS)
    assert sum(number == 2 for number, _, _ in fields_in(birth)) == count + 1
    assert max(metric.alias for metric in table.metrics) < 2**21


def test_the_latest_values_are_those_that_came_last(tmp_path: Path) -> None:
    plant, tags = Plant(tmp_path), [Tag("a", "i=1"), Tag("b", "i=2")]
    plant.store(batch_of([(6, 1), (6, 2), (6, 3)], handles=[0, 1, 0], tags=tags))
    plant.store(replace(batch_of([(6, 9)], handles=[1], tags=tags), historical=True))
    table = plant.node.devices["line-1"].table
    assert table is not None
    found = [plant.node.latest.get(metric.alias) for metric in table.metrics]
    assert [row.value if isinstance(row, Row) else None for row in found] == [3, 2, None]
    assert Node(Names("g", "n")).latest.get(5) is None


EDGE = {"name": "a", "url": "mqtt://127.0.0.1", "payload": {"format": "sparkplug"}}


@pytest.mark.parametrize(
    ("brokers", "said"),
    [
        ([EDGE, {**EDGE, "name": "b", "tags": [{"include": ["x"]}]}], "the same group and node as 'a'"),
        ([{**EDGE, "replay": {"order": "newest-first"}}], "flags what is old itself"),
        (
            [{**EDGE, "payload": {"format": "sparkplug", "sparkplug": {"device": "{hall}"}}}],
            "{hall} is not a field here",
        ),
        ([{**EDGE, "payload": {"format": "sparkplug", "compress": "gzip"}}], "cannot mark compressed payloads"),
        ([EDGE], ""),
    ],
)
def test_an_edge_node_that_cannot_work_is_refused_at_validation(
    tmp_path: Path, brokers: list[dict[str, object]], said: str
) -> None:
    source = {"name": "line-1", "url": "opc.tcp://h", "insecure": True, "select": [{"subtree": "i=85"}]}
    path = tmp_path / "gateway.yaml"
    path.write_text(json.dumps({"sources": [source], "brokers": brokers}), encoding="utf-8")
    if not said:
        assert load(path).brokers
        return
    with pytest.raises(ConfigError, match=re.escape(said)):
        load(path)


def test_watch_shows_structures_matrices_and_figures_of_compressed_messages(tmp_path: Path) -> None:
    plant, watcher = Plant(tmp_path), Watcher()
    motor = Structure("nsu=urn:u;i=9", {"Speed": Typed(11, 1.5), "Text": Typed(12, "x" * 600)})
    made = [m for m in plant.store(batch_of([(22, motor), (0xC6, [[1, -2]])])) if m.values]
    table = plant.node.devices["line-1"].table
    assert table is not None
    own = OwnMetrics((("Properties/Software", "s" * 600),), lambda: plant.figures)
    birth = nbirth(3, MS, own.birth(), table.templates)
    plant.figures = {"Gateway/Sources": 1, "Gateway/Backlog": 7}
    for algorithm in ("", "DEFLATE", "GZIP"):
        numbers = Numbers(algorithm)

        def see(
            verb: str, payload: bytes, device: str = "", numbers: Numbers = numbers, algorithm: str = algorithm
        ) -> dict[str, object]:
            message = numbers.dress(Message(plant.node.names.topic(verb, device), payload, "", 0, 0))
            numbers.sent(message)
            reading, odd = watcher.see(Arrived(Packet(message.topic, message.payload), False), 1.0)
            assert reading is not None
            assert not odd
            assert (algorithm in reading.note) == (len(payload) > 512 or not algorithm)
            return dict(reading.values)

        assert see("NBIRTH", birth)[motor.type_id] == {"Speed": None, "Text": None}
        see("DBIRTH", dbirth(table, plant.node.latest.get, MS), "line-1")
        found = see("DDATA", made[0].payload, "line-1")
        assert found["line-1/tag0"] == {"Speed": 1.5, "Text": "x" * 600}
        assert found["line-1/tag1"] == [{"0": 1, "1": -2}]
        assert see("NDATA", metric_of(4, MS, b"\x58\x07")) == {"Gateway/Backlog": 7}


def test_watch_says_what_is_wrong_with_a_compressed_message() -> None:
    head = compressed(b"", "DEFLATE")[:-3]
    for payload in (head, head + b"\x2a\x03abc", compressed(b"\x08\x01" * 40_000_000, "GZIP")):
        with pytest.raises(MalformedError, match=r"compressed payload|cut off"):
            read_payload(payload)


def test_watch_follows_births_names_numbers_and_rebirths(tmp_path: Path) -> None:
    plant, watcher, numbers = Plant(tmp_path), Watcher(), Numbers()

    def see(verb: str, payload: bytes, device: str = "") -> tuple[Reading, str]:
        message = numbers.dress(Message(plant.node.names.topic(verb, device), payload, "", 0, 0))
        numbers.sent(message)
        reading, odd = watcher.see(Arrived(Packet(message.topic, message.payload), False), 1.0)
        assert reading is not None
        return reading, odd

    made = [m for m in plant.store(batch_of([(11, 1.5), (12, "x")])) if m.values]
    assert "its birth is not known" in see("DDATA", made[0].payload, "line-1")[0].note
    assert see("NBIRTH", nbirth(3, MS))[0].note == "NBIRTH bdSeq 3"
    table = plant.node.devices["line-1"].table
    assert table is not None
    assert see("DBIRTH", dbirth(table, plant.node.latest.get, MS), "line-1")[0].note == "DBIRTH"
    for _ in range(300):
        reading, odd = see("DDATA", made[0].payload, "line-1")
        assert not odd
    assert list(reading.values) == [("line-1/tag0", 1.5), ("line-1/tag1", "x")]
    assert (reading.stream, reading.seq) == ("factory/edge#3", 302)
    for _ in range(2):
        numbers.sent(Message("spBv1.0/factory/DDATA/edge/line-1", b"", "", 0, 0))
    assert see("DDATA", as_historical(made[0].payload), "line-1")[1] == "missing 303 to 304"
    again = see("NBIRTH", nbirth(3, MS))[0]
    assert (again.stream, again.seq, again.note) == ("factory/edge#3.1", 1, "NBIRTH bdSeq 3, rebirth 1")
    assert see("NDEATH", ndeath(3, MS))[0].note == "NDEATH factory/edge bdSeq 3"
    assert watcher.see(Arrived(Packet("spBv1.0/g/DDATA/n/d", b"\x0a"), False), 1.0)[0] is None
