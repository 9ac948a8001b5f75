"""A gateway that takes commands, in the test's own loop, between a real server and a real broker; and a requester."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from itertools import count
from pathlib import Path

import orjson

from gateway.config import Config
from gateway.delivery import Packet
from gateway.model import Message
from gateway.mqtt.sink import Sink
from gateway.run import app
from gateway.run.gateway import Gateway
from gateway.run.taking import Reload
from tests.support.mqtt_sessions import Session, opened

Body = dict[str, object]


def config_of(
    folder: Path, broker: str, server: str, commands: Body, select: list[Body] | None = None, **changes: object
) -> Config:
    """One source `shop`, one broker; the gateway is called `edge`."""
    return Config.model_validate(
        {
            "name": "edge",
            "sources": [
                {
                    "name": "shop", "url": server, "insecure": True, "publishing_interval": "50ms",
                    "request_timeout": "5s", "select": select or [{"node": "i=2258"}],
                }
            ],
            "broker": {"url": broker},
            "payload": {"topic": "values/{source}"},
            "outbox": {"path": str(folder / "outbox")},
            "http": {"port": 0},
            "reconnect": {"first": "50ms", "most": "200ms"},
            "commands": {"requesters": ["mes", "other"], **commands},
            **changes,
        }
    )  # fmt: skip


@asynccontextmanager
async def running(config: Config, reload: Reload | None = None) -> AsyncIterator[Gateway]:
    """A gateway that is connected to everybody."""
    stop, gateways = asyncio.Event(), list[Gateway]()
    task = asyncio.create_task(app.run(config, stop, gateways.append, reload), name="gateway")
    try:
        while not (gateways and all(link.is_up for link in gateways[0].links)):
            assert not task.done(), task.result()
            await asyncio.sleep(0.01)
        yield gateways[0]
        stop.set()
        await task
    finally:
        task.cancel()
        await asyncio.wait([task])


class Requester:
    """Asks as one of the requesters, in either version of MQTT, and reads what is answered."""

    def __init__(self, name: str, sink: Sink, arriving: AsyncGenerator[Packet, None]) -> None:
        self.name = name
        self.sink = sink
        self._arriving = arriving
        self._numbers = count(1)

    async def send(
        self, body: Mapping[str, object] | bytes, *, source: str = "shop", retain: bool = False, **fields: object
    ) -> None:
        """Publish a request as it is; `fields` are those of a `Message`."""
        payload = body if isinstance(body, bytes) else orjson.dumps(body)
        topic = f"gateways/edge/commands/{self.name}/{source}"
        plain: dict[str, object] = {"stream": "", "seq": 0, "values": 0, "retain": retain}
        await self.sink.send(Message(topic, payload, **{**plain, **fields}))  # type: ignore[arg-type]

    async def next(self, within_s: float = 60) -> tuple[Body, Packet]:
        """The next answer, and how it came."""
        packet = await asyncio.wait_for(anext(self._arriving), within_s)
        return orjson.loads(packet.payload), packet

    async def ask(self, operation: str, *, source: object = "shop", **more: object) -> Body:
        """A request with an id of its own and a deadline; its final answer."""
        body: Body = {
            "id": f"{self.name}-{next(self._numbers)}", "operation": operation, "deadline": in_s(30), **more
        }  # fmt: skip
        await self.send(body, source=str(source))
        while True:
            answer, _ = await self.next()
            if answer.get("id") == body["id"] and answer["final"]:
                return answer

    async def write(self, tag: str, value: object, **more: object) -> Body:
        return await self.ask("write", writes=[{"tag": tag, "value": value}], **more)


def in_s(seconds: float) -> str:
    """An instant so far ahead."""
    at_s = time.time() + seconds
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at_s))}.{int(at_s * 1000) % 1000:03d}Z"


@asynccontextmanager
async def requester(
    name: str, url: str, session: Session = "lean", login: tuple[str, str] | None = None
) -> AsyncIterator[Requester]:
    """One that is subscribed to its answers."""
    home = f"gateways/edge/replies/{name}"
    async with (
        opened(session, url, client_id=f"requester-{name}-{session}", login=login) as sink,
        aclosing(sink.arrivals(f"{home}/#")) as arriving,
    ):
        ready = asyncio.ensure_future(anext(arriving))
        await sink.send(Message(f"{home}/ready", b"{}", "", 0, 0, retain=True))
        await asyncio.wait_for(ready, 30)
        yield Requester(name, sink, arriving)
