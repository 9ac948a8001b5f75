"""Which variables go into which subscription, against a server with limits."""

import asyncio
import struct

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from gateway.config import SourceConfig
from gateway.opcua.codec.wire import Dialect, Reader
from gateway.opcua.session.session import OperationLimits
from gateway.opcua.space.selection import Asked, Item
from gateway.opcua.subscription.monitoring import Monitored
from gateway.opcua.subscription.services import TOO_MANY_ITEMS, TOO_MANY_SUBSCRIPTIONS, TooManySubscriptions
from gateway.opcua.subscription.subscriptions import Subscriptions
from tests.support.opcua_fake import fake_session

CONFIG = SourceConfig.model_validate(
    {"name": "s", "url": "opc.tcp://x:1", "insecure": True, "select": [{"node": "i=1"}]}
)


class LimitedServer:
    """Takes so many items per subscription and in all, and so many subscriptions."""

    def __init__(self, per_subscription: int = 1000, in_all: int = 1000, subscriptions: int = 1000) -> None:
        self.per_subscription, self.in_all, self.subscriptions = per_subscription, in_all, subscriptions
        self.items: dict[int, int] = {}
        self.asked = 0

    async def send(self, request: ua.CreateSubscriptionRequest) -> bytes:
        answer = ua.CreateSubscriptionResponse()
        if len(self.items) >= self.subscriptions:
            answer.ResponseHeader.ServiceResult = ua.StatusCode(ua.UInt32(TOO_MANY_SUBSCRIPTIONS))
        else:
            number = len(self.items) + 1
            self.items[number] = 0
            interval_ms = request.Parameters.RequestedPublishingInterval
            answer.Parameters = ua.CreateSubscriptionResult(ua.UInt32(number), interval_ms, ua.UInt32(9), ua.UInt32(3))
        return struct_to_binary(answer)

    async def ask(self, request: int, body: bytes) -> Reader:
        subscription, _, count = struct.unpack_from("<Iii", body)
        self.asked += count
        answer = struct.pack("<i", count)
        for _ in range(count):
            full = self.items[subscription] >= self.per_subscription or sum(self.items.values()) >= self.in_all
            self.items[subscription] += not full
            answer += struct.pack("<IIdI", TOO_MANY_ITEMS if full else 0, 1, 100.0, 10) + bytes(3)
        return Reader(answer, 0, len(answer), Dialect())

    async def delete_subscriptions(self, ids: list[int]) -> None:
        for number in ids:
            del self.items[number]


def placed(
    server: LimitedServer, intervals: list[float], told: int = 10_000, before: Subscriptions | None = None
) -> tuple[Subscriptions, list[Monitored]]:
    """Items of these publishing intervals; `told` is the limit per subscription that the server tells."""
    limits = OperationLimits(items=4, subscribed=told)
    session = fake_session(limits, where="fake", uris=(), services=server, ask=server.ask, send=server.send)
    subscriptions = before or Subscriptions(session, CONFIG)
    wanted = [(n, Item(f"i={n}", Asked(100.0, 10, publishing_s=s))) for n, s in enumerate(intervals)]
    return subscriptions, asyncio.run(subscriptions.place(wanted))


def shares(subscriptions: Subscriptions) -> list[tuple[float, set[int]]]:
    return [(tracker.asked_s, tracker.handles) for tracker in subscriptions]


def test_each_interval_has_a_subscription_the_fastest_first() -> None:
    subscriptions, answers = placed(LimitedServer(), [2.0, 0.25, 2.0, 0.25])
    assert shares(subscriptions) == [(0.25, {1, 3}), (2.0, {0, 2})]
    assert [tracker.subscription.interval_s for tracker in subscriptions] == [0.25, 2.0]
    assert all(answer.is_good for answer in answers)


def test_an_announced_limit_of_items_splits_subscriptions() -> None:
    server = LimitedServer(per_subscription=3)
    subscriptions, _ = placed(server, [1.0] * 7, told=3)
    assert shares(subscriptions) == [(1.0, {0, 1, 2}), (1.0, {3, 4, 5}), (1.0, {6})]


@pytest.mark.parametrize("limit", [1, 3, 5])
def test_a_limit_of_items_learned_from_refusals_splits_subscriptions(limit: int) -> None:
    subscriptions, answers = placed(LimitedServer(per_subscription=limit), [1.0] * 11 + [2.0] * 2)
    assert all(answer.is_good for answer in answers)
    assert all(len(tracker.handles) <= limit for tracker in subscriptions)
    assert sorted(handle for tracker in subscriptions for handle in tracker.handles) == list(range(13))


def test_a_learned_limit_of_items_is_not_exceeded_again() -> None:
    server = LimitedServer(per_subscription=10)
    placed(server, [1.0] * 100)
    assert server.asked == 100 + 90


def test_a_full_server_refuses_the_rest_and_keeps_no_empty_subscription() -> None:
    server = LimitedServer(in_all=5)
    subscriptions, answers = placed(server, [1.0] * 8)
    assert [answer.status for answer in answers] == [0] * 5 + [TOO_MANY_ITEMS] * 3
    assert shares(subscriptions) == [(1.0, {0, 1, 2, 3, 4})]
    assert server.items == {1: 5}


def test_freed_capacity_is_used_again() -> None:
    server = LimitedServer(per_subscription=2)
    subscriptions, _ = placed(server, [1.0] * 4)
    first = subscriptions.of(1)
    assert first is not None
    first.handles.clear()
    server.items[first.id] = 0
    placed(server, [1.0], before=subscriptions)
    assert shares(subscriptions) == [(1.0, {0}), (1.0, {2, 3})]


def test_a_server_without_free_subscriptions_refuses_only_that_interval() -> None:
    subscriptions, answers = placed(LimitedServer(subscriptions=1), [0.25, 2.0])
    assert [answer.status for answer in answers] == [0, TOO_MANY_SUBSCRIPTIONS]
    assert shares(subscriptions) == [(0.25, {0})]
    with pytest.raises(TooManySubscriptions):
        placed(LimitedServer(subscriptions=0), [0.25])


def test_a_subscription_without_items_is_created() -> None:
    """It says that the server is there, and when its address space changes."""
    subscriptions, _ = placed(LimitedServer(), [])
    assert shares(subscriptions) == [(CONFIG.publishing_interval, set())]
