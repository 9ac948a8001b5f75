"""A delivered backlog is told once, with its size; what nobody noticed is not."""

import time

import pytest
from structlog.testing import capture_logs

from gateway.pipeline.backlog import Backlog


@pytest.mark.parametrize(("waited_s", "told"), [(60.0, ["backlog delivered: 12 403 values in 0 s"]), (2.0, [])])
def test_a_backlog_is_over_when_a_new_record_followed_and_all_of_it_has_its_verdict(
    waited_s: float, told: list[str]
) -> None:
    with capture_logs() as logs:
        backlog = Backlog("plant")
        for _ in range(2):
            backlog.sent(time.time_ns() - int(waited_s * 1e9), is_old=True)
        backlog.settled(12_400, is_old=True)
        backlog.sent(time.time_ns(), is_old=False)
        assert logs == []  # one of them has no verdict yet
        backlog.settled(3, is_old=True)
        backlog.sent(time.time_ns(), is_old=False)
        backlog.settled(1, is_old=False)
    assert [each["event"] for each in logs] == told
