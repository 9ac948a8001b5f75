"""What passes inside, as server-sent events for the one who asks.

Each has filters of its own, so nothing is shared.  Who does not read for a while is disconnected; what passes meanwhile
is counted (`gateway/pipeline/tap.py`), and nothing waits for it.
"""

import asyncio

from aiohttp import web
from aiohttp.http import HttpVersion11

from gateway.web.access import HEADERS, problem
from gateway.web.connections import Connections
from gateway.web.inside import Inside, TapWish

STAGES = ("", "decode", "shape", "encode")
MOST_PATTERN = 200
"""The longest pattern, in characters."""
STALLED_S = 30.0


class Taps:
    """Those who look, of one port."""

    def __init__(self, inside: Inside, connections: Connections) -> None:
        self._inside = inside
        self._connections = connections
        self._transports: set[asyncio.Transport] = set()

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Write what passes until the connection is closed."""
        transport, asked = request.transport, request.query
        wish = TapWish(*(asked.get(name, "")[:MOST_PATTERN] for name in ("stage", "source", "tag", "stream")))
        if request.version < HttpVersion11 or transport is None:
            return problem(426, "a stream needs HTTP/1.1")
        if wish.stage not in STAGES:
            return problem(400, f"stage is one of {', '.join(STAGES[1:])}")
        async with self._inside.tapping(wish) as tapped:
            self._connections.let_go(transport)
            answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", **HEADERS})
            await answer.prepare(request)
            self._transports.add(transport)
            try:
                while not transport.is_closing():
                    event = b"event: tapped\ndata: %b\n\n" % (await tapped()).model_dump_json().encode()
                    async with asyncio.timeout(STALLED_S):
                        await answer.write(event)
            except (TimeoutError, ConnectionResetError):
                transport.abort()
            finally:
                self._transports.discard(transport)
        return answer

    def close(self) -> None:
        """Disconnect all."""
        for transport in tuple(self._transports):
            transport.abort()
