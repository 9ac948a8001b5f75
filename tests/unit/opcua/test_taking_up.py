"""What becomes of a subscription that was handed over: gone on with, or given up when it stays silent."""

import asyncio
import struct
from contextlib import aclosing
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_to_binary

from gateway.config import SourceConfig
from gateway.metrics import Metrics
from gateway.model import Batch, Tag
from gateway.opcua.mark import Lease, Mark
from gateway.opcua.publisher import Silent
from gateway.opcua.selection import Item, Table
from gateway.opcua.session import Limits
from gateway.opcua.source import Source
from gateway.opcua.wire import Dialect, Reader
from tests.support import opcua_wire as wire

URL = "opc.tcp://nowhere:1"
CONFIG = SourceConfig.model_validate(
    {"name": "s", "url": URL, "insecure": True, "select": [{"node": "i=1"}], "backfill": "off"}
)
TABLE = Table((Tag("x", "i=1"),), (Item("i=1", 100.0, 10),), "digest")
MARK = Mark(Lease(URL, "monday", 7, "digest", 0.1, 1.0, 10.0), 5, 134_000_000_000_000_000)


class FakeServices:
    """A server that hands over subscription 7, whose messages up to 5 are durable and 6 is kept; new ones are 8."""

    def __init__(self, handles: tuple[int, ...] = (0,)) -> None:
        self.handles = handles
        self.now = datetime.now(UTC)
        self.deleted: list[int] = []

    async def transfer_subscriptions(self, request: ua.TransferSubscriptionsParameters) -> list[ua.TransferResult]:
        assert request.SendInitialValues is False
        known = list(request.SubscriptionIds) == [7]
        status = ua.StatusCode(ua.UInt32(0 if known else ua.StatusCodes.BadSubscriptionIdInvalid))
        return [ua.TransferResult(status, [4, 5, 6])]

    async def call(self, requests: list[ua.CallMethodRequest]) -> list[ua.CallMethodResult]:
        numbers = ua.Variant(list(self.handles), ua.VariantType.UInt32, is_array=True)
        return [ua.CallMethodResult(OutputArguments=[numbers, numbers])]

    async def delete_subscriptions(self, ids: list[int]) -> None:
        self.deleted += ids

    async def ask(self, request: int, body: bytes) -> Reader:
        """CreateMonitoredItems of one item."""
        assert (request, body[8:12]) == (751, struct.pack("<i", 1))
        answer = struct.pack("<iIIdI", 1, 0, 1, 100.0, 10) + bytes(3)
        return Reader(answer, 0, len(answer), Dialect())

    async def _send_request(self, request: object) -> Buffer:
        if isinstance(request, ua.RepublishRequest):
            number = request.Parameters.RetransmitSequenceNumber
            part = wire.data_change([wire.item(0, wire.double(number))])
            return Buffer(wire.republish_response([part], number))
        made = ua.CreateSubscriptionResponse()
        made.Parameters = ua.CreateSubscriptionResult(ua.UInt32(8), 100.0, ua.UInt32(100), ua.UInt32(10))
        return Buffer(struct_to_binary(made))


class FakePublisher:
    """Silent from the beginning."""

    def __init__(self) -> None:
        self.acknowledged: list[tuple[int, int]] = []

    def fill(self) -> None:
        return

    def wake(self) -> None:
        return

    def acknowledge(self, subscription: int, sequence: int) -> None:
        self.acknowledged.append((subscription, sequence))

    async def receive(self, timeout_s: float) -> bytes:
        raise Silent("not a word")


async def _read(services: FakeServices, started: str, publisher: FakePublisher, batches: list[Batch]) -> None:
    async def read_values(nodes: list[ua.NodeId]) -> list[ua.DataValue]:
        return [ua.DataValue(ua.Variant(services.now)) for _ in nodes]

    session = SimpleNamespace(
        where=URL, uris=(), started=started, services=services, limits=Limits(), read_values=read_values,
        ask=services.ask,
    )  # fmt: skip
    series = Metrics().for_source("s")
    source = Source(session, CONFIG, series, TABLE, publisher, Dialect())  # type: ignore[arg-type]  # obeying fakes
    await source.subscribe(MARK)
    async with aclosing(source.batches()) as stream:
        async for batch in stream:
            batches.append(batch)


def read(services: FakeServices, started: str = "monday") -> tuple[list[Batch], FakePublisher]:
    """The batches until the source gives up for silence, and what was acknowledged."""
    publisher, batches = FakePublisher(), list[Batch]()
    with pytest.raises(Silent):
        asyncio.run(asyncio.wait_for(_read(services, started, publisher, batches), 60))
    return batches, publisher


def causes(batches: list[Batch]) -> list[str]:
    return [gap.cause for batch in batches for gap in batch.gaps]


def test_what_is_durable_is_acknowledged_and_only_the_rest_read_again() -> None:
    batches, publisher = read(FakeServices())
    assert list(batches[0].values) == [6]
    assert publisher.acknowledged[:3] == [(7, 4), (7, 5), (7, 6)]


def test_subscription_that_stays_silent_after_the_hand_over_is_created_anew_and_announced() -> None:
    services = FakeServices()
    batches, _ = read(services)
    assert services.deleted == [7]
    assert causes(batches) == ["subscription_recreated"]


def test_subscription_that_lost_items_is_created_anew_and_announced() -> None:
    services = FakeServices(handles=())
    batches, _ = read(services)
    assert services.deleted == [7]
    assert causes(batches) == ["subscription_recreated"]
    assert batches[0].gaps[0].from_ticks == MARK.ticks


def test_subscription_of_a_server_that_was_restarted_is_not_touched() -> None:
    services = FakeServices()
    batches, _ = read(services, started="tuesday")
    assert services.deleted == []
    assert causes(batches) == ["subscription_recreated"]


def test_mark_from_the_future_says_nothing_about_when_the_absence_began() -> None:
    """The server's clock was set back: what is missing lies before the mark's time."""
    services = FakeServices(handles=())
    services.now = datetime(2024, 1, 1, tzinfo=UTC)
    batches, _ = read(services)
    [gap] = batches[0].gaps
    assert gap.from_ticks == 0
    assert gap.to_ticks < MARK.ticks
