"""Calls that a server refuses become smaller, in every service, whatever it says of its limits, and stay so."""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest
from asyncua import ua
from structlog.testing import capture_logs

from gateway.errors import Unavailable
from gateway.opcua import Learned, open_source
from gateway.opcua.codec.wire import Dialect
from gateway.opcua.session.calls import CallSizes
from gateway.opcua.session.connect import open_session
from gateway.opcua.subscription.history import read_history
from tests.support.opcua_scripted import PLANT, Ask, Connection, Hook, ScriptedServer
from tests.support.opcua_source import config, series

MOST, COUNT, TIMEOUT_S = 7, 60, 0.3
TREE = {PLANT: [f"f{n}" for n in range(20)]} | {f"f{n}": [f"f{n}/v{m}" for m in range(3)] for n in range(20)}
OPERATIONS: dict[str, Callable[[Ask], int]] = {
    "ReadRequest": lambda ask: len(ask.request.Parameters.NodesToRead),
    "BrowseRequest": lambda ask: len(ask.request.Parameters.NodesToBrowse),
    "CreateMonitoredItemsRequest": lambda ask: len(ask.request.Parameters.ItemsToCreate),
    "HistoryReadRequest": lambda ask: len(ask.request.Parameters.NodesToRead),
}
STATUSES = {
    "BadTooManyOperations": ua.StatusCodes.BadTooManyOperations,
    "BadResponseTooLarge": ua.StatusCodes.BadResponseTooLarge,
    "BadRequestTooLarge": ua.StatusCodes.BadRequestTooLarge,
    "BadEncodingLimitsExceeded": ua.StatusCodes.BadEncodingLimitsExceeded,
    "BadTimeout": ua.StatusCodes.BadTimeout,
}


def fault(code: int, connection: Connection, ask: Ask) -> None:
    connection.fault(ask, code)


REFUSALS: dict[str, Callable[[Connection, Ask], None]] = {
    **{name: partial(fault, code) for name, code in STATUSES.items()},
    "aborted in the middle": lambda c, a: c.abort(a, ua.StatusCodes.BadResponseTooLarge),
    "no answer": lambda c, a: None,
    "last words": lambda c, a: c.error(ua.StatusCodes.BadTcpMessageTooLarge),
    "cut": lambda c, a: c.writer.transport.abort(),
}


class Picky:
    """Refuses what has more than `MOST` operations, in its own way."""

    def __init__(self, refuse: Callable[[Connection, Ask], None]) -> None:
        self.refuse = refuse
        self.refused = 0

    def hooks(self) -> dict[str, Hook]:
        return dict.fromkeys(OPERATIONS, self.hook)

    async def hook(self, connection: Connection, ask: Ask) -> bool:
        if OPERATIONS[ask.name](ask) > MOST:
            self.refused += 1
            self.refuse(connection, ask)
            return True
        if ask.name == "HistoryReadRequest":
            made = ua.HistoryReadResponse()
            made.Results = [history() for _ in ask.request.Parameters.NodesToRead]
            connection.reply(ask, made)
            return True
        return False


def history() -> ua.HistoryReadResult:
    made = ua.HistoryReadResult()
    made.HistoryData = ua.HistoryData()
    return made


@pytest.mark.parametrize("way", REFUSALS)
def test_a_request_refused_as_too_large_is_repeated_in_parts(way: str) -> None:
    picky, sizes = Picky(REFUSALS[way]), CallSizes()

    async def subscribed(url: str) -> int:
        made = config(url, select=[{"subtree": "/Objects/plant"}], request_timeout=TIMEOUT_S)
        async with open_source(made, series(), b"", learned=Learned(sizes)) as source:
            return len(source.table.tags)

    async def body() -> tuple[int, int]:
        async with ScriptedServer(TREE, picky.hooks()) as server:
            for _ in range(30):  # a server that hangs up over it is connected to anew each time
                try:
                    found = await subscribed(server.url)
                    break
                except Unavailable:
                    continue
            before = picky.refused
            assert await subscribed(server.url) == found
            return found, picky.refused - before

    with capture_logs() as logs:
        assert asyncio.run(asyncio.wait_for(body(), 30)) == (COUNT, 0)
    told = [entry["kind"] for entry in logs if "fewer operations" in entry["event"]]
    assert sorted(told) == ["browse", "items", "read"]


@pytest.mark.parametrize("way", [way for way in REFUSALS if way not in ("last words", "cut")])
def test_history_is_read_in_parts(way: str) -> None:
    picky = Picky(REFUSALS[way])

    async def body() -> list[int]:
        nodes = [(handle, ua.NodeId(ua.String(f"v{handle}"), ua.Int16(2))) for handle in range(COUNT)]
        async with (
            ScriptedServer(TREE, picky.hooks()) as server,
            open_session(config(server.url, request_timeout=TIMEOUT_S), series()) as session,
        ):
            pages = read_history(session, nodes, 10**17, 2 * 10**17, Dialect(session.uris))
            return [handle async for _, failed in pages for handle in failed]

    assert asyncio.run(asyncio.wait_for(body(), 30)) == []
    assert picky.refused


@pytest.mark.parametrize(
    ("ack", "longest"),
    [((8192, 65536, 8192, 0), 8192), ((8192, 65536, 0, 1), 8192), ((65536, 65536, 20_000, 0), 20_000)],
    ids=["MaxMessageSize", "MaxChunkCount", "MaxMessageSize of several chunks"],
)
def test_requests_are_as_long_as_the_server_accepts(ack: tuple[int, int, int, int], longest: int) -> None:
    names = [f"{'x' * 500}{n}" for n in range(100)]

    async def body() -> None:
        async with ScriptedServer({PLANT: names}, ack=ack) as server:
            made = config(server.url, select=[{"subtree": "/Objects/plant"}])
            async with open_source(made, series(), b"") as source:
                assert len(source.table.tags) == len(names)
            assert len(server.connections) <= 1
            assert max(ask.size for ask in server.asks) <= longest

    asyncio.run(asyncio.wait_for(body(), 20))


def test_the_children_of_one_node_come_in_pages_that_fit() -> None:
    """A folder of its own is too large for a message of the server."""

    async def browse(connection: Connection, ask: Ask) -> bool:
        asked = ask.request.Parameters
        page = asked.RequestedMaxReferencesPerNode or 10**6
        if any(
            len(connection.server.tree.get(str(one.NodeId.Identifier), ())) > 50 < page for one in asked.NodesToBrowse
        ):
            connection.fault(ask, ua.StatusCodes.BadResponseTooLarge)
            return True
        made = connection.server._browse(connection, ask.request)
        for result in made.Results:
            paged(result, page, points)
        connection.reply(ask, made)
        return True

    async def browse_next(connection: Connection, ask: Ask) -> bool:
        made = ua.BrowseNextResponse()
        made.Parameters.Results = [points.pop(point) for point in ask.request.Parameters.ContinuationPoints]
        for result in made.Parameters.Results:
            paged(result, 50, points)
        connection.reply(ask, made)
        return True

    points: dict[bytes, ua.BrowseResult] = {}

    async def body() -> None:
        tree = {PLANT: [f"v{n}" for n in range(700)]}
        async with ScriptedServer(tree, {"BrowseRequest": browse, "BrowseNextRequest": browse_next}) as server:
            made = config(server.url, select=[{"subtree": "/Objects/plant"}])
            async with open_source(made, series(), b"") as source:
                assert len(source.table.tags) == 700

    asyncio.run(asyncio.wait_for(body(), 20))


def paged(result: ua.BrowseResult, most: int, points: dict[bytes, ua.BrowseResult]) -> None:
    """Keep what is more than a page for BrowseNext."""
    if len(result.References) > most:
        rest = ua.BrowseResult()
        rest.References = result.References[most:]
        result.References = result.References[:most]
        result.ContinuationPoint = ua.ByteString(str(len(points) + 1).encode())
        points[bytes(result.ContinuationPoint)] = rest
