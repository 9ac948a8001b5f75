"""Each broker gets what it asks for, in its own payload; the books balance for each, whatever is changed meanwhile."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import orjson
import pytest

from gateway.delivery import DELIVERED
from gateway.model import Message, Priority, Tag
from gateway.payload.layout import priority_of, route_of
from gateway.pipeline.announce import Teller, announce
from tests.support.composition import Composition
from tests.support.forwarding import until

OWN: dict[str, object] = {"payload": {"topic": "own/{machine}", "max_values": 3}}
SOME: dict[str, object] = {"tags": [{"sources": ["s"]}]}
BOTH = OWN | SOME
SHARED: dict[str, object] = {"payload": {"topic": "shared/{source}"}}
Brokers = dict[str, dict[str, object]]


def run(composition: Composition, brokers: Brokers, body: Callable[[], Awaitable[None]], **changes: object) -> None:
    async def life() -> None:
        async with composition.running(composition.config(brokers=brokers, **changes)):  # type: ignore[arg-type]
            await until(lambda: all(link.is_up for link in composition.gateway.links))
            await body()

    asyncio.run(asyncio.wait_for(life(), 60))


async def settled(composition: Composition) -> None:
    """All that was produced is stored and delivered."""
    await until(lambda: all(s.acknowledged == s.produced for s in composition.servers.values()))
    await composition.gateway.outbox.wait_empty()
    for name in composition.brokers:
        await until(lambda name=name: composition.gateway.queues[name].stored_values == 0)  # type: ignore[misc]
        assert composition.books(name).balance


def got(composition: Composition, broker: str) -> dict[str, Counter[int]]:
    """How often each value came, by source."""
    found: dict[str, Counter[int]] = {}
    for message in composition.brokers[broker].got:
        values = orjson.loads(message.payload)["values"]
        found.setdefault(message.source, Counter()).update(int(value["value"]) for value in values)
    return found


def each_once(count: int) -> Counter[int]:
    return Counter(range(1, count + 1))


def test_each_broker_gets_its_tags_in_its_payload(tmp_path: Path) -> None:
    composition = Composition(tmp_path)

    async def body() -> None:
        composition.produce(20)
        await settled(composition)
        assert got(composition, "a") == {"s": each_once(20), "t": each_once(20)}
        assert got(composition, "b") == {"s": each_once(20)}
        assert {message.topic for message in composition.brokers["a"].got} == {"x/s", "x/t"}
        assert {message.topic for message in composition.brokers["b"].got} == {"own/m"}
        assert {route_of(message.stream) for message in composition.brokers["a"].got} == {""}
        assert {route_of(message.stream) for message in composition.brokers["b"].got} == {"b"}
        assert max(message.values for message in composition.brokers["b"].got) == 3
        assert (composition.books("a").not_routed, composition.books("b").not_routed) == (0, 20)

    run(composition, {"b": BOTH}, body)


def test_brokers_with_equal_payload_and_tags_share_a_route(tmp_path: Path) -> None:
    composition = Composition(tmp_path, brokers=("a", "b", "c"))

    async def body() -> None:
        composition.produce(5)
        await settled(composition)
        assert len(composition.gateway.routing.routes) == 2
        assert [m.stream for m in composition.brokers["b"].got] == [m.stream for m in composition.brokers["c"].got]
        assert {route_of(message.stream) for message in composition.brokers["b"].got} == {"b"}

    run(composition, {"b": OWN, "c": OWN}, body)


def test_brokers_without_own_payload_or_tags_share_one_route(tmp_path: Path) -> None:
    composition = Composition(tmp_path)

    async def body() -> None:
        assert [(route.name, route.tags) for route in composition.gateway.routing.routes] == [("", None)]

    run(composition, {"b": {"payload": {"topic": "x/{source}"}}}, body)


def test_a_disconnected_broker_delays_no_other_route(tmp_path: Path) -> None:
    composition = Composition(tmp_path)

    async def body() -> None:
        composition.brokers["b"].go()
        composition.produce(50)
        await until(lambda: composition.has_all("a"))
        books = composition.books("b")
        assert (books.stored, books.not_routed, books.delivered) == (50, 50, 0)
        assert books.balance
        composition.brokers["b"].is_there = True
        await settled(composition)
        assert got(composition, "b")["s"] == each_once(50)

    run(composition, {"b": BOTH}, body)


CHANGES: dict[str, tuple[Brokers, Brokers]] = {
    "a payload of its own": ({}, {"b": OWN}),
    "the payload of the gateway again": ({"b": OWN}, {}),
    "another payload of its own": ({"b": OWN}, {"b": {"payload": {"topic": "other/{source}"}}}),
    "that of a third": ({"b": OWN, "c": SHARED}, {"b": SHARED, "c": SHARED}),
    "its own beside a third": ({"b": SHARED, "c": SHARED}, {"b": OWN, "c": SHARED}),
    "that of a third, which goes elsewhere": ({"a": SHARED}, {"b": SHARED, "c": OWN}),
}


@pytest.mark.parametrize("doing", ["up", "away", "waiting"])
@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_routes_loses_and_repeats_nothing(name: str, doing: str, tmp_path: Path) -> None:
    first, second = CHANGES[name]
    composition = Composition(tmp_path, brokers=("a", "b", "c"))
    broker = composition.brokers["b"]

    async def body() -> None:
        composition.produce(30)
        await settled(composition)
        if doing == "away":
            broker.go()
        elif doing == "waiting":
            broker.verdict = lambda message: None
        for _ in range(2):
            composition.produce(40)
            producing = asyncio.ensure_future(produce_slowly(composition, 40))
            await composition.peers.take(composition.config(brokers=second))
            await producing
            await composition.peers.take(composition.config(brokers=first))
            composition.produce(10)
        await composition.peers.take(composition.config(brokers=second))
        composition.produce(20)
        broker.is_there, broker.verdict = True, lambda message: DELIVERED
        broker.answer(DELIVERED)
        await settled(composition)
        produced = each_once(composition.servers["s"].produced)
        for each in composition.brokers:
            assert got(composition, each) == {"s": produced, "t": produced}
            assert composition.books(each).not_routed == 0

    run(composition, first, body)


async def produce_slowly(composition: Composition, count: int) -> None:
    for _ in range(count):
        composition.produce()
        await asyncio.sleep(0)


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_routes_between_two_runs_loses_and_repeats_nothing(name: str, tmp_path: Path) -> None:
    first, second = CHANGES[name]
    composition = Composition(tmp_path, brokers=("a", "b", "c"))
    broker = composition.brokers["b"]

    async def stored() -> None:
        broker.go()
        composition.produce(30)
        await until(lambda: composition.has_all("a") and composition.has_all("c"))

    async def delivered() -> None:
        composition.produce(30)
        await settled(composition)
        for each in composition.brokers:
            assert got(composition, each) == {"s": each_once(60), "t": each_once(60)}
        assert composition.books("b").recovered == 60

    run(composition, first, stored, stop_grace="10ms")
    broker.is_there = True
    run(composition, second, delivered)


def test_tags_are_chosen_by_field_name_and_priority(tmp_path: Path) -> None:
    composition = Composition(tmp_path, sources=("s",), brokers=("a", "b"))
    tags = [
        Tag("Temperature", "i=1", {"machine": "press-1"}),
        Tag("State", "i=2", {"machine": "press-1"}, priority=Priority.STATE),
        Tag("Temperature", "i=3", {"machine": "oven"}),
        Tag("State", "i=4", {"machine": "oven"}, priority=Priority.STATE),
    ]
    wished = [{"fields": {"machine": "press-*"}, "exclude": ["St*"]}, {"priorities": ["state"], "include": ["State"]}]
    composition.servers["s"].tags = tags
    composition.servers["s"].handles = (0, 1, 2, 3)

    async def body() -> None:
        composition.produce(8)
        await settled(composition)
        seen = {
            (message.topic, value["name"])
            for message in composition.brokers["b"].got
            for value in orjson.loads(message.payload)["values"]
        }
        assert seen == {("own/press-1", "Temperature"), ("own/press-1", "State"), ("own/oven", "State")}
        assert {priority_of(message.stream) for message in composition.brokers["b"].got} == {
            Priority.STATE, Priority.TELEMETRY,
        }  # fmt: skip
        assert composition.books("b").not_routed == 2

    run(composition, {"b": {**OWN, "tags": wished}}, body)


def test_dropped_messages_are_announced_in_each_affected_route(tmp_path: Path) -> None:
    composition = Composition(tmp_path)
    composition.outbox |= {"max_bytes": 60_000, "segment_bytes": 4000, "min_free": 1}

    async def body() -> None:
        for broker in composition.brokers.values():
            broker.verdict = lambda message: None
        for _ in range(80):
            composition.produce(10)
            await until(lambda: all(s.acknowledged == s.produced for s in composition.servers.values()))
        for broker in composition.brokers.values():
            broker.verdict = lambda message: DELIVERED
            broker.answer(DELIVERED)
        await until(lambda: all(composition.books(name).dropped for name in "ab"))
        telling = asyncio.ensure_future(announce(composition.gateway.losers, composition.gateway.outbox, teller()))
        await until(lambda: all(told(name) for name in "ab"))
        telling.cancel()
        assert {route_of(message.stream) for message in told("a")} == {""}
        assert {route_of(message.stream) for message in told("b")} == {"b"}
        assert {message.topic for message in told("b")} <= {"own/m", "own/m/losses"}

    def teller() -> Teller:
        return Teller("edge", composition.gateway.stream_prefix, composition.gateway.payload_of)

    def told(broker: str) -> list[Message]:
        return [message for message in composition.brokers[broker].got if b"policy_drop" in message.payload]

    run(composition, {"b": OWN}, body)
