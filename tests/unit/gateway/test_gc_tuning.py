"""The collector is spared what stays, once everything is connected, and not for ever waited for."""

import asyncio
import ctypes
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.gc_tuning import spare_the_collector
from gateway.link import Link


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    thresholds = gc.get_threshold()
    gc.unfreeze()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def test_objects_are_frozen_when_every_peer_is_connected() -> None:
    async def body() -> None:
        links = [Link("a", ""), Link("b", "")]
        sparing = asyncio.create_task(spare_the_collector(links, settled_s=0.01))
        links[0].up()
        await asyncio.sleep(0.05)
        assert gc.get_freeze_count() == 0
        links[1].up()
        await sparing
        assert gc.get_freeze_count() > 10_000

    asyncio.run(asyncio.wait_for(body(), 60))


def test_waiting_for_a_peer_that_is_away_is_limited() -> None:
    asyncio.run(asyncio.wait_for(spare_the_collector([Link("a", "")], settled_s=0.01, longest_s=0.05), 60))
    assert gc.get_freeze_count() > 0


def test_objects_made_later_are_collected_even_if_few() -> None:
    asyncio.run(asyncio.wait_for(spare_the_collector([], settled_s=0.01), 60))
    before = gc.get_stats()[2]["collections"]
    gc.set_threshold(10, 1, 1)
    kept = [[number] for number in range(2_000)]
    assert gc.get_stats()[2]["collections"] > before
    assert len(kept) < gc.get_freeze_count() / 4


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="only glibc gives pages back when it is asked"
)
def test_what_the_start_has_freed_goes_back_to_the_system() -> None:
    passing = [bytes([1]) * 2_000 for _ in range(20_000)]
    stays = [bytes([2]) * 2_000 for _ in range(100)]  # behind them, so that malloc does not do it by itself
    del passing
    before = _resident_mib()
    asyncio.run(asyncio.wait_for(spare_the_collector([], settled_s=0.01), 60))
    assert _resident_mib() < before - 20
    assert len(stays) == 100


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 2**20
