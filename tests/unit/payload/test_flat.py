"""Tags as keys: every value comes once, at its time and in its order, and a name hides nothing."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigError
from gateway.loading import load
from gateway.model import Gap, Message, Tag
from gateway.payload.choose import encoder_for
from gateway.payload.timestamps import text_of
from tests.support.payloads import TICKS, Counting, batch_of, config_of
from tests.unit.payload.test_choose import config

DOUBLE = 11
NAMES = ("Temperature", "Speed", "timestamp", "status", "seq", "gaps_")
TAGS = [Tag(name, f"nsu=u;s={name}", {"machine": "m"}, unit="°C") for name in NAMES]
ROWS = st.tuples(st.integers(0, len(NAMES) - 1), st.integers(0, 3), st.sampled_from((0, 0x8000_0000)))
"""Handle, time and status."""
Body = dict[str, object]


def made(batch: object, **flat: object) -> list[tuple[Message, Body]]:
    fields = flat.pop("fields", ())
    payload = {"format": "flat", "topic": "f/{machine}", "flat": flat, "fields": fields}
    counting = Counting()
    messages = counting.append(encoder_for(config_of(payload), "line-1", "e").encode(batch, counting.next_seq))  # type: ignore[arg-type]
    return [(message, json.loads(message.payload)) for message in messages]


def test_a_message_is_a_row_of_one_time() -> None:
    rows = [(DOUBLE, 61.5), (DOUBLE, 62.0), (DOUBLE, 5.0), (DOUBLE, 6.0)]
    batch = batch_of(rows, tags=TAGS, handles=[0, 0, 1, 1], ticks=[TICKS, TICKS + 1, TICKS, TICKS + 1])
    [(first, one), (_, two)] = made(batch)
    assert one == {"timestamp": text_of(TICKS), "Temperature": 61.5, "Speed": 5.0}
    assert two == {"timestamp": text_of(TICKS + 1), "Temperature": 62.0, "Speed": 6.0}
    assert first.properties == (("stream", "e/line-1/f/m"), ("seq", "1"))
    assert [body for _, body in made(batch, timestamp=None)] == [
        {"Temperature": 61.5}, {"Temperature": 62.0, "Speed": 5.0}, {"Speed": 6.0},
    ]  # fmt: skip
    assert made(batch, numbers="payload")[0][1] == one | {"stream": "e/line-1/f/m", "seq": 1}


def test_what_is_not_good_and_what_is_missing_is_told() -> None:
    gap = Gap("server_overflow", "the queue ran over", TICKS, TICKS)
    statuses, same = [0x808C_0000, 0x4000_0000], [TICKS] * 2
    batch = batch_of([(DOUBLE, 1.0), (DOUBLE, 2.0)], tags=TAGS, statuses=statuses, ticks=same, gaps=(gap,))
    [(_, body)] = made(batch, timestamp=None)
    assert body["status"] == {"Temperature": 0x808C_0000, "Speed": 0x4000_0000}
    assert [each["cause"] for each in body["gaps"]] == ["server_overflow"]  # type: ignore[attr-defined]
    [(_, body)] = made(batch, status=None)
    assert (body["Temperature"], body["Speed"], "status" in body) == (None, 2.0, False)
    [(_, body)] = made(dataclasses.replace(batch, gaps=(), historical=True), fields=["unit"], numbers="payload")
    assert (body["historical"], body["fields"]) == (True, {name: {"unit": "°C"} for name in NAMES[:2]})


@given(
    rows=st.lists(ROWS, min_size=1),
    has_time=st.booleans(),
    is_inside=st.booleans(),
    whose=st.booleans(),
)
def test_every_value_comes_once_at_its_time_and_in_its_order(
    rows: list[tuple[int, int, int]], has_time: bool, is_inside: bool, whose: bool
) -> None:
    handles, times = [handle for handle, _, _ in rows], [TICKS + time for _, time, _ in rows]
    values = [(DOUBLE, float(n)) for n in range(len(rows))]
    batch = batch_of(values, tags=TAGS, handles=handles, ticks=times, statuses=[status for _, _, status in rows])
    if whose:
        batch = dataclasses.replace(batch, time_sources=np.arange(len(rows), dtype=np.uint8) % 3)
    keys: Body = {"timestamp": "timestamp"} if has_time else {"timestamp": None}
    messages = made(batch, **keys, numbers="payload" if is_inside else "properties")
    members = {"status", "gaps", *(["timestamp"] if has_time else [])}
    members |= {"stream", "seq", "time_source"} if is_inside else set()
    keyed = [name + "_" * (name in members) for name in NAMES]
    got: dict[str, list[tuple[float, object, object]]] = {name: [] for name in keyed}
    for message, body in messages:
        found = {name: value for name, value in body.items() if name in keyed}
        assert message.values == len(found)
        for name, value in found.items():
            assert isinstance(value, float)
            statuses = body.get("status", {})
            assert isinstance(statuses, dict)
            got[name].append((value, body["timestamp"] if has_time else None, statuses.get(name, 0)))
    for handle, name in enumerate(keyed):
        assert got[name] == [
            (float(n), text_of(TICKS + time) if has_time else None, status)
            for n, (each, time, status) in enumerate(rows)
            if each == handle
        ]


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ("flat: {status: gaps}", "gaps is a member of the format already"),
        ("flat: {status: timestamp}", "timestamp and status need different keys"),
        ("server_time: true", "flat has no place for server timestamps"),
    ],
)
def test_what_cannot_be_told_is_refused(tmp_path: Path, payload: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(tmp_path, f"format: flat, {payload}")
    assert said in str(caught.value)


def test_a_name_that_would_hide_a_member_is_refused_at_validation(tmp_path: Path) -> None:
    config(tmp_path, "format: flat")
    text = (tmp_path / "gateway.yaml").read_text()
    text = text.replace("{subtree: i=85, levels: [machine]}", "{node: i=5, name: status, fields: {machine: m}}")
    (tmp_path / "gateway.yaml").write_text(text)
    with pytest.raises(ConfigError, match="'status' is a member of the format itself"):
        load(tmp_path / "gateway.yaml")
