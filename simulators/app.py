"""The composition root of `simulators serve`: what exists, for how long, and in which order it ends.

One task drives the flow.  After each slice of simulated time the same task publishes the changes, so no queue is
needed.  The ports are bound first: a port that is taken ends the program before it has done anything.  The servers
listen only after every variable has its first value.
"""

import asyncio
import gc
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import orjson
import structlog
from rich.console import Console
from rich.live import Live

from simulators.alarms import NO_ALARMS, Alarms
from simulators.clock import Clock
from simulators.faults import Fault, FaultLog, Schedule
from simulators.flow import Change, Factory, Line, Machine, Part
from simulators.flow.packml_unit import PackMLUnit
from simulators.flow.sensors import sensor_faults
from simulators.metrics import Metrics, RunStatus, oee
from simulators.pace import LatePolicy
from simulators.plant import Plant
from simulators.process_signals import handled
from simulators.server.endpoint import Access
from simulators.server.injection import Injection
from simulators.server.plant_server import Plan
from simulators.server.record import Recorder, recording
from simulators.server.servers import Servers
from simulators.server.web import MetricsPort, bind_http, metrics_served
from simulators.vehicles import BrokerAt, Road, car_of, drive
from simulators.view import MachineStatus, Status, table

STATUS_S = 1.0
BACKFILL_SLICE_S = 600.0


@dataclass(frozen=True, slots=True)
class Driving:
    """Finished cars that publish what they do on the road."""

    broker: BrokerAt
    most: int = 100
    """How many cars drive at most; then the oldest are parked."""
    every_s: float = 5.0
    """Wall time from one message of a car to its next."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of `simulators serve`."""

    endpoint: str = "opc.tcp://127.0.0.1:4840"
    speed: float = 1.0
    late: LatePolicy = LatePolicy.CATCH_UP
    seed: int = 1
    epoch: datetime = field(default_factory=lambda: datetime.now(UTC))
    """The instant at which clients may first connect: simulated time 0, or the end of the backfill."""
    sample_hz: float = 4.0
    """Samples of each signal per second of wall time."""
    record: Path | None = None
    status_json: bool = False
    live: bool = False
    metrics_port: int | None = None
    """The port of /metrics.  None: no metrics.  0: any free port."""
    metrics_host: str = "127.0.0.1"
    """The address on which /metrics listens."""
    metrics_names: tuple[str, ...] = ()
    """Names by which /metrics may be asked for, besides local ones."""
    backfill_s: float = 0.0
    """Simulated seconds to run at full speed before clients may connect.  This time ends at the epoch."""
    follow_wall: bool = False
    """Whether to simulate the time since the epoch as well, so that at speed 1 simulated time equals wall time."""
    faults: tuple[Fault, ...] = ()
    fault_log: Path | None = None
    alarms: Alarms = NO_ALARMS
    access: Access = field(default_factory=Access)
    driving: Driving | None = None

    @property
    def start(self) -> datetime:
        """The instant that simulated time 0 stands for."""
        return self.epoch - timedelta(seconds=self.backfill_s)

    @property
    def due_s(self) -> float:
        """The simulated time that a client should find if it connects now."""
        passed_s = (datetime.now(UTC) - self.epoch).total_seconds() if self.follow_wall else 0.0
        return self.backfill_s + max(0.0, passed_s)


class Running:
    """The running factory and its servers."""

    def __init__(self, settings: Settings, plant: Plant, recorder: Recorder, log: FaultLog) -> None:
        self.settings = settings
        self.plant = plant
        self.recorder = recorder
        self.log = log
        self.sensor_faults = sensor_faults(plant)
        """Beginnings and ends that are still to be told, the next one last."""
        self.broken: dict[str, str] = {}
        """The last failure of each machine that had one."""
        self.factory = Factory(plant, settings.seed, start=settings.start)
        self.clock = Clock(self.factory.env, settings.speed, settings.late)
        self.servers = Servers(
            plans(plant, self.factory, settings.start, self.clock, settings.alarms),
            settings.access,
            recorder,
            self.clock,
        )
        self.metrics = Metrics(
            self.factory.machines, self.pace, lines=self.factory.lines, crews=self.factory.crews.values()
        )
        self.metrics_port: MetricsPort | None = None
        self.injection = Injection(
            Schedule(settings.faults, settings.seed), log, self.servers.plant_servers, self.servers.restart,
            seed=settings.seed, count=lambda kind: self.metrics.faults.labels(kind).inc(),
        )  # fmt: skip
        self.servers.adopt = self.injection.adopt
        self.road = Road(settings.driving.most) if settings.driving is not None else None
        if self.road is not None:
            for line in self.factory.lines:
                line.leaving.append(partial(self._drives_off, self.road, line))
        self._next_sample = 0.0

    def _drives_off(self, road: Road, line: Line, part: Part, at_s: float) -> None:
        if part.vin:
            road.add(car_of(part, line.spec, self.settings.seed, at_s))

    def after_slice(self, now_s: float) -> None:
        """Publish the changes of the slice, sample the signals when due, apply the faults that are due."""
        self.publish(now_s)
        now = time.monotonic()
        if now >= self._next_sample:
            self._next_sample = now + 1.0 / self.settings.sample_hz
            for server in self.servers.present:
                server.sample(now_s)
        self.injection.step(now_s)
        self.recorder.flush()

    def publish(self, now_s: float) -> None:
        changes = self.factory.take_changes()
        self.metrics.observe(changes)
        self._tell_faults(changes, now_s)
        for server in self.servers.present:
            server.publish(changes, now_s)

    def _tell_faults(self, changes: Sequence[Change], now_s: float) -> None:
        """Write down which machines broke down or are repaired, and which sensors go wrong or are right again."""
        for change in changes:
            if change.name == "fault":
                begins = change.value != ""
                self.broken[change.machine] = kind = str(change.value) if begins else self.broken[change.machine]
                self.log.tell(change.at_s, begins, "machine", kind, [change.machine])
        while self.sensor_faults and self.sensor_faults[-1].at_s <= now_s:
            edge = self.sensor_faults.pop()
            self.log.tell(edge.at_s, edge.begins, "sensor", edge.fault.kind, edge.signals, edge.fault.model_dump())

    async def backfill(self, stop: asyncio.Event) -> None:
        """Simulate the time before the epoch at full speed.  The histories keep it; the record does not."""
        keeps, self.recorder.keeps = self.recorder.keeps, False
        while self.factory.now_s < self.settings.backfill_s and not stop.is_set():
            until_s = min(self.factory.now_s + BACKFILL_SLICE_S, self.settings.backfill_s)
            self.factory.run(until_s)
            self.publish(until_s)
            for server in self.servers.present:
                server.sample(until_s)
            await asyncio.sleep(0)
        self.recorder.keeps = keeps

    def catch_up(self) -> None:
        """Simulate the seconds that passed while the servers were built.  The record keeps them."""
        due_s = self.settings.due_s
        if due_s > self.factory.now_s:
            self.factory.run(due_s)
            self.publish(due_s)

    def pace(self) -> RunStatus:
        """Simulated time, speed and lag at this instant."""
        plant_servers = self.servers.present
        cores = [server.endpoint.iserver for server in plant_servers]
        late_s = (
            max((f.load.behind_s(self.clock.now_s) for f in plant_servers if f.load), default=0.0) / self.clock.speed
        )
        return RunStatus(
            sim_time_s=self.clock.now_s, speed=self.clock.speed, achieved_speed=self.clock.achieved_speed,
            lag_s=max(self.clock.lag_s, late_s), slipped_s=self.clock.slipped_s,
            sessions=sum(len(c.sessions) for c in cores),
            subscriptions=sum(len(c.subscriptions.subscriptions) for c in cores),
            values_written=self.recorder.written, events_sent=sum(server.events.sent for server in plant_servers),
        )  # fmt: skip

    def status(self) -> Status:
        now_s, pace = self.clock.now_s, self.pace()
        machines = [
            MachineStatus(m.path, m.state.value, m.good, m.scrap, oee(m, now_s), m.energy_j(now_s))
            for m in self.factory.machines
        ]
        return Status(
            endpoint=self.servers.urls[0], endpoints=self.servers.urls,
            metrics=self.metrics_port.url if self.metrics_port else None, sim_time_s=now_s,
            speed=pace.speed, lag_s=pace.lag_s, values_written=pace.values_written, sessions=pace.sessions,
            machines=machines,
        )  # fmt: skip


def plans(plant: Plant, factory: Factory, start: datetime, clock: Clock, alarms: Alarms = NO_ALARMS) -> list[Plan]:
    """One plan per server: the plant file asks for one server in all, one per line or one per machine."""
    found: dict[str, list[PackMLUnit]] = {} if factory.machines else {plant.name: []}
    for machine in factory.machines:
        key = {"plant": plant.name, "line": machine.line, "machine": machine.path}[plant.servers]
        found.setdefault(key, []).append(PackMLUnit(machine))
    places = list(found.values())
    lines = [[line for line in factory.lines if _first(line.machines, places) == n] for n in range(len(places))]
    loads = [factory.stress, *([] for _ in range(len(found) - 1))]
    return [
        Plan(
            name, plant.site, units, load, start, clock, lines[n], list(factory.crews.values()) if n == 0 else (),
            factory.set_points, alarms,
        )
        for n, ((name, units), load) in enumerate(zip(found.items(), loads, strict=True))
    ]  # fmt: skip


def _first(machines: Sequence[Machine], places: Sequence[Sequence[PackMLUnit]]) -> int:
    """The first of the servers that shows one of these machines."""
    return next(n for n, units in enumerate(places) if any(unit.machine in machines for unit in units))


@contextmanager
def uncollected() -> Iterator[None]:
    """Objects made inside (address spaces) are kept out of every later garbage collection."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
    gc.freeze()
    gc.collect()  # sets the count of survivors to 0; it decides when the next full pass runs


async def serve(settings: Settings, plant: Plant) -> None:
    """Serve `plant` until SIGTERM or SIGINT.  Raises `CannotListen` when a port is not available."""
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        loop = asyncio.get_running_loop()
        stack.enter_context(handled(loop, {signal.SIGTERM: stop.set, signal.SIGINT: stop.set}))
        recorder = await stack.enter_async_context(recording(settings.record))
        fault_log = stack.enter_context(settings.fault_log.open("ab")) if settings.fault_log else None
        running = Running(settings, plant, recorder, FaultLog(fault_log))
        with uncollected():
            await stack.enter_async_context(running.servers.built(settings.endpoint))
        await running.backfill(stop)
        running.servers.record_all()
        running.catch_up()
        if settings.metrics_port is not None:
            bound = bind_http(settings.metrics_host, settings.metrics_port)
            names = (settings.metrics_host, *settings.metrics_names)
            served = metrics_served(running.metrics.registry, bound, names)
            running.metrics_port = await stack.enter_async_context(served)
            structlog.get_logger("simulators").info("serving metrics", metrics=running.metrics_port.url)
        await running.servers.listen()
        await run_until(stop, running)
        log = structlog.get_logger("simulators")
        log.info("ended", sim_time_s=round(running.clock.now_s, 1), values=recorder.written)


async def run_until(stop: asyncio.Event, running: Running) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(running.clock.run(running.after_slice), name="flow"),
            group.create_task(running.servers.keep(), name="servers"),
            group.create_task(running.injection.work(), name="faults"),
        ]
        if running.road is not None and (driving := running.settings.driving) is not None:
            driven = drive(
                running.road, driving.broker, driving.every_s, lambda: running.clock.now_s, running.settings.start
            )
            tasks.append(group.create_task(driven, name="vehicles"))
        if running.metrics_port is not None:
            tasks.append(group.create_task(running.metrics_port.accept(), name="accept HTTP"))
        if running.settings.status_json:
            tasks.append(group.create_task(print_status(running), name="status"))
        elif running.settings.live:
            tasks.append(group.create_task(show_table(running), name="table"))
        await stop.wait()
        for task in tasks:
            task.cancel()


async def print_status(running: Running) -> None:
    """Print one JSON line per second to standard output, the first at once.  A closed pipe does not end the program."""
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
