"""The composition root of `simulators serve`: what exists, for how long, in which order it ends.

One task drives the flow; after each slice of simulated time it hands what changed to the publisher, so a value is
written by the task that made it and nothing needs a queue.  The port is bound first, so that one that is taken ends the
program before it has done anything; the server listens only once every variable has its first value.
"""

import asyncio
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import orjson
import structlog
from rich.console import Console
from rich.live import Live

from simulators.clock import Clock
from simulators.flow import Factory, Machine
from simulators.plant import Plant
from simulators.server.endpoint import MODEL_URI, Access, FactoryServer, bind, prepared
from simulators.server.machines import Place, add_machines
from simulators.server.publisher import Publisher
from simulators.server.record import Recorder, recording
from simulators.server.space import Space
from simulators.states import State
from simulators.view import MachineStatus, Status, table

STATUS_S = 1.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What `serve` was asked for."""

    endpoint: str = "opc.tcp://127.0.0.1:4840"
    speed: float = 1.0
    seed: int = 1
    epoch: datetime = field(default_factory=lambda: datetime.now(UTC))
    """The instant that simulated time 0 stands for."""
    sample_hz: float = 4.0
    """How often signals are sampled, in wall time."""
    record: Path | None = None
    status_json: bool = False
    live: bool = False
    access: Access = field(default_factory=Access)


class Running:
    """A factory that runs and is served."""

    def __init__(self, settings: Settings, plant: Plant, server: FactoryServer, recorder: Recorder) -> None:
        self.settings = settings
        self.plant = plant
        self.server = server
        self.recorder = recorder
        self.factory = Factory(plant, settings.seed)
        self.clock = Clock(self.factory.env, settings.speed)
        self._next_sample = 0.0

    async def build(self) -> None:
        """Fill the address space and write every variable once."""
        namespace = await self.server.register_namespace(MODEL_URI)
        place = Place(Space(self.server.iserver.aspace), namespace)
        nodes = add_machines(place, self.plant.site, self.factory.machines)
        self.publisher = Publisher(place.space, nodes, self.settings.epoch, MODEL_URI, self.recorder)
        self.publisher.publish_all(0.0)
        self.recorder.flush()

    def after_slice(self, now_s: float) -> None:
        """Publish what the slice changed, and sample what is due."""
        changes = self.factory.take_changes()
        if changes:
            self.publisher.publish(changes)
        now = time.monotonic()
        if now >= self._next_sample:
            self._next_sample = now + 1.0 / self.settings.sample_hz
            self.publisher.sample(now_s)
        self.recorder.flush()

    def status(self) -> Status:
        now_s = self.clock.now_s
        machines = [
            MachineStatus(m.path, m.state.value, m.good, m.scrap, oee(m, now_s), m.energy_j(now_s))
            for m in self.factory.machines
        ]
        return Status(
            endpoint=self.server.url, endpoints=[self.server.url], metrics=None, sim_time_s=now_s,
            speed=self.clock.speed, lag_s=self.clock.lag_s, values_written=self.recorder.written,
            sessions=len(self.server.iserver.sessions), machines=machines,
        )  # fmt: skip


def oee(machine: Machine, now_s: float) -> float | None:
    """The OEE index of ISO 22400 up to now; None before anything was planned or made."""
    spent = machine.account.seconds(now_s)
    planned_s = sum(spent.values()) - spent[State.OFF] - spent[State.MAINTENANCE]
    made = machine.good + machine.scrap
    return machine.ideal_cycle_s * machine.good / planned_s if made and planned_s > 0 else None


async def serve(settings: Settings, plant: Plant) -> None:
    """Serve `plant` until SIGTERM or SIGINT.  Raises `CannotListen` when the port cannot be had."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    log = structlog.get_logger("simulators")
    bound = bind(settings.endpoint)
    async with recording(settings.record) as recorder, prepared(plant.name, settings.access, bound) as server:
        running = Running(settings, plant, server, recorder)
        await running.build()
        await server.start()
        log.info("serving", endpoint=server.url, machines=len(running.factory.machines), speed=settings.speed)
        await run_until(stop, running)
        log.info("ended", sim_time_s=round(running.clock.now_s, 1), values=recorder.written)


async def run_until(stop: asyncio.Event, running: Running) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(running.clock.run(running.after_slice), name="flow"),
            group.create_task(running.server.iserver.write_clock(), name="server-clock"),
        ]
        if running.settings.status_json:
            tasks.append(group.create_task(print_status(running), name="status"))
        elif running.settings.live:
            tasks.append(group.create_task(show_table(running), name="table"))
        await stop.wait()
        for task in tasks:
            task.cancel()


async def print_status(running: Running) -> None:
    """One JSON line per second on standard output, the first one at once; nobody reading is no reason to end."""
    with suppress(BrokenPipeError):
        while True:
            print(orjson.dumps(running.status().as_json()).decode(), flush=True)
            await asyncio.sleep(STATUS_S)


async def show_table(running: Running) -> None:
    console = Console(file=sys.stdout)
    with Live(table(running.status()), console=console, auto_refresh=False) as live:
        while True:
            await asyncio.sleep(STATUS_S / 2)
            live.update(table(running.status()), refresh=True)
