"""HTTP: what is connected and what is not, and a taken port is waited for."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import aiohttp
from prometheus_client import CollectorRegistry, Counter

from gateway.config import HttpConfig
from gateway.link import Link
from gateway.web import serve_http
from tests.bench.bench_scrape import MOST_BYTES, scraped


async def serving(
    port: int,
    links: list[Link],
    check: Callable[[str, aiohttp.ClientSession], Awaitable[None]],
    link: Link | None = None,
) -> None:
    registry = CollectorRegistry()
    Counter("things", "Things.", registry=registry).inc(3)
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as tasks:
        http = serve_http(
            HttpConfig(port=port), {"/metrics": registry}, links, link or Link("http", ""), address.set_result
        )
        task = tasks.create_task(http, name="http")
        async with aiohttp.ClientSession() as session:
            await check(await address, session)
        task.cancel()


def test_metrics_and_health() -> None:
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


def test_a_taken_port_is_waited_for() -> None:
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


def test_a_scrape_at_ten_thousand_tags_stays_under_a_megabyte() -> None:
    """The time (goal: 50 ms) is for `python -m tests.bench.bench_scrape`: a busy machine is no failure."""
    found = asyncio.run(asyncio.wait_for(scraped(10_000, rounds=1), 60))
    assert 10_000 < found["/metrics"].size_bytes < MOST_BYTES
    assert found["/metrics/tags"].size_bytes > 10_000 * 50  # all of them are there
