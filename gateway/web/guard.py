"""An HTTP server that refuses requests with a foreign host name, and whose log is bounded.

`connections.py` limits the connections, `hosts.py` decides about host names.  The gateway and the simulators have equal
copies of these three files.
"""

import logging
from collections.abc import Callable, Mapping

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.logs import Sparing
from gateway.web.connections import Connections
from gateway.web.hosts import Hosts

CLOSE_S = 0.3
"""How long an answer that is being sent may take when the port is closed."""
_LOG_NAME = __name__.rpartition(".")[0]


def guarded(
    pages: Mapping[str, Handler], connections: Connections, hosts: Hosts, *, owner: str, remedy: str
) -> web.AppRunner:
    """A server of `pages` (path to handler of GET), for `connections.accept`.

    A request with a foreign host name is answered with status 421 and a text with `owner` and `remedy`.
    """
    app = web.Application(middlewares=[_counted(connections), _called_right(hosts, owner, remedy)])
    for path, handler in pages.items():
        app.router.add_get(path, handler)
    return web.AppRunner(
        app, access_log=None, handle_signals=False, shutdown_timeout=CLOSE_S, logger=_server_log(), lingering_time=0
    )


def _counted(connections: Connections) -> Middleware:
    @web.middleware
    async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
        transport = request.transport
        connections.begins(transport)
        try:
            return await handler(request)
        finally:
            connections.answered(transport)

    return counted


def _called_right(hosts: Hosts, owner: str, remedy: str) -> Middleware:
    sparing, log = Sparing(), structlog.get_logger(_LOG_NAME)

    @web.middleware
    async def called_right(request: web.Request, handler: Handler) -> web.StreamResponse:
        name = request.headers.get("Host")
        if hosts.are_right(name):
            return await handler(request)
        if (more := sparing.line("host")) is not None:
            log.warning(f"a request is refused: its Host is no name of {owner}", host=str(name)[:100], **more)
        return web.Response(status=421, text=f"{str(name)[:100]} is no name of {owner}: {remedy}\n")

    return called_right


def _server_log() -> logging.Logger:
    """The log of aiohttp for requests: one line for each kind of error, and then one a minute."""
    log = logging.getLogger(f"{_LOG_NAME}.requests")
    log.filters[:] = [_spared(Sparing())]
    return log


def _spared(sparing: Sparing) -> Callable[[logging.LogRecord], bool]:
    def passes(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return sparing.line(type(error).__name__) is not None

    return passes
