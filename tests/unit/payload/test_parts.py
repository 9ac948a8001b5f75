"""Topics, streams and sizes: one topic per tag, splitting by values, numbers without a hole."""

import json
from dataclasses import replace

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gateway.model import Batch, Gap, Message, Tag
from gateway.payload.json import JsonEncoder
from gateway.payload.splitting import MAX_BYTES, FormatSettings, SizeLimits
from tests.support.payloads import (
    TICKS,
    Counting,
    batch_of,
    batches,
    by_tag,
    plain,
    read_form,
    read_instant,
    sent,
    types_of,
)

PER_TAG = "{enterprise}/{site}/{line}/{tag}"


def per_tag(batch: Batch, counting: Counting | None = None) -> list[Message]:
    counting = counting or Counting()
    form = JsonEncoder(FormatSettings("e.1", PER_TAG, "edge", retain=True))
    return counting.append(form.encode(batch, counting.next_seq))


def unified(count: int, gaps: tuple[Gap, ...] = ()) -> Batch:
    tags = [Tag(f"T{n}", f"i={n}", {"enterprise": "acme", "site": "hall 1", "line": "a/b"}) for n in range(count)]
    return batch_of([(6, n) for n in range(count)], tags=tags, gaps=gaps)


def test_every_tag_has_its_topic_and_its_last_value_is_retained() -> None:
    messages = per_tag(unified(3))
    assert [m.topic for m in messages] == ["acme/hall 1/a%2Fb/T0", "acme/hall 1/a%2Fb/T1", "acme/hall 1/a%2Fb/T2"]
    assert all(m.retain and m.values == 1 for m in messages)


def test_topics_per_tag_share_the_stream_of_the_level_above() -> None:
    counting = Counting()
    for _ in range(2):
        per_tag(unified(3), counting)
    assert counting.last == {"e.1/line-1/acme/hall 1/a%2Fb": 6}


def test_a_gap_is_published_above_the_tags_and_replaces_no_last_value() -> None:
    gap = Gap("server_overflow", "the queue ran over", TICKS, TICKS, None, (1,))
    first, *others = per_tag(unified(3, (gap,)))
    assert (first.topic, first.retain, first.values) == ("acme/hall 1/a%2Fb", False, 0)
    assert json.loads(first.payload)["gaps"][0]["names"] == ["T1"]
    assert not any("gaps" in json.loads(m.payload) for m in others)


def test_a_tag_that_changed_twice_has_both_values_in_order() -> None:
    batch = batch_of([(6, 1), (6, 2), (6, 3)], tags=[unified(2).tags[0], unified(2).tags[1]], handles=[0, 1, 0])
    bodies = [json.loads(m.payload)["values"] for m in per_tag(batch)]
    assert [[row["value"] for row in rows] for rows in bodies] == [[1, 3], [2]]


def test_a_leading_dollar_of_a_field_is_escaped() -> None:
    batch = unified(1)
    tag = structs.replace(batch.tags[0], fields={**batch.tags[0].fields, "enterprise": "$SYS"})
    assert per_tag(replace(batch, tags=[tag]))[0].topic == "%24SYS/hall 1/a%2Fb/T0"


@given(batches(), st.integers(1, 5), st.integers(150, 600))
def test_whatever_the_limits_every_value_arrives_once_and_in_order(batch: Batch, values: int, size: int) -> None:
    counting = Counting()
    form = JsonEncoder(FormatSettings("e", "f/{machine}", "edge", SizeLimits(values, size)))
    messages = counting.append(form.encode(batch, counting.next_seq))
    for machine in ("press", "oven"):
        kinds, rows = types_of(batch, machine), []
        for message in (m for m in messages if m.topic == f"f/{machine}"):
            for row in json.loads(message.payload)["values"]:
                value = plain(read_form(kinds[row["name"]].pop(0), row["value"]))
                ticks = read_instant(row["time"]) if "time" in row else 0
                rows.append((row["name"], value, row.get("status", 0), ticks))
        assert by_tag(rows) == sent(batch, machine)
    assert all(m.values == 1 for m in messages if len(m.payload) > size)
    assert all(m.values <= values for m in messages)


def test_the_pieces_of_one_tag_stay_in_order() -> None:
    batch = batch_of([(6, n) for n in range(100)], tags=unified(1).tags, handles=[0] * 100)
    messages = JsonEncoder(FormatSettings("e", "f", "edge", SizeLimits(70, 1024))).encode(batch, Counting().next_seq)
    assert [row["value"] for m in messages for row in json.loads(m.payload)["values"]] == list(range(100))
    assert [m.seq for m in messages] == list(range(1, len(messages) + 1))


def test_a_single_long_value_goes_alone_and_the_others_fit() -> None:
    rows: list[tuple[int, object]] = [(12, "short"), (12, "x" * MAX_BYTES), (12, "short")]
    counting = Counting()
    messages = JsonEncoder(FormatSettings("e", "f", "edge")).encode(batch_of(rows), counting.next_seq)
    counting.append(messages)
    assert sum(m.values for m in messages) == 3
    assert [m.values for m in messages if len(m.payload) > MAX_BYTES] == [1]


def test_names_of_a_gap_are_left_out_where_they_would_fill_the_message() -> None:
    gap = Gap("sequence_gap", "lost", handles=tuple(range(500)))
    first = JsonEncoder(FormatSettings("e", "f", "edge", SizeLimits(1000, 2048))).encode(
        replace(batch_of([(6, 1)] * 500), gaps=(gap,)), lambda stream: 1
    )[0]
    (told,) = json.loads(first.payload)["gaps"]
    assert "names" not in told
    assert msgspec.json.decode(first.payload)["gaps"][0]["cause"] == "sequence_gap"
