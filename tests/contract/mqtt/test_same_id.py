"""Two clients with one id throw each other out: what can be delivered is, and the log names the reason once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Literal

import pytest
from structlog.testing import capture_logs

from gateway.config import BrokerConfig
from gateway.link import Backoff, Link
from gateway.metrics import Metrics
from gateway.mqtt import open_sink
from gateway.pipeline.forward import forward
from tests.support import brokers
from tests.support.forwarding import append, queue, until

MESSAGES = 400
HELD_S = 3.0


async def _rival(port: int, client_id: bytes) -> None:
    """A client of MQTT 3.1.1 that comes back as soon as it is thrown out."""
    connect = b"\x00\x04MQTT\x04\x02\x00\x00" + len(client_id).to_bytes(2, "big") + client_id
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"\x10" + bytes([len(connect)]) + connect)
                while await reader.read(100):
                    pass
            finally:
                writer.close()
        await asyncio.sleep(0.3)


@asynccontextmanager
async def rival(port: int, client_id: bytes) -> AsyncIterator[None]:
    task = asyncio.create_task(_rival(port, client_id), name="rival")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_values_are_delivered_between_take_overs_and_the_reason_is_logged_once(
    version: Literal["5", "3.1.1"], tmp_path: Path
) -> None:
    async def body() -> None:
        with brokers.mosquitto(tmp_path, "max_queued_messages 0") as broker, capture_logs() as logs:
            config = BrokerConfig(url=broker.url, version=version)
            link = Link("broker", broker.url)
            link.held_after_s = HELD_S
            metrics, leave = Metrics(), asyncio.Event()
            async with queue(tmp_path, metrics) as found, asyncio.TaskGroup() as tasks:
                async with rival(broker.port, b"edge"):
                    opening = partial(open_sink, config, link, "edge")
                    tasks.create_task(forward(found, opening, link, Backoff(0.1, 0.2), leave), name="forward")
                    for _ in range(MESSAGES):
                        await append(found.outbox, metrics, "s")
                        await asyncio.sleep(0.01)
                    await until(lambda: not found.reader.messages)
                    cuts = link.connects
                await until(lambda: any(line["event"] == "connected and stable" for line in logs))
                leave.set()
            assert cuts > 4, "the rival did its work"
            told = [line for line in logs if line["log_level"] != "debug"]
            assert len(told) <= 10, told
            [flaps] = [line for line in told if line["event"] == "connects, and is lost again each time"]
            assert "'edge'" in str(flaps["may_be"])
            assert not found.dead.messages

    asyncio.run(asyncio.wait_for(body(), 120))
