"""An outbox folder that an earlier version left is taken over: everything in it arrives."""

import asyncio
import hashlib
import json
import tarfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.config import SourceConfig
from gateway.metrics import SourceMetrics
from gateway.model import Message, Tag
from gateway.opcua.subscription.checkpoint import decode_checkpoint
from gateway.outbox.inspect import export
from tests.support.composition import Composition, Connection, Server
from tests.support.forwarding import until

DATA = Path(__file__).parents[2] / "data" / "outbox-of-8a52934"
TAGS = (Tag("Count", "nsu=urn:u;i=7", {"machine": "oven"}),)
HELD = 26
"""Values that waited in a window."""


@dataclass
class KnownServer(Server):
    """A server that earlier connections knew; it begins to count anew."""

    checkpoints: list[bytes] = field(default_factory=list)

    @asynccontextmanager
    async def connected(
        self,
        config: SourceConfig,
        metrics: SourceMetrics,
        checkpoint: bytes,
        *,
        describe: bool = False,
        repeat: bool = False,
    ) -> AsyncIterator[Connection]:
        self.checkpoints.append(checkpoint)
        async with super().connected(config, metrics, b"", describe=describe, repeat=repeat) as connection:
            yield connection


def told(message: Message) -> dict[str, object]:
    """As `messages.json` has it."""
    return {
        "topic": message.topic, "stream": message.stream, "seq": message.seq, "values": message.values,
        "source": message.source, "priority": int(message.priority), "oldest_ticks": message.oldest_ticks,
        "content_type": message.content_type, "retain": message.retain, "expiry_s": message.expiry_s,
        "properties": [list(pair) for pair in message.properties],
        "sha256": hashlib.sha256(message.payload).hexdigest()[:16],
    }  # fmt: skip


def unpacked(name: str, folder: Path) -> dict[str, Any]:
    with tarfile.open(DATA / f"{name}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    manifest: dict[str, Any] = json.loads((folder / "messages.json").read_text("utf-8"))
    return manifest


@pytest.mark.parametrize("name", ["stopped", "killed"])
def test_an_outbox_of_an_older_version_delivers_everything_and_keeps_its_unannounced_losses(
    name: str, tmp_path: Path
) -> None:
    expected = unpacked(name, tmp_path)
    composition = Composition(tmp_path, sources=("line-1", "line-2"), brokers=("near", "far"))
    composition.outbox["compress"] = "none"
    servers = {name: KnownServer(name, TAGS) for name in ("line-1", "line-2")}
    composition.servers.update(servers)
    config = composition.config(payload={"topic": "plant/{source}/{machine}"})

    async def body() -> None:
        async with composition.running(config) as running:
            await running.gateway.outbox.wait_empty()
            await until(lambda: all(queue.stored_values == 0 for queue in running.gateway.queues.values()))
            for broker in ("near", "far"):
                waiting = [*expected["backlog"][broker], *expected["refused"].get(broker, [])]
                got = [told(message) for message in composition.brokers[broker].got]
                assert sorted(got, key=str) == sorted(waiting, key=str)
                assert composition.books(broker).balance
                assert composition.books(broker).recovered == sum(message["values"] for message in waiting)
                assert in_order(composition.brokers[broker].got)
            losses = [
                [loss.stream, loss.from_seq, loss.to_seq, loss.messages, loss.values, loss.cause, list(loss.readers)]
                for loss in running.gateway.outbox.take_losses()
            ]
            assert summed(losses) == summed(expected["losses"])
            dead = [told(record.message) for record in export(tmp_path / "outbox" / "dead-letters" / "near")]
            assert dead == expected["dead_letters"]["near"]

    asyncio.run(asyncio.wait_for(body(), 60))
    for server in servers.values():
        checkpoint = decode_checkpoint(server.checkpoints[0])
        assert checkpoint is not None
        assert [position.sequence for position in checkpoint.positions] == [69]


@pytest.mark.parametrize("name", ["stopped", "killed"])
def test_sources_continue_from_an_older_outbox_and_announce_held_values(name: str, tmp_path: Path) -> None:
    expected = unpacked(name, tmp_path)
    composition = Composition(tmp_path, sources=("line-1", "line-2"), brokers=("near", "far"))
    composition.servers.update({name: KnownServer(name, TAGS) for name in ("line-1", "line-2")})
    config = composition.config(payload={"topic": "plant/{source}/{machine}"})
    last = max(m["seq"] for m in expected["backlog"]["far"] if m["topic"] == "plant/line-1/oven")

    async def body() -> None:
        async with composition.running(config) as running:
            await running.gateway.outbox.wait_empty()
            composition.brokers["far"].got.clear()
            composition.produce()
            await until(lambda: composition.has_all("far"))
            *_, one = [m for m in composition.brokers["far"].got if m.topic == "plant/line-1/oven"]
            *_, two = [m for m in composition.brokers["far"].got if m.topic == "plant/line-2/oven"]
            before = {message["stream"] for message in expected["backlog"]["far"]}
            if one.stream in before:
                assert one.seq == last + 1
            else:  # a new epoch: on another machine the killed one cannot be told from a power cut
                assert (one.seq, name) == (1, "killed")
            gaps = json.loads(two.payload).get("gaps", [])
            assert [(gap["cause"], gap["count"]) for gap in gaps] == [("held_lost", HELD)]

    asyncio.run(asyncio.wait_for(body(), 60))


def in_order(messages: list[Message]) -> bool:
    last: Counter[str] = Counter()
    for message in messages:
        if message.seq <= last[message.stream]:
            return False
        last[message.stream] = message.seq
    return True


def summed(losses: list[list[Any]]) -> dict[tuple[Any, ...], tuple[int, int]]:
    """Messages and values by stream, cause and readers: ranges that adjoin are announced as one."""
    found: dict[tuple[Any, ...], tuple[int, int]] = {}
    for stream, _, _, messages, values, cause, readers in losses:
        key = stream, cause, tuple(readers)
        before = found.get(key, (0, 0))
        found[key] = before[0] + messages, before[1] + values
    return found
