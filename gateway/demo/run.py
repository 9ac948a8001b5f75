"""Run the demo: start the parts, connect the gateway to them, show the flow, end in order."""

import asyncio
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gateway.config import BackoffConfig, Config, SecurityConfig
from gateway.demo.graph import History
from gateway.demo.parts import HOST, EmbeddedBroker, Factory, Trust, embedded_broker, port_or_free, simulators
from gateway.demo.view import Flow, View
from gateway.errors import ConfigError
from gateway.metrics import books_of
from gateway.run import app
from gateway.run.gateway import Gateway

SECURE = ("Basic256Sha256", "Aes256_Sha256_RsaPss")
"""The security policies of the simulators."""
REFRESH_S = 0.5
OUTAGE_AFTER_S = 10.0


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """The options of a demo."""

    config: Config
    plant: Path
    duration_s: float | None = None
    state: Path | None = None
    speed: float = 1.0
    seed: int | None = None
    open: bool = False
    """Whether to accept OPC UA clients without a certificate.  The gateway still uses its own."""
    outage_s: float | None = None
    """Stop the broker for this time, `OUTAGE_AFTER_S` after the start."""


async def demo(options: DemoOptions, view: View, stop: asyncio.Event) -> Flow:
    """Run until `stop` is set or the duration is over.  Returns the figures at the end.  Raises `ConfigError`."""
    with _state_folder(options.state) as folder:
        trust = Trust(folder / "pki", folder / "simulator-pki")
        async with asyncio.TaskGroup() as beside, embedded_broker(folder) as broker:
            ours = beside.create_task(asyncio.to_thread(trust.begin), name="make the gateway's identity")
            async with simulators(options.plant, *_simulator_options(options, trust)) as factory:
                await ours  # ready before the simulators, which take longer to start
                trust.complete()
                config = _pointed(options.config, factory, broker, folder, trust)
                return await _run(config, factory, broker, options, view, stop)


def _simulator_options(options: DemoOptions, trust: Trust) -> list[str]:
    policies = [*SECURE, *(["None"] if options.open else [])]
    found = ["--speed", str(options.speed), "--pki", str(trust.simulators)]
    found += [text for policy in policies for text in ("--security", policy)]
    return found if options.seed is None else [*found, "--seed", str(options.seed)]


@contextmanager
def _state_folder(chosen: Path | None) -> Iterator[Path]:
    if chosen is None:
        with tempfile.TemporaryDirectory(prefix="connected-factory-") as folder:
            yield Path(folder)
    else:
        chosen.mkdir(parents=True, exist_ok=True)
        yield chosen


def _pointed(config: Config, factory: Factory, broker: EmbeddedBroker, folder: Path, trust: Trust) -> Config:
    """The user's configuration with the addresses and the security of the demo's parts."""
    if len(config.sources) != 1:
        raise ConfigError(["the demo has one OPC UA server: its configuration must have one source"])
    security = SecurityConfig(pki=trust.gateway, mode="SignAndEncrypt")
    source = config.sources[0].model_copy(update={"url": factory.endpoint, "insecure": False, "security": security})
    return config.model_copy(
        update={
            "sources": (source,),
            "broker": config.all_brokers[0].model_copy(update={"url": broker.url}),
            "brokers": (),
            "outbox": config.outbox.model_copy(update={"path": folder / "outbox"}),
            "reconnect": BackoffConfig(first=0.5, most=2.0),  # short waits, for people who watch
            "http": config.http.model_copy(update={"host": HOST, "port": port_or_free(config.http.port)}),
        }
    )


async def _run(
    config: Config, factory: Factory, broker: EmbeddedBroker, options: DemoOptions, view: View, stop: asyncio.Event
) -> Flow:
    gateways: list[Gateway] = []
    history = History()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(app.run(config, stop, gateways.append), name="gateway")
        watching = tasks.create_task(_watch(gateways, factory, broker, options, view, history), name="view")
        outage = tasks.create_task(_outage(broker, options.outage_s), name="outage")
        with suppress(TimeoutError):
            async with asyncio.timeout(options.duration_s):
                await stop.wait()
        stop.set()
        await running
        watching.cancel()
        outage.cancel()
    return _flow(gateways[0], factory, broker, options, history)


async def _outage(broker: EmbeddedBroker, for_s: float | None) -> None:
    """Stop the broker once, and start it again."""
    if for_s is None:
        return
    await asyncio.sleep(OUTAGE_AFTER_S)
    await asyncio.to_thread(broker.stop)
    await asyncio.sleep(for_s)
    while not broker.is_running:
        try:
            await asyncio.to_thread(broker.start)
        except OSError:  # its port was taken meanwhile: try again, as the gateway does
            await asyncio.sleep(1.0)


async def _watch(
    gateways: list[Gateway], factory: Factory, broker: EmbeddedBroker, options: DemoOptions, view: View,
    history: History,
) -> None:  # fmt: skip
    while True:
        if gateways:
            view.show(_flow(gateways[0], factory, broker, options, history))
        await asyncio.sleep(REFRESH_S)


def _flow(gateway: Gateway, factory: Factory, broker: EmbeddedBroker, options: DemoOptions, history: History) -> Flow:
    (link,) = gateway.brokers.values()
    now_s, books = time.monotonic(), books_of(gateway.metrics.registry, link.peer)
    history.update(now_s, books, link.is_up)
    return Flow(
        at_s=now_s,
        books=books,
        delay_sum_s=gateway.metrics.delay_sum_s,
        machines=factory.machines,
        endpoint=factory.endpoint,
        who_may_read="any client" if options.open else "encrypted, for the gateway; --open lets any client in",
        broker=broker.url,
        broker_3=broker.url_3,
        http=gateway.http.address,
        links=gateway.links,
        parts_good=factory.total("good"),
        parts_scrap=factory.total("scrap"),
        history=history,
    )


def printed(flow: Flow) -> str:
    """The summary as one JSON object."""
    return json.dumps(flow.summary())
