"""`/metrics` for Prometheus, by default on the loopback address.

Connections may use only a bounded part of the process (`connections.py`), and requests must use a name of this machine
(`guard.py`).
"""

import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from simulators.server.endpoint import CannotListen
from simulators.server.web.connections import Connections
from simulators.server.web.guard import guarded
from simulators.server.web.hosts import Hosts

BACKLOG = 16


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


@dataclass(frozen=True, slots=True)
class MetricsPort:
    """Where `/metrics` is."""

    url: str
    accept: Callable[[], Coroutine[None, None, None]]
    """Takes connections for ever.  Without it they wait."""


@asynccontextmanager
async def metrics_served(
    registry: CollectorRegistry, bound: socket.socket, names: Iterable[str] = ()
) -> AsyncIterator[MetricsPort]:
    """Answer `GET /metrics` while inside and `accept` runs, to requests by one of `names` or a local one."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    connections = Connections()
    host, port = bound.getsockname()[:2]
    runner = guarded(
        {"/metrics": answer}, connections, Hosts(names), owner="this simulator", remedy="--metrics-name names more"
    )
    await runner.setup()
    assert runner.server is not None
    try:
        bound.setblocking(False)
        bound.listen(BACKLOG)
        yield MetricsPort(f"http://{host}:{port}/metrics", partial(connections.accept, bound, runner.server))
    finally:
        bound.close()
        await runner.cleanup()
        connections.close()
