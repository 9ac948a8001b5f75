"""A server that breaks the rules costs nobody but itself: the loop, memory, the log; it is read when it behaves.

Lateness is counted in processor time of one turn of the loop, so that other programs on the machine do not matter, and
as a ratio to the longest turn of a run without the attacker.
"""

import asyncio
import contextlib
import gc
import json
import resource
import selectors
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.config import SourceConfig
from gateway.errors import Unavailable
from gateway.link import Backoff, Link, keep_connected
from gateway.metrics import Metrics
from gateway.opcua import CallSizes, Source, open_source
from tests.hostile.behaviours import BEHAVIOURS
from tests.hostile.server import HEALTHY
from tests.support.opcua_source import config

LONGEST_RATIO = 40.0
"""No turn of the loop takes longer than so many times the longest one without an attacker."""
MEMORY_BYTES = 256 * 2**20
"""What all attackers together may add to the memory of the process."""
RECOVERY_S = 60
ATTACKER = "attacker"
LINES_PER_CONNECTION, LINES = 4, 6


class Turns(selectors.DefaultSelector):
    """How much processor time the longest turn of the loop took, from one wait to the next."""

    def __init__(self) -> None:
        super().__init__()
        self.longest_s = 0.0
        self._since_s: float | None = None

    def begin(self) -> None:
        """Count from the next wait on: what lies between two runs of the loop is no turn."""
        self.longest_s, self._since_s = 0.0, None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self._since_s is not None:
            self.longest_s = max(self.longest_s, time.thread_time() - self._since_s)
        found = super().select(timeout)
        self._since_s = time.thread_time()
        return found


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
        connect = partial(open_source, self.made, metrics, b"", sizes=CallSizes())
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
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(turns)) as runner:
        made = runner.run(begun(turns, runner))
        made.calm_s = runner.run(calm(made))
        made.memory_bytes = peak_bytes()
        gc.collect()
        gc.freeze()  # what the tests themselves have made is not the gateway's
        gc.disable()
        yield made
        gc.enable()
        gc.unfreeze()
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
    await beside(attack, None)
    attack.turns.begin()
    for _ in range(2):
        await beside(attack, None)
    return attack.turns.longest_s


async def warm_up() -> None:
    """Fail once to connect."""
    async with open_source(peer("nobody", 1).made, Metrics().for_source("nobody"), b""):
        pass


async def beside(attack: Attack, attacker: Peer | None, name: str = "") -> Peer:
    """Run a healthy source, and the attacker beside it until it has struck, and behaves, and is read."""
    healthy = peer(HEALTHY, attack.ports[HEALTHY])
    keeping = [asyncio.create_task(each.keep()) for each in (healthy, attacker) if each is not None]
    keeping.append(asyncio.create_task(attack.listen()))
    try:
        await healthy.wait_values()
        if attacker is not None:
            await asyncio.wait_for(attack.wait_struck(name, 1), RECOVERY_S)
            await asyncio.wait_for(struck_again_or_read(attack, attacker, name), RECOVERY_S)
            await healthy.wait_values()
            attack.behave(name)
            await asyncio.wait_for(attacker.wait_values(), RECOVERY_S)
        await healthy.wait_values()
    finally:
        for task in keeping:
            task.cancel()
        await asyncio.wait(keeping)
    return healthy


async def struck_again_or_read(attack: Attack, attacker: Peer, name: str) -> None:
    """Until it was connected to again, or until it is read in spite of what it does."""
    ways = [asyncio.ensure_future(attack.wait_struck(name, 2)), asyncio.ensure_future(attacker.wait_values())]
    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    for way in ways:
        way.cancel()


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_a_hostile_server_affects_no_other_peer(attack: Attack, name: str) -> None:
    attacker = peer(ATTACKER, attack.ports[name], request_timeout=1.0, keep_alive=1.0, retry_failed=0.5)
    attack.turns.begin()
    with capture_logs() as logs:
        healthy = attack.runner.run(beside(attack, attacker, name))
    assert healthy.link.connects == 1
    assert attack.turns.longest_s < LONGEST_RATIO * attack.calm_s
    assert peak_bytes() - attack.memory_bytes < MEMORY_BYTES
    lines = [entry for entry in logs if ATTACKER in (entry.get("peer"), entry.get("source"))]
    assert len(lines) <= LINES + LINES_PER_CONNECTION * attacker.link.connects, told(lines)


def told(lines: list[Any]) -> str:
    return str(Counter(entry["event"] for entry in lines))
