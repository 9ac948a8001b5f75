"""A plant's values on their way to an emulated cloud: the real encoder, outbox, forwarding and session of a gateway.

Only the OPC UA servers are left out: batches are made here, of machines as an example of `config/clouds` selects them.
"""

import asyncio
import random
import time
from collections import Counter, defaultdict
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
from gateway.profiles import profile_named
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


class Kept(defaultdict[str, list[Taken]]):
    """All that a cloud has taken, by device."""

    def __call__(self, taken: Taken) -> None:
        self[taken.device].append(taken)


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
    kept: "Kept"
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
        await self.queue.refused.wait_empty()

    @property
    def arrived(self) -> dict[str, list[int]]:
        """The numbers of each stream, as they came from this device."""
        reader, found = PayloadReader(), dict[str, list[int]]()
        for taken in self.kept[self.broker.device or "edge-1"]:
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
    name: str,
    folder: Path,
    *,
    broker: str = "",
    machines: int = 2,
    offset_s: float = 0.0,
    cloud: Emulated | None = None,
    key: str | None = None,
    **changes: object,
) -> AsyncIterator[Way]:
    """An example of `config/clouds` with its cloud, delivering until it is left.  `cloud`: one that many share; `key`:
    the device's, where the example has another login."""
    config = load(CLOUDS / f"{name}.yaml")
    found = next(each for each in config.all_brokers if not broker or each.name == broker)
    profile = profile_named(str(changes.get("profile", found.profile)))
    who = found.who("edge-1")
    key = key or (KEY if found.credentials is not None else "")
    async with AsyncExitStack() as stack:
        if cloud is None:
            devices = Devices({who.device: key}, who.host, who.product)
            cloud = await stack.enter_async_context(emulated(profile, devices, offset_s=offset_s))
        _, here = example(name, cloud.url, broker, **changes)
        route, metrics = config.routes[found.name], Metrics()
        here = with_needs_of_format(here, route.payload)
        waiting = await stack.enter_async_context(queue(folder, metrics))
        if not isinstance(cloud.cloud.on_taken, Kept):
            cloud.cloud.on_taken = Kept(list)
        link, tags = Link(name, cloud.url), plant_of(machines)
        way = Way(config, here, route, cloud, waiting, link, tags, metrics, cloud.cloud.on_taken)
        leave, tasks = asyncio.Event(), await stack.enter_async_context(asyncio.TaskGroup())
        forwarding = forward(waiting, lambda: open_sink(here, way.link, "edge-1"), way.link, Backoff(0.05, 0.2), leave)
        tasks.create_task(forwarding, name="forward")
        try:
            yield way
        finally:
            leave.set()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a run."""

    name: str
    messages: int
    values: int
    missing: dict[str, list[int]]
    out_of_order: list[str]
    repeats: int
    throttled: int
    peak_per_s: int
    most_per_s: float | None
    over: int
    """How often the cloud threw something away, or closed the connection, for a limit that was not kept."""
    dead_letters: int
    counts: dict[str, int]

    @property
    def is_good(self) -> bool:
        """Nothing is missing, and the cloud found nothing above a limit.

        Where it refused for a while, what was under way may pass what is offered again.  A machine with other work
        reads late what was sent in time, so the peak has a quarter of room; the cloud's own count (`over`) has none.
        """
        within = self.most_per_s is None or self.peak_per_s <= 1.25 * self.most_per_s
        is_ordered = not self.out_of_order or self.counts.get("answered", 0) > 0
        return not (self.missing or self.over or self.dead_letters) and within and is_ordered

    def __str__(self) -> str:
        most = "" if self.most_per_s is None else f" of {self.most_per_s:g}"
        told = ", ".join(f"{count} {what}" for what, count in sorted(self.counts.items()))
        return (
            f"{self.name:22} {'good' if self.is_good else 'BAD '}  {self.messages} messages, {self.values} values, "
            f"{sum(map(len, self.missing.values()))} missing, {self.repeats} repeats, {self.throttled} throttled, "
            f"peak {self.peak_per_s}/s{most}; {told}"
        )


def verdict_of(name: str, way: Way) -> Verdict:
    cloud, arrived = way.cloud.cloud, way.arrived
    counts = dict(cloud.counts)
    numbers = sum(len(each) for each in arrived.values())
    limit = cloud.policy.profile.limit("messages_per_s")
    return Verdict(
        name, sum(way.sent.values()), way.values, way.missing(), way.out_of_order(),
        numbers - sum(len({*each}) for each in arrived.values()), len(way.held_s), cloud.peak_per_s, limit,
        counts.get("discarded", 0) + counts.get("closed", 0) + counts.get("malformed", 0), way.queue.dead.messages,
        counts,
    )  # fmt: skip


async def with_faults(way: Way, rounds: int, device: str) -> None:
    """A backlog and what befalls it: an outage, a second connection of the device, a busy cloud."""
    cloud = way.cloud.cloud
    for n in range(rounds):
        cloud.go()
        for _ in range(3):
            await way.produce(time.time())
        cloud.come_back()
        before = cloud.counts["connects"]
        await cloud.wait_until(lambda cloud, before=before: cloud.counts["connects"] > before)  # type: ignore[misc]
        taken = cloud.counts["taken"]
        await way.produce(time.time())
        await cloud.wait_until(lambda cloud, taken=taken: cloud.counts["taken"] > taken)  # type: ignore[misc]
        cloud.kick(device)
        if n == 0 and way.broker.version != "3.1.1":  # there a busy cloud has no word for it
            cloud.throttle(0.2)
        await way.produce(time.time())
    await way.wait_delivered()


async def with_endings(way: Way, device: str) -> None:
    """A login that ends in mid-backlog; and where logins hold the time, a clock that is wrong for a while."""
    cloud = way.cloud.cloud
    login, has_key = cloud.policy.profile.login, way.broker.credentials is not None
    await _backlog(way)
    if login.lifetime_s is not None and has_key:
        cloud.expire(device)
    if login.password in ("sas", "huawei", "tencent") and has_key:
        refused = cloud.counts["refused"]
        cloud.policy.offset_s = 2 * 86_400.0
        cloud.kick(device)
        await way.produce(time.time())
        await cloud.wait_until(lambda cloud: cloud.counts["refused"] > refused)
        cloud.policy.offset_s = 0.0
    await way.wait_delivered()


async def _backlog(way: Way) -> None:
    """Changes while the cloud is away; the first of them has arrived at the end."""
    cloud = way.cloud.cloud
    cloud.go()
    for _ in range(3):
        await way.produce(time.time())
    cloud.come_back()
    taken = cloud.counts["taken"]
    await cloud.wait_until(lambda cloud: cloud.counts["taken"] > taken)
