"""What Part 9 asks of the state of a condition, and what follows from an input."""

from collections.abc import Callable

import pytest

from simulators.alarms import Discrepancy, Limits
from simulators.server.conditions.rules import rule_of
from simulators.server.conditions.state import ConditionState, Refused, Shelved
from simulators.server.event_filters import like
from simulators.server.nodes import StatusCodes
from simulators.server.ranges import NumericRange

LEVEL: frozenset[str] = frozenset()


def raised() -> tuple[ConditionState, bytes]:
    state = ConditionState("line/m/A", confirmable=True)
    assert state.set_active(True, 500, LEVEL, 1.0)
    return state, state.tell(1.0)


REFUSED: dict[str, tuple[Callable[[ConditionState, bytes], object], int]] = {
    "unknown event": (lambda s, i: s.acknowledge(b"x", None, "", 2.0), StatusCodes.BadEventIdUnknown),
    "confirm first": (lambda s, i: s.confirm(i, None, "", 2.0), StatusCodes.BadInvalidState),
    "enabled": (lambda s, i: s.enable(2.0), StatusCodes.BadConditionAlreadyEnabled),
    "not shelved": (lambda s, i: s.unshelve(2.0), StatusCodes.BadConditionNotShelved),
    "shelved too long": (lambda s, i: s.shelve(1e9, 2.0), StatusCodes.BadShelvingTimeOutOfRange),
    "nothing asked": (lambda s, i: s.respond(0, 1, "", 2.0), StatusCodes.BadDialogNotActive),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_method_changes_nothing(name: str) -> None:
    act, code = REFUSED[name]
    state, event_id = raised()
    before = repr(state)
    with pytest.raises(Refused) as caught:
        act(state, event_id)
    assert (caught.value.code, repr(state)) == (code, before)


def test_a_disabled_condition_refuses_everything_and_tells_nothing() -> None:
    state, event_id = raised()
    state.disable(2.0)
    assert not state.retain
    assert not state.set_active(False, 500, LEVEL, 3.0)
    acts: tuple[Callable[[], None], ...] = (
        lambda: state.acknowledge(event_id, None, "", 4.0), lambda: state.shelve(None, 4.0),
        lambda: state.add_comment(event_id, "c", "", 4.0), lambda: state.respond(0, 1, "", 4.0),
    )  # fmt: skip
    for act in acts:
        with pytest.raises(Refused) as caught:
            act()
        assert caught.value.code == StatusCodes.BadConditionDisabled


def test_an_event_of_a_former_occurrence_is_not_acknowledged() -> None:
    state, old = raised()
    state.acknowledge(old, "c", "u", 2.0)
    state.confirm(old, None, "u", 3.0)
    state.set_active(False, 500, LEVEL, 4.0)
    assert not state.retain
    state.set_active(True, 500, LEVEL, 5.0)
    state.tell(5.0)
    assert (state.acked, state.confirmed, state.comment) == (False, False, "c")
    with pytest.raises(Refused):
        state.acknowledge(old, None, "", 6.0)


def test_shelving_ends_with_its_time_or_with_the_alarm() -> None:
    state, _ = raised()
    state.shelve(10.0, 2.0)
    assert (state.shelved_for_s(5.0), state.shelving_over(11.9), state.shelving_over(12.0)) == (7.0, False, True)
    state.shelve(None, 13.0)
    state.set_active(False, 500, LEVEL, 14.0)
    assert state.shelved is Shelved.NO


def test_the_same_run_gives_the_same_event_ids() -> None:
    assert raised()[1] == raised()[1] != ConditionState("line/m/B").tell(1.0)


@pytest.mark.parametrize(
    ("kind", "value", "levels"),
    [
        ("exclusive_limit", 11.0, {"HighHigh"}), ("exclusive_limit", 9.0, {"High"}), ("exclusive_limit", 5.0, set()),
        ("exclusive_limit", 0.0, {"LowLow"}), ("non_exclusive_limit", 11.0, {"HighHigh", "High"}),
        ("non_exclusive_limit", 0.0, {"LowLow", "Low"}), ("exclusive_limit", float("nan"), set()),
    ],
)  # fmt: skip
def test_limits(kind: str, value: float, levels: set[str]) -> None:
    alarm = Limits.model_validate(
        {"name": "A", "kind": kind, "machine": "m", "low_low": 1, "low": 2, "high": 8, "high_high": 10}
    )
    verdict = rule_of(alarm)(value, 0.0)
    assert (set(verdict.levels), verdict.active) == (levels, bool(levels))


def test_a_discrepancy_has_its_time_to_go_away() -> None:
    rule = rule_of(Discrepancy(name="A", kind="discrepancy", machine="m", target=5, tolerance=1, expected_time=10.0))
    assert [rule(value, at_s).active for value, at_s in ((7, 0), (7, 9), (5, 9.5), (7, 11), (7, 20.9), (7, 21))] == [
        False, False, False, False, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "pattern", "fits"),
    [
        ("mill", "m%", True), ("mill", "m_ll", True), ("mill", "m", False), ("a.b", "a.b", True), ("axb", "a.b", False),
        ("mill", "[a-m]ill", True), ("mill", "[^m]ill", False), ("5%", r"5\%", True), ("5x", r"5\%", False),
        ("m\nn", "m%", True), ("[", "[", True),
    ],
)  # fmt: skip
def test_like(text: str, pattern: str, fits: bool) -> None:
    assert like(text, pattern) is fits


@pytest.mark.parametrize(
    ("text", "value", "part"),
    [
        ("1", [1, 2, 3], [2]), ("1:2", [1, 2, 3], [2, 3]), ("1:9", [1, 2, 3], [2, 3]), ("3", [1, 2, 3], None),
        ("1:2", "abcd", "bc"), ("0:1", b"abc", b"ab"), ("9", "abc", None), ("0,1", [[1, 2], [3, 4]], [[2]]),
        ("0:1,1:2", ["abcd", "efgh"], ["bc", "fg"]), ("0", 5, None),
    ],
)  # fmt: skip
def test_index_ranges(text: str, value: object, part: object) -> None:
    found = NumericRange.read(text)
    assert found is not None
    assert found.of(value) == part


@pytest.mark.parametrize("text", ["2:1", "1:1", "-1", "a", "1:", ":2", "1,,2", " 1", "99999999999"])
def test_what_is_no_index_range(text: str) -> None:
    assert NumericRange.read(text) is None
