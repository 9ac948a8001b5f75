"""Logs: what happens many times is told a few times, with its number."""

from gateway.logs import EVERY_S, Sparing


def test_the_first_of_a_kind_gets_a_line_and_then_one_a_minute_with_their_number() -> None:
    now_s = 0.0
    sparing = Sparing(lambda: now_s)
    assert sparing.line("a") == {}
    assert [sparing.line("a") for _ in range(1000)] == [None] * 1000
    assert sparing.line("b") == {}, "another kind"
    now_s = EVERY_S
    assert sparing.line("a") == {"and_more_since": 1000}
    assert sparing.line("a") is None
    now_s = 2 * EVERY_S
    assert sparing.line("b") == {}
    assert sparing.line("a") == {"and_more_since": 1}
