"""The json-columns format, read by a reader written from its description: nothing lost, nothing bent."""

import json
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
from hypothesis import given

from gateway.model import Batch, Gap, Loss, Message
from gateway.payload.columns import REPEAT_AFTER, ColumnsEncoder, columns_announcement, columns_schema
from gateway.payload.splitting import FormatSettings, SizeLimits
from tests.support.payloads import (
    TICKS,
    Counting,
    Seen,
    batch_of,
    batches,
    by_tag,
    plain,
    read_form,
    read_instant,
    sent,
    tags_of,
    types_of,
)

VALIDATOR = jsonschema.Draft202012Validator(columns_schema())


def form(limits: SizeLimits | None = None, server_time: bool = False) -> ColumnsEncoder:
    return ColumnsEncoder(FormatSettings("edge.e1", "factory/{machine}", "edge", limits or SizeLimits(), server_time))


class Reader:
    """Knows nothing but what the documentation says.  Values come by the types that the test knows."""

    def __init__(self) -> None:
        self.lists: dict[tuple[str, str], dict[int, str]] = {}
        self.rows: list[Seen] = []

    def take(self, message: Message, types: dict[str, list[int]]) -> None:
        body = json.loads(message.payload)
        VALIDATOR.validate(body)
        assert (body["stream"], body["seq"]) == (message.stream, message.seq)
        if "version" in body:
            topic = message.topic.rsplit("/", 2)[0]
            known = self.lists.setdefault((topic, body["version"]), {})
            known.update({body["first"] + n: tag["name"] for n, tag in enumerate(body["tags"])})
            assert message.retain
            return
        names = self.lists[message.topic, body["tags"]] if body["tag"] else {}
        lengths = {len(body[key]) for key in ("tag", "value", "time", "status") if key in body}
        assert lengths == {message.values}
        for n, place in enumerate(body["tag"]):
            kind = types[names[place]].pop(0)
            value = plain(read_form(kind, body["value"][n]))
            self.rows.append((names[place], value, body.get("status", [0] * (n + 1))[n], self._ticks(body, n)))

    def _ticks(self, body: dict[str, list[object]], n: int) -> int:
        time = body["time"][n]
        if isinstance(time, int):
            assert -1 <= time < 2**53
            return 0 if time == -1 else read_instant(str(body["start"])) + time
        return 0 if time is None else read_instant(str(time))


def read(batch: Batch, messages: list[Message], machine: str) -> Reader:
    reader, types = Reader(), types_of(batch, machine)
    for message in messages:
        if message.topic.split("/")[1] == machine:
            reader.take(message, types)
    return reader


@given(batches())
def test_a_reader_of_the_description_gets_every_value_back(batch: Batch) -> None:
    counting = Counting()
    messages = counting.append(form().encode(batch, counting.next_seq))
    for machine in ("press", "oven"):
        assert by_tag(read(batch, messages, machine).rows) == sent(batch, machine)
    assert sum(m.values for m in messages) == len(batch)


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [(11, np.float64), (10, np.float32), (6, np.int32), (3, np.uint8), (8, np.int64), (9, np.uint64), (1, np.bool_)],
)
def test_a_numeric_column_gives_the_same_as_the_values_one_by_one(kind: int, dtype: type[np.generic]) -> None:
    column = np.array([0.1, 1, 100.25], dtype=dtype)
    one = batch_of([(kind, v) for v in column.tolist()])
    assert [m.payload for m in form().encode(replace(one, values=column), lambda stream: 1)] == [
        m.payload for m in form().encode(one, lambda stream: 1)
    ]


def test_numbers_that_json_lacks_are_text_in_a_numeric_column_too() -> None:
    column = np.array([np.nan, np.inf, 1.5])
    one = replace(batch_of([(11, 0.0)] * 3), values=column)
    assert json.loads(form().encode(one, lambda stream: 1)[-1].payload)["value"] == ["NaN", "Infinity", 1.5]


def test_the_list_of_tags_precedes_the_data_and_is_sent_once() -> None:
    counting, encoder, batch = Counting(), form(), batch_of([(6, 1), (6, 2)])
    first = counting.append(encoder.encode(batch, counting.next_seq))
    second = counting.append(encoder.encode(batch, counting.next_seq))
    assert [m.topic for m in (*first, *second)] == ["factory/press/tags/0", "factory/press", "factory/press"]
    assert json.loads(first[0].payload)["tags"][1] == {"name": "tag1", "node_id": "nsu=urn:u;i=1", "unit": "°C"}


def test_a_tag_list_that_was_not_stored_is_sent_again() -> None:
    counting, encoder, batch = Counting(), form(), batch_of([(6, 1)])
    encoder.encode(batch, counting.next_seq)  # never appended
    assert len(counting.append(encoder.encode(batch, counting.next_seq))) == 2


def test_a_tag_list_is_repeated_in_case_it_was_dropped() -> None:
    counting, encoder, batch = Counting(), form(), batch_of([(6, 1)])
    topics = [
        m.topic for _ in range(REPEAT_AFTER + 1) for m in counting.append(encoder.encode(batch, counting.next_seq))
    ]
    assert [n for n, topic in enumerate(topics) if topic.endswith("/0")] == [0, REPEAT_AFTER + 1]


def test_an_equal_tag_list_keeps_its_id_after_a_restart_and_a_changed_one_gets_another() -> None:
    def version(count: int) -> object:
        return json.loads(form().encode(batch_of([(6, 1)] * count), lambda stream: 1)[0].payload)["version"]

    assert version(2) == version(2) != version(3)


def test_a_tag_list_is_sent_again_in_parts_when_a_broker_accepts_less() -> None:
    counting, encoder, batch = Counting(), form(), batch_of([(6, 1)] * 200)
    counting.append(encoder.encode(batch, counting.next_seq))
    fitting = counting.append(encoder.encode(batch, counting.next_seq, 3000))
    later = counting.append(encoder.encode(batch, counting.next_seq, 2900))
    assert max(len(message.payload) for message in (*fitting, *later)) <= 3000 - 400
    assert by_tag(read(batch, fitting, "press").rows) == sent(batch, "press")
    assert not [message.topic for message in counting.append(encoder.encode(batch, counting.next_seq, 2900))[:-1]
                if "/tags/" in message.topic]  # fmt: skip


def test_a_tag_list_that_fits_is_not_repeated_when_a_limit_changes() -> None:
    """That of a slow line does so all the time."""
    counting, encoder, batch = Counting(), form(), batch_of([(6, 1)] * 200)
    counting.append(encoder.encode(batch, counting.next_seq, 5000))
    limits = [5000 + 100 * n for n in range(-5, 20)]
    later = [m for most in limits for m in counting.append(encoder.encode(batch, counting.next_seq, most))]
    assert not [message.topic for message in later if "/tags/" in message.topic]


def test_a_long_list_and_long_data_are_split_within_the_limit() -> None:
    batch = batch_of([(12, "x" * 20)] * 200)
    counting = Counting()
    messages = counting.append(form(SizeLimits(1000, 2048)).encode(batch, counting.next_seq))
    assert len([m for m in messages if "/tags/" in m.topic]) > 3
    assert max(len(m.payload) for m in messages) <= 2048
    assert by_tag(read(batch, messages, "press").rows) == sent(batch, "press")


def test_server_times_share_the_start() -> None:
    body = json.loads(form(server_time=True).encode(batch_of([(6, 1), (6, 2)]), lambda stream: 1)[-1].payload)
    assert (body["start"], body["time"], body["server_time"]) == ("2025-08-18T14:13:20.1234567Z", [0, 1], [1, 2])


def test_gaps_and_losses_are_announced() -> None:
    gap = Gap("server_overflow", "the queue ran over", TICKS, TICKS, None, (0,))
    empty = replace(batch_of([], tags=tags_of(2)), gaps=(gap,))
    body = json.loads(form().encode(empty, lambda stream: 1)[-1].payload)
    VALIDATOR.validate(body)
    assert body["gaps"][0]["names"] == ["tag0"]
    loss = Loss(1, "edge.e1/line-1/factory/press", 3, 5, 3, 30, "outbox_full", 10**18, 10**18, ("broker",))
    told = columns_announcement(loss, loss.stream, "factory/press", 9)
    VALIDATOR.validate(json.loads(told.payload))
    assert json.loads(told.payload)["gaps"][0]["from_seq"] == 3
