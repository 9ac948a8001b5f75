"""HTTP: what is connected and what is not; a taken port is waited for; who asks too much costs nobody else anything."""

import asyncio
import resource
import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from urllib.parse import urlsplit

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter
from structlog.testing import capture_logs

from gateway.config import HttpConfig
from gateway.link import Link
from gateway.web import serve_http
from gateway.web.hosts import Hosts
from tests.bench.bench_scrape import MOST_BYTES, scraped


async def serving(
    port: int | HttpConfig,
    links: list[Link],
    check: Callable[[str, aiohttp.ClientSession], Awaitable[None]],
    link: Link | None = None,
) -> None:
    registry = CollectorRegistry()
    Counter("things", "Things.", registry=registry).inc(3)
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as tasks:
        http = serve_http(
            HttpConfig(port=port) if isinstance(port, int) else port,
            {"/metrics": registry},
            links,
            link or Link("http", ""),
            address.set_result,
        )
        task = tasks.create_task(http, name="http")
        async with aiohttp.ClientSession() as session:
            await check(await address, session)
        task.cancel()


def test_metrics_and_health_are_served() -> None:
    links = [Link("line-1", ""), Link("broker", "")]

    async def check(address: str, session: aiohttp.ClientSession) -> None:
        async with session.get(f"{address}/metrics") as answer:
            assert "things_total 3.0" in await answer.text()
        async with session.get(f"{address}/health/live") as answer:
            assert answer.status == 200
        async with session.get(f"{address}/health/ready") as answer:
            assert answer.status == 503
            assert set((await answer.json())["peers"]) == {"line-1", "broker"}
        for link in links:
            link.up()
        async with session.get(f"{address}/health/ready") as answer:
            assert answer.status == 200

    asyncio.run(asyncio.wait_for(serving(0, links, check), 60))


def test_a_port_in_use_is_retried() -> None:
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    said: list[str] = []

    def on_change(link: Link) -> None:
        said.append(link.reason)
        taken.close()

    async def check(address: str, session: aiohttp.ClientSession) -> None:
        async with session.get(f"{address}/health/live") as answer:
            assert answer.status == 200

    port = taken.getsockname()[1]
    asyncio.run(asyncio.wait_for(serving(port, [], check, Link("http", "", on_change)), 60))
    assert "another program has it" in said[0]
    assert said[1:] == [""]


def connected(address: str, count: int, said: bytes = b"GET /metrics HT") -> list[socket.socket]:
    """Connections that have begun a request."""
    url = urlsplit(address)
    socks = [socket.create_connection((str(url.hostname), int(url.port or 0)), 5) for _ in range(count)]
    for sock in socks:
        sock.setblocking(False)
        sock.send(said)
    return socks


async def is_closed(sock: socket.socket) -> bool:
    """Wait until the other side ends it; False when that said something before."""
    try:
        return await asyncio.get_running_loop().sock_recv(sock, 1) == b""
    except ConnectionError:
        return True


async def works(address: str, session: aiohttp.ClientSession) -> bool:
    async with session.get(f"{address}/health/live", headers={"Connection": "close"}) as answer:
        return answer.status == 200


def attacked(
    check: Callable[[str, aiohttp.ClientSession], Awaitable[None]], config: HttpConfig | None = None
) -> list[str]:
    """The log lines of a port while something is done to it."""
    with capture_logs() as logs:
        asyncio.run(asyncio.wait_for(serving(config or HttpConfig(port=0), [], check), 10))
    return [str(line["event"]) for line in logs if line["event"] != "connected"]


def test_half_sent_requests_block_no_other_client_and_are_logged_once() -> None:
    async def check(address: str, session: aiohttp.ClientSession) -> None:
        socks = []
        for _ in range(20):
            socks += connected(address, 10)
            assert await works(address, session)
        assert await is_closed(socks[0])
        for sock in socks:
            sock.close()

    assert attacked(check) == ["too many HTTP connections: the longest idle ones are closed"]


def test_a_request_that_does_not_end_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.web.connections.HEAD_S", 0.05)

    async def check(address: str, session: aiohttp.ClientSession) -> None:
        for said in (b"GET", b"GET /metrics HTTP/1.1\r\nHost: x\r\n", b""):
            [sock] = connected(address, 1, said)
            assert await is_closed(sock)
            sock.close()
        assert await works(address, session)

    assert attacked(check) == []


def test_the_last_file_descriptors_are_reserved_for_the_data_path() -> None:
    """What the process may have is used up while connections wait: they cost the port one line and nobody anything."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def check(address: str, session: aiohttp.ClientSession) -> None:
        with ExitStack() as stack:
            lowest_free = stack.enter_context(socket.socket())
            socks = connected(address, 5)  # the loop has not seen them yet
            stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free.fileno(), limits[1]))
            await asyncio.sleep(0.05)
            resource.setrlimit(resource.RLIMIT_NOFILE, (socks[-1].fileno() + 40, limits[1]))  # enough to open, no more
            socks += connected(address, 10)
            assert all([await is_closed(sock) for sock in socks[-5:]])
        for sock in socks:
            sock.close()
        assert await works(address, session)

    assert attacked(check) == ["no file descriptors for HTTP: the remaining ones are reserved for the data"]


def test_a_request_that_is_not_http_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def check(address: str, session: aiohttp.ClientSession) -> None:
        for sock in connected(address, 10, b"\x16\x03\x01\x02\x00 not HTTP\r\n\r\n"):
            while await asyncio.get_running_loop().sock_recv(sock, 1000):
                pass
            sock.close()

    assert attacked(check) == []
    assert caplog.records == []


RIGHT = [
    "127.0.0.1:1",
    "[::1]:9464",
    "localhost",
    "gateway:9464",
    "GATEWAY",
    "a.svc.cluster.local",
    "edge.example.com:80",
]
WRONG = [
    "evil.example",
    "evil.example:9464",
    "127.0.0.1.evil.example",
    "edge.example.com.evil",
    "a@evil.example",
    "",
    "[",
    "x/y",
]


@pytest.mark.parametrize(("name", "is_right"), [*((n, True) for n in RIGHT), *((n, False) for n in WRONG)])
def test_only_local_host_names_are_accepted(name: str, is_right: bool) -> None:
    assert Hosts(("edge.example.com",)).are_right(name) is is_right


def test_a_request_with_another_host_name_is_refused() -> None:
    async def check(address: str, session: aiohttp.ClientSession) -> None:
        for _ in range(5):
            for path in ("/metrics", "/health/ready", "/none"):
                async with session.get(f"{address}{path}", headers={"Host": "evil.example"}) as answer:
                    assert (answer.status, "things" in await answer.text()) == (421, False)

    assert attacked(check) == ["a request is refused: its Host is no name of this gateway"]


def test_a_scrape_at_ten_thousand_tags_stays_under_a_megabyte() -> None:
    """The time (goal: 50 ms) is for `python -m tests.bench.bench_scrape`: a busy machine is no failure."""
    found = asyncio.run(asyncio.wait_for(scraped(10_000, rounds=1), 60))
    assert 10_000 < found["/metrics"].size_bytes < MOST_BYTES
    assert found["/metrics/tags"].size_bytes > 10_000 * 50  # all of them are there
