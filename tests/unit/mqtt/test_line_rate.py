"""What a line carries, learned from what was late: patience grows until a message gets through, and goes at once."""

import pytest

from gateway.delivery.line_rate import LEAST_BYTES_PER_S, LEAST_MESSAGE_BYTES, LineRate

TIMEOUT_S = 20.0


@pytest.mark.parametrize("bytes_per_s", [100, 180, 1000, 10_000, 100_000])
@pytest.mark.parametrize("size", [2_000, 256 * 1024, 4 * 2**20])
def test_every_message_gets_through_a_link_that_buffers(bytes_per_s: float, size: int) -> None:
    line, sessions, needs_s = LineRate(), 1, size / bytes_per_s
    while (given_s := TIMEOUT_S + line.needs_s(size)) < needs_s:
        line.stuck(size, given_s)
        sessions += 1
        assert sessions < 12, "each session is given twice the time"
    line.carried(size, needs_s)
    most = line.most_bytes(TIMEOUT_S)
    assert line.needs_s(size) >= needs_s
    assert most is None or most <= max(LEAST_MESSAGE_BYTES, bytes_per_s * TIMEOUT_S)


def test_small_messages_give_no_estimate_of_the_rate() -> None:
    line = LineRate()
    for _ in range(10):
        line.stuck(LEAST_MESSAGE_BYTES - 1, TIMEOUT_S)
        line.carried(LEAST_MESSAGE_BYTES - 1, TIMEOUT_S)
    assert line.bytes_per_s is None


def test_a_stalled_broker_is_trusted_again_when_data_flows() -> None:
    line = LineRate()
    line.stuck(50_000, TIMEOUT_S)
    line.stuck(50_000, 100.0)
    assert line.needs_s(50_000) > TIMEOUT_S
    line.flowed(2_500_000, 5.0)
    assert (line.bytes_per_s, line.needs_s(50_000), line.most_bytes(TIMEOUT_S)) == (None, 0.0, None)


def test_a_little_data_proves_no_rate() -> None:
    line = LineRate()
    line.carried(9_000, 50.0)
    line.flowed(100, 5.0)
    assert line.bytes_per_s == 180.0


def test_the_estimated_rate_has_a_lower_bound() -> None:
    line = LineRate()
    for _ in range(40):
        line.stuck(2_000, 1_000.0)
    assert line.bytes_per_s == LEAST_BYTES_PER_S


def test_each_change_of_the_rate_is_passed_on_once() -> None:
    line, told = LineRate(), list[int | None]()
    line.on_change = lambda: told.append(line.most_bytes(TIMEOUT_S))
    line.carried(100_000, 100.0)
    line.carried(100_000, 100.0)
    line.flowed(10**9, 1.0)
    line.flowed(10**9, 1.0)
    assert told == [4096, None]
