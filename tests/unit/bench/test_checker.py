"""A checker that finds what is missing, what came twice, what is under another's name, and knows each format."""

import json
from collections.abc import Iterable

import orjson
import pytest

from tests.bench.chain.checker import NUMBERS_APART, Checker
from tests.bench.chain.formats import ticks_of
from tests.bench.chain.wire import UNIX_EPOCH_TICKS

AT_S = 1_800_000_000.0
TIME = "2027-01-15T08:00:00"
"""The same instant."""


def listed(serials: Iterable[int], variables: int = 10, **changes: object) -> bytes:
    """A message of a script."""
    rows = [{"name": f"v{s % variables:06}", "value": s + 0.5, "time": TIME + "Z", **changes} for s in serials]
    return orjson.dumps({"values": rows})


def _text_between() -> bytes:
    body = orjson.loads(listed([0, 1, 2]))
    body["values"][1]["value"] = "3.5 bar"
    return orjson.dumps(body)


TEXT = _text_between()


def judged(*payloads: bytes, form: str = "list") -> Checker:
    checker = Checker(form, 10)
    checker.take(("bench/x", payload, AT_S + 0.25) for payload in payloads)
    return checker


def test_every_value_once_is_correct() -> None:
    verdict = judged(listed(range(15)), listed(range(15, 20))).verdict(20, 1)
    assert verdict == {
        "values": 20, "messages": 2, "initial": 0, "missing": 0, "repeated": 0, "steps_back": 0, "problems": {},
    }  # fmt: skip


def test_missing_repeated_and_reordered_values_are_distinguished() -> None:
    verdict = judged(listed([0, 1, 1, 4, 3])).verdict(5, 1)
    assert (verdict["missing"], verdict["repeated"], verdict["steps_back"]) == (1, 1, 1)


def test_a_later_load_is_judged_by_itself() -> None:
    verdict = judged(listed([0, 2, 3, 4])).verdict(5, 1, first=2)
    assert verdict["missing"] == 0


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (listed([3], name="v000004"), "values under another's name"),
        (listed([3], name="elsewhere"), "values under another's name"),
        (listed([3], value=3.75), "values that were never sent"),
        (listed([7]), "values that were never sent"),
        (TEXT, "values that are no numbers"),
        (b"{}", "unreadable, bench/x: KeyError('values')"),
    ],
)
def test_an_impossible_value_is_a_problem(payload: bytes, problem: str) -> None:
    assert judged(payload).verdict(5, 1)["problems"] == {problem: 1}


def test_a_server_without_values_is_reported() -> None:
    other = judged(listed(range(5)))
    assert other.verdict(10, 2)["missing"] == 5


def test_servers_are_distinguished_by_their_numbers() -> None:
    rows = [
        {"name": f"v{s:06}", "value": k * NUMBERS_APART + s + 0.5, "time": TIME + "Z"} for s in (0, 1) for k in (0, 1)
    ]
    verdict = judged(orjson.dumps({"values": rows})).verdict(4, 2)
    assert (verdict["missing"], verdict["steps_back"], verdict["problems"]) == (0, 0, {})


def test_initial_values_are_counted_by_themselves() -> None:
    checker = judged(listed([0], value=-1.0), listed([0]))
    assert (checker.initial, checker.count) == (1, 1)
    assert checker.last_initial_s == checker.last_s == AT_S + 0.25


def test_delay_is_from_source_time_to_arrival() -> None:
    assert judged(listed([0])).delays_ms(0)["p50"] == pytest.approx(250.0)
    assert judged(listed([0])).delays_ms(1) == {}


def test_a_backlog_is_distinguished_from_live_values_that_pass_it() -> None:
    checker = Checker("list", 10)
    for at_s, serial in ((0.0, 0), (0.5, 5), (2.0, 1), (2.5, 6)):
        checker.take([("bench/x", listed([serial]), AT_S + at_s)])
    told = checker.drain(5)
    assert (told["first_s"], told["last_s"], told["arrived"]) == (AT_S, AT_S + 2.0, 2)
    assert told["live_ms"]["p50"] == pytest.approx(500.0)
    assert told["after_ms"]["p50"] == pytest.approx(2500.0)


# -- the formats


def columns(seq: int, **body: object) -> bytes:
    return json.dumps({"stream": "s", "seq": seq, **body}).encode()


TAGS = columns(1, version="a1", first=0, tags=[{"name": f"v{n:06}"} for n in range(3)])


def test_columns_point_into_the_list_of_tags_that_came_before() -> None:
    data = columns(2, tags="a1", start=TIME + "Z", time=[0, 10], tag=[0, 1], value=[0.5, 1.5])
    checker = judged(TAGS, data, form="columns")
    assert checker.verdict(2, 1)["problems"] == {}
    assert checker.delays_ms(1)["p50"] == pytest.approx(250.0 - 0.001)


def test_missing_sequence_numbers_and_announced_gaps_are_problems() -> None:
    data = columns(3, tags="a1", start=TIME + "Z", time=[0], tag=[0], value=[0.5], gaps=[{"cause": "restart"}])
    found = judged(TAGS, data, form="columns").verdict(1, 1)["problems"]
    assert found == {"numbers of a stream that did not come": 1, "a gap announced: restart": 1}


def test_numbers_of_a_stream_may_come_in_another_order_but_only_once() -> None:
    def data(seq: int) -> bytes:
        return columns(seq, tags="a1", start=TIME + "Z", time=[0], tag=[seq - 2], value=[seq - 1.5])

    checker = judged(TAGS, columns(4), data(2), form="columns")
    assert checker.verdict(1, 1)["problems"] == {"numbers of a stream that did not come": 1}
    checker.take([("bench/x", columns(3), AT_S), ("bench/x", columns(4), AT_S)])
    assert checker.verdict(1, 1)["problems"] == {"numbers of a stream that came twice": 1}


def test_one_message_per_value_is_read() -> None:
    one = orjson.dumps({"name": "v000000", "value": 0.5, "time": TIME + ".1234567+00:00"})
    checker = judged(one, form="one")
    assert checker.count == 1
    assert checker.delays_ms(0)["p50"] == pytest.approx(250.0 - 123.4567, abs=0.001)


def test_thingsboard_telemetry_is_read_and_other_messages_ignored() -> None:
    body = orjson.dumps({"load": [{"ts": int(AT_S * 1000), "values": {"v000000": 0.5, "v000001": "1.5"}}]})
    checker = Checker("thingsboard", 10)
    checker.take([("v1/gateway/telemetry", body, AT_S), ("v1/gateway/connect", b'{"device": "load"}', AT_S)])
    assert checker.verdict(2, 1)["missing"] == 0


def test_ticks_keep_100_nanoseconds() -> None:
    assert ticks_of(TIME + ".0000001Z") - UNIX_EPOCH_TICKS == int(AT_S) * 10_000_000 + 1


def test_columns_of_different_lengths_are_a_problem() -> None:
    data = columns(2, tags="a1", start=TIME + "Z", time=[0, 1], tag=[0], value=[0.5, 1.5])
    assert judged(TAGS, data, form="columns").verdict(2, 1)["problems"] == {"names that do not fit the values": 1}
