"""What becomes of subscriptions that were handed over: each is gone on with, or given up, for itself."""

import asyncio
import struct
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary
from structlog.testing import capture_logs

from gateway.config import SourceConfig
from gateway.logs import Sparing
from gateway.metrics import Metrics
from gateway.model import UNIX_EPOCH_TICKS, Batch, Tag
from gateway.opcua.codec.read_values import ReadValue
from gateway.opcua.codec.wire import Dialect, Reader
from gateway.opcua.session.session import OperationLimits
from gateway.opcua.space.selection import Asked, Item, Table
from gateway.opcua.subscription.checkpoint import Checkpoint, Position, SavedSubscription, SubscriptionState
from gateway.opcua.subscription.publisher import Silent
from gateway.opcua.subscription.subscribed import SubscribedSource
from tests.support import opcua_wire as wire
from tests.support.opcua_fake import fake_log, fake_session

URL = "opc.tcp://nowhere:1"
CONFIG = SourceConfig.model_validate(
    {"name": "s", "url": URL, "insecure": True, "select": [{"node": "i=1"}], "backfill": "off"}
)
ITEMS = (Item("i=1", Asked(100.0, 10, publishing_s=0.1)), Item("i=2", Asked(100.0, 10, publishing_s=0.2)))
TABLE = Table((Tag("x", "i=1"), Tag("y", "i=2")), ITEMS, "digest")
BEGAN = 134_000_000_000_000_000
FAST, SLOW = (
    SavedSubscription(7, 0.1, 0.1, 0.02, 10.0, ((0, 1),)),
    SavedSubscription(9, 0.2, 0.2, 0.02, 10.0, ((1, 2),)),
)
CHECKPOINT = Checkpoint(
    SubscriptionState(URL, "monday", "digest", (FAST, SLOW)), (Position(5, BEGAN + 50), Position(2, BEGAN))
)


class FakeServices:
    """A server that hands over subscriptions 7 and 9, of which it keeps a message that is not durable; new ones are
    20 and up."""

    def __init__(self, fast: tuple[int, ...] = (0,), slow: tuple[int, ...] = (1,)) -> None:
        self.handles = {7: fast, 9: slow}
        self.kept = {7: [4, 5, 6], 9: [3]}
        self.now = datetime.now(UTC)
        self.deleted: list[int] = []
        self.created = 20
        self.tells_items = True

    async def transfer_subscriptions(self, request: ua.TransferSubscriptionsParameters) -> list[ua.TransferResult]:
        assert request.SendInitialValues is False
        unknown = ua.StatusCodes.BadSubscriptionIdInvalid
        return [
            ua.TransferResult(
                ua.StatusCode(ua.UInt32(0 if number in self.kept else unknown)), self.kept.get(number, [])
            )
            for number in request.SubscriptionIds
        ]

    async def call(self, requests: list[ua.CallMethodRequest]) -> list[ua.CallMethodResult]:
        if not self.tells_items:
            raise ua.uaerrors.BadMethodInvalid
        handles = self.handles[requests[0].InputArguments[0].Value]
        numbers = ua.Variant(list(handles), ua.VariantType.UInt32, is_array=True)
        return [ua.CallMethodResult(OutputArguments=[numbers, numbers])]

    async def delete_subscriptions(self, ids: list[int]) -> None:
        self.deleted += ids

    async def ask(self, request: int, body: bytes) -> Reader:
        """CreateMonitoredItems."""
        assert request == 751
        [count] = struct.unpack_from("<i", body, 8)
        answer = struct.pack("<i", count) + count * (struct.pack("<IIdI", 0, 1, 100.0, 10) + bytes(3))
        return Reader(answer, 0, len(answer), Dialect())

    async def send(self, request: object) -> bytes:
        if isinstance(request, ua.RepublishRequest):
            number = request.Parameters.RetransmitSequenceNumber
            part = wire.data_change([wire.item(0, wire.double(number))])
            return wire.republish_response([part], number)
        made = ua.CreateSubscriptionResponse()
        made.Parameters = ua.CreateSubscriptionResult(ua.UInt32(self.created), 10.0, ua.UInt32(100), ua.UInt32(2))
        self.created += 1
        return struct_to_binary(made)


class FakePublisher:
    """Brings what is said, and then silence: for as long as anybody wants to wait."""

    def __init__(self, said: Callable[[], bytes | None] = lambda: None) -> None:
        self.said = said
        self.is_late = False
        self.acknowledged: list[tuple[int, int]] = []

    @property
    def has_arrived(self) -> bool:
        return self.is_late

    def fill(self, requests: int) -> None:
        return

    def wake(self) -> None:
        return

    def acknowledge(self, subscription: int, sequence: int) -> None:
        self.acknowledged.append((subscription, sequence))

    async def receive(self, timeout_s: float) -> bytes:
        if self.is_late:
            self.is_late = False
            return wire.publish_response([], 6)
        said = self.said()
        await asyncio.sleep(min(timeout_s, 0.005) if said else timeout_s)
        if said is None or timeout_s <= 0:
            raise Silent("not a word")
        return said


class Run:
    """A source that takes up the checkpoint, read until it gives up for silence."""

    def __init__(
        self, services: FakeServices, started: str = "monday", table: Table = TABLE,
        publisher: FakePublisher | None = None, checkpoint: Checkpoint = CHECKPOINT, lines: Sparing | None = None,
        answers: Callable[[], bool] = lambda: True,
    ) -> None:  # fmt: skip
        self.publisher = publisher or FakePublisher()

        async def answered() -> bool:
            return answers()

        self.batches: list[Batch] = []
        session = fake_session(
            OperationLimits(), log=fake_log(lines), where=URL, uris=(), started=started, services=services,
            ask=services.ask, send=services.send, read_values=self._read_values, answers=answered,
        )  # fmt: skip
        self._now, self._checkpoint = services.now, checkpoint
        self._source = SubscribedSource(
            session,
            CONFIG,
            metrics=Metrics().for_source("s"),
            table=table,
            publisher=self.publisher,  # type: ignore[arg-type]  # an obeying fake
            dialect=Dialect(),
        )
        with pytest.raises(Silent):
            asyncio.run(asyncio.wait_for(self._read(), 60))

    async def _read_values(self, nodes: list[ua.NodeId]) -> list[ReadValue]:
        return [ReadValue(13, int(self._now.timestamp() * 10**7) + UNIX_EPOCH_TICKS, 0) for _ in nodes]

    async def _read(self) -> None:
        await self._source.begin(self._checkpoint)
        async with aclosing(self._source.batches()) as stream:
            async for batch in stream:
                self.batches.append(batch)

    @property
    def values(self) -> list[object]:
        return [value for batch in self.batches for value in batch.values]

    @property
    def gaps(self) -> list[tuple[str, tuple[int, ...], int]]:
        """Cause, tags, and when it began."""
        return [(gap.cause, gap.handles, gap.from_ticks) for batch in self.batches for gap in batch.gaps]


ANEW = "subscription_recreated"


def test_durable_messages_are_acknowledged_and_only_the_others_read_again() -> None:
    run = Run(FakeServices())
    assert run.values == [6, 3]
    assert run.publisher.acknowledged[:4] == [(7, 4), (7, 5), (7, 6), (9, 3)]


def test_silent_subscriptions_after_a_transfer_are_created_again_and_announced() -> None:
    services = FakeServices()
    services.kept = {7: [], 9: []}
    run = Run(services)
    assert services.deleted == [7, 9]
    assert run.gaps == [(ANEW, (0,), BEGAN + 50), (ANEW, (1,), BEGAN)]


@pytest.mark.parametrize("what", ["answers nothing", "was late"])
def test_a_server_that_is_slow_after_a_transfer_keeps_its_subscriptions(what: str) -> None:
    services, publisher = FakeServices(), FakePublisher()
    services.kept = {7: [], 9: []}
    asked: list[str] = []

    def answers() -> bool:
        asked.append(what)
        publisher.is_late = asked == ["was late"]
        return publisher.is_late

    run = Run(services, publisher=publisher, answers=answers)
    assert (services.deleted, run.gaps) == ([], [])
    assert len(asked) == (2 if what == "was late" else 1)


def test_a_silent_transferred_subscription_is_created_again_while_the_other_continues() -> None:
    services = FakeServices()
    services.kept = {7: [], 9: []}
    alive = wire.publish_response([], 6)
    run = Run(services, publisher=FakePublisher(lambda: alive))
    assert services.deleted == [9]  # and the new one, which is silent too, is a reason to connect again
    assert run.gaps == [(ANEW, (1,), BEGAN)]


def test_a_subscription_missing_on_the_server_affects_only_its_own_tags() -> None:
    services = FakeServices()
    del services.kept[9]
    run = Run(services)
    assert run.gaps[0] == (ANEW, (1,), BEGAN)
    assert run.values == [6]
    assert 9 not in services.deleted


def test_a_subscription_that_lost_items_affects_only_its_own_tags() -> None:
    services = FakeServices(fast=())
    run = Run(services)
    assert services.deleted[0] == 7
    assert run.gaps[0] == (ANEW, (0,), BEGAN + 50)
    assert run.values == [3]


def test_a_subscription_with_a_changed_interval_affects_only_its_own_tags() -> None:
    services = FakeServices()
    run = Run(services, table=replace(TABLE, items=(ITEMS[0], Item("i=2", Asked(100.0, 10, publishing_s=3.0)))))
    assert services.deleted[0] == 9
    assert run.gaps[0] == (ANEW, (1,), BEGAN)


def test_a_server_that_flaps_is_told_of_once_in_a_while_and_how_often() -> None:
    now_s = [0.0]
    sparing = Sparing(lambda: now_s[0])

    def lines(*kept: int) -> list[tuple[object, object]]:
        services = FakeServices()
        services.kept = {number: [] for number in kept}
        with capture_logs() as logs:
            Run(services, lines=sparing)
        return [(line["event"].partition(":")[0], line.get("and_more_since")) for line in logs]

    assert lines(7) == [("subscription transferred", None), ("subscribed", None), ("subscribed again", None)]
    assert [lines(7), lines(), lines(7, 9)] == [[], [], []]
    now_s[0] = 61.0
    assert ("subscription transferred", 3) in lines(7)


UNSURE = replace(CHECKPOINT, state=replace(CHECKPOINT.state, subscriptions=(FAST, replace(SLOW, handles=None))))
"""Made while the server was being asked for items of the second."""


def test_the_server_names_the_items_that_the_checkpoint_does_not_have() -> None:
    run = Run(FakeServices(), checkpoint=UNSURE)
    assert run.values == [6, 3]


def test_a_subscription_with_unknown_items_affects_all_tags_without_another() -> None:
    services = FakeServices()
    services.tells_items = False
    run = Run(services, checkpoint=UNSURE)
    assert services.deleted[0] == 9
    assert run.gaps[0] == (ANEW, (1,), BEGAN)
    assert run.values == [6]


def test_subscriptions_of_a_server_that_was_restarted_are_not_touched() -> None:
    services = FakeServices()
    run = Run(services, started="tuesday")
    assert services.deleted == []
    assert run.gaps == [(ANEW, (0,), BEGAN + 50), (ANEW, (1,), BEGAN)]


def test_a_changed_selection_announces_everything_from_the_slowest_position() -> None:
    services = FakeServices()
    run = Run(services, table=replace(TABLE, digest="another"))
    assert services.deleted == [7, 9]
    assert run.gaps == [(ANEW, (0, 1), BEGAN)]


def test_a_checkpoint_from_the_future_does_not_tell_when_the_absence_began() -> None:
    """The server's clock was set back: what is missing lies before the checkpoint's time."""
    services = FakeServices(fast=())
    services.now = datetime(2024, 1, 1, tzinfo=UTC)
    run = Run(services)
    assert run.gaps[0] == (ANEW, (0,), 0)
    assert run.batches[0].gaps[0].to_ticks < BEGAN
