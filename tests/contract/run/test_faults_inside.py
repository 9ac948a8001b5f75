"""What happens inside one peer stays inside, with a real server and a real broker: a fault at every await."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from structlog.testing import capture_logs

from gateway import mqtt
from gateway.config import SourceConfig
from gateway.errors import ConfigError, Unavailable
from gateway.metrics import SourceMetrics
from gateway.model import Message
from gateway.opcua import Source, open_source
from tests.support.brokers import mosquitto
from tests.support.composition import Composition, Server
from tests.support.forwarding import until
from tests.support.injected import Injection, at_every_await, faults_told
from tests.support.mqtt_collect import Collected, collecting
from tests.support.served import Served, served


class ServedServer(Server):
    """A real server with one variable that counts."""

    def __init__(self, name: str, real: Served) -> None:
        super().__init__(name)
        self._real = real

    def produce(self, count: int = 1) -> None:
        for _ in range(count):
            self.produced += 1
            self._real.write(0, self.produced)

    @asynccontextmanager
    async def connected(  # type: ignore[override]
        self,
        config: SourceConfig,
        metrics: SourceMetrics,
        checkpoint: bytes,
        *,
        describe: bool = False,
        repeat: bool = False,
    ) -> AsyncIterator[Source]:
        async with open_source(config, metrics, checkpoint, describe=describe, repeat=repeat) as source:
            yield source


class Observed(Composition):
    """With a real broker `a`, and a subscriber to it."""

    def __init__(self, folder: Path, collected: Collected) -> None:
        super().__init__(folder)
        self.kinds["a"] = mqtt
        self._collected = collected
        self._seen = 0

    def has_all(self, broker: str, *sources: str) -> bool:
        for topic, payload in self._collected.messages[self._seen :]:
            self._seen += 1
            if topic.startswith("x/"):
                told = orjson.loads(payload)
                source = told["stream"].split("/")[1]
                message = Message(topic, payload, told["stream"], told["seq"], len(told["values"]), source)
                self.brokers["a"].got.append(message)
        return super().has_all(broker, *sources)


FAULTS = ["bug", "cancellation"] if os.environ.get("EVERY_FAULT") == "true" else ["bug,cancellation"]
"""Each at every await, as `.ci/long` does; else they take turns."""

# What asyncua and the test's own faults leave behind: answers that nobody waits for any more.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]


@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_at_any_await_of_a_server_connection_ends_only_that_connection(fault: str, tmp_path: Path) -> None:
    async def scenario(folder: Path, injection: Injection) -> None:
        composition = Composition(folder)
        with capture_logs() as logs:
            async with served() as real:
                composition.servers["s"] = ServedServer("s", real)
                select = [{"node": "ns=2;s=V0", "sampling_interval": 0}]
                source = {"url": real.server.url, "select": select, "publishing_interval": 0.02}
                async with composition.running(composition.config({"s": source})):
                    link = composition.gateway.sources["s"]
                    await until(lambda: link.is_up)  # before that, the server keeps no value for us
                    for _ in range(2):
                        composition.produce(3)
                        await until(lambda: composition.has_all("a", "t") and composition.has_all("b", "t"))
                    await composition.everything_arrives()
                    await until(lambda: faults_told(logs) == (injection.place is not None))
                    await until(lambda: composition.faults_counted == (injection.place is not None))

    places = at_every_await(scenario, fault, "s", tmp_path)
    assert len(places) > 20


@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_at_any_await_of_a_broker_session_ends_only_that_session(fault: str, tmp_path: Path) -> None:
    async def scenario(folder: Path, injection: Injection) -> None:
        async with collecting(broker.port) as collected:
            composition, is_refused = Observed(folder, collected), False
            settings: dict[str, dict[str, object]] = {"a": {"url": broker.url, "client_id": f"edge-{injection.number}"}}
            wanted = composition.config(None, settings)
            with capture_logs() as logs:
                async with composition.running(composition.config(without=["a"])) as running:
                    try:
                        await running.peers.take(wanted)
                    except (ConfigError, Unavailable):
                        is_refused = True
                        await running.peers.take(wanted)
                    for _ in range(2):
                        composition.produce(3)
                        await until(lambda: composition.has_all("b"))
                    await composition.everything_arrives()
                    is_there = injection.place is not None
                    await until(lambda: faults_told(logs) == is_there)
                    await until(lambda: composition.faults_counted == (is_there and not is_refused))

    (tmp_path / "broker").mkdir()
    with mosquitto(tmp_path / "broker", "max_inflight_messages 0") as broker:
        places = at_every_await(scenario, fault, "a", tmp_path)
    assert len(places) > 30
