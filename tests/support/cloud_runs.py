"""A plant's values on their way to an emulated cloud: the real encoder, outbox, forwarding and session of a gateway.

Only the OPC UA servers are left out: batches are made here, of machines as an example of `config/clouds` selects them.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from gateway.config import BrokerConfig, Config, Route
from gateway.delivery import Packet
from gateway.emulator import packets as mqtt
from gateway.emulator.broker import Emulated, emulated
from gateway.emulator.cloud import Taken
from gateway.emulator.policy import Devices
from gateway.link import Backoff, Link
from gateway.loading import load
from gateway.metrics import Metrics
from gateway.model import UNIX_EPOCH_TICKS, Batch, Tag
from gateway.mqtt.connect import open_sink
from gateway.payload.choose import encoder_for, with_needs_of_format
from gateway.payload.read import PayloadReader
from gateway.pipeline.broker_queue import BrokerQueue
from gateway.pipeline.forward import forward
from tests.support.forwarding import queue
from tests.support.programs import ROOT

CLOUDS = ROOT / "config" / "clouds"
KEY = "ZW11bGF0ZWQga2V5IGZvciB0cmFpbmluZyBvbmx5ISE="
VARIABLES = ("CycleTime", "Energy", "Good", "Scrap", "State", "Temperature")


def plant_of(machines: int) -> list[Tag]:
    """Tags as the examples' selection finds them."""
    return [
        Tag(
            f"{name}", f"nsu=urn:x;s={m}.{name}", {"site": "hall-1", "line": f"line-{m // 10}", "machine": f"press-{m}"}
        )
        for m in range(machines)
        for name in VARIABLES
    ]


def batch_of_plant(tags: Sequence[Tag], at_s: float, n: int, share: float = 1.0) -> Batch:
    """A change of some tags, at one time."""
    rng = random.Random(n)
    handles = [handle for handle in range(len(tags)) if rng.random() < share] or [0]
    ticks = np.array([UNIX_EPOCH_TICKS + int(at_s * 1e7) + row for row in range(len(handles))], np.int64)
    return Batch(
        source="demo",
        tags=tags,
        handles=np.array(handles, np.uint32),
        types=np.full(len(handles), 11, np.uint8),
        values=np.array([float(n) + handle / 1000 for handle in handles]),
        statuses=np.zeros(len(handles), np.uint32),
        source_ticks=ticks,
        server_ticks=ticks + 1,
    )


@dataclass
class Way:
    """One broker of an example, and its emulated cloud."""

    config: Config
    broker: BrokerConfig
    route: Route
    cloud: Emulated
    queue: BrokerQueue
    link: Link
    tags: list[Tag]
    metrics: Metrics
    held_s: list[float] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)
    """Messages by stream."""
    values: int = 0

    def __post_init__(self) -> None:
        self.link.on_held = self.held_s.append
        self._encoder = encoder_for(self.config, "demo", "edge.e1", payload=self.route.payload)
        self._batches = 0

    async def produce(self, at_s: float, share: float = 1.0) -> None:
        """A batch of the plant: stored, and on its way."""
        self._batches += 1
        batch = batch_of_plant(self.tags, at_s, self._batches, share)
        outbox = self.queue.outbox
        messages = self._encoder.encode(batch, outbox.next_seq, self.broker.max_packet or 2**28)
        await outbox.append(messages, source="demo")
        self.metrics.for_source("demo").received.inc(len(batch))
        self.values += len(batch)
        self.sent.update(each.stream for each in messages)

    async def wait_delivered(self) -> None:
        await self.queue.outbox.wait_empty()

    @property
    def arrived(self) -> dict[str, list[int]]:
        """The numbers of each stream, as they came."""
        reader, found = PayloadReader(), dict[str, list[int]]()
        for taken in self.cloud.cloud.taken:
            reading = reader.read(packet_of(taken))
            if reading.stream:
                found.setdefault(reading.stream, []).append(reading.seq)
        return found

    def missing(self) -> dict[str, list[int]]:
        """Numbers that no message has, by stream."""
        arrived = self.arrived
        lacks = {s: sorted({*range(1, count + 1)} - {*arrived.get(s, [])}) for s, count in self.sent.items()}
        return {stream: numbers for stream, numbers in lacks.items() if numbers}

    def out_of_order(self) -> list[str]:
        """Streams in which a number comes late that was not there before."""
        wrong = []
        for stream, numbers in self.arrived.items():
            first = list(dict.fromkeys(numbers))
            if first != sorted(first):
                wrong.append(stream)
        return wrong


def packet_of(taken: Taken) -> Packet:
    user = dict(value for name, value in taken.properties if name == mqtt.USER and isinstance(value, tuple))
    return Packet(taken.topic, taken.payload, str(mqtt.first_of(taken.properties, 0x03) or ""), user)


def example(name: str, url: str, broker: str = "", **changes: object) -> tuple[Config, BrokerConfig]:
    """An example, and its broker at another address."""
    config = load(CLOUDS / f"{name}.yaml")
    found = next(each for each in config.all_brokers if not broker or each.name == broker)
    given = found.model_dump(exclude_unset=True)
    try:
        return config, BrokerConfig.model_validate({**given, **changes, "url": url, "window": found.window})
    except ValidationError as error:
        raise AssertionError(f"{name}: {error}") from error


@asynccontextmanager
async def on_the_way(
    name: str, folder: Path, *, broker: str = "", machines: int = 2, offset_s: float = 0.0, **changes: object
) -> AsyncIterator[Way]:
    """An example of `config/clouds` with its cloud, delivering until it is left."""
    config = load(CLOUDS / f"{name}.yaml")
    found = next(each for each in config.all_brokers if not broker or each.name == broker)
    profile = found.table
    assert profile is not None
    who = found.who("edge-1")
    key = KEY if found.credentials is not None else ""
    async with AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(
            emulated(profile, Devices({who.device: key}, who.host, who.product), offset_s=offset_s)
        )
        _, here = example(name, cloud.url, broker, **changes)
        route, metrics = config.routes[found.name], Metrics()
        here = with_needs_of_format(here, route.payload)
        waiting = await stack.enter_async_context(queue(folder, metrics))
        way = Way(config, here, route, cloud, waiting, Link(name, cloud.url), plant_of(machines), metrics)
        leave, tasks = asyncio.Event(), await stack.enter_async_context(asyncio.TaskGroup())
        forwarding = forward(waiting, lambda: open_sink(here, way.link, "edge-1"), way.link, Backoff(0.05, 0.2), leave)
        tasks.create_task(forwarding, name="forward")
        try:
            yield way
        finally:
            leave.set()
