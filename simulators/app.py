"""The composition root of `simulators serve`: what exists, for how long, in which order it ends.

One task drives the flow; after each slice of simulated time it hands what changed to the publisher, so a value is
written by the task that made it and nothing needs a queue.  The port is bound first, so that one that is taken ends the
program before it has done anything; the server listens only once every variable has its first value.
"""

import asyncio
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import structlog
from rich.console import Console
from rich.live import Live

from simulators.clock import Clock
from simulators.flow import Factory, Machine
from simulators.kpis import figures
from simulators.metrics import Metrics, Pace
from simulators.plant import Plant
from simulators.server.endpoint import Access, bind, prepared
from simulators.server.face import Face, build
from simulators.server.record import Recorder, recording
from simulators.server.web import bind_http, metrics_served
from simulators.view import MachineStatus, Status, table

STATUS_S = 1.0
BACKFILL_SLICE_S = 600.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What `serve` was asked for."""

    endpoint: str = "opc.tcp://127.0.0.1:4840"
    speed: float = 1.0
    seed: int = 1
    epoch: datetime = field(default_factory=lambda: datetime.now(UTC))
    """The instant at which the first client may come: simulated time 0, or the end of the backfill."""
    sample_hz: float = 4.0
    """How often signals are sampled, in wall time."""
    record: Path | None = None
    status_json: bool = False
    live: bool = False
    metrics_port: int | None = None
    """Port of /metrics on the loopback address; None: no metrics, 0: a free port."""
    backfill_s: float = 0.0
    """Simulated time to live through, at full speed, before the first client may come: it ends at the epoch."""
    access: Access = field(default_factory=Access)

    @property
    def start(self) -> datetime:
        """The instant of simulated time 0."""
        return self.epoch - timedelta(seconds=self.backfill_s)


class Running:
    """A factory that runs, and the servers that show it."""

    def __init__(self, settings: Settings, plant: Plant, recorder: Recorder) -> None:
        self.settings = settings
        self.plant = plant
        self.recorder = recorder
        self.factory = Factory(plant, settings.seed, start=settings.start)
        self.clock = Clock(self.factory.env, settings.speed)
        self.faces: list[Face] = []
        self.metrics = Metrics(self.factory.machines, self.pace)
        self.metrics_url: str | None = None
        self._next_sample = 0.0

    def after_slice(self, now_s: float) -> None:
        """Publish what the slice changed, and sample what is due."""
        changes = self.factory.take_changes()
        self.metrics.observe(changes)
        for face in self.faces:
            face.publish(changes, now_s)
        now = time.monotonic()
        if now >= self._next_sample:
            self._next_sample = now + 1.0 / self.settings.sample_hz
            for face in self.faces:
                face.sample(now_s)
        self.recorder.flush()

    async def backfill(self, stop: asyncio.Event) -> None:
        """Live through the time before the epoch, at full speed: the history of variables gets it, no record does."""
        keeps, self.recorder.keeps = self.recorder.keeps, False
        while self.factory.now_s < self.settings.backfill_s and not stop.is_set():
            until_s = min(self.factory.now_s + BACKFILL_SLICE_S, self.settings.backfill_s)
            self.factory.run(until_s)
            changes = self.factory.take_changes()
            for face in self.faces:
                face.publish(changes, until_s)
            await asyncio.sleep(0)
        self.recorder.keeps = keeps

    def pace(self) -> Pace:
        """How the simulation keeps time."""
        cores = [face.server.iserver for face in self.faces]
        return Pace(
            sim_time_s=self.clock.now_s, speed=self.clock.speed, achieved_speed=self.clock.achieved_speed,
            lag_s=self.clock.lag_s, slipped_s=self.clock.slipped_s, sessions=sum(len(c.sessions) for c in cores),
            subscriptions=sum(len(c.subscriptions.subscriptions) for c in cores),
            values_written=self.recorder.written, events_sent=sum(face.events.sent for face in self.faces),
        )  # fmt: skip

    def status(self) -> Status:
        now_s = self.clock.now_s
        machines = [
            MachineStatus(m.path, m.state.value, m.good, m.scrap, figures(m.elements(now_s)).oee, m.energy_j(now_s))
            for m in self.factory.machines
        ]
        urls = [face.server.url for face in self.faces]
        return Status(
            endpoint=urls[0], endpoints=urls, metrics=self.metrics_url, sim_time_s=now_s, speed=self.clock.speed,
            lag_s=self.clock.lag_s, values_written=self.recorder.written,
            sessions=sum(len(face.server.iserver.sessions) for face in self.faces), machines=machines,
        )  # fmt: skip


def shares(plant: Plant, machines: Sequence[Machine]) -> dict[str, list[Machine]]:
    """Which server shows which machines: one server for all, for each line or for each machine, as the file says."""
    found: dict[str, list[Machine]] = {} if machines else {plant.name: []}
    for machine in machines:
        key = {"plant": plant.name, "line": machine.line, "machine": machine.path}[plant.servers]
        found.setdefault(key, []).append(machine)
    return found


def bind_all(endpoint: str, count: int) -> list[socket.socket]:
    """Ports for so many servers, from that of `endpoint` on.  Raises `CannotListen`, and keeps none, when one fails."""
    host, port = urlsplit(endpoint).hostname or "127.0.0.1", urlsplit(endpoint).port
    first = 4840 if port is None else port
    with ExitStack() as stack:
        bound = []
        for number in range(count):
            url = f"opc.tcp://{f'[{host}]' if ':' in host else host}:{first + number if first else 0}"
            bound.append(stack.enter_context(bind(url)))
        stack.pop_all()
    return bound


async def serve(settings: Settings, plant: Plant) -> None:
    """Serve `plant` until SIGTERM or SIGINT.  Raises `CannotListen` when a port cannot be had."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    log = structlog.get_logger("simulators")
    async with AsyncExitStack() as stack:
        recorder = await stack.enter_async_context(recording(settings.record))
        running = Running(settings, plant, recorder)
        groups = shares(plant, running.factory.machines)
        bound = bind_all(settings.endpoint, len(groups))
        for (name, machines), each in zip(groups.items(), bound, strict=True):
            server = await stack.enter_async_context(prepared(name, settings.access, each))
            stress = [] if running.faces else running.factory.stress
            running.faces.append(await build(server, plant.site, machines, settings.start, recorder, stress))
        await running.backfill(stop)
        for face in running.faces:
            face.record_rest(running.factory.now_s)
        recorder.flush()
        if settings.metrics_port is not None:
            bound_http = bind_http("127.0.0.1", settings.metrics_port)
            running.metrics_url = await stack.enter_async_context(metrics_served(running.metrics.registry, bound_http))
        for face in running.faces:
            await face.server.start()
            log.info("serving", endpoint=face.server.url, machines=len(face.machines), speed=settings.speed)
        await run_until(stop, running)
        log.info("ended", sim_time_s=round(running.clock.now_s, 1), values=recorder.written)


async def run_until(stop: asyncio.Event, running: Running) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(running.clock.run(running.after_slice), name="flow"),
            *(group.create_task(f.server.iserver.write_clock(), name="server-clock") for f in running.faces),
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
