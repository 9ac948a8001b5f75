"""The checking subscriber of the soak sees what it is there to see: it is the judge, so it is tried first."""

from datetime import UTC, datetime

import orjson
import pytest

from tests.support.load_checker import LoadChecker

TAGS, BEGAN_S, PERIOD_S = 4, 1_800_000_000.0, 0.1
LIST = {"stream": "s/tags/0", "seq": 1, "version": "v", "first": 0, "count": TAGS,
        "tags": [{"name": f"{n}", "node_id": f"nsu=x;s={n:05}"} for n in range(TAGS)]}  # fmt: skip


def message(seq: int, *ticks: int, **changes: object) -> bytes:
    rows = [(tag, tick) for tick in ticks for tag in range(TAGS)]
    start = datetime.fromtimestamp(BEGAN_S + ticks[0] * PERIOD_S, UTC).isoformat()
    body: dict[str, object] = {
        "stream": "s", "seq": seq, "tags": "v", "start": start,
        "tag": [tag for tag, _ in rows], "value": [tick * TAGS + tag for tag, tick in rows],
        "time": [(tick - ticks[0]) * 1_000_000 for _, tick in rows],
    }  # fmt: skip
    return orjson.dumps(body | changes)


def checked(*payloads: bytes) -> LoadChecker:
    checker = LoadChecker(TAGS, BEGAN_S, PERIOD_S)
    for payload in (orjson.dumps(LIST), *payloads):
        checker.take(payload)
    return checker


def test_a_complete_recording_has_no_problem() -> None:
    checker = checked(message(1, 5, 6, 7), message(2, 8))
    assert (checker.values, checker.owed, checker.missing, checker.disordered) == (16, 16, 0, 0)
    assert not checker.problems.total()
    assert checker.numbers_missing == []


def test_a_missing_tick_is_missed_unless_a_gap_in_its_stream_covers_it() -> None:
    gap = {"cause": "outbox_full", "from_time": "2027-01-15T08:00:00.55Z", "to_time": "2027-01-15T08:00:00.75Z"}
    assert len(checked(message(1, 5), message(2, 8)).unexplained) == 1
    explained = checked(message(1, 5), message(2, 8, gaps=[gap]))
    assert explained.unexplained == []
    assert (explained.missing, explained.owed) == (8, 16)
    elsewhere = orjson.dumps({"stream": "other", "seq": 1, "tag": [], "gaps": [gap]})
    assert len(checked(message(1, 5), message(2, 8), elsewhere).unexplained) == 1


def test_one_value_of_one_tag_is_missed() -> None:
    checker = checked(message(1, 5), message(2, 6, tag=[0, 1, 3], value=[24, 25, 27], time=[0, 0, 0]), message(3, 7))
    assert [hole.values for hole in checker.holes] == [1]


def test_a_repeat_is_known_by_its_number_and_ignored() -> None:
    checker = checked(message(1, 5), message(2, 6), message(1, 5), message(2, 6))
    assert (checker.values, checker.repeated_values, checker.disordered) == (8, 8, 0)


def test_the_same_values_under_a_new_number_are_out_of_order() -> None:
    assert checked(message(1, 5), message(2, 5)).disordered == TAGS


def test_a_missing_sequence_number_is_reported() -> None:
    assert checked(message(1, 5), message(3, 6)).numbers_missing == ["s: 1 is followed by 3"]


def test_a_missing_sequence_number_named_by_a_gap_is_explained() -> None:
    def after(first: int, last: int) -> LoadChecker:
        gap = {"cause": "policy_drop", "from_seq": first, "to_seq": last, "count": 8}
        return checked(message(1, 5), message(4, 8, gaps=[gap]))

    assert (after(2, 3).numbers_missing, after(2, 3).unexplained) == ([], [])
    assert after(2, 2).numbers_missing == ["s: 1 is followed by 4"]
    assert len(after(2, 2).unexplained) == 1


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"value": [21, 20, 22, 23]}, "values of another tag"),
        ({"time": [0, 0, 0, 1]}, "wrong source times"),
        ({"start": "2027-01-15T08:00:00.6Z"}, "wrong source times"),
    ],
)
def test_wrong_values_are_reported(changes: dict[str, object], what: str) -> None:
    assert checked(message(1, 5, **changes)).problems[what] > 0
