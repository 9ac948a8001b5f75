"""What a server does not tell of its address space is named, counted and asked for again; the rest is found."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from asyncua import ua
from structlog.testing import capture_logs

import gateway.opcua.space.browse as browse
from gateway.errors import Unavailable
from gateway.metrics import Metrics
from gateway.opcua.explore import BrowseOptions, connected
from gateway.opcua.explore import browse as browse_server
from gateway.opcua.explore import plan as plan_source
from gateway.opcua.subscription.subscribed import SubscribedSource
from tests.support.opcua_scripted import PLANT, Ask, Connection, ScriptedServer
from tests.support.opcua_source import config, opened, reading, series

FOLDERS, VARIABLES, PAGE = 20, 15, 10
TREE = {PLANT: [f"f{n}" for n in range(FOLDERS)]} | {
    f"f{n}": [f"f{n}/v{m}" for m in range(VARIABLES)] for n in range(FOLDERS)
}
SUBTREE = [{"subtree": "/Objects/plant"}]


class Pages:
    """Browse in pages of `PAGE`, with so many continuation points at a time."""

    def __init__(self, points: int) -> None:
        self.points = points
        self.waiting: dict[bytes, Any] = {}
        self.refused = 0
        self._made = 0

    def hooks(self) -> dict[str, Any]:
        return {"BrowseRequest": self.browse, "BrowseNextRequest": self.browse_next}

    async def browse(self, connection: Connection, ask: Ask) -> bool:
        await asyncio.sleep(0.002)
        made = connection.server._browse(connection, ask.request)
        made.Results = [self.cut(result) for result in made.Results]
        connection.reply(ask, made)
        return True

    async def browse_next(self, connection: Connection, ask: Ask) -> bool:
        await asyncio.sleep(0.002)
        made = ua.BrowseNextResponse()
        wanted = [self.waiting.pop(point) for point in ask.request.Parameters.ContinuationPoints]
        if not ask.request.Parameters.ReleaseContinuationPoints:
            made.Parameters.Results = [self.cut(result) for result in wanted]
        connection.reply(ask, made)
        return True

    def cut(self, result: Any) -> Any:
        if len(result.References) <= PAGE:
            return result
        if len(self.waiting) >= self.points:
            self.refused += 1
            return bad(ua.StatusCodes.BadNoContinuationPoints)
        self._made += 1
        rest = ua.BrowseResult()
        rest.References, result.References = result.References[PAGE:], result.References[:PAGE]
        result.ContinuationPoint = ua.ByteString(b"%d" % self._made)
        self.waiting[bytes(result.ContinuationPoint)] = rest
        return result


def bad(status: int) -> Any:
    made = ua.BrowseResult()
    made.StatusCode = ua.StatusCode(ua.UInt32(status))
    return made


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("points", [1, 3, 50])
def test_everything_is_found_with_any_number_of_continuation_points(points: int, told: bool) -> None:
    pages = Pages(points)

    async def body() -> None:
        limits = {"continuation": points, "browse": 4} if told else {"browse": 4}
        async with (
            ScriptedServer(TREE, pages.hooks(), limits=limits) as server,
            connected(config(server.url), series()) as session,
        ):
            found = await browse_server(session, BrowseOptions("/Objects/plant"))
            assert (len(found.entries), found.refused) == (FOLDERS * VARIABLES, ())
            assert not pages.waiting
            if points == 50:
                assert not pages.refused

    asyncio.run(asyncio.wait_for(body(), 30))


class Refusing:
    """Answers Bad for some nodes, as long as it is said to."""

    def __init__(self, results: Mapping[str, int]) -> None:
        self.results = dict(results)

    async def browse(self, connection: Connection, ask: Ask) -> bool:
        made = connection.server._browse(connection, ask.request)
        for number, one in enumerate(ask.request.Parameters.NodesToBrowse):
            status = self.results.get(str(one.NodeId.Identifier))
            if status is not None:
                made.Results[number] = bad(status)
        connection.reply(ask, made)
        return True


STATUSES = ("BadNoContinuationPoints", "BadUserAccessDenied", "BadNodeIdUnknown", "BadOutOfService",
            "UncertainNotAllNodesAvailable", "BadContinuationPointInvalid")  # fmt: skip


@pytest.mark.parametrize("name", STATUSES)
def test_a_folder_that_answers_bad_is_named_by_browse_and_plan(name: str) -> None:
    refusing = Refusing({"f3": getattr(ua.StatusCodes, name)})

    async def body() -> None:
        async with ScriptedServer(TREE, {"BrowseRequest": refusing.browse}) as server:
            made = config(server.url, select=SUBTREE)
            async with connected(made, series()) as session:
                found = await browse_server(session, BrowseOptions("/Objects/plant"))
                planned = await plan_source(session, made)
        for refused in (found.refused, planned.refused):
            assert [(each.what, each.path) for each in refused] == [("children", "f3")]
            assert name in refused[0].reason
        assert len(found.entries) == len(planned.tags) == (FOLDERS - 1) * VARIABLES

    asyncio.run(asyncio.wait_for(body(), 20))


def values(reader: Metrics) -> float:
    return reader.registry.get_sample_value("gateway_source_refused_lookups", {"source": "line"}) or 0.0


def test_variables_of_a_folder_that_answers_late_are_subscribed_without_reconnecting() -> None:
    refusing, metrics = Refusing({"f3": ua.StatusCodes.BadUserAccessDenied}), Metrics()

    async def retried(source: SubscribedSource) -> int:
        await source.items.retry()
        return len(source.table.tags)

    async def body() -> None:
        async with ScriptedServer(TREE, {"BrowseRequest": refusing.browse}) as server:
            made = config(server.url, select=SUBTREE)
            async with opened(made, metrics=metrics.for_source("line")) as source:
                assert values(metrics) == 1
                assert await retried(source) == (FOLDERS - 1) * VARIABLES
                assert values(metrics) == 1
                refusing.results.clear()
                assert await retried(source) == FOLDERS * VARIABLES
                assert values(metrics) == 0

    with capture_logs() as logs:
        asyncio.run(asyncio.wait_for(body(), 20))
    told = [entry for entry in logs if "all of its address space" in entry["event"]]
    assert [entry["log_level"] for entry in told] == ["warning", "info"]
    assert told[0]["places"] == ["f3"]
    assert "BadUserAccessDenied" in told[0]["reason"]


def test_a_unit_that_cannot_be_read_is_named() -> None:
    async def browse_units(connection: Connection, ask: Ask) -> bool:
        made = connection.server._browse(connection, ask.request)
        for one, result in zip(ask.request.Parameters.NodesToBrowse, made.Results, strict=True):
            if one.NodeId.Identifier == "a":
                unit = connection.server.reference("a/EngineeringUnits")
                unit.ReferenceTypeId = ua.NodeId(ua.Int32(46))
                result.References = [unit]
        connection.reply(ask, made)
        return True

    async def read(connection: Connection, ask: Ask) -> bool:
        made = connection.server._read(connection, ask.request)
        for number, one in enumerate(ask.request.Parameters.NodesToRead):
            if str(one.NodeId.Identifier).endswith("EngineeringUnits"):
                made.Results[number] = ua.DataValue(
                    StatusCode=ua.StatusCode(ua.UInt32(ua.StatusCodes.BadUserAccessDenied))
                )
        connection.reply(ask, made)
        return True

    async def body() -> Sequence[Any]:
        hooks = {"BrowseRequest": browse_units, "ReadRequest": read}
        async with ScriptedServer(hooks=hooks) as server, connected(config(server.url), series()) as session:
            return (await browse_server(session, BrowseOptions("/Objects/plant"))).refused

    [refused] = asyncio.run(asyncio.wait_for(body(), 20))
    assert (refused.what, refused.path) == ("EngineeringUnits", "a")


@pytest.mark.parametrize("kind", ["deep", "wide", "pages"])
def test_an_endless_tree_is_cut_and_reported(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(browse, "MAX_NODES", 200)

    async def endless(connection: Connection, ask: Ask) -> bool:
        made = ua.BrowseResponse()
        for one in ask.request.Parameters.NodesToBrowse:
            name, result = str(one.NodeId.Identifier), ua.BrowseResult()
            server = connection.server
            if name in ("84", "85"):
                result = server.below(one)
            else:
                below = [f"{name}/{n}" for n in range(1 if kind == "deep" else 30)]
                server.tree.update(dict.fromkeys(below, ()))
                result.References = [server.reference(each) for each in below]
                if kind == "pages":
                    result.ContinuationPoint = ua.ByteString(b"on")
            made.Results.append(result)
        connection.reply(ask, made)
        return True

    async def on(connection: Connection, ask: Ask) -> bool:
        made = ua.BrowseNextResponse()
        result = ua.BrowseResult()
        result.ContinuationPoint = ua.ByteString(b"on")
        made.Parameters.Results = [result] * len(ask.request.Parameters.ContinuationPoints)
        connection.reply(ask, made)
        return True

    async def body() -> Sequence[Any]:
        hooks = {"BrowseRequest": endless, "BrowseNextRequest": on}
        async with ScriptedServer(hooks=hooks) as server, connected(config(server.url), series()) as session:
            return (await browse_server(session, BrowseOptions("/Objects/plant"))).refused

    refused = asyncio.run(asyncio.wait_for(body(), 30))
    assert "tree" in {each.what for each in refused}
    assert kind != "pages" or any("for ever" in each.reason for each in refused)


@pytest.mark.parametrize("empty", [None, []])
def test_namespaces_that_appear_late_are_read_again(empty: list[str] | None) -> None:
    async def body() -> None:
        async with ScriptedServer() as server:
            uris, server.uris = server.uris, empty
            made = config(server.url, select=[{"node": "nsu=urn:scripted;s=a"}, {"node": "ns=2;s=b"}])
            async with opened(made) as source, reading(source) as seen:
                await seen.more(2)
                await source.items.retry()
                server.uris = uris
                with pytest.raises(Unavailable, match="other namespaces"):
                    await source.items.retry()

    with capture_logs() as logs:
        asyncio.run(asyncio.wait_for(body(), 20))
    assert ["Server"] in [entry.get("places") for entry in logs]


@pytest.mark.parametrize("command", ["run", "browse", "plan"])
def test_opening_can_take_longer_than_a_security_token_lives(command: str) -> None:
    """The server closes a channel whose token is over (Part 6, 6.7.4), and takes its time for each level."""
    levels, life_s = 12, 0.4
    names = [f"d{n}" for n in range(levels)]
    tree = {PLANT: ["d0"]} | {name: [f"d{n + 1}"] for n, name in enumerate(names[:-1])} | {names[-1]: ["v"]}
    born: dict[int, float] = {}

    async def browse_slowly(connection: Connection, ask: Ask) -> bool:
        await asyncio.sleep(0.08)
        if asyncio.get_running_loop().time() - born[id(connection)] > 1.25 * life_s:
            connection.error(ua.StatusCodes.BadSecureChannelTokenUnknown)
            return True
        return False

    async def open_channel(connection: Connection, ask: Ask) -> bool:
        born[id(connection)] = asyncio.get_running_loop().time()
        return False

    async def body() -> int:
        hooks = {"BrowseRequest": browse_slowly, "OpenSecureChannelRequest": open_channel}
        async with ScriptedServer(tree, hooks, lifetime_ms=int(life_s * 1000)) as server:
            made = config(server.url, select=SUBTREE)
            if command == "run":
                async with opened(made) as source:
                    return len(source.table.tags)
            async with connected(made, series()) as session:
                if command == "browse":
                    return len((await browse_server(session, BrowseOptions("/Objects/plant"))).entries)
                return len((await plan_source(session, made)).tags)

    assert asyncio.run(asyncio.wait_for(body(), 20)) == 1
