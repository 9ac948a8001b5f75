"""What is too much for the outbox: stored in parts, or dropped, counted and announced; a fault it is not."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import orjson
import pytest

from gateway.model import Message, Tag
from tests.support.composition import INT32, Composition
from tests.support.forwarding import LATER, NEVER, until

STRING = 12
TAGS = [Tag("count", "i=1", {"machine": "m"}), Tag("text", "i=2", {"machine": "m"})]


def run(composition: Composition, body: Callable[[], Awaitable[None]], **changes: object) -> None:
    async def life() -> None:
        async with composition.running(composition.config(**changes)):  # type: ignore[arg-type]
            await body()
            assert composition.faults_counted == 0
            for name in composition.brokers:
                assert composition.books(name).balance

    asyncio.run(asyncio.wait_for(life(), 30))


def small(folder: Path, max_bytes: int) -> Composition:
    composition = Composition(folder, sources=("s",))
    composition.outbox |= {"max_bytes": max_bytes, "segment_bytes": max_bytes // 8, "min_free": 1, "when_full": "block"}
    return composition


def said(messages: list[Message], key: str) -> list[object]:
    return [each for message in messages for each in orjson.loads(message.payload).get(key, [])]


@pytest.mark.parametrize("shape", [None, {"deadband": 0.5}])
def test_a_batch_that_does_not_fit_at_once_is_stored_in_parts_and_in_order(
    shape: dict[str, object] | None, tmp_path: Path
) -> None:
    composition = small(tmp_path, 1400)

    async def body() -> None:
        composition.produce(100)
        await until(lambda: composition.has_all("a") or composition.faults_counted > 0)
        await composition.gateway.outbox.wait_empty()
        values = [each["value"] for each in said(composition.brokers["a"].got, "values")]  # type: ignore[index]
        assert values == list(range(1, 101))
        assert composition.books("b").not_routed == 100

    source = {} if shape is None else {"s": {"shape": shape}}
    run(composition, body, sources=source, brokers={"b": {"tags": [{"include": ["other"]}]}})


@pytest.mark.parametrize("shape", [None, {"deadband": 0.5}])
def test_a_value_that_does_not_fit_at_all_is_announced_in_its_place(
    shape: dict[str, object] | None, tmp_path: Path
) -> None:
    composition = small(tmp_path, 6000)
    server = composition.servers["s"]
    server.tags, server.handles = TAGS, (0, 0, 1, 0)
    server.row = lambda number: (STRING, "x" * 4000) if number == 3 else (INT32, number)

    async def body() -> None:
        composition.produce(8)
        await until(lambda: server.acknowledged == 8 or composition.faults_counted > 0)
        await composition.gateway.outbox.wait_empty()
        got = composition.brokers["a"].got
        assert [each["value"] for each in said(got, "values")] == [1, 2, 4, 5, 6, 7, 8]  # type: ignore[index]
        (gap,) = said(got, "gaps")
        assert isinstance(gap, dict)
        assert (gap["cause"], gap["count"], gap["names"]) == ("rejected", 1, ["text"])
        assert composition.books("a").dropped == 1
        assert (composition.books("b").dropped, composition.books("b").not_routed) == (0, 2)

    source = {} if shape is None else {"s": {"shape": shape}}
    run(composition, body, sources=source, brokers={"b": {"tags": [{"include": ["count"]}]}})


@pytest.mark.parametrize("outcome", [LATER, NEVER], ids=["for now", "for good"])
def test_a_refused_message_too_large_for_its_store_is_dropped(outcome: object, tmp_path: Path) -> None:
    composition = small(tmp_path, 32_000)  # a quarter of it is for what is refused, half of that for one message
    composition.servers["s"].row = lambda number: (STRING, "x" * 5000)
    composition.brokers["a"].verdict = lambda message: outcome  # type: ignore[assignment, return-value]

    async def body() -> None:
        composition.produce(1)
        await until(lambda: composition.books("a").dropped == 1 or composition.faults_counted > 0)
        await composition.gateway.outbox.wait_empty()
        assert composition.books("a").stored == 0

    run(composition, body)
