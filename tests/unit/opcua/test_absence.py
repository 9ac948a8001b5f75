"""Where a gap ends: never before the live values begin, however old the time is that the server tells."""

import pytest

from gateway.model import TICKS_PER_SECOND as S
from gateway.opcua.subscription.backfill import not_before
from gateway.opcua.subscription.batches import ServerClock, now_ticks

NOW = 134_000_000_000_000_000


@pytest.mark.parametrize("stale_s", [0.0, 0.9, 1.9, 4.0])
def test_a_time_that_is_brought_up_to_date_now_and_then_does_not_end_a_gap_early(stale_s: float) -> None:
    assert not_before(NOW - int(stale_s * S), NOW) >= NOW


@pytest.mark.parametrize("apart_s", [-3600.0, 3600.0])
def test_a_server_with_a_clock_of_its_own_is_taken_at_its_word_and_a_little_more(apart_s: float) -> None:
    told = NOW + int(apart_s * S)
    assert told + S <= not_before(told, NOW) <= told + 10 * S


def test_a_clock_that_was_set_back_is_believed_again_when_it_has_passed_where_it_was() -> None:
    clock = ServerClock()
    clock.note(now_ticks() + 100 * S)
    ahead = clock.offset_ticks
    clock.note(now_ticks() + 60 * S)
    assert clock.offset_ticks == ahead
    clock.begin(ahead, 60 * S)  # on the next connection too
    clock.note(now_ticks() + 60 * S)
    assert clock.offset_ticks == ahead
    clock.note(now_ticks() + 101 * S)
    assert abs(clock.offset_ticks - 101 * S) < 5 * S
