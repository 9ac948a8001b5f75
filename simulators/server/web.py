"""`/metrics` for Prometheus, by default on the loopback address."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from simulators.server.endpoint import CannotListen


def bind_http(host: str, port: int) -> socket.socket:
    """A socket bound to `host` and `port` (0: a free one).  Raises `CannotListen`."""
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        reason = error.strerror or error
        raise CannotListen(
            f"cannot serve metrics on http://{host}:{port}: {reason}; "
            "choose another port (--metrics-port 0 takes a free one)"
        ) from error
    return bound


@asynccontextmanager
async def metrics_served(registry: CollectorRegistry, bound: socket.socket) -> AsyncIterator[str]:
    """Answer `GET /metrics` while inside.  Yields the URL."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    site = web.Application()
    site.router.add_get("/metrics", answer)
    runner = web.AppRunner(site, access_log=None, handle_signals=False)
    await runner.setup()
    host, port = bound.getsockname()[:2]
    try:
        await web.SockSite(runner, bound, shutdown_timeout=1.0).start()
        yield f"http://{host}:{port}/metrics"
    finally:
        await runner.cleanup()
