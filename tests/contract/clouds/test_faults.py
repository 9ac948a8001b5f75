"""Outage, a second connection, a busy cloud, a login that ends in mid-backlog, a wrong clock: everything arrives.

`make clouds` does the same for longer, with a plant of 50 machines, for every example.
"""

import asyncio
from collections.abc import Coroutine
from pathlib import Path

import pytest

from tests.support.cloud_runs import KEY, on_the_way, verdict_of, with_endings, with_faults


def run(body: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(body, 120))


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVICE_KEY", KEY)


@pytest.mark.parametrize("name", ["aws-iot-core", "azure-iot-hub", "azure-event-grid", "huawei-iotda"])
def test_nothing_is_lost_over_outage_kick_and_throttling(name: str, tmp_path: Path) -> None:
    async def body() -> None:
        async with on_the_way(name, tmp_path, machines=3) as way:
            await with_faults(way, 1, way.broker.device or "edge-1")
            await with_endings(way, way.broker.device or "edge-1")
            found = verdict_of(name, way)
            assert found.is_good, str(found)
            assert found.counts["kicked"]
            assert (found.counts.get("expired", 0) > 0) == (name == "azure-iot-hub")
            assert (found.counts.get("refused", 0) > 0) == (name in ("azure-iot-hub", "huawei-iotda"))  # a wrong clock

    run(body())


def test_a_login_that_ends_in_mid_backlog_is_made_anew(tmp_path: Path) -> None:
    """The cloud's clock is 3598 s ahead: each token of an hour ends after two seconds there, unknown to us."""

    async def body() -> None:
        async with on_the_way("azure-iot-hub", tmp_path, machines=20, offset_s=3598.0) as way:
            cloud = way.cloud.cloud
            while not cloud.counts["expired"]:
                await way.produce(0.0)
                await asyncio.sleep(0.05)
            for _ in range(5):
                await way.produce(0.0)
            await way.wait_delivered()
            found = verdict_of("azure-iot-hub", way)
            assert found.is_good, str(found)
            assert cloud.counts["connects"] > 1

    run(body())


def test_a_wrong_clock_is_named_and_waited_out(tmp_path: Path) -> None:
    async def body() -> None:
        async with on_the_way("huawei-iotda", tmp_path, offset_s=-3 * 3600.0) as way:
            cloud = way.cloud.cloud
            await way.produce(0.0)
            await cloud.wait_until(lambda cloud: cloud.counts["refused"] >= 2)
            assert "its password holds the time, which is 20" in way.link.reason
            assert any("is not now by the clock here" in each for each in cloud.told)
            cloud.policy.offset_s = 0.0
            await way.wait_delivered()
            assert way.missing() == {}

    run(body())


def test_a_plant_above_the_rate_is_throttled_and_loses_nothing(tmp_path: Path) -> None:
    """A backlog of 90 messages for a device that may send 30 a second."""

    async def body() -> None:
        async with on_the_way("tencent-iot", tmp_path, machines=30) as way:
            for _ in range(3):
                await way.produce(1_796_000_000.0)
            await way.wait_delivered()
            found = verdict_of("tencent-iot", way)
            assert found.is_good, str(found)
            assert found.messages >= 90
            assert found.throttled > 0

    run(body())
