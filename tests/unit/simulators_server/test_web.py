"""The metrics port of the simulators: who asks too much, too slowly or by another name costs nobody else anything."""

import asyncio
import inspect
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter
from structlog.testing import capture_logs

import gateway.logs
import simulators.logs
from simulators.server.web import bind_http, metrics_served

ROOT = Path(__file__).parents[3]
Check = Callable[[str, int, aiohttp.ClientSession], Awaitable[None]]


@pytest.mark.parametrize("name", ["connections", "hosts", "guard"])
def test_both_packages_guard_their_port_alike(name: str) -> None:
    ours = (
        (ROOT / f"gateway/web/{name}.py").read_text("utf-8").replace("from gateway.web.", "from simulators.server.web.")
    )
    theirs = (ROOT / f"simulators/server/web/{name}.py").read_text("utf-8")
    assert ours.replace("from gateway.", "from simulators.") == theirs
    assert inspect.getsource(gateway.logs.Sparing) == inspect.getsource(simulators.logs.Sparing)


def attacked(check: Check) -> list[str]:
    """The log lines of the port while something is done to it."""

    async def body() -> None:
        registry = CollectorRegistry()
        Counter("things", "Things.", registry=registry).inc(3)
        async with (
            metrics_served(registry, bind_http("127.0.0.1", 0), ["plant.example.com"]) as port,
            asyncio.TaskGroup() as tasks,
            aiohttp.ClientSession() as session,
        ):
            accepting = tasks.create_task(port.accept(), name="accept HTTP")
            await check(port.url, urlsplit(port.url).port or 0, session)
            accepting.cancel()

    with capture_logs() as logs:
        asyncio.run(asyncio.wait_for(body(), 30))
    return [str(line["event"]) for line in logs]


async def status(url: str, session: aiohttp.ClientSession, host: str = "plant.example.com") -> int:
    async with session.get(url, headers={"Connection": "close", "Host": host}) as answer:
        return answer.status if ("things_total 3.0" in await answer.text()) == (answer.status == 200) else 0


def half_asked(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), 10)
    sock.send(b"GET /metrics HT")
    sock.setblocking(False)
    return sock


def test_half_sent_requests_keep_nobody_out_and_are_told_once() -> None:
    async def check(url: str, port: int, session: aiohttp.ClientSession) -> None:
        socks = []
        for _ in range(10):
            socks += [half_asked(port) for _ in range(10)]
            assert await status(url, session) == 200
        assert await asyncio.get_running_loop().sock_recv(socks[0], 1) == b""
        for sock in socks:
            sock.close()

    assert attacked(check) == ["too many HTTP connections: the longest idle ones are closed"]


def test_a_request_that_does_not_end_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulators.server.web.connections.HEAD_S", 0.05)

    async def check(url: str, port: int, session: aiohttp.ClientSession) -> None:
        with half_asked(port) as sock:
            assert await asyncio.get_running_loop().sock_recv(sock, 1) == b""
        assert await status(url, session) == 200

    assert attacked(check) == []


def test_a_request_by_another_name_sees_nothing() -> None:
    async def check(url: str, port: int, session: aiohttp.ClientSession) -> None:
        assert [await status(url, session, "evil.example") for _ in range(3)] == [421] * 3

    assert attacked(check) == ["a request is refused: its Host is no name of this simulator"]
