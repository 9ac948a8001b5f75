"""The services beside subscriptions: what is declared holds; what is asked for is given, or refused by its name."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.client import Client
from asyncua.ua.ua_binary import struct_from_binary
from asyncua.ua.uaerrors import UaStatusCodeError

from simulators.server.limits import MOST_NODES, MOST_POINTS
from simulators.server.nodes import numeric
from tests.support.clients import CLIENTS, foreign_client
from tests.support.served import EPOCH, Plant, Subscriber, connected, items, plant_served, values

MIXED = Path(__file__).parent / "mixed.yaml"
CODES = ua.StatusCodes
SERVER = numeric(ua.ObjectIds.Server)
Body = Callable[[Plant, Subscriber], Awaitable[None]]


def run(body: Body) -> None:
    async def whole() -> None:
        async with plant_served(MIXED) as plant, connected(plant.url) as client:
            await body(plant, client)

    asyncio.run(asyncio.wait_for(whole(), 120))


async def send(client: Client, request: Any, kind: Any) -> Any:
    """The answer to a request.  Raises `UaStatusCodeError` when the service is refused."""
    answer = struct_from_binary(kind, await client.uaclient.session._send_request(request))
    answer.ResponseHeader.ServiceResult.check()
    return answer


async def refusal(asking: Awaitable[object]) -> int:
    with pytest.raises(UaStatusCodeError) as caught:
        await asking
    return int(caught.value.code)


def browse(node_id: ua.NodeId, most: int = 0, mask: int = 63, direction: int = 0) -> ua.BrowseRequest:
    request = ua.BrowseRequest()
    request.Parameters.RequestedMaxReferencesPerNode = ua.UInt32(most)
    asked = ua.BrowseDescription(NodeId=node_id, BrowseDirection=ua.BrowseDirection(direction), ResultMask=mask)
    request.Parameters.NodesToBrowse = [asked]
    return request


def more(point: bytes, release: bool = False) -> ua.BrowseNextRequest:
    request = ua.BrowseNextRequest()
    request.Parameters.ContinuationPoints = [point]
    request.Parameters.ReleaseContinuationPoints = release
    return request


def read(count: int = 1, **fields: Any) -> ua.ReadRequest:
    request = ua.ReadRequest()
    request.Parameters.NodesToRead = [
        ua.ReadValueId(numeric(ua.ObjectIds.Server_ServerArray), ua.AttributeIds.Value, **fields)
    ] * count
    return request


def test_a_node_is_browsed_in_pages_and_points_are_released() -> None:
    async def body(plant: Plant, subscriber: Subscriber) -> None:
        client = subscriber.client

        async def ask(request: Any) -> ua.BrowseResult:
            kind = ua.BrowseResponse if isinstance(request, ua.BrowseRequest) else ua.BrowseNextResponse
            answer = await send(client, request, kind)
            results = answer.Results if isinstance(request, ua.BrowseRequest) else answer.Parameters.Results
            found: ua.BrowseResult = results[0]
            return found

        whole = (await ask(browse(SERVER))).References
        page = await ask(browse(SERVER, 5))
        found = list(page.References)
        while page.ContinuationPoint:
            assert len(page.References) == 5
            page = await ask(more(page.ContinuationPoint))
            found += page.References
        assert found == whole
        point = (await ask(browse(SERVER, 5))).ContinuationPoint
        assert (await ask(more(point, release=True))).StatusCode.value == 0
        assert (await ask(more(point))).StatusCode.value == CODES.BadContinuationPointInvalid
        assert (await ask(browse(numeric(1, 99)))).StatusCode.value == CODES.BadNodeIdUnknown
        names = (await ask(browse(SERVER, mask=8))).References
        assert {(str(r.BrowseName.Name), r.DisplayName.Text) for r in names} == {
            (str(r.BrowseName.Name), None) for r in whole
        }
        for _ in range(MOST_POINTS):
            last = await ask(browse(SERVER, 5))
        assert last.StatusCode.value == 0
        assert (await ask(browse(SERVER, 5))).StatusCode.value == CODES.BadNoContinuationPoints

    run(body)


def test_declared_limits_are_enforced() -> None:
    async def body(plant: Plant, subscriber: Subscriber) -> None:
        client = subscriber.client
        declared = await client.get_node(
            numeric(ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead)
        ).read_value()
        assert declared == MOST_NODES
        assert len((await send(client, read(MOST_NODES), ua.ReadResponse)).Results) == MOST_NODES
        assert await refusal(send(client, read(MOST_NODES + 1), ua.ReadResponse)) == CODES.BadTooManyOperations
        assert await refusal(send(client, read(0), ua.ReadResponse)) == CODES.BadNothingToDo
        many = [numeric(1)] * (MOST_NODES + 1)
        register = ua.RegisterNodesRequest()
        register.Parameters.NodesToRegister = many
        asked = browse(SERVER)
        asked.Parameters.NodesToBrowse = asked.Parameters.NodesToBrowse * (MOST_NODES + 1)
        for request, kind in ((register, ua.RegisterNodesResponse), (asked, ua.BrowseResponse)):
            assert await refusal(send(client, request, kind)) == CODES.BadTooManyOperations

    run(body)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"IndexRange": "2:1"}, CODES.BadIndexRangeInvalid), ({"IndexRange": "5"}, CODES.BadIndexRangeNoData),
        ({"IndexRange": "0"}, 0), ({"DataEncoding": ua.QualifiedName("Default XML")}, CODES.BadDataEncodingUnsupported),
    ],
)  # fmt: skip
def test_reads_in_another_form(fields: dict[str, Any], code: int) -> None:
    async def body(plant: Plant, subscriber: Subscriber) -> None:
        [value] = (await send(subscriber.client, read(**fields), ua.ReadResponse)).Results
        assert value.StatusCode.value == code

    run(body)


def test_triggering_resend_and_the_list_of_items() -> None:
    async def body(plant: Plant, subscriber: Subscriber) -> None:
        client = subscriber.client
        await subscriber.subscribe(plant.id("line-1/mill/Good"), plant.id("line-1/plain/Good"))
        first = await subscriber.publish()
        mids = list(_items(plant, subscriber).queues)
        number = ua.Variant(subscriber.subscription_id, ua.VariantType.UInt32)
        server = client.get_node(SERVER)
        handles = await server.call_method(numeric(ua.ObjectIds.Server_GetMonitoredItems), number)
        assert handles == [mids, [0, 1]]
        await server.call_method(numeric(ua.ObjectIds.Server_ResendData), number)
        assert values(await subscriber.publish(first.NotificationMessage.SequenceNumber)) == values(first)

        mode = ua.SetMonitoringModeParameters(subscriber.subscription_id, ua.MonitoringMode.Sampling, [mids[1]])
        request = ua.SetMonitoringModeRequest()
        request.Parameters = mode
        await send(client, request, ua.SetMonitoringModeResponse)
        link = ua.SetTriggeringRequest()
        link.Parameters = ua.SetTriggeringParameters(subscriber.subscription_id, mids[0], [mids[1], ua.UInt32(9)], [])
        answer = await send(client, link, ua.SetTriggeringResponse)
        assert [code.value for code in answer.Parameters.AddResults] == [0, CODES.BadMonitoredItemIdInvalid]
        plant.run(1.5)  # the plain machine has made a part, the mill has not: nothing is reported
        assert not _items(plant, subscriber).due
        plant.run(4.5)
        told = [item.ClientHandle for item in items(await subscriber.publish())]
        assert {0, 1} == set(told)
        async with connected(plant.url) as other:
            foreign = other.client.get_node(SERVER)
            for method in (ua.ObjectIds.Server_GetMonitoredItems, ua.ObjectIds.Server_ResendData):
                assert await refusal(foreign.call_method(numeric(method), number)) == CODES.BadUserAccessDenied
            assert await refusal(send(other.client, link, ua.SetTriggeringResponse)) == CODES.BadSubscriptionIdInvalid
        shut = numeric(ua.ObjectIds.Server_RequestServerStateChange)
        assert await refusal(server.call_method(shut)) == CODES.BadNotExecutable

    run(body)


def _items(plant: Plant, subscriber: Subscriber) -> Any:
    found = plant.plant_server.endpoint.iserver.subscriptions.subscriptions[subscriber.subscription_id]
    return found.monitored_item_srv


def item(read: ua.ReadValueId, asked: Any) -> ua.MonitoredItemCreateRequest:
    request = ua.MonitoredItemCreateRequest(ItemToMonitor=read, MonitoringMode=ua.MonitoringMode.Reporting)
    request.RequestedParameters.Filter = asked
    return request


def test_wrong_filters_are_refused_with_their_place() -> None:
    async def body(plant: Plant, subscriber: Subscriber) -> None:
        await subscriber.subscribe(plant.id("line-1/mill/Good"))
        text, number = plant.id("line-1/mill/State"), plant.id("line-1/mill/Good")
        value, notifier = ua.AttributeIds.Value, ua.AttributeIds.EventNotifier
        band = ua.DataChangeFilter(ua.DataChangeTrigger.StatusValue, ua.DeadbandType.Absolute, 1.0)
        percent = ua.DataChangeFilter(ua.DataChangeTrigger.StatusValue, ua.DeadbandType.Percent, 1.0)
        wide = ua.DataChangeFilter(ua.DataChangeTrigger.StatusValue, ua.DeadbandType.Absolute, 1000.0)
        good = ua.SimpleAttributeOperand(BrowsePath=[ua.QualifiedName("Message")], AttributeId=value)
        alien = ua.SimpleAttributeOperand(numeric(ua.ObjectIds.FolderType), [ua.QualifiedName("Message")], value)
        cast = ua.ContentFilterElement(ua.FilterOperator.Cast, [])
        lone = ua.ContentFilterElement(ua.FilterOperator.Equals, [good])
        events, wrong = ua.ReadValueId(SERVER, notifier), CODES.BadEventFilterInvalid
        asked: list[tuple[ua.MonitoredItemCreateRequest, int]] = [
            (item(ua.ReadValueId(text, value), band), CODES.BadFilterNotAllowed),
            (item(ua.ReadValueId(number, value), percent), CODES.BadMonitoredItemFilterUnsupported),
            (item(ua.ReadValueId(number, value), ua.EventFilter()), CODES.BadFilterNotAllowed),
            (item(ua.ReadValueId(number, value, "1:x"), None), CODES.BadIndexRangeInvalid),
            (item(ua.ReadValueId(number, value, "1"), None), CODES.BadIndexRangeNoData),
            (item(ua.ReadValueId(text, value, "0:1"), None), 0),
            (item(events, ua.EventFilter()), wrong),
            (item(events, ua.EventFilter([good, alien])), wrong),
            (item(events, ua.EventFilter([good], ua.ContentFilter([cast]))), wrong),
            (item(events, ua.EventFilter([good], ua.ContentFilter([lone]))), wrong),
            (item(events, ua.EventFilter([good])), 0),
            (item(ua.ReadValueId(number, value), wide), 0),
        ]  # fmt: skip
        params = ua.CreateMonitoredItemsParameters(
            subscriber.subscription_id, ua.TimestampsToReturn.Both, [request for request, _ in asked]
        )
        results = await subscriber.session.create_monitored_items(params)
        assert [result.StatusCode.value for result in results] == [code for _, code in asked]
        places = [result.FilterResult for result in results[7:10]]
        assert [code.value for code in places[0].SelectClauseResults] == [0, CODES.BadTypeDefinitionInvalid]
        wheres = [place.WhereClauseResult.ElementResults[0].StatusCode.value for place in places[1:]]
        assert wheres == [CODES.BadFilterOperatorUnsupported, CODES.BadFilterOperandCountMismatch]
        plant.run(30.0)
        first, held = (_items(plant, subscriber).queues[mid] for mid in (112, results[-1].MonitoredItemId))
        assert len(held.waiting) == 1 < 20 < len(first.waiting), "the dead-band holds back what is below it"

    run(body)


def history(node_id: ua.NodeId, details: Any, point: bytes = b"", release: bool = False) -> ua.HistoryReadRequest:
    request = ua.HistoryReadRequest()
    request.Parameters.HistoryReadDetails = details
    request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
    request.Parameters.ReleaseContinuationPoints = release
    request.Parameters.NodesToRead = [ua.HistoryReadValueId(NodeId=node_id, ContinuationPoint=point or None)]
    return request


def test_history_pages_fit_together_while_it_grows() -> None:
    async def body(plant: Plant, subscriber: Subscriber) -> None:
        plant.run(60)
        node_id = plant.id("line-1/plain/Good")
        details = ua.ReadRawModifiedDetails(
            IsReadModified=False, StartTime=EPOCH + timedelta(days=1), EndTime=EPOCH, NumValuesPerNode=ua.UInt32(7)
        )

        async def page(point: bytes = b"", release: bool = False) -> Any:
            answer = await send(subscriber.client, history(node_id, details, point, release), ua.HistoryReadResponse)
            return answer.Results[0]

        got, now_s = await page(), 60.0
        first = got
        counts = [value.Value.Value for value in got.HistoryData.DataValues]
        while got.ContinuationPoint:
            now_s += 10.0
            plant.run(now_s)
            got = await page(got.ContinuationPoint)
            counts += [value.Value.Value for value in got.HistoryData.DataValues]
        assert counts == list(range(counts[0], -1, -1))
        assert counts[0] >= 55
        assert (await page(first.ContinuationPoint)).StatusCode.value == CODES.BadContinuationPointInvalid
        point = (await page()).ContinuationPoint
        assert (await page(point, release=True)).StatusCode.value == 0
        assert (await page(point)).StatusCode.value == CODES.BadContinuationPointInvalid

    run(body)


def test_values_at_times_and_aggregates_of_a_sampled_signal() -> None:
    async def body(plant: Plant, subscriber: Subscriber) -> None:
        server, at = plant.plant_server, EPOCH + timedelta(hours=1)
        energy = server.machines["line-1/mill"].variables["Energy"]
        for n in range(11):  # 0, 10, 20 … one a second
            server.writer.write(energy, 10.0 * n + 1e6, 3600.0 + n)

        async def ask(details: Any) -> list[ua.DataValue]:
            answer = await send(subscriber.client, history(energy.node_id, details), ua.HistoryReadResponse)
            answer.Results[0].StatusCode.check()
            found: list[ua.DataValue] = answer.Results[0].HistoryData.DataValues
            return found

        def numbers(values: list[ua.DataValue]) -> list[float]:
            return [value.Value.Value - (1e6 if value.Value.Value > 1e5 else 0.0) for value in values if value.Value]

        times = [at + timedelta(seconds=s) for s in (0, 2.5, 9.25)]
        found = await ask(ua.ReadAtTimeDetails(ReqTimes=times))
        assert numbers(found) == [0.0, 25.0, 92.5]
        assert [value.StatusCode.value for value in found if value.StatusCode] == [0, 0x402, 0x402]
        for name, expected in (
            ("Average", [20.0, 70.0]), ("Minimum", [0.0, 50.0]), ("Maximum", [40.0, 90.0]), ("Count", [5, 5]),
            ("Interpolative", [0.0, 50.0]),
        ):  # fmt: skip
            kind = numeric(getattr(ua.ObjectIds, f"AggregateFunction_{name}"))
            details = ua.ReadProcessedDetails(at, at + timedelta(seconds=10), 5000.0, [kind])
            assert numbers(await ask(details)) == expected, name
        unknown = ua.ReadProcessedDetails(at, at + timedelta(seconds=10), 5000.0, [numeric(11285)])
        answer = await send(subscriber.client, history(energy.node_id, unknown), ua.HistoryReadResponse)
        assert answer.Results[0].StatusCode.value == CODES.BadAggregateNotSupported

    run(body)


def test_the_server_object_tells_what_the_server_is() -> None:
    async def body(plant: Plant, subscriber: Subscriber) -> None:
        client = subscriber.client
        await subscriber.subscribe(plant.id("line-1/mill/Good"))

        async def value(name: str) -> Any:
            return await client.get_node(numeric(getattr(ua.ObjectIds, f"Server_{name}"))).read_value()

        summary = await value("ServerDiagnostics_ServerDiagnosticsSummary")
        assert (summary.CurrentSessionCount, summary.CurrentSubscriptionCount) == (1, 1)
        [session] = await value("ServerDiagnostics_SessionsDiagnosticsSummary_SessionDiagnosticsArray")
        assert (session.CurrentMonitoredItemsCount, session.CreateSubscriptionCount.TotalCount) == (1, 1)
        [subscription] = await value("ServerDiagnostics_SubscriptionDiagnosticsArray")
        assert subscription.MonitoredItemCount == 1
        assert await value("ServerRedundancy_RedundancySupport") == 0
        assert await value("ServerCapabilities_MaxBrowseContinuationPoints") == MOST_POINTS
        assert "http://opcfoundation.org/UA-Profile/Server/ACAlarm" in await value(
            "ServerCapabilities_ServerProfileArray"
        )
        built = (await value("ServerStatus_BuildInfo")).BuildDate
        assert built.year > 2020
        namespaces = await client.get_node(numeric(ua.ObjectIds.Server_Namespaces)).get_children()
        told = {await (await each.get_child("0:NamespaceUri")).read_value() for each in namespaces}
        array = await client.get_namespace_array()
        assert told == {uri for n, uri in enumerate(array) if n != 1}

    run(body)


@pytest.mark.parametrize("stack", CLIENTS[:1])
def test_a_foreign_client_browses_in_pages_and_reads_ranges(stack: str) -> None:
    async def whole() -> None:
        async with plant_served(MIXED) as plant, foreign_client(stack, plant.url) as client:
            page = await client.ask("browse", node="i=2253", most=4)
            names = page["names"]
            while page["point"]:
                assert len(page["names"]) == 4
                page = await client.ask("next", point=page["point"], release=False)
                names += page["names"]
            assert {"ServerStatus", "ServerCapabilities", "GetMonitoredItems"} <= set(names)
            assert len(names) == len(set(names))
            read = await client.ask("read", node="ns=2;s=line-1/mill/State", range="0:1")
            assert (read["status"], len(read["value"])) == ("Good", 2)

    asyncio.run(asyncio.wait_for(whole(), 120))
