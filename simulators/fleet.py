"""`simulators fleet`: many plants in as few processes as the machine has cores, each with an OPC UA server of its own.

Plant number n is made from one of the given files, in turn, with seed + n, and is called `munich-007` at the site
`contoso-007`; its cars have numbers of their own.  Else it does exactly what `simulators serve` does with that file and
seed: plants share a process, but no random numbers and no clock.  What they share is the imported program, which is
most of a small plant's memory.

The parent starts the processes, waits until every server listens, prints memory and CPU, and ends them with itself.
"""

import asyncio
import os
import resource
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
import structlog

from simulators.app import Running, Settings, run_until, uncollected
from simulators.errors import ConfigError
from simulators.faults import FaultLog
from simulators.plant import Line, Plant, load
from simulators.plant.checks import problems_of
from simulators.plant.vehicles import LETTERS
from simulators.process_signals import handled
from simulators.server.record import recording
from simulators.urls import parse_url

REPORT_S = 5.0
PLANT_BYTES, PROCESS_BYTES = 30_000_000, 120_000_000
"""What a small plant and a process need, roughly: to refuse a fleet that does not fit before it is half started."""
GRACE_S = 10.0
MOST_LINE = 16 << 20
"""A line with the endpoints of a thousand plants is long."""
Heard = Callable[[int, dict[str, object]], None]


@dataclass(frozen=True, slots=True)
class Member:
    """One plant of a fleet."""

    number: int
    plant: Plant
    seed: int
    endpoint: str


@dataclass(frozen=True, slots=True)
class Share:
    """The plants that one process runs: those whose number leaves this rest when divided by the processes."""

    rest: int
    processes: int


def members(files: Sequence[Path], plants: int, seed: int, endpoint: str, share: Share = Share(0, 1)) -> list[Member]:
    """The plants of a share.  Raises `ConfigError`."""
    loaded = [load(file) for file in files]
    first = parse_url(endpoint, ("opc.tcp",), lowest_port=0)
    if first.port and first.port + plants > 65_536:
        raise ConfigError([f"--plants {plants}: the ports from {first.port} on do not suffice"])
    found: list[Member] = []
    for number in range(share.rest, plants, share.processes):
        plant = loaded[number % len(loaded)]
        names = {"name": f"{plant.name}-{number + 1:03}", "site": f"{plant.site}-{number + 1:03}", "servers": "plant"}
        url = replace(first, port=first.port + number if first.port else 0)
        found.append(Member(number, _with_own_cars(plant.model_copy(update=names), number), seed + number, str(url)))
    return found


def _with_own_cars(plant: Plant, number: int) -> Plant:
    """The plant with vehicle identification numbers that no other plant of the fleet gives: positions 8 and 11."""
    if all(line.vin is None for line in plant.lines):
        return plant
    if number >= len(LETTERS) ** 2:
        raise ConfigError([f"--plants: vehicle identification numbers suffice for {len(LETTERS) ** 2} plants"])
    first, second = LETTERS[number // len(LETTERS)], LETTERS[number % len(LETTERS)]
    own = plant.model_copy(update={"lines": tuple(_renamed(line, first, second) for line in plant.lines)})
    if found := problems_of(own):
        raise ConfigError([text for _, text in found])
    return own


def _renamed(line: Line, first: str, second: str) -> Line:
    if line.vin is None:
        return line
    vin = line.vin
    update = {
        "plant": second,
        "descriptor": vin.descriptor[:4] + first,
        "descriptors": {product: each[:4] + first for product, each in vin.descriptors.items()},
    }
    return line.model_copy(update={"vin": vin.model_copy(update=update)})


def check_memory(plants: int, processes: int, free: int | None = None) -> None:
    """Raises `ConfigError` when the fleet is larger than the free memory (`free` bytes; default: of this machine)."""
    free = free_memory() if free is None else free
    needed = plants * PLANT_BYTES + processes * PROCESS_BYTES
    if free and needed > free:
        raise ConfigError([
            f"--plants {plants}: about {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free;"
            f" at most {max(0, (free - processes * PROCESS_BYTES) // PLANT_BYTES)} fit"
        ])  # fmt: skip


def free_memory() -> int:
    """Free memory in bytes; 0 where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), 0)


async def serve_members(settings: Settings, fleet: Sequence[Member]) -> None:
    """Serve the plants of one process until SIGTERM or SIGINT, and report on standard output, a JSON line each time."""
    stop, runnings = asyncio.Event(), list[Running]()
    async with AsyncExitStack() as stack:
        stack.enter_context(handled(asyncio.get_running_loop(), {signal.SIGTERM: stop.set, signal.SIGINT: stop.set}))
        recorder = await stack.enter_async_context(recording(None))
        with uncollected():
            for member in fleet:
                own = replace(settings, endpoint=member.endpoint, seed=member.seed)
                running = Running(own, member.plant, recorder, FaultLog(None))
                await stack.enter_async_context(running.servers.built(member.endpoint))
                runnings.append(running)
        for running in runnings:
            running.servers.record_all()
            running.catch_up()
            await running.servers.listen()
        _report({
            "endpoints": [
                {"plant": m.plant.name, "site": m.plant.site, "seed": m.seed, "endpoint": running.servers.urls[0]}
                for m, running in zip(fleet, runnings, strict=True)
            ],
            "memory": resident_memory(),
            "cpu_s": time.process_time(),
        })  # fmt: skip
        async with asyncio.TaskGroup() as group:
            reporting = group.create_task(_reporting(runnings), name="report")
            for running in runnings:
                group.create_task(run_until(stop, running), name=running.plant.name)
            await stop.wait()
            reporting.cancel()


async def _reporting(runnings: Sequence[Running]) -> None:
    while True:
        await asyncio.sleep(REPORT_S)
        lag_s = max((running.clock.lag_s for running in runnings), default=0.0)
        _report({"memory": resident_memory(), "cpu_s": time.process_time(), "lag_s": lag_s})


def _report(content: dict[str, object]) -> None:
    sys.stdout.write(orjson.dumps(content).decode() + "\n")
    sys.stdout.flush()


def resident_memory() -> int:
    """The memory of this process, in bytes."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")


async def run_fleet(arguments: Sequence[str], plants: int, processes: int, listing: Path | None) -> int:
    """Run a fleet in child processes with these arguments.  Returns the exit code."""
    stop, log, began_s = asyncio.Event(), structlog.get_logger("simulators"), time.monotonic()
    with handled(asyncio.get_running_loop(), {signal.SIGTERM: stop.set, signal.SIGINT: stop.set}):
        async with AsyncExitStack() as stack:
            children = [
                await stack.enter_async_context(_child([*arguments, "--share", f"{rest}/{processes}"]))
                for rest in range(processes)
            ]
            seen: dict[int, dict[str, float]] = {}
            endpoints: list[dict[str, object]] = []

            def heard(number: int, told: dict[str, object]) -> None:
                seen[number] = {key: value for key, value in told.items() if isinstance(value, int | float)}
                if isinstance(listed := told.get("endpoints"), list):
                    endpoints.extend(listed)
                    if len(endpoints) == plants:
                        _all_there(endpoints, listing)
                        log.info(
                            "fleet ready", plants=plants, processes=processes, after_s=_since(began_s),
                            cpu_s=round(sum(each["cpu_s"] for each in seen.values()), 1),
                            memory_mb=round(sum(each["memory"] for each in seen.values()) / 1e6),
                        )  # fmt: skip
                elif number == 0 and len(seen) == processes:
                    _tell(log, seen, plants, began_s)

            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(_listen(number, child, heard, stop), name=f"process {number}")
                    for number, child in enumerate(children)
                ]
                await stop.wait()
                for task in tasks:
                    task.cancel()
    return max(abs(child.returncode or 0) for child in children)


def _since(began_s: float) -> float:
    return round(time.monotonic() - began_s, 1)


def _all_there(endpoints: list[dict[str, object]], listing: Path | None) -> None:
    endpoints.sort(key=lambda each: str(each["plant"]))
    if listing is not None:
        listing.write_bytes(orjson.dumps(endpoints, option=orjson.OPT_INDENT_2))


def _tell(log: structlog.stdlib.BoundLogger, seen: dict[int, dict[str, float]], plants: int, began_s: float) -> None:
    memory = sum(each["memory"] for each in seen.values())
    lag_s = max(each.get("lag_s", 0.0) for each in seen.values())
    log.info(
        "fleet", plants=plants, processes=len(seen), memory_mb=round(memory / 1e6),
        memory_per_plant_mb=round(memory / 1e6 / plants, 1), lag_s=round(lag_s, 2),
        cpu_share=round(sum(each["cpu_s"] for each in seen.values()) / max(1e-9, time.monotonic() - began_s), 2),
    )  # fmt: skip


@asynccontextmanager
async def _child(arguments: Sequence[str]) -> AsyncIterator[asyncio.subprocess.Process]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulators", "fleet", *arguments, stdout=asyncio.subprocess.PIPE, limit=MOST_LINE
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.terminate()
            try:
                async with asyncio.timeout(GRACE_S):
                    await child.wait()
            except TimeoutError:
                child.kill()
                await child.wait()


async def _listen(number: int, child: asyncio.subprocess.Process, heard: Heard, stop: asyncio.Event) -> None:
    """Read what a process reports.  When one ends, all end."""
    assert child.stdout is not None
    async for line in child.stdout:
        if line.startswith(b"{"):
            heard(number, orjson.loads(line))
    await child.wait()
    stop.set()
