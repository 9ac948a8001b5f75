"""`gateway fleet` at a real broker: what is retained is shown, in the terminal, as JSON and on its page."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import aiomqtt
import pytest
from typer.testing import CliRunner

from docker.grafana.render.picture import chromium
from gateway.cli import cli
from gateway.config import HttpConfig
from gateway.fleet import Fleet, Watched
from gateway.payload.health import Health
from gateway.payload.presence import GatewayPresence
from gateway.web import showing_fleet
from tests.support.brokers import Process, mosquitto
from tests.support.browser import browsing

TOPIC = "gateways/{gateway}/presence"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with mosquitto(tmp_path_factory.mktemp("broker")) as process:
        yield process


def said(name: str, up: int = 2) -> tuple[str, bytes]:
    health = Health((up, 2), (1, 1))
    presence = GatewayPresence(
        f"gateways/{name}/presence", 30.0, name, "1.4.2", lambda: "sha256:5f", health=lambda: health
    )
    return presence.topic, bytes(presence.birth(datetime.now(UTC)).payload)


def retain(broker: Process, *messages: tuple[str, bytes]) -> None:
    async def publish() -> None:
        async with aiomqtt.Client("127.0.0.1", broker.port) as client:
            for topic, payload in messages:
                await client.publish(topic, payload, qos=1, retain=True)

    asyncio.run(publish())


def test_the_exit_code_and_the_json_tell_what_is_wrong(broker: Process) -> None:
    def asked(*more: str) -> tuple[int, dict[str, object]]:
        done = CliRunner().invoke(cli, ["fleet", broker.url, "--json", *more])
        return done.exit_code, json.loads(done.stdout)

    retain(broker, said("munich"), said("seattle"))
    code, told = asked("--expect", "2")
    assert (code, told["verdict"]) == (0, {"level": "good", "text": "2 gateways, 2 fine"})
    retain(broker, said("seattle", 1), ("gateways/x/presence", b"\xff"), ("gateways/y/presence", said("munich")[1]))
    code, told = asked()
    assert (code, told["rejected"]) == (1, {"not_json": 1, "other_name": 1})
    gateways = told["gateways"]
    assert isinstance(gateways, list)
    assert [(each["name"], each["faults"]) for each in gateways] == [
        ("seattle", ["1 of 2 sources away"]),
        ("munich", []),
    ]
    plain = CliRunner().invoke(cli, ["fleet", broker.url])
    assert plain.stdout.splitlines()[0].startswith("seattle  1 of 2 sources away  sources 1/2  backlog 0")


@asynccontextmanager
async def page_of(fleet: Fleet, config: HttpConfig) -> AsyncIterator[str]:
    async def state() -> bytes:
        return json.dumps(fleet.state(datetime.now(UTC).timestamp())).encode()

    async with showing_fleet(config, state) as address:
        yield address


def test_the_page_follows_the_fleet_within_its_policy(tmp_path: Path) -> None:
    """In a browser where there is one: rows, the worst first, changed in place."""
    fleet = Fleet(Watched(TOPIC))

    def see(name: str, up: int = 2) -> None:
        topic, payload = said(name, up)
        fleet.see(topic, payload, retained=False, now_s=datetime.now(UTC).timestamp())

    async def body() -> None:
        for number in range(122):
            see(f"plant-{number:03}")
        async with page_of(fleet, HttpConfig(port=0)) as address, aiohttp.ClientSession() as session:
            async with session.get(f"{address}/") as answer:
                assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
            async with session.get(f"{address}/api/v1/state", headers={"Host": "evil.example"}) as answer:
                assert answer.status == 421
            if chromium() is None:
                return
            async with browsing() as page:
                await page.open(address)
                rows = "[...document.querySelectorAll('#gateways tbody tr')].map(row => row.innerText)"
                await page.wait(f"{rows}.length === 122")
                see("plant-077", 1)
                await page.wait(f"{rows}[0].includes('plant-077') && {rows}[0].includes('1 of 2 sources away')")
                fleet.see("gateways/z/presence", b"<img src=x>", retained=False, now_s=0)
                await page.wait("document.querySelector('#problems').innerText.includes('not JSON')")
                assert page.complaints == []

    asyncio.run(asyncio.wait_for(body(), 120))


def test_the_page_asks_for_its_token(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("of the test\n")
    token.chmod(0o600)
    config = HttpConfig.model_validate({"port": 0, "page": "token", "token": {"file": token}})

    async def body() -> None:
        async with page_of(Fleet(Watched(TOPIC)), config) as address, aiohttp.ClientSession() as session:
            for headers, status in (({}, 401), ({"Authorization": "Bearer of the test"}, 200)):
                async with session.get(f"{address}/api/v1/state", headers=headers) as answer:
                    assert answer.status == status

    asyncio.run(body())
