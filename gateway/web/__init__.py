"""The HTTP endpoints of the gateway: pages of metrics, `/health/live`, `/health/ready`, and the live page with its API.

Delivering values has priority over metrics: a port in use is retried like any unavailable peer.  The health pages show
which peers are connected and since when, and nothing of the configuration.  Connections use only a bounded part of the
process (`connections.py`), and requests must use a host name of this gateway (`guard.py`).
"""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import partial

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

from gateway.cancellation import unless_asked
from gateway.config import HttpConfig
from gateway.errors import Unavailable
from gateway.link import Backoff, Link, keep_connected
from gateway.tcp import resolve
from gateway.web.connections import Connections
from gateway.web.guard import guarded
from gateway.web.hosts import Hosts
from gateway.web.inside import Inside
from gateway.web.live import FleetLive, Live, feeding

BACKLOG = 16


@asynccontextmanager
async def listening(
    config: HttpConfig, pages: Mapping[str, CollectorRegistry], links: Sequence[Link], inside: Inside | None = None
) -> AsyncIterator[str]:
    """Serve `pages` (path to registry), health, and the live page of `inside` while inside.

    Yields the address, `http://host:port`.

    Raises `Unavailable` when it cannot listen.
    """
    connections, hosts = Connections(), Hosts((config.host, *config.hosts))
    handlers: dict[str, Handler] = {path: make_aiohttp_handler(registry) for path, registry in pages.items()}
    handlers |= {"/health/live": _live, "/health/ready": partial(_ready, links)}
    if config.who_may_look == "off" and config.page is None:
        handlers["/"] = _why_there_is_no_page
    runner = guarded(handlers, connections, hosts, owner="this gateway", remedy="http.hosts names more")
    live = Live(config, inside, connections) if inside is not None and config.who_may_look != "off" else None
    if live is not None:
        live.add_to(runner.app.router)
    async with _accepting(config, runner, connections, live) as address:
        yield address


@asynccontextmanager
async def showing_fleet(config: HttpConfig, make: Callable[[], Awaitable[bytes]]) -> AsyncIterator[str]:
    """Serve the page of a fleet, whose state `make` tells as JSON, while inside.  Yields the address.

    Raises `Unavailable` when it cannot listen.
    """
    connections, hosts = Connections(), Hosts((config.host, *config.hosts))
    runner = guarded({"/health/live": _live}, connections, hosts, owner="this page", remedy="--host-name names more")
    live = FleetLive(config, make, connections)
    live.add_to(runner.app.router)
    async with _accepting(config, runner, connections, live) as address:
        yield address


@asynccontextmanager
async def _accepting(
    config: HttpConfig, runner: web.AppRunner, connections: Connections, live: Live | FleetLive | None
) -> AsyncIterator[str]:
    """Accept connections while inside.  Yields the address."""
    await runner.setup()
    assert runner.server is not None
    try:
        listeners = await _bound(config)
        try:
            async with feeding(live) if live is not None else nullcontext(), asyncio.TaskGroup() as tasks:
                accepting = [
                    tasks.create_task(
                        unless_asked(partial(connections.accept, each, runner.server)), name="accept HTTP"
                    )
                    for each in listeners
                ]
                yield f"http://{config.host}:{listeners[0].getsockname()[1]}"
                for task in accepting:
                    task.cancel()
        finally:
            for listener in listeners:
                listener.close()
    finally:
        await runner.cleanup()
        connections.close()


async def _bound(config: HttpConfig) -> list[socket.socket]:
    """Listening sockets, one for each address that the host has.  Raises `Unavailable`."""
    bound: list[socket.socket] = []
    port = config.port
    try:
        for family, where in await resolve(config.host, port):
            sock = socket.socket(family, socket.SOCK_STREAM)
            bound.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setblocking(False)
            sock.bind((where[0], port, *where[2:]))
            sock.listen(BACKLOG)
            port = sock.getsockname()[1]
    except OSError as error:
        for sock in bound:
            sock.close()
        why = "another program has it" if error.errno == errno.EADDRINUSE else error.strerror
        raise Unavailable(
            f"cannot listen on {config.host}:{config.port}: {why} (http.port sets another port)"
        ) from error
    return bound


async def serve_http(
    config: HttpConfig,
    pages: Mapping[str, CollectorRegistry],
    links: Sequence[Link],
    link: Link,
    on_listening: Callable[[str], None],
    inside: Inside | None = None,
) -> None:
    """Serve until cancelled.  Retries the port while another program uses it."""

    async def serve(address: str) -> None:
        link.address = address
        on_listening(address)
        await asyncio.Event().wait()

    listen = partial(listening, config, pages, links, inside)
    await keep_connected(link, listen, serve, Backoff(first_s=1.0, most_s=10.0))


async def _why_there_is_no_page(request: web.Request) -> web.Response:
    text = "The live page is off, since other machines reach this port: set http.token, or http.page: open.\n"
    return web.Response(status=404, text=text)


async def _live(request: web.Request) -> web.Response:
    return web.json_response({"status": "live"})


async def _ready(links: Sequence[Link], request: web.Request) -> web.Response:
    ready = all(link.is_up for link in links)
    peers = {link.peer: {"state": link.state.value, "for_s": round(link.since_s, 1)} for link in links}
    return web.json_response(
        {"status": "ready" if ready else "not ready", "peers": peers}, status=200 if ready else 503
    )
