"""What viewers of the live page cost the gateway: 200 of them, as a share of one core.

    python -m tests.bench.bench_page [--viewers 200] [--seconds 10] [--sources 40]

A gateway of 40 servers that obey physics, each with a value ten times a second, and two brokers, in this process; the
viewers read in a process of their own.  Seconds without, with and without them are measured in turns, in processor time
of this process alone, so a busy machine does not change the figure.  Goal: 200 viewers cost less than 5 % of a core.
"""

import argparse
import asyncio
import multiprocessing
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gateway.config import HttpConfig
from gateway.run.inside import InsideOf
from gateway.web import listening
from tests.support.composition import Composition

MOST_SHARE = 0.05
REQUEST = b"GET /api/v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@dataclass(frozen=True)
class Cost:
    """Processor seconds per second."""

    alone: float
    watched: float
    states_per_s: float
    """Read, over all viewers."""

    @property
    def share(self) -> float:
        """What the viewers add."""
        return self.watched - self.alone


def read_all(address: str, viewers: int, counted: "multiprocessing.sharedctypes.Synchronized[int]") -> None:
    """Be so many viewers, until killed."""
    asyncio.run(_read_all(address, viewers, counted))


async def _read_all(address: str, viewers: int, counted: "multiprocessing.sharedctypes.Synchronized[int]") -> None:
    url = urlsplit(address)

    async def read() -> None:
        reader, writer = await asyncio.open_connection(url.hostname, url.port, family=socket.AF_INET)
        writer.write(REQUEST)
        while data := await reader.read(2**20):
            counted.value += data.count(b"event: state")

    async with asyncio.TaskGroup() as tasks:
        for number in range(viewers):
            tasks.create_task(read(), name=f"viewer {number}")
            await asyncio.sleep(0.01)


@contextmanager
def watching(address: str, viewers: int) -> Iterator["multiprocessing.sharedctypes.Synchronized[int]"]:
    """Viewers in a process of their own."""
    context = multiprocessing.get_context("spawn")
    counted = context.Value("q", 0)
    process = context.Process(target=read_all, args=(address, viewers, counted), daemon=True)
    process.start()
    try:
        yield counted
    finally:
        process.kill()
        process.join()


async def measured(made: Composition, seconds: float) -> float:
    """Processor seconds per second, while values flow."""
    began_s, cpu_s = time.monotonic(), time.process_time()
    while time.monotonic() - began_s < seconds:
        made.produce()
        await asyncio.sleep(0.1)
    return (time.process_time() - cpu_s) / (time.monotonic() - began_s)


async def cost(viewers: int, seconds: float, sources: int) -> Cost:
    """The cost of so many viewers."""
    with tempfile.TemporaryDirectory() as folder:
        made = Composition(Path(folder), [f"line-{number}" for number in range(sources)])
        async with made.running(made.config()):
            inside, config = InsideOf(made.gateway), HttpConfig(port=0)
            async with listening(config, {}, made.gateway.links, inside) as address:
                await measured(made, 2.0)
                before = await measured(made, seconds)
                with watching(address, viewers) as counted:
                    while counted.value < 2 * viewers:
                        await measured(made, 0.1)
                    read, began_s = counted.value, time.monotonic()
                    watched = await measured(made, seconds)
                    per_s = (counted.value - read) / (time.monotonic() - began_s)
                await measured(made, 1.0)
                after = await measured(made, seconds)
    return Cost((before + after) / 2, watched, per_s)


def main() -> None:
    asked = argparse.ArgumentParser(prog="tests.bench.bench_page", description="What viewers of the live page cost.")
    asked.add_argument("--viewers", type=int, default=200)
    asked.add_argument("--seconds", type=float, default=10.0)
    asked.add_argument("--sources", type=int, default=40)
    told = asked.parse_args()
    found = asyncio.run(cost(told.viewers, told.seconds, told.sources))
    print(f"without viewers {found.alone:.1%} of a core, with {told.viewers}: {found.watched:.1%}")
    print(f"{told.viewers} viewers cost {found.share:.2%} of a core ({found.states_per_s:.0f} states read a second)")
    assert found.share < MOST_SHARE, f"more than {MOST_SHARE:.0%}"


if __name__ == "__main__":
    main()
