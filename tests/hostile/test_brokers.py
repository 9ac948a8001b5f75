"""A broker may do what it likes: the healthy one beside it is not late, memory is bounded, the log says each change of
state once, and when it behaves again everything is delivered to it.

The gateway's side runs here, the attackers in one process, a real broker is the healthy one.
"""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypedDict

import pytest
from structlog.testing import capture_logs

from gateway.config import BrokerConfig
from gateway.link import Backoff, Link
from gateway.metrics import Metrics
from gateway.mqtt import open_sink
from gateway.mqtt.sink import Sink
from gateway.pipeline.broker_queue import BrokerQueue
from gateway.pipeline.forward import forward
from tests.hostile.broker_behaviours import BROKERS
from tests.hostile.measure import LATE_S, Turns, measured, resident_bytes
from tests.support import brokers
from tests.support.forwarding import append, queue, until
from tests.support.mqtt_sessions import message

ATTACK_S = 0.15
"""Each lasts so long: some attempts to connect."""
AT_ONCE = 7
"""So many attack one gateway at the same time."""
TURN_S = 0.02
"""A turn of the loop may always take so long, of CPU time: reading and answering what came in 64 KiB."""
TURN_RATIO = 5.0
"""Or so many times the longest turn without an attacker."""
MEMORY_BYTES = 24 * 2**20
MORE_LINES = 3
"""What is said beside the changes of state: what a broker lacks, and what becomes of what it refused."""


class Attackers:
    """The process of the hostile brokers."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.hostile.broker"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ports: dict[str, int] = json.loads(self._line())

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def heal(self, name: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{name}\n")
        self.process.stdin.flush()
        assert self._line() == "healed\n"

    def end(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=60)


@pytest.fixture(scope="module")
def attackers() -> Iterator[Attackers]:
    found = Attackers()
    yield found
    found.end()


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[brokers.Process]:
    with brokers.mosquitto(tmp_path_factory.mktemp("healthy")) as broker:
        yield broker


@dataclass
class Peer:
    """The hostile broker as the gateway sees it."""

    name: str
    key: str
    url: str
    changes: int = 0
    queue: BrokerQueue | None = None
    link: Link = field(init=False)

    def __post_init__(self) -> None:
        self.link = Link(self.key, self.url, self._changed)
        self.link.held_after_s = 0.2

    @property
    def has_recovered(self) -> bool:
        """Everything was delivered."""
        queue = self.queue
        assert queue is not None
        return self.link.is_up and not queue.reader.messages and not queue.refused_reader.messages

    def _changed(self, link: Link) -> None:
        self.changes += 1


@asynccontextmanager
async def attacked(folder: Path, peer: Peer) -> AsyncIterator[BrokerQueue]:
    """A gateway's work for one broker, with values to deliver."""
    metrics, leave = Metrics(), asyncio.Event()
    config = BrokerConfig.model_validate(
        {
            "url": peer.url,
            "version": "5",
            "ack_timeout": 0.2,
            "connect_timeout": 0.2,
            "keep_alive": 1,
            "retry_refused": 0.2,
        }
    )
    async with queue(folder, metrics, retry_refused_s=0.2, name=peer.key) as found, asyncio.TaskGroup() as tasks:
        await append(found.outbox, metrics, *"abcdefghij" * 2)
        opening = partial(open_sink, config, peer.link, "g")
        tasks.create_task(forward(found, opening, peer.link, Backoff(0.02, 0.05), leave), name="forward")
        yield found
        leave.set()


async def serve_healthy(sink: Sink) -> None:
    """One value after another, as a gateway does beside its other broker."""
    while True:
        assert (await sink.send(message())).is_answer
        await asyncio.sleep(0.005)


class Figures(TypedDict):
    """What was measured."""

    before_s: float
    turn_s: float
    late_s: float
    bytes: int


async def attack(
    turns: Turns, folder: Path, attackers: Attackers, healthy: brokers.Process, peers: list[Peer]
) -> Figures:
    async with (
        open_sink(BrokerConfig(url=healthy.url), Link("healthy", healthy.url), "h") as sink,
        asyncio.TaskGroup() as tasks,
    ):
        serving = tasks.create_task(serve_healthy(sink), name="healthy")
        turns.begin()
        await asyncio.sleep(0.05)
        before_s, before_bytes = turns.longest_s, resident_bytes()
        async with AsyncExitStack() as stack:
            found = [await stack.enter_async_context(attacked(folder / peer.key, peer)) for peer in peers]
            turns.begin()
            await asyncio.sleep(ATTACK_S)
            turn_s, late_s, used_bytes = turns.longest_s, turns.latest_s, resident_bytes() - before_bytes
            for peer, its_queue in zip(peers, found, strict=True):
                attackers.heal(peer.name)
                peer.queue = its_queue
            await until(lambda: all(peer.has_recovered for peer in peers))
        serving.cancel()
    return Figures(before_s=before_s, turn_s=turn_s, late_s=late_s, bytes=used_bytes)


GROUPS = [list(BROKERS)[n : n + AT_ONCE] for n in range(0, len(BROKERS), AT_ONCE)]


@pytest.mark.parametrize("names", GROUPS, ids=lambda names: f"from {names[0]}")
def test_a_hostile_broker_costs_itself_alone(
    names: list[str], attackers: Attackers, healthy: brokers.Process, tmp_path: Path
) -> None:
    peers = [Peer(name, f"b{n}", f"mqtt://127.0.0.1:{attackers.ports[name]}") for n, name in enumerate(names)]
    with capture_logs() as logs:
        figures = measured(lambda turns: attack(turns, tmp_path, attackers, healthy, peers), within_s=60.0)
    assert figures["turn_s"] <= max(TURN_S, TURN_RATIO * figures["before_s"]), (figures, names)
    assert figures["late_s"] <= LATE_S, (figures, names)
    assert figures["bytes"] <= MEMORY_BYTES, (figures, names)
    said = Counter(log.get("peer") or log.get("broker") for log in logs if log["log_level"] != "debug")
    assert set(said) <= {peer.key for peer in peers}, [
        log for log in logs if not (log.get("peer") or log.get("broker"))
    ]
    for peer in peers:
        assert said[peer.key] <= peer.changes + MORE_LINES, (peer.name, [log["event"] for log in logs])
