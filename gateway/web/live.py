"""The live page and its API (`openapi.py`): who asks gets what `Inside` tells, and all viewers get one feed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache, partial
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable

import orjson
from aiohttp import web
from aiohttp.http import HttpVersion11
from aiohttp.typedefs import Handler

from gateway.cancellation import unless_asked
from gateway.config import HttpConfig
from gateway.in_thread import in_thread
from gateway.web.access import HEADERS, Access, hardened, problem
from gateway.web.connections import Connections
from gateway.web.feed import Feed, event_of
from gateway.web.inside import Inside
from gateway.web.models import Done, Told
from gateway.web.openapi import BASE, ENDPOINTS, MOST_TAGS, openapi
from gateway.web.tap import Taps

DISTRIBUTION = "connected-factory"
DEFAULT_TAGS = 50
MOST_SEARCH = 200
"""The longest search, in characters."""
KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
"""Of the files of the page, by ending."""
SEVERITIES = ("", "good", "uncertain", "bad", "unknown")


class Live:
    """Page and API of one port."""

    def __init__(self, config: HttpConfig, inside: Inside, connections: Connections) -> None:
        self._inside = inside
        self._connections = connections
        self._access = Access(config)
        self.feed = Feed(self._state)
        self.taps = Taps(inside, connections)

    def close(self) -> None:
        """Disconnect all viewers."""
        self.feed.close()
        self.taps.close()

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add all routes."""
        looking, acting = self._access.looking, self._access.acting
        asked: dict[str, Handler] = {
            "state": self._latest, "stream": self._stream, "tags": self._tags,
            "history": self._told(self._inside.history), "gaps": self._told(self._inside.gaps), "tap": self.taps.show,
        }  # fmt: skip
        done: dict[str, Callable[[web.Request], Awaitable[Done]]] = {
            "trust": lambda r: self._inside.trust(r.match_info["thumbprint"], _who(r)),
            "reject": lambda r: self._inside.reject(r.match_info["thumbprint"], _who(r)),
            "release": lambda r: self._inside.release(r.match_info["broker"], _who(r)),
            "reload": lambda r: self._inside.reload(_who(r)),
        }
        for endpoint in ENDPOINTS:
            if endpoint.acts:
                router.add_post(BASE + endpoint.path, acting(partial(_done, done[endpoint.id])))
            else:
                router.add_get(BASE + endpoint.path, looking(asked[endpoint.id]), allow_head=False)
        router.add_get(f"{BASE}/openapi.json", _described)
        for path, (body, kind) in page_files().items():
            router.add_get(path, partial(_fixed, body, kind))

    # -- looking

    async def _state(self) -> bytes:
        return (await self._inside.state()).model_dump_json().encode()

    async def _latest(self, request: web.Request) -> web.Response:
        return web.Response(body=await self.feed.latest(), content_type="application/json")

    def _told(self, ask: Callable[[], Told]) -> Handler:
        async def told(request: web.Request) -> web.Response:
            return web.json_response(text=ask().model_dump_json())

        return told

    async def _tags(self, request: web.Request) -> web.Response:
        asked = request.query
        limit, severity = asked.get("limit", str(DEFAULT_TAGS)), asked.get("severity", "")
        if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:6]) <= MOST_TAGS):
            return problem(400, f"limit is a number from 1 to {MOST_TAGS}")
        if severity not in SEVERITIES:
            return problem(400, f"severity is one of {', '.join(SEVERITIES[1:])}")
        found = await self._inside.tags(asked.get("search", "")[:MOST_SEARCH], severity, int(limit))
        return web.json_response(text=found.model_dump_json())

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        return await streamed(self.feed, self._connections, request)


class FleetLive:
    """The page of a fleet on one port: its state, made by a function, and the feed of it."""

    def __init__(self, config: HttpConfig, make: Callable[[], Awaitable[bytes]], connections: Connections) -> None:
        self._connections = connections
        self._access = Access(config)
        self.feed = Feed(make)

    def close(self) -> None:
        """Disconnect all viewers."""
        self.feed.close()

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add all routes."""
        looking = self._access.looking
        router.add_get(f"{BASE}/state", looking(self._latest), allow_head=False)
        router.add_get(f"{BASE}/stream", looking(self._stream), allow_head=False)
        for path, (body, kind) in page_files("fleet.html").items():
            router.add_get(path, partial(_fixed, body, kind))

    async def _latest(self, request: web.Request) -> web.Response:
        return web.Response(body=await self.feed.latest(), content_type="application/json")

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        return await streamed(self.feed, self._connections, request)


async def streamed(feed: Feed, connections: Connections, request: web.Request) -> web.StreamResponse:
    """An answer that goes on with every state, for as long as the viewer reads."""
    transport = request.transport
    if request.version < HttpVersion11 or transport is None:
        return problem(426, "a stream needs HTTP/1.1")
    if feed.is_full:
        return problem(503, "there are too many viewers", {"Retry-After": "10"})
    connections.let_go(transport)
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", **HEADERS})
    answer.enable_chunked_encoding()
    await answer.prepare(request)
    await answer.write(event_of(await feed.latest()))
    await feed.show(transport)
    return answer


@asynccontextmanager
async def feeding(live: Live | FleetLive) -> AsyncIterator[None]:
    """Send states to viewers while inside."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(unless_asked(live.feed.run), name="feed of states")
        try:
            yield
        finally:
            live.close()
            task.cancel()


def _who(request: web.Request) -> str:
    return request.remote or ""


async def _done(act: Callable[[web.Request], Awaitable[Done]], request: web.Request) -> web.Response:
    return web.json_response(text=(await act(request)).model_dump_json())


# -- the page


@cache
def _description() -> bytes:
    return orjson.dumps(openapi(version(DISTRIBUTION)))


async def _described(request: web.Request) -> web.StreamResponse:
    """The OpenAPI document, made when the first one asks: a start does not wait for it, nor does what is served."""
    body = await in_thread(_description, "describe the API")
    return await _fixed(body, "application/json", request)


async def _fixed(body: bytes, kind: str, request: web.Request) -> web.StreamResponse:
    answer = web.Response(body=body, headers={"Content-Type": kind, "Cache-Control": "no-cache"})
    return hardened(answer)


def page_files(first: str = "index.html") -> dict[str, tuple[bytes, str]]:
    """The files of the pages by path, each with its content and type; `first` at `/`, and no other page."""
    folder = files("gateway.web") / "page"
    found = {f"/page/{file.name}": _content(file) for file in folder.iterdir() if file.is_file()}
    rest = {path: content for path, content in found.items() if not path.endswith(".html")}
    return {"/": found[f"/page/{first}"], **rest}


def _content(file: Traversable) -> tuple[bytes, str]:
    return file.read_bytes(), f"{KINDS[file.name.rpartition('.')[2]]}; charset=utf-8"
