"""A server that breaks the rules costs nobody but itself: the loop, memory, the log; it is read when it behaves.

Lateness is counted in processor time of one turn of the loop, so that other programs on the machine do not matter, and
as a ratio to the longest turn of a run without the attacker.
"""

import asyncio
import contextlib
import json
import resource
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial

import pytest
from structlog.testing import capture_logs

from gateway.config import SourceConfig
from gateway.errors import Unavailable
from gateway.link import Backoff, Link, keep_connected
from gateway.metrics import Metrics
from gateway.opcua import Learned, Source, open_source
from tests.hostile.behaviours import BEHAVIOURS
from tests.hostile.measure import LATE_S, Turns, measuring
from tests.hostile.server import HEALTHY
from tests.support.opcua_source import config

LONGEST_RATIO = 40.0
"""No turn of the loop takes longer than so many times the longest one without an attacker."""
MEMORY_BYTES = 256 * 2**20
"""What all attackers together may add to the memory of the process."""
RECOVERY_S = 60
AT_ONCE = 8
"""So many attack one gateway at the same time."""
LINES_PER_CONNECTION, LINES = 4, 6


@dataclass
class Attack:
    """The child process, and the loop that suffers."""

    process: asyncio.subprocess.Process
    ports: Mapping[str, int]
    turns: Turns
    runner: asyncio.Runner
    calm_s: float = 0.0
    """The longest turn without an attacker."""
    memory_bytes: int = 0
    """The most before any of them."""
    struck: Counter[str] = field(default_factory=Counter)
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self) -> None:
        assert self.process.stdout is not None
        while line := (await self.process.stdout.readline()).decode().strip():
            self.struck[line.removeprefix("struck ")] += 1
            self.heard.set()

    async def wait_struck(self, name: str, times: int) -> None:
        while self.struck[name] < times:
            self.heard.clear()
            await self.heard.wait()

    def behave(self, name: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"behave {name}\n".encode())


@dataclass
class Peer:
    """One source of the gateway, kept connected."""

    made: SourceConfig
    link: Link
    values: asyncio.Event = field(default_factory=asyncio.Event)
    count: int = 0

    async def serve(self, source: Source) -> None:
        async with aclosing(source.batches()) as batches:
            async for batch in batches:
                if len(batch):
                    self.count += 1
                    self.values.set()

    async def keep(self) -> None:
        metrics = Metrics().for_source(self.made.name)
        connect = partial(open_source, self.made, metrics, b"", learned=Learned())
        await keep_connected(self.link, connect, self.serve, Backoff(0.02, 0.1))

    async def wait_values(self) -> None:
        self.values.clear()
        await self.values.wait()


def peer(name: str, port: int, **times: float) -> Peer:
    made = config(f"opc.tcp://127.0.0.1:{port}/", name=name, select=[{"subtree": "/Objects/plant"}], **times)
    return Peer(made, Link(name, made.url))


@pytest.fixture(scope="module")
def attack() -> Iterator[Attack]:
    turns = Turns()
    with measuring(turns) as runner:
        made = runner.run(begun(turns, runner))
        made.calm_s = runner.run(calm(made))
        made.memory_bytes = peak_bytes()
        yield made
        made.process.kill()
        runner.run(made.process.wait())


async def begun(turns: Turns, runner: asyncio.Runner) -> Attack:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.hostile.server", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    return Attack(process, json.loads(await process.stdout.readline()), turns, runner)


async def calm(attack: Attack) -> float:
    """The longest turn of connecting, subscribing and reading without an attacker, once everything is warm."""
    with contextlib.suppress(Unavailable):
        await warm_up()
    await beside(attack, {})
    attack.turns.begin()
    for _ in range(2):
        await beside(attack, {})
    return attack.turns.longest_s


async def warm_up() -> None:
    """Fail once to connect."""
    async with open_source(peer("nobody", 1).made, Metrics().for_source("nobody"), b""):
        pass


async def beside(attack: Attack, attackers: Mapping[str, Peer]) -> Peer:
    """Run a healthy source, and attackers beside it until each has struck, and behaves, and is read."""
    healthy = peer(HEALTHY, attack.ports[HEALTHY])
    keeping = [asyncio.create_task(each.keep()) for each in (healthy, *attackers.values())]
    keeping.append(asyncio.create_task(attack.listen()))
    try:
        await healthy.wait_values()
        async with asyncio.TaskGroup() as tasks:
            for name, attacker in attackers.items():
                tasks.create_task(suffered(attack, attacker, name, healthy), name=name)
        await healthy.wait_values()
    finally:
        for task in keeping:
            task.cancel()
        await asyncio.wait(keeping)
    return healthy


async def suffered(attack: Attack, attacker: Peer, name: str, healthy: Peer) -> None:
    """Until it has struck, behaves, and is read."""
    try:
        async with asyncio.timeout(RECOVERY_S):
            await attack.wait_struck(name, 1)
            await struck_again_or_read(attack, attacker, name)
            await healthy.wait_values()
            attack.behave(name)
            await attacker.wait_values()
    except TimeoutError as error:
        raise AssertionError(f"{name}: no recovery: {attacker.link}") from error


async def struck_again_or_read(attack: Attack, attacker: Peer, name: str) -> None:
    """Until it was connected to again, or until it is read in spite of what it does."""
    ways = [asyncio.ensure_future(attack.wait_struck(name, 2)), asyncio.ensure_future(attacker.wait_values())]
    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    for way in ways:
        way.cancel()


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


SLOWEST_FIRST = sorted(BEHAVIOURS, key=lambda name: "nothing" not in name)
"""Those that only a time-out ends are in one group, which takes as long as the slowest of it."""
GROUPS = [SLOWEST_FIRST[n : n + AT_ONCE] for n in range(0, len(SLOWEST_FIRST), AT_ONCE)]


@pytest.mark.parametrize("names", GROUPS, ids=lambda names: f"from {names[0]}")
def test_a_hostile_server_affects_no_other_peer(attack: Attack, names: list[str]) -> None:
    attackers = {
        name: peer(f"attacker-{n}", attack.ports[name], request_timeout=1.0, keep_alive=1.0, retry_failed=0.5)
        for n, name in enumerate(names)
    }
    attack.turns.begin()
    with capture_logs() as logs:
        healthy = attack.runner.run(beside(attack, attackers))
    assert healthy.link.connects == 1, names
    assert attack.turns.longest_s < LONGEST_RATIO * attack.calm_s, names
    assert attack.turns.latest_s < LATE_S, names
    assert peak_bytes() - attack.memory_bytes < MEMORY_BYTES, names
    for name, attacker in attackers.items():
        lines = [entry["event"] for entry in logs if attacker.made.name in (entry.get("peer"), entry.get("source"))]
        assert len(lines) <= LINES + LINES_PER_CONNECTION * attacker.link.connects, (name, Counter(lines))
