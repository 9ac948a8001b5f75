"""OPC UA PubSub: read back by a subscriber written from Part 6 and Part 14."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import jsonschema
import pytest
from asyncua import ua
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from gateway.model import UNIX_EPOCH_TICKS, Batch, DataField, DataType, Gap, Loss, Message, VariableType
from gateway.payload.frames import REPEAT_AFTER, YEAR_2000_S, FramesEncoder, WriterNumbers
from gateway.payload.part6 import SYMBOLS, Encoding, status_form
from gateway.payload.pubsub import NetworkEnvelope, StatusPresence, pubsub_schema
from gateway.payload.splitting import FormatSettings, SizeLimits
from gateway.values import Structure, Typed
from tests.support.part6 import as_read, data_value, value
from tests.support.payloads import TICKS, Counting, batch_of, batches, tags_of

VALIDATOR = jsonschema.Draft202012Validator(pubsub_schema())
NOW = TICKS + 10**8
NOW_NS = (NOW - UNIX_EPOCH_TICKS) * 100
DATA, METADATA = "opcua/json/data/edge/line-1/factory.press", "opcua/json/metadata/edge/line-1/factory.press"


def form(
    encoding: Encoding = "verbose", every: int = 0, limits: SizeLimits | None = None, server_time: bool = False,
    latest_ns: Callable[[], int] = lambda: NOW_NS,
) -> FramesEncoder:  # fmt: skip
    return FramesEncoder(
        FormatSettings("edge.e1", "factory/{machine}", "edge", limits or SizeLimits(), server_time),
        NetworkEnvelope("edge", "opcua", encoding), key_frame_every=every, now=lambda: NOW, latest_ns=latest_ns,
    )  # fmt: skip


Body = dict[str, object]


def opened(messages: list[Message]) -> list[tuple[str, Body]]:
    """Kind and content (the one DataSetMessage, or the MetaData) of each message."""
    found = []
    for message in messages:
        body = json.loads(message.payload)
        VALIDATOR.validate(body)
        assert body["MessageId"] == f"{message.stream}#{message.seq}"
        if body["MessageType"] == "ua-metadata":
            assert message.retain
            found.append(("ua-metadata", body["MetaData"]))
        else:
            (data,) = body["Messages"]
            found.append((data["MessageType"], data))
    return found


def payload(body: Body) -> Body:
    fields = body["Payload"]
    assert isinstance(fields, dict)
    return fields


def by_tag(batch: Batch) -> dict[str, list[tuple[object, int, int]]]:
    found: dict[str, list[tuple[object, int, int]]] = {}
    for row, handle in enumerate(batch.handles.tolist()):
        read = as_read(batch.values[row], int(batch.types[row]))
        found.setdefault(batch.tags[handle].name, []).append(
            (read, int(batch.statuses[row]), int(batch.source_ticks[row]))
        )
    return found


@settings(max_examples=40)
@given(batches(), st.sampled_from(["verbose", "compact"]))
def test_a_subscriber_of_the_specification_gets_every_value_back(batch: Batch, encoding: Encoding) -> None:
    counting = Counting()
    seen: dict[str, list[tuple[object, int, int]]] = {}
    for kind, body in opened(counting.append(form(encoding).encode(batch, counting.next_seq))):
        if kind != "ua-metadata":
            for name, field in payload(body).items():
                assert isinstance(field, dict)
                seen.setdefault(name, []).append(data_value(field))
    assert seen == by_tag(batch)


@settings(max_examples=40)
@given(batches())
def test_raw_fields_are_the_values_alone_typed_by_the_batch(batch: Batch) -> None:
    kinds: dict[str, list[int]] = {}
    for row, handle in enumerate(batch.handles.tolist()):
        kinds.setdefault(batch.tags[handle].name, []).append(int(batch.types[row]) & 0x3F)
    seen: dict[str, list[object]] = {}
    counting = Counting()
    for kind, body in opened(counting.append(form("raw").encode(batch, counting.next_seq))):
        for name, field in payload(body).items() if kind != "ua-metadata" else ():
            seen.setdefault(name, []).append(value(kinds[name].pop(0), field))
    assert seen == {name: [read for read, _, _ in rows] for name, rows in by_tag(batch).items()}


def test_a_message_reads_as_documented() -> None:
    metadata, data = form().encode(batch_of([(11, 61.5)], statuses=[0x80310000]), lambda stream: 17)
    assert (metadata.topic, data.topic) == (METADATA, DATA)
    version = NOW_NS // 10**9 - YEAR_2000_S
    assert json.loads(data.payload) == {
        "MessageId": f"edge.e1/line-1/{DATA}#17",
        "MessageType": "ua-data",
        "PublisherId": "edge",
        "WriterGroupName": "line-1",
        "Messages": [
            {
                "DataSetWriterId": 1,
                "DataSetWriterName": "factory.press",
                "SequenceNumber": 17,
                "MetaDataVersion": {"MajorVersion": version, "MinorVersion": version},
                "Timestamp": "2025-08-18T14:13:30.1234567Z",
                "MessageType": "ua-deltaframe",
                "Payload": {
                    "tag0": {
                        "UaType": 11,
                        "Value": 61.5,
                        "Status": {"Code": 0x80310000, "Symbol": "BadNoCommunication"},
                        "SourceTimestamp": "2025-08-18T14:13:20.1234567Z",
                    }
                },
            }
        ],
    }


def test_a_key_frame_has_all_fields_and_comes_as_soon_as_all_are_known() -> None:
    counting, encoder, tags = Counting(), form(every=3), tags_of(2)
    kinds = []
    for n, handle in enumerate((0, 1, 0, 0, 0, 1)):
        batch = batch_of([(6, n)], tags=tags, handles=[handle])
        messages = counting.append(encoder.encode(batch, counting.next_seq))
        (last,) = opened(messages)[-1:]
        kinds.append((last[0], [data_value(f)[0] for f in payload(last[1]).values() if isinstance(f, dict)]))
        assert messages[-1].values == 1
    assert kinds == [
        ("ua-deltaframe", [0]), ("ua-keyframe", [0, 1]), ("ua-deltaframe", [2]), ("ua-deltaframe", [3]),
        ("ua-deltaframe", [4]), ("ua-keyframe", [4, 5]),
    ]  # fmt: skip


def test_a_key_frame_that_is_too_long_goes_as_a_delta_frame() -> None:
    counting, encoder, tags = Counting(), form(every=1, limits=SizeLimits(1000, 1500)), tags_of(20)
    for handle in range(20):
        batch = batch_of([(12, "x" * 50)], tags=tags, handles=[handle])
        last = opened(counting.append(encoder.encode(batch, counting.next_seq)))[-1]
    assert last[0] == "ua-deltaframe"
    assert len(payload(last[1])) == 1


def test_metadata_names_fields_types_and_units() -> None:
    rows: list[tuple[int, object]] = [(11, 1.5), (6 | 0x80, [1, 2]), (0, None)]
    _, metadata = opened(form().encode(batch_of(rows), lambda stream: 1))[0]
    fields = metadata["Fields"]
    assert isinstance(fields, list)
    assert [(f["Name"], f["BuiltInType"], f["DataType"], f["ValueRank"]) for f in fields] == [
        ("tag0", 11, "i=11", -1), ("tag1", 6, "i=6", 1), ("tag2", 24, "i=24", -2),
    ]  # fmt: skip
    assert fields[1]["Properties"] == [{"Key": "EngineeringUnits", "Value": {"UaType": 21, "Value": {"Text": "°C"}}}]


def test_metadata_describes_structures_and_those_inside_them() -> None:
    outer = Structure("nsu=urn:u;i=8", {"n": Typed(6, 1), "inner": Typed(22, Structure("i=9", {"x": Typed(11, 1.0)}))})
    _, metadata = opened(form().encode(batch_of([(22, outer)]), lambda stream: 1))[0]
    fields, types = metadata["Fields"], metadata["StructureDataTypes"]
    assert isinstance(fields, list)
    assert isinstance(types, list)
    assert fields[0]["DataType"] == "nsu=urn:u;i=8"
    assert [t["DataTypeId"] for t in types] == ["nsu=urn:u;i=8", "i=9"]
    assert types[0]["StructureDefinition"]["Fields"][1] == {"Name": "inner", "DataType": "i=9", "ValueRank": -1}


MODE = DataType("nsu=urn:u;i=11", "Mode", 6, ((0, "Off"), (1, "On")))


def test_metadata_names_the_numbers_of_an_enumeration_where_the_values_are_its_numbers() -> None:
    tags = [structs.replace(tag, variable_type=VariableType(-2, (MODE,))) for tag in tags_of(3)]
    rows: list[tuple[int, object]] = [(6, 1), (6 | 0x80, [0, 1]), (12, "no number")]
    _, metadata = opened(form().encode(batch_of(rows, tags=tags), lambda stream: 1))[0]
    fields = metadata["Fields"]
    assert isinstance(fields, list)
    assert [(f["BuiltInType"], f["DataType"]) for f in fields] == [
        (6, "nsu=urn:u;i=11"), (6, "nsu=urn:u;i=11"), (12, "i=12"),
    ]  # fmt: skip
    assert metadata["EnumDataTypes"] == [
        {
            "DataTypeId": "nsu=urn:u;i=11",
            "Name": "Mode",
            "EnumDefinition": {"Fields": [{"Value": "0", "Name": "Off"}, {"Value": "1", "Name": "On"}]},
            "BuiltInType": 6,
        }
    ]


def test_a_type_can_be_known_before_its_value_rank() -> None:
    tags = [structs.replace(tag, variable_type=VariableType(-2, (MODE,))) for tag in tags_of(2)]
    _, metadata = opened(form().encode(batch_of([(6, 1)], tags=tags), lambda stream: 1))[0]
    fields = metadata["Fields"]
    assert isinstance(fields, list)
    assert [(f["BuiltInType"], f["DataType"], f["ValueRank"]) for f in fields] == [
        (6, MODE.type_id, -1), (6, MODE.type_id, -2),
    ]  # fmt: skip


OVEN = DataType(
    "nsu=urn:u;i=20", "Oven", 22, kind=1,
    fields=(DataField("Mode", MODE.type_id, -1), DataField("Zones", "nsu=urn:u;i=21", 1, is_optional=True)),
)  # fmt: skip
ZONE = DataType("nsu=urn:u;i=21", "Zone", 22, fields=(DataField("Celsius", "i=11", -1),))


def test_metadata_has_the_servers_data_types_before_the_first_value() -> None:
    said = (
        VariableType(-1, (OVEN, MODE, ZONE)),
        VariableType(1, (DataType("i=290", "Duration", 11),)),
        VariableType(-1, (MODE,)),
    )
    tags = [*tags_of(1)]
    tags += [structs.replace(tag, variable_type=each) for tag, each in zip(tags_of(3), said, strict=True)]
    counting, encoder = Counting(), form()
    messages = counting.append(encoder.encode(batch_of([(6, 1)], tags=tags, handles=[0]), counting.next_seq))
    _, metadata = opened(messages)[0]
    fields, structures, enumerations = (metadata[n] for n in ("Fields", "StructureDataTypes", "EnumDataTypes"))
    assert isinstance(fields, list)
    assert isinstance(structures, list)
    assert isinstance(enumerations, list)
    assert [(f["BuiltInType"], f["DataType"], f["ValueRank"]) for f in fields[1:]] == [
        (22, OVEN.type_id, -1), (11, "i=290", 1), (6, MODE.type_id, -1),
    ]  # fmt: skip
    assert [(each["Name"], each["StructureDefinition"]) for each in structures] == [
        ("Oven", {"BaseDataType": "i=22", "StructureType": 1, "Fields": [
            {"Name": "Mode", "DataType": MODE.type_id, "ValueRank": -1},
            {"Name": "Zones", "DataType": ZONE.type_id, "ValueRank": 1, "IsOptional": True},
        ]}),
        ("Zone", {"BaseDataType": "i=22", "StructureType": 0, "Fields": [
            {"Name": "Celsius", "DataType": "i=11", "ValueRank": -1},
        ]}),
    ]  # fmt: skip
    assert [each["Name"] for each in enumerations] == ["Mode"]
    oven = Structure(OVEN.type_id, {"Mode": Typed(6, 1)})
    rows: list[tuple[int, object]] = [(22, oven), (11 | 0x80, [1.0]), (6, 1)]
    later = encoder.encode(batch_of(rows, tags=tags, handles=[1, 2, 3]), counting.next_seq)
    assert [kind for kind, _ in opened(counting.append(later))] == ["ua-deltaframe"]  # nothing was learned
    other = encoder.encode(batch_of([(12, "no number")], tags=tags, handles=[3]), counting.next_seq)
    assert opened(other)[0][1]["Fields"][3]["BuiltInType"] == 24  # type: ignore[index]


def test_a_changed_enumeration_makes_a_new_version() -> None:
    counting, encoder = Counting(), form()
    versions = []
    for members in (MODE.members, MODE.members, (*MODE.members, (2, "Auto"))):
        mode = replace(MODE, members=members)
        tags = [structs.replace(tag, variable_type=VariableType(-1, (mode,))) for tag in tags_of(1)]
        messages = counting.append(encoder.encode(batch_of([(6, 1)], tags=tags), counting.next_seq))
        versions += [body["ConfigurationVersion"] for kind, body in opened(messages) if kind == "ua-metadata"]
    first, second = versions
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert first["MajorVersion"] < second["MajorVersion"]


def test_a_learned_type_makes_a_new_version_and_a_known_one_does_not() -> None:
    counting, encoder, tags = Counting(), form(), tags_of(2)
    versions = []
    for rows, handles in (([(6, 1)], [0]), ([(6, 2)], [0]), ([(11, 3.0)], [1]), ([(12, "x")], [1]), ([(11, 3.0)], [1])):
        messages = encoder.encode(batch_of(list(rows), tags=tags, handles=handles), counting.next_seq)
        versions.append([b["ConfigurationVersion"] for k, b in opened(counting.append(messages)) if k == "ua-metadata"])
    assert [len(v) for v in versions] == [1, 0, 1, 1, 0]
    numbers = [v[0]["MajorVersion"] for v in versions if v and isinstance(v[0], dict)]
    assert numbers == sorted(set(numbers))


def test_versions_rise_even_if_the_clock_stands_still() -> None:
    counting, encoder = Counting(), form()
    versions = []
    for count in (1, 2, 3):
        messages = counting.append(
            encoder.encode(batch_of([(6, 1)], tags=tags_of(count), handles=[0]), counting.next_seq)
        )
        versions += [body["ConfigurationVersion"] for kind, body in opened(messages) if kind == "ua-metadata"]
    first = NOW_NS // 10**9 - YEAR_2000_S
    assert versions == [{"MajorVersion": n, "MinorVersion": n} for n in (first, first + 1, first + 2)]


def test_an_equal_tag_table_is_no_reason_for_a_new_version() -> None:
    counting, encoder = Counting(), form()
    for expected in (1, 0):
        messages = counting.append(encoder.encode(batch_of([(6, 1)], tags=tags_of(2), handles=[1]), counting.next_seq))
        assert [kind for kind, _ in opened(messages)].count("ua-metadata") == expected
    other = counting.append(encoder.encode(batch_of([(6, 1)], tags=tags_of(3), handles=[1]), counting.next_seq))
    assert opened(other)[0][0] == "ua-metadata"


def test_metadata_is_repeated_in_case_it_was_dropped() -> None:
    counting, encoder, batch = Counting(), form(), batch_of([(6, 1)])
    topics = [
        m.topic for _ in range(REPEAT_AFTER + 1) for m in counting.append(encoder.encode(batch, counting.next_seq))
    ]
    assert [n for n, topic in enumerate(topics) if topic == METADATA] == [0, REPEAT_AFTER + 1]


def test_a_silent_writer_gets_a_keep_alive_that_names_the_next_number() -> None:
    counting, encoder = Counting(), form()
    counting.append(encoder.encode(batch_of([(6, 1)]), counting.next_seq))
    assert encoder.keep_alives(counting.next_seq) == []
    ((kind, body),) = opened(counting.append(encoder.keep_alives(counting.next_seq)))
    assert (kind, body["SequenceNumber"], "Payload" in body) == ("ua-keepalive", 2, False)
    after = opened(counting.append(encoder.encode(batch_of([(6, 1)]), counting.next_seq)))[-1]
    assert after[1]["SequenceNumber"] == 2


def test_gaps_are_announced_with_and_without_values() -> None:
    gap = Gap("server_overflow", "the queue ran over", TICKS, TICKS, None, (0,))
    for batch in (replace(batch_of([(6, 1)]), gaps=(gap,)), replace(batch_of([], tags=tags_of(1)), gaps=(gap,))):
        kind, body = opened(form().encode(batch, lambda stream: 1))[-1]
        assert kind == "ua-deltaframe"
        assert isinstance(body["Gaps"], list)
        assert body["Gaps"][0]["cause"] == "server_overflow"


def test_a_loss_is_announced_on_the_topic_of_the_data() -> None:
    loss = Loss(1, f"edge.e1/line-1/{DATA}", 3, 5, 3, 30, "outbox_full", 10**18, 10**18, ("broker",))
    message = NetworkEnvelope("edge", "opcua", "verbose").announcement(loss, loss.stream, DATA, 9)
    ((_, body),) = opened([message])
    assert isinstance(body["Gaps"], list)
    assert (body["DataSetWriterName"], body["Gaps"][0]["from_seq"]) == ("factory.press", 3)


def test_the_status_is_retained_and_the_will_says_error() -> None:
    status, since = StatusPresence(NetworkEnvelope("edge", "opcua", "verbose")), datetime(2026, 1, 1, tzinfo=UTC)
    for message, state in ((status.birth(since), 2), (status.goodbye(since), 0), (status.will(since), 3)):
        body = json.loads(message.payload)
        VALIDATOR.validate(body)
        assert (message.topic, message.retain, body["Status"]) == ("opcua/json/status/edge", True, state)
        assert "Timestamp" not in body


def test_writer_ids_differ_between_sources() -> None:
    taken = [WriterNumbers(1 + source, 3).of(n) for source in range(3) for n in range(100)]
    assert len(set(taken)) == 300


def test_similar_topics_with_dots_stay_distinct() -> None:
    tags = tags_of(2, lambda n: ("a.b", "a/b")[n])
    batch = batch_of([(6, 1), (6, 2)], tags=tags)
    encoder = FramesEncoder(
        FormatSettings("e", "{machine}", "edge"),
        NetworkEnvelope("edge", "opcua", "raw"),
        now=lambda: NOW,
        key_frame_every=0,
    )
    assert len({m.topic for m in encoder.encode(batch, lambda stream: 1)}) == 4


def test_information_bits_do_not_hide_the_symbol() -> None:
    assert status_form(0x8031_0480, "verbose") == {"Code": 0x8031_0480, "Symbol": "BadNoCommunication"}
    assert status_form(0x8031_0480, "compact") == {"Code": 0x8031_0480}


@pytest.mark.parametrize(("code", "symbol"), SYMBOLS.items())
def test_symbols_are_those_of_the_specification(code: int, symbol: str) -> None:
    assert ua.status_codes.get_name_and_doc(code)[0] == symbol
