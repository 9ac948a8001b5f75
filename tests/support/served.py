"""A small OPC UA server of ours inside the test, with a few variables to write."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from asyncua import ua
from asyncua.client import Client
from asyncua.server.binary_server_asyncio import OPCUAProtocol
from asyncua.ua.ua_binary import struct_from_binary

from simulators.alarms import NO_ALARMS, Alarms
from simulators.flow import Factory
from simulators.flow.packml_unit import PackMLUnit
from simulators.plant import load
from simulators.server.endpoint import MODEL_URI, Access, OpcUaServer, bind, prepared
from simulators.server.machines import NodeNamespace
from simulators.server.nodes import text_id
from simulators.server.plant_server import Plan, PlantServer, build
from simulators.server.record import recording
from simulators.server.space import OBJECTS, Space, Variable


@dataclass(frozen=True, slots=True)
class Served:
    server: OpcUaServer
    namespace: NodeNamespace
    variables: list[Variable]

    @property
    def clients(self) -> list[OPCUAProtocol]:
        """The connections the server has."""
        assert self.server.bserver is not None
        return self.server.bserver.clients

    def write(self, number: int, content: float, code: int = 0) -> None:
        now = datetime.now(UTC)
        self.namespace.space.write(self.variables[number], content, now, now, code)


@asynccontextmanager
async def served(variables: int = 1, access: Access | None = None) -> AsyncIterator[Served]:
    """A server that listens, with Double variables `V0`, `V1` …"""
    async with prepared("test", access or Access(), bind("opc.tcp://127.0.0.1:0")) as server:
        namespace = NodeNamespace(Space(server.iserver.aspace), await server.register_namespace(MODEL_URI))
        added = [
            namespace.space.add_variable(
                namespace.id(f"V{n}"), namespace.name(f"V{n}"), OBJECTS, ua.VariantType.Double, 0.0, access=3
            )
            for n in range(variables)
        ]
        await server.start()
        yield Served(server, namespace, added)


class Plant:
    """A factory and the server that shows it; simulated time passes when the test says so."""

    def __init__(self, factory: Factory, plant_server: PlantServer) -> None:
        self.factory = factory
        self.plant_server = plant_server
        self.url = plant_server.endpoint.url
        self.namespace = 2

    def run(self, until_s: float) -> None:
        """Let the factory work up to a simulated time, and publish what happened."""
        self.factory.run(until_s)
        self.plant_server.publish(self.factory.take_changes(), until_s)
        self.plant_server.sample(until_s)

    def id(self, text: str) -> ua.NodeId:
        return text_id(text, self.namespace)


@asynccontextmanager
async def plant_served(
    path: Path, access: Access | None = None, record: Path | None = None, alarms: Alarms = NO_ALARMS
) -> AsyncIterator[Plant]:
    """The plant of a file behind a server, at simulated time 0."""
    plant = load(path)
    factory = Factory(plant, seed=1)
    async with (
        recording(record) as recorder,
        prepared(plant.name, access or Access(), bind("opc.tcp://127.0.0.1:0")) as server,
    ):
        units = [PackMLUnit(machine) for machine in factory.machines]
        plant_server = await build(server, Plan(
                plant.name, plant.site, units, factory.stress, EPOCH, None, factory.lines,
                list(factory.crews.values()), factory.set_points, alarms,
            ), recorder)  # fmt: skip
        plant_server.record_rest(0.0)
        await server.start()
        yield Plant(factory, plant_server)


EPOCH = datetime(2026, 1, 5, tzinfo=UTC)


class Subscriber:
    """A client that publishes by hand: the test decides when a request is outstanding and what is acknowledged."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.session = client.uaclient.session
        self.subscription_id = 0

    async def subscribe(self, *node_ids: ua.NodeId, queue: int = 100, oldest: bool = True, most: int = 0) -> list[int]:
        """One subscription on these nodes, client handles 0, 1 …; gives the ids of the monitored items."""
        request = ua.CreateSubscriptionRequest()
        request.Parameters.RequestedPublishingInterval = 20.0
        request.Parameters.RequestedLifetimeCount = ua.UInt32(3000)
        request.Parameters.RequestedMaxKeepAliveCount = ua.UInt32(1000)
        request.Parameters.MaxNotificationsPerPublish = ua.UInt32(most)
        answer = struct_from_binary(ua.CreateSubscriptionResponse, await self.session._send_request(request))
        self.subscription_id = answer.Parameters.SubscriptionId
        items = []
        for handle, node_id in enumerate(node_ids):
            item = ua.MonitoredItemCreateRequest()
            item.ItemToMonitor = ua.ReadValueId(node_id, ua.AttributeIds.Value)
            item.MonitoringMode = ua.MonitoringMode.Reporting
            item.RequestedParameters.ClientHandle = ua.UInt32(handle)
            item.RequestedParameters.QueueSize = ua.UInt32(queue)
            item.RequestedParameters.DiscardOldest = oldest
            items.append(item)
        params = ua.CreateMonitoredItemsParameters(self.subscription_id, ua.TimestampsToReturn.Both, items)
        return [result.MonitoredItemId for result in await self.session.create_monitored_items(params)]

    async def publish(self, *acknowledged: int) -> ua.PublishResult:
        acks = [ua.SubscriptionAcknowledgement(self.subscription_id, ua.UInt32(n)) for n in acknowledged]
        response = await asyncio.wait_for(self.session.publish(acks), 30)
        response.ResponseHeader.ServiceResult.check()
        result: ua.PublishResult = response.Parameters
        return result

    async def take_over(self, subscription_id: int, initial: bool = False) -> ua.TransferResult:
        self.subscription_id = subscription_id
        params = ua.TransferSubscriptionsParameters([ua.UInt32(subscription_id)], initial)
        return (await self.session.transfer_subscriptions(params))[0]


def values(result: ua.PublishResult) -> list[object]:
    """The values of one publish response, in order."""
    return [item.Value.Value.Value for item in items(result)]


def items(result: ua.PublishResult) -> list[ua.MonitoredItemNotification]:
    return [item for data in result.NotificationMessage.NotificationData for item in data.MonitoredItems]


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Subscriber]:
    """A client with a session; at the end it goes politely."""
    client = Client(url, timeout=30, watchdog_intervall=60.0)  # its own probes are not part of a test
    await client.connect()
    try:
        yield Subscriber(client)
    finally:
        await client.disconnect()


async def until(condition: Callable[[], bool]) -> None:
    """Wait, in steps that let the server work, until something has come about."""
    while not condition():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.005)
