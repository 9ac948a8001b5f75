"""What one simulator process serves: changed values per second at a subscribed client, and how soon it is there.

    python -m tests.bench.bench_server [--json]

Two processes: `simulators serve` with a plant of load variables, and here a client that subscribes to all of them,
takes every notification and counts its values without making objects of them.  The offered rate is raised step by step;
a step holds when what arrives in the second half of its time is at least 98 % of what is offered.  Goal: 15 000 changed
values per second, and the 50-machine plant listening with all its values in 10 s.
"""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from asyncua import ua

from tests.support.programs import ROOT
from tests.support.served import Subscriber, connected

VARIABLES = 2_000
RATES = (5_000, 10_000, 15_000, 20_000, 30_000, 40_000)
SECONDS = 6.0
ITEM_HEAD = b"\x01\x00\x2b\x03\x01"
"""Type id and encoding of a DataChangeNotification (i=811, binary)."""


@contextlib.contextmanager
def simulator(plant: Path, *options: str) -> Iterator[dict[str, object]]:
    """`simulators serve`; gives its first status line."""
    command = [
        sys.executable,
        "-m",
        "simulators",
        "serve",
        str(plant),
        "--security",
        "None",
        "--port",
        "0",
        "--status-json",
        *options,
    ]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout
        yield json.loads(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def values_in(body: bytes) -> int:
    """How many values a publish response carries, read off from its length fields alone."""
    place = body.find(ITEM_HEAD)
    return int.from_bytes(body[place + 9 : place + 13], "little") if place >= 0 else 0


async def received_per_s(url: str) -> float:
    """Values per second that reach a client subscribed to all load variables, in the second half of the time."""
    async with connected(url) as client:
        names = [f"doubles/doubles-{number:05d}" for number in range(VARIABLES)]
        namespace = await client.client.get_namespace_index("urn:connected-factory:simulator")
        await client.subscribe(*(ua.NodeId(ua.String(n), ua.Int16(namespace)) for n in names), queue=1000)
        end, half, count = time.monotonic() + SECONDS, time.monotonic() + SECONDS / 2, 0
        while (now := time.monotonic()) < end:
            got = await values_of_next(client)
            count += got if now >= half else 0
        return count / (time.monotonic() - half)


async def values_of_next(client: Subscriber) -> int:
    request = ua.PublishRequest()
    return values_in(bytes(await client.session._send_request(request, timeout=10)))


def rate_held(offered: int, folder: Path) -> float:
    plant = folder / "load.yaml"
    rate = offered / VARIABLES
    load = f"{{name: doubles, variables: {VARIABLES}, rate: {rate}, type: double}}"
    plant.write_text(f"name: load\nsite: bench\nstress:\n  - {load}\n", encoding="utf-8")
    with simulator(plant) as status:
        return asyncio.run(received_per_s(str(status["endpoint"])))


def start_s() -> float:
    """From the start of the process to the first status line: every variable of the 50-machine plant has its value."""
    began = time.monotonic()
    with simulator(ROOT / "config" / "plants" / "plant-50.yaml") as status:
        machines = status["machines"]
        assert isinstance(machines, list)
        assert len(machines) == 50
        return time.monotonic() - began


def main() -> None:
    figures: dict[str, float] = {"start_50_machines_s": round(start_s(), 2)}
    print(f"50-machine plant, from start to serving: {figures['start_50_machines_s']} s", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        for offered in RATES:
            got = rate_held(offered, Path(folder))
            print(f"offered {offered:>6} values/s, delivered {got:>8.0f}", file=sys.stderr)
            if got < 0.98 * offered:
                figures["delivered_at_overload_per_s"] = round(got)
                break
            figures["held_per_s"] = round(got)
    print(json.dumps(figures) if "--json" in sys.argv else figures)


if __name__ == "__main__":
    main()
