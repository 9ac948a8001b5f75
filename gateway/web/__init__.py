"""What the gateway shows over HTTP: pages of metrics, `/health/live`, `/health/ready`.

Carrying values matters more than showing figures: a port that is taken is waited for like any peer that is away.
Health says which peers are there and for how long, nothing of the configuration.
"""

import asyncio
import errno
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

from gateway.config import HttpConfig
from gateway.errors import Unavailable
from gateway.link import Backoff, Link, keep_connected


@asynccontextmanager
async def listening(
    config: HttpConfig, pages: Mapping[str, CollectorRegistry], links: Sequence[Link]
) -> AsyncIterator[str]:
    """Serve `pages` (path to registry) and health until left; yields the address, `http://host:port`.

    Raises `Unavailable` when it cannot listen.
    """
    app = web.Application()
    for path, registry in pages.items():
        app.router.add_get(path, make_aiohttp_handler(registry))
    app.router.add_get("/health/live", _live)
    app.router.add_get("/health/ready", partial(_ready, links))
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, config.host, config.port)
        try:
            await site.start()
        except OSError as error:
            why = "another program has it" if error.errno == errno.EADDRINUSE else error.strerror
            raise Unavailable(
                f"cannot listen on {config.host}:{config.port}: {why} (http.port names another)"
            ) from error
        port = runner.addresses[0][1]
        yield f"http://{config.host}:{port}"
    finally:
        await runner.cleanup()


async def serve_http(
    config: HttpConfig,
    pages: Mapping[str, CollectorRegistry],
    links: Sequence[Link],
    link: Link,
    on_listening: Callable[[str], None],
) -> None:
    """Serve for ever, waiting for the port when it is taken."""

    async def serve(address: str) -> None:
        link.address = address
        on_listening(address)
        await asyncio.Event().wait()

    await keep_connected(link, partial(listening, config, pages, links), serve, Backoff(first_s=1.0, most_s=10.0))


async def _live(request: web.Request) -> web.Response:
    return web.json_response({"status": "live"})


async def _ready(links: Sequence[Link], request: web.Request) -> web.Response:
    ready = all(link.is_up for link in links)
    peers = {link.peer: {"state": link.state.value, "for_s": round(link.since_s, 1)} for link in links}
    return web.json_response(
        {"status": "ready" if ready else "not ready", "peers": peers}, status=200 if ready else 503
    )
