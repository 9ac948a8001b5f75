"""Where a gap ends: never before the live values begin, however old the time is that the server tells."""

import pytest

from gateway.model import TICKS_PER_SECOND as S
from gateway.opcua.subscription.backfill import not_before
from gateway.opcua.subscription.batches import ServerClock, now_ticks

NOW = 134_000_000_000_000_000


@pytest.mark.parametrize("stale_s", [0.0, 0.9, 1.9, 4.0])
def test_a_stale_server_time_does_not_end_a_gap_early(stale_s: float) -> None:
    assert not_before(NOW - int(stale_s * S), NOW) >= NOW


@pytest.mark.parametrize("apart_s", [-3600.0, 3600.0])
def test_a_gap_ends_at_the_time_of_the_servers_clock_plus_a_margin(apart_s: float) -> None:
    told = NOW + int(apart_s * S)
    assert told + S <= not_before(told, NOW) <= told + 10 * S


def test_a_clock_set_back_is_used_again_when_it_has_caught_up() -> None:
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
