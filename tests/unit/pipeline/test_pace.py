"""The pace of a backlog, on a simulated link: full speed, and a queue that stays under the bound."""

import heapq
from dataclasses import dataclass, field
from math import inf

import pytest

from gateway.pipeline.pace import FIRST_BYTES, LEAST_BYTES, MEMORY_S, Pace


@dataclass
class Link:
    """Sends one message after another at its rate; PUBACKs come one way time later."""

    bytes_per_s: float
    way_s: float
    now_s: float = 0.0
    free_at_s: float = 0.0
    flying: list[tuple[float, float, int]] = field(default_factory=list)
    acks_s: list[float] = field(default_factory=list)
    delivered: int = 0

    def send(self, size: int) -> None:
        self.free_at_s = max(self.now_s, self.free_at_s) + size / self.bytes_per_s
        heapq.heappush(self.flying, (self.free_at_s + self.way_s, self.now_s, size))

    def replay(self, pace: Pace, size: int, seconds: float) -> None:
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            wait_s = pace.wait_s(size, self.now_s)
            if wait_s == 0:
                pace.sent(size, self.now_s)
                self.send(size)
            elif wait_s < inf:
                self.now_s += wait_s
            else:
                self.now_s, sent_s, size_sent = heapq.heappop(self.flying)
                self.acks_s.append(self.now_s - sent_s)
                self.delivered += size_sent
                pace.answered(size_sent, self.now_s - sent_s, self.now_s)


@pytest.mark.parametrize(("bytes_per_s", "size"), [(20_000, 200), (20_000, 10_000), (1e6, 2000), (2e7, 40_000)])
@pytest.mark.parametrize(("way_s", "most_s"), [(0.001, 1.0), (0.2, 1.0), (3.0, 2.0)])  # later news, longer queues
def test_the_link_is_used_and_the_queue_bounded(bytes_per_s: float, way_s: float, size: int, most_s: float) -> None:
    link, pace = Link(bytes_per_s, way_s), Pace(bound_s=1.0, most_messages=10**9)
    link.replay(pace, size, 60.0)
    settled = link.acks_s[len(link.acks_s) // 2 :]
    assert max(settled) < way_s + most_s + size / bytes_per_s
    before = link.delivered
    link.replay(pace, size, 20.0)
    assert link.delivered - before > 0.8 * 20 * min(bytes_per_s, 1e6)


def test_a_slower_link_reduces_the_pace() -> None:
    link, pace = Link(1_000_000, 0.01), Pace(bound_s=1.0, most_messages=10**9)
    link.replay(pace, 1000, 20.0)
    link.bytes_per_s = 100_000
    link.replay(pace, 1000, 20.0)
    link.acks_s.clear()
    link.replay(pace, 1000, 20.0)
    assert max(link.acks_s) < 1.0


def test_a_longer_round_trip_is_accepted_after_a_while() -> None:
    link, pace = Link(1_000_000, 0.01), Pace(bound_s=1.0, most_messages=10**9)
    link.replay(pace, 1000, 20.0)
    link.way_s = 2.0
    link.replay(pace, 1000, 3 * MEMORY_S)
    before = link.delivered
    link.replay(pace, 1000, 20.0)
    assert link.delivered - before > 0.8 * 20 * 1_000_000


def test_a_message_longer_than_the_allowance_goes_alone() -> None:
    pace = Pace(bound_s=1.0, most_messages=10)
    assert pace.wait_s(10 * FIRST_BYTES, 0.0) == 0.0
    pace.sent(10 * FIRST_BYTES, 0.0)
    assert pace.wait_s(1, 0.0) == inf


def test_a_queue_that_does_not_shrink_reduces_the_pace_to_the_minimum() -> None:
    pace = Pace(bound_s=1.0, most_messages=10)
    pace.saw(0.01, 0.0)
    for n in range(200):
        pace.sent(1000, n / 10)
        pace.answered(1000, 5.0, n / 10)
    assert pace.allowance_bytes == LEAST_BYTES


def test_a_rate_spaces_messages_by_their_size() -> None:
    pace = Pace(bound_s=1.0, most_messages=10, most_bytes_per_s=1000)
    assert pace.wait_s(500, 0.0) == 0.0
    pace.sent(500, 0.0)
    assert pace.wait_s(500, 0.1) == pytest.approx(0.4)
    assert pace.wait_s(500, 0.5) == 0.0


def test_the_pace_uses_no_more_than_its_share_of_the_window() -> None:
    pace = Pace(bound_s=1.0, most_messages=2)
    pace.sent(1, 0.0)
    pace.sent(1, 0.0)
    assert pace.wait_s(1, 0.0) == inf
    pace.gone(1)
    assert pace.wait_s(1, 0.0) == 0.0


def test_the_next_session_begins_with_what_was_learned() -> None:
    link, pace = Link(200, 0.1), Pace(bound_s=1.0, most_messages=10)
    link.replay(pace, 100, 600.0)
    kept = pace.allowance_after(has_timed_out=False)
    assert kept < 1000
    again = Pace(bound_s=1.0, most_messages=10, allowance_bytes=kept)
    assert again.is_narrow, "what is new goes by it as well"
    assert again.allowance_after(has_timed_out=True) == kept, "nothing was in flight: it says nothing of the line"


def test_after_a_time_out_a_quarter_of_the_pace_is_tried() -> None:
    pace = Pace(bound_s=1.0, most_messages=10, allowance_bytes=4 * FIRST_BYTES)
    assert pace.allowance_after(has_timed_out=False) == FIRST_BYTES
    pace.sent(1000, 0.0)
    assert pace.allowance_after(has_timed_out=True) == FIRST_BYTES / 4


def test_late_acknowledgements_of_new_messages_reduce_the_pace() -> None:
    pace = Pace(bound_s=1.0, most_messages=10)
    for n in range(100):
        pace.saw(30.0, float(n), 1000)
    assert (pace.allowance_bytes, pace.is_narrow) == (LEAST_BYTES, True)
