"""From what runs to what is wanted: all of it or nothing, whoever it is about."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.config import Config
from gateway.errors import ConfigError
from gateway.link import Link
from gateway.metrics import Metrics
from gateway.metrics.tags import TagGauges
from gateway.outbox import open_outbox
from gateway.run.gateway import Gateway
from gateway.run.reconcile import Peers, nobody_yet

NOWHERE = "127.0.0.1:1"
"""Nobody listens there."""


def config(folder: Path, *brokers: str) -> Config:
    source = {"name": "s", "url": f"opc.tcp://{NOWHERE}", "insecure": True, "select": [{"node": "i=2258"}]}
    return Config.model_validate(
        {
            "sources": [source],
            "brokers": [{"name": name, "url": f"mqtt://{NOWHERE}"} for name in brokers],
            "outbox": {"path": str(folder / "outbox")},
            "payload": {"topic": "x/{source}"},
            "http": {"port": 0},
        }
    )


@asynccontextmanager
async def running(first: Config) -> AsyncIterator[tuple[Gateway, Peers]]:
    metrics = Metrics()
    names = tuple(broker.name for broker in first.all_brokers)
    async with open_outbox(first.outbox, readers=names) as outbox:
        gateway = Gateway(first, metrics, TagGauges(first, metrics.left_out.labels("tags")), outbox, Link("http", ""))
        async with nobody_yet(gateway) as peers:
            await peers.take(first)
            yield gateway, peers


def test_what_cannot_be_opened_whole_leaves_nothing_behind_and_may_be_asked_for_again(tmp_path: Path) -> None:
    (tmp_path / "outbox" / "refused").mkdir(parents=True)
    in_the_way = tmp_path / "outbox" / "refused" / "c"
    in_the_way.write_text("not a folder")

    async def body() -> None:
        first, wanted = config(tmp_path, "a"), config(tmp_path, "a", "b", "c")
        async with running(first) as (gateway, peers):
            with pytest.raises(ConfigError):
                await peers.take(wanted)
            assert gateway.config is first
            assert set(gateway.outbox.readers) == set(gateway.queues) == {"a"}
            assert sorted(path.name for path in in_the_way.parent.iterdir()) == ["a", "c"]
            shown = {s.labels.get("sink", "a") for family in gateway.metrics.registry.collect() for s in family.samples}
            assert shown == {"a"}
            in_the_way.unlink()
            await peers.take(wanted)
            assert set(gateway.outbox.readers) == set(gateway.queues) == {"a", "b", "c"}

    asyncio.run(asyncio.wait_for(body(), 60))
