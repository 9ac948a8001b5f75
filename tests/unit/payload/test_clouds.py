"""What clouds prescribe: SiteWise's entries, IoTDA's sub-devices, thing models, datasets of Azure IoT Operations."""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from gateway.delivery import Packet
from gateway.model import UNIX_EPOCH_TICKS, Message, Tag
from gateway.payload.choose import encoder_for
from gateway.payload.objects import quality_of
from gateway.payload.read import PayloadReader
from gateway.payload.sitewise import variant_of
from tests.support.payloads import TICKS, Counting, batch_of, config_of

AT_S, NANOS = 1_755_526_400, 123_456_700
PRESS = [Tag(name, f"i={n}", {"machine": "press 1"}) for n, name in enumerate(("T", "P"))]
BAD = 0x80310000


def encoded(form: Mapping[str, object], rows: list[tuple[int, object]], **more: object) -> list[Message]:
    counting = Counting()
    batch = batch_of(rows, **{"tags": PRESS, **more})  # type: ignore[arg-type]
    messages = encoder_for(config_of(dict(form)), "line-1", "e.1").encode(batch, counting.next_seq)
    assert sum(each.values for each in messages) == len(rows)
    return counting.append(messages)


def test_a_sitewise_entry_has_whole_seconds_nanoseconds_quality_and_alias() -> None:
    [message] = encoded({"format": "sitewise"}, [(11, 61.5), (6, 3)], statuses=[0, BAD])
    first, second = json.loads(message.payload)["entries"]
    assert first == {
        "entryId": "0", "propertyAlias": "/factory/press 1/T",
        "propertyValues": [{
            "value": {"doubleValue": 61.5}, "timestamp": {"timeInSeconds": AT_S, "offsetInNanos": NANOS},
            "quality": "GOOD",
        }],
    }  # fmt: skip
    assert (second["propertyValues"][0]["quality"], second["propertyValues"][0]["value"]) == (
        "BAD",
        {"integerValue": 3},
    )
    assert json.loads(message.payload)["status"] == {"1": {"0": BAD}}


def test_a_sitewise_message_has_at_most_ten_entries_of_ten_values() -> None:
    """25 tags, the first with 21 values."""
    tags = [Tag(f"t{n}", f"i={n}", {"machine": "m"}) for n in range(25)]
    handles = [0] * 21 + list(range(1, 25))
    messages = encoded({"format": "sitewise"}, [(6, n) for n in range(45)], tags=tags, handles=handles)
    bodies = [json.loads(each.payload)["entries"] for each in messages]
    assert [len(each) for each in bodies] == [10, 10, 7]
    entries = [entry for body in bodies for entry in body]
    assert max(len(each["propertyValues"]) for each in entries) == 10
    of_first = [v for e in entries if e["propertyAlias"] == "/factory/m/t0" for v in e["propertyValues"]]
    assert [v["value"]["integerValue"] for v in of_first] == list(range(21))


def test_a_value_that_is_too_old_when_it_comes_costs_no_other_its_place() -> None:
    """A constant has the time at which it was set; SiteWise would refuse it, and so would the gateway."""
    now = UNIX_EPOCH_TICKS + time.time_ns() // 100
    ages = [0, 8 * 864_000_000_000, 1, 0, now - 1]
    tags = [Tag(f"t{n}", f"i={n}", {"machine": "m"}) for n in range(5)]
    rows: list[tuple[int, object]] = [(6, n) for n in range(5)]
    young, old = encoded({"format": "sitewise"}, rows, tags=tags, ticks=[now - age for age in ages])
    names = [[e["propertyAlias"][-2:] for e in json.loads(each.payload)["entries"]] for each in (young, old)]
    assert names == [["t0", "t2", "t3"], ["t1", "t4"]]
    times = [e["propertyValues"][0]["timestamp"]["timeInSeconds"] for e in json.loads(old.payload)["entries"]]
    assert min(times) == 1  # SiteWise takes nothing before 1970
    assert young.oldest_ticks >= now - 1


@pytest.mark.parametrize(
    ("kind", "value", "variant"),
    [
        (1, True, {"booleanValue": True}),
        (6, -5, {"integerValue": -5}),
        (7, 2**31, {"doubleValue": 2.0**31}),
        (9, str(2**63), {"stringValue": str(2**63)}),
        (9, "17", {"integerValue": 17}),
        (11, "NaN", {"nullValue": {"valueType": "D"}}),
        (0, None, {"nullValue": {"valueType": "U"}}),
        (12, "", {"nullValue": {"valueType": "S"}}),
        (12, "17", {"stringValue": "17"}),
        (12, "a\nb", {"stringValue": "a\\nb"}),
        (0x86, [1, 2], {"stringValue": "[1,2]"}),
    ],
)
def test_every_value_has_a_kind_of_sitewise(kind: int, value: object, variant: dict[str, object]) -> None:
    assert variant_of(kind, value) == variant


def test_quality_is_the_severity_of_the_status() -> None:
    assert [quality_of(each) for each in (0, 0x00A10000, 0x40900000, BAD)] == ["GOOD", "GOOD", "UNCERTAIN", "BAD"]


def test_iotda_gets_a_sub_device_for_each_topic_and_an_entry_for_each_millisecond() -> None:
    rows: list[tuple[int, object]] = [(11, 61.5), (11, 2.0), (11, None)]
    form = {"format": "iotda", "things": {"service": "press"}, "topic": "hall/{machine}"}
    [message] = encoded(form, rows, handles=[0, 1, 0], ticks=[TICKS, TICKS + 1, TICKS + 2], statuses=[0, 0, BAD])
    body = json.loads(message.payload)
    [device] = body["devices"]
    assert device["device_id"] == "hall_press_1"
    assert [each["properties"] for each in device["services"]] == [{"T": 61.5, "P": 2.0}, {"T": None}]
    assert {each["event_time"] for each in device["services"]} == {"2025-08-18T14:13:20.123Z"}
    assert body["quality"] == {"T": BAD}


@pytest.mark.parametrize("dialect", ["alibaba", "tencent"])
def test_a_thing_model_has_each_property_once_with_its_time(dialect: str) -> None:
    rows: list[tuple[int, object]] = [(11, 1.0), (11, 2.0), (11, 3.0)]
    form = {"format": "thing-model", "things": {"dialect": dialect}, "topic": "{machine}"}
    messages = encoded(form, rows, handles=[0, 1, 0], ticks=[TICKS, TICKS + 1, TICKS + 20_000])
    bodies = [json.loads(each.payload) for each in messages]
    at_ms = AT_S * 1000 + 123
    if dialect == "alibaba":
        assert [each["params"] for each in bodies] == [
            {"press_1_T": {"value": 1.0, "time": at_ms}, "press_1_P": {"value": 2.0, "time": at_ms}},
            {"press_1_T": {"value": 3.0, "time": at_ms + 2}},
        ]
        assert {(each["method"], each["version"]) for each in bodies} == {("thing.event.property.post", "1.0")}
    else:
        assert [each["params"] for each in bodies] == [{"press_1_T": 1.0, "press_1_P": 2.0}, {"press_1_T": 3.0}]
        assert [each["timestamp"] for each in bodies] == [at_ms, at_ms + 2]


def test_a_dataset_of_azure_iot_operations_is_an_object_with_the_connectors_attributes() -> None:
    topic = "azure-iot-operations/data/{machine}"
    messages = encoded({"format": "aio", "topic": topic}, [(11, 61.5), (6, 3)])
    [data] = [each for each in messages if each.values]
    assert data.topic == "azure-iot-operations/data/press 1"
    assert json.loads(data.payload) == {
        "T": {"Value": 61.5, "SourceTimestamp": "2025-08-18T14:13:20.1234567Z"},
        "P": {"Value": 3, "SourceTimestamp": "2025-08-18T14:13:20.1234568Z"},
    }
    told = dict(data.properties)
    assert {"specversion", "id", "type", "source", "subject", "time", "sequence", "traceparent", "recordedtime",
            "datacontenttype", "uuid", "externalAssetId"} <= told.keys()  # fmt: skip
    assert (told["subject"], told["type"]) == ("press 1", "ua-keyframe")
    assert not any(name.startswith("__") for name in told)


@pytest.mark.parametrize("form", ["sitewise", "iotda", "thing-model", "aio"])
def test_watch_reads_them(form: str) -> None:
    messages = encoded({"format": form}, [(11, 61.5), (6, 3)])
    reader = PayloadReader()
    found = [reader.read(Packet(m.topic, m.payload, m.content_type, dict(m.properties))) for m in messages]
    [data] = [each for each in found if each.values]
    assert [value for _, value in data.values] == [61.5, 3]
    assert (data.stream, data.newest) == (messages[-1].stream, data.newest)
    assert data.newest is not None
    assert abs(data.newest - datetime.fromtimestamp(AT_S, UTC)).total_seconds() < 1
