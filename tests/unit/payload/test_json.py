"""The json format: nothing left out, nothing bent, everything numbered, and its schema tells the truth."""

import json
import math
import uuid
from collections import Counter
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import IS_ARRAY, Batch, Gap, Message, Tag
from gateway.payload.json import JsonEncoder, json_schema
from gateway.payload.msgpack import rows_of
from gateway.payload.splitting import FormatSettings, SizeLimits
from gateway.payload.timestamps import framed_bytes_of, texts_of
from gateway.values import LocalizedText, QualifiedName, RawStructure, Structure, Typed

TICKS = 134_000_000_001_234_567  # 2025-08-18T14:13:20.1234567Z
VALIDATOR = jsonschema.Draft202012Validator(json_schema())


def batch(
    values: list[object], types: list[int], machines: list[str] | None = None, gaps: tuple[Gap, ...] = ()
) -> Batch:
    n = len(values)
    machines = machines or ["press"] * n
    tags = [Tag(f"tag{i}", f"nsu=u;s={i}", {"machine": m}) for i, m in enumerate(machines)]
    return Batch(
        source="line-1",
        tags=tags,
        handles=np.arange(n, dtype=np.uint32),
        types=np.array(types, dtype=np.uint8),
        values=values,
        statuses=np.zeros(n, dtype=np.uint32),
        source_ticks=np.full(n, TICKS, dtype=np.int64),
        server_ticks=np.full(n, TICKS + 1, dtype=np.int64),
        gaps=gaps,
    )


class Counting:
    """A stand-in for the outbox's numbering: what was appended counts."""

    def __init__(self) -> None:
        self.last: Counter[str] = Counter()

    def next_seq(self, stream: str) -> int:
        return self.last[stream] + 1

    def append(self, messages: list[Message]) -> None:
        for message in messages:
            assert message.seq == self.last[message.stream] + 1
            self.last[message.stream] = message.seq


def encode(data: Batch, max_values: int = 1000, server_time: bool = False) -> list[dict[str, object]]:
    form = JsonEncoder(FormatSettings("edge.e1", "factory/{machine}", "edge", SizeLimits(max_values), server_time))
    bodies = [json.loads(m.payload) for m in form.encode(data, Counting().next_seq)]
    for body in bodies:
        VALIDATOR.validate(body)
    return bodies


def values_of(data: Batch) -> list[object]:
    (body,) = encode(data)
    rows = body["values"]
    assert isinstance(rows, list)
    return [row["value"] for row in rows]


def test_a_message_reads_as_documented() -> None:
    assert encode(batch([61.5], [11])) == [
        {
            "stream": "edge.e1/line-1/factory/press",
            "seq": 1,
            "values": [{"name": "tag0", "value": 61.5, "time": "2025-08-18T14:13:20.1234567Z"}],
        }
    ]


@pytest.mark.parametrize(
    ("type_id", "value", "form"),
    [
        (1, True, True),
        (6, -5, -5),
        (8, 2**63 - 1, "9223372036854775807"),
        (9, 2**64 - 1, "18446744073709551615"),
        (10, float(np.float32(0.1)), 0.1),
        (11, 0.1, 0.1),
        (11, math.nan, "NaN"),
        (11, math.inf, "Infinity"),
        (10, -math.inf, "-Infinity"),
        (12, 'Grüße "x"\n\u0000', 'Grüße "x"\n\u0000'),
        (13, TICKS, "2025-08-18T14:13:20.1234567Z"),
        (13, 2**63 - 1, "9999-12-31T23:59:59.9999999Z"),
        (13, -5, "1601-01-01T00:00:00.0000000Z"),
        (14, uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (15, b"\x00\xff", "AP8="),
        (20, QualifiedName(0, "a"), "a"),
        (20, QualifiedName("urn:x", "a"), "urn:x:a"),
        (21, LocalizedText("de", "Presse"), {"locale": "de", "text": "Presse"}),
        (21, LocalizedText(None, "Presse"), {"text": "Presse"}),
        (22, RawStructure("i=5", b"\x01"), {"type_id": "i=5", "body": "AQ=="}),
        (22, Structure("i=5", {"x": Typed(9, 1), "y": Typed(11, math.nan)}), {"x": "1", "y": "NaN"}),
        (8 | IS_ARRAY, [1, 2], ["1", "2"]),
        (11 | IS_ARRAY, [[1.0, math.nan], [2.0, 3.0]], [[1.0, "NaN"], [2.0, 3.0]]),
        (0, None, None),
    ],
)
def test_every_type_has_its_json_form(type_id: int, value: object, form: object) -> None:
    assert values_of(batch([value], [type_id])) == [form]


def test_a_numeric_column_gives_the_same_as_the_values_one_by_one() -> None:
    for type_id, dtype in ((11, np.float64), (10, np.float32), (6, np.int32), (8, np.int64), (1, np.bool_)):
        column = np.array([0.1, 1, 100.25], dtype=dtype)
        one = batch(column.tolist(), [type_id] * 3)
        many = Batch(
            one.source, one.tags, one.handles, one.types, column, one.statuses, one.source_ticks, one.server_ticks
        )
        assert values_of(one) == values_of(many)


def test_bad_and_null_values_are_sent_with_their_status() -> None:
    data = batch([None, 3.0], [0, 11])
    data.statuses[0] = 0x80310000
    (body,) = encode(data)
    rows = body["values"]
    assert isinstance(rows, list)
    assert (rows[0]["value"], rows[0]["status"]) == (None, 0x80310000)
    assert "status" not in rows[1]


def test_a_missing_source_time_is_left_out_and_server_time_comes_when_asked_for() -> None:
    data = batch([1.0], [11])
    data.source_ticks[0] = 0
    (body,) = encode(data, server_time=True)
    assert body["values"] == [{"name": "tag0", "value": 1.0, "server_time": "2025-08-18T14:13:20.1234568Z"}]


def test_values_are_grouped_by_topic_and_keep_their_order() -> None:
    messages = JsonEncoder(FormatSettings("e", "f/{machine}", "edge")).encode(
        batch([1, 2, 3, 4], [6] * 4, ["a", "b", "a", "b"]), Counting().next_seq
    )
    assert [(m.topic, m.values) for m in messages] == [("f/a", 2), ("f/b", 2)]
    assert [row["value"] for row in json.loads(messages[1].payload)["values"]] == [2, 4]


def test_long_batches_are_split_and_every_part_is_numbered() -> None:
    counting, form = Counting(), JsonEncoder(FormatSettings("e", "f/{machine}", "edge", SizeLimits(4)))
    for _ in range(3):
        counting.append(form.encode(batch(list(range(10)), [6] * 10), counting.next_seq))
    assert counting.last == {"e/line-1/f/press": 9}


def test_a_gap_is_announced_in_every_stream_it_concerns_and_in_no_other() -> None:
    gap = Gap("server_overflow", "the queue ran over", TICKS, TICKS, None, (1,))
    bodies = encode(_one_value_three_machines(gap))
    told = {str(b["stream"])[-1]: b.get("gaps") for b in bodies}
    assert told["a"] is None
    assert told["b"] == [
        {
            "cause": "server_overflow",
            "detail": "the queue ran over",
            "from_time": "2025-08-18T14:13:20.1234567Z",
            "to_time": "2025-08-18T14:13:20.1234567Z",
            "names": ["tag1"],
        }
    ]
    assert "c" not in told


def _one_value_three_machines(*gaps: Gap) -> Batch:
    full = batch([1, 2, 3], [6] * 3, ["a", "b", "c"], gaps)
    first = slice(0, 1)
    return Batch(
        full.source, full.tags, full.handles[first], full.types[first], [1], full.statuses[first],
        full.source_ticks[first], full.server_ticks[first], full.gaps,
    )  # fmt: skip


def test_a_gap_of_the_whole_source_is_announced_everywhere() -> None:
    bodies = encode(_one_value_three_machines(Gap("subscription_recreated", "the server forgot us")))
    assert [len(b["gaps"]) for b in bodies if isinstance(b["gaps"], list)] == [1, 1, 1]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just(11), st.floats()),
            st.tuples(st.just(12), st.text()),
            st.tuples(st.just(8), st.integers(-(2**63), 2**63 - 1)),
            st.tuples(st.just(15), st.binary()),
            st.tuples(st.just(0), st.none()),
        ),
        min_size=1,
    )
)
def test_every_value_is_in_the_message(rows: list[tuple[int, object]]) -> None:
    (body,) = encode(batch([v for _, v in rows], [t for t, _ in rows]))
    assert isinstance(body["values"], list)
    assert [r["name"] for r in body["values"]] == [f"tag{i}" for i in range(len(rows))]


def test_historical_values_are_marked() -> None:
    (live,) = encode(batch([1.0], [11]))
    (old,) = encode(replace(batch([1.0], [11]), historical=True))
    assert ("historical" in live, old["historical"]) == (False, True)


ANY_TICKS = st.one_of(st.just(0), st.integers(1, 2**62), st.integers(134_000_000_000_000_000, 134_000_000_050_000_000))


@given(st.lists(st.tuples(ANY_TICKS, ANY_TICKS), max_size=30))
def test_timestamps_formatted_in_columns_equal_those_formatted_singly(pairs: list[tuple[int, int]]) -> None:
    ticks = np.array([first for first, _ in pairs], np.int64)
    assert framed_bytes_of(ticks, b"<", b">") == [b"<%b>" % text.encode() for text in texts_of(ticks)]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.one_of(st.floats(allow_nan=True), st.text(max_size=5), st.none(), st.booleans()),
            ANY_TICKS,
            ANY_TICKS,
            st.sampled_from([0, 0, 2**31]),
        ),
        max_size=20,
    ),
    st.booleans(),
    st.booleans(),
)
def test_the_message_equals_one_with_an_object_for_each_value(
    rows: list[tuple[int, object, int, int, int]], server_time: bool, per_tag: bool
) -> None:
    tags = tuple(
        Tag(f'a"{n}', f"i={n}", {"machine": "m", "x": f"{n}"} if n % 2 else {"machine": "m"}) for n in range(4)
    )
    kinds = {float: 11, str: 12, bool: 1, type(None): 0}
    batch = Batch(
        "s",
        tags,
        np.array([row[0] for row in rows], np.uint32),
        np.array([kinds[type(row[1])] for row in rows], np.uint8),
        [row[1] for row in rows],
        np.array([row[4] for row in rows], np.uint32),
        np.array([row[2] for row in rows], np.int64),
        np.array([row[3] for row in rows], np.int64),
    )
    topic = "f/{machine}/{tag}" if per_tag else "f/{machine}"
    settings = FormatSettings("e", topic, "edge", SizeLimits(7), server_time, fields=("x",))
    numbers = Counter[str]()
    messages = JsonEncoder(settings).encode(batch, lambda stream: numbers[stream] + 1)
    wanted = rows_of(batch, [tag.name for tag in tags], server_time)
    for row, (handle, *_) in zip(wanted, rows, strict=True):
        row |= {"fields": {"x": f"{handle}"}} if handle % 2 else {}
    got = [value for message in messages for value in json.loads(message.payload)["values"]]
    if per_tag:
        wanted.sort(key=lambda row: str(row["name"]))
        got.sort(key=lambda row: str(row["name"]))
    assert json.loads(json.dumps(wanted)) == got
    assert sum(message.values for message in messages) == len(rows)
