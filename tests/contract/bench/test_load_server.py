"""The load server with a real client on its other side: what any client does works, with and without encryption."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua

from tests.bench.chain import pki
from tests.bench.chain.load import Load
from tests.bench.chain.load_server import MODEL_URI, Plant, listening, prepared

VARIABLES = 25


@contextlib.asynccontextmanager
async def serving(keys: Path | None = None) -> AsyncIterator[tuple[Plant, str]]:
    plant = Plant(VARIABLES)
    async with prepared(VARIABLES, keys) as server, listening(server, plant, 1) as ports:
        yield plant, f"opc.tcp://127.0.0.1:{ports[0]}"


class Values:
    """What a subscription of asyncua brings."""

    def __init__(self) -> None:
        self.found: dict[str, list[float]] = {}
        self.count = 0
        self.more = asyncio.Event()

    def datachange_notification(self, node: Any, value: float, _: Any) -> None:
        self.found.setdefault(node.nodeid.Identifier, []).append(value)
        self.count += 1
        self.more.set()

    async def wait(self, count: int) -> None:
        while self.count < count:
            self.more.clear()
            await self.more.wait()


async def subscribed(client: Client, values: Values) -> Any:
    """All variables, found by browsing."""
    namespace = ua.Int16(await client.get_namespace_index(MODEL_URI))
    root = client.get_node(ua.NodeId(ua.String("load"), namespace))
    nodes = [variable for group in await root.get_children() for variable in await group.get_children()]
    assert len(nodes) == VARIABLES
    assert await nodes[0].read_value() == 0.0
    subscription = await client.create_subscription(50, values)
    await subscription.subscribe_data_change(nodes)
    return subscription


async def a_load_arrives(plant: Plant, client: Client) -> None:
    values = Values()
    subscription = await subscribed(client, values)
    await values.wait(VARIABLES)
    plant.begin(Load(100, 10))
    await values.wait(VARIABLES + 100)
    for number in range(VARIABLES):
        serials = range(number, 100, VARIABLES)
        assert values.found[f"v{number:06}"] == [-1.0 - number, *(serial + 0.5 for serial in serials)]
    await subscription.delete()
    assert not plant.book.subscriptions


def test_a_client_finds_the_variables_and_gets_every_value_once(capsys: pytest.CaptureFixture[str]) -> None:
    async def body() -> None:
        async with serving() as (plant, url), Client(url) as client:
            await a_load_arrives(plant, client)

    asyncio.run(asyncio.wait_for(body(), 60))
    told = [json.loads(text)["event"] for text in capsys.readouterr().out.splitlines()]
    assert [event for event in told if event != "finished"] == ["subscribed", "loading"]


def test_a_client_with_sign_and_encrypt_gets_every_value_once(tmp_path: Path) -> None:
    keys = pki.make(tmp_path)

    async def body() -> None:
        async with serving(keys) as (plant, url):
            client = Client(url)
            client.application_uri = pki.CLIENT_URI
            files = ",".join(str(keys / name) for name in ("client.der", "client.pem", "server.der"))
            await client.set_security_string(f"Basic256Sha256,SignAndEncrypt,{files}")
            async with client:
                await a_load_arrives(plant, client)

    asyncio.run(asyncio.wait_for(body(), 60))
