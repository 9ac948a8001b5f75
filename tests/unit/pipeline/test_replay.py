"""A backlog beside what is new: who passes whom, what comes again, and that the books balance."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.config import ReplayConfig
from gateway.delivery import DELIVERED, Outcome
from gateway.metrics import Metrics, books_of
from gateway.model import Message
from gateway.outbox import Record
from tests.support.forwarding import LATER, NEVER, Broker, append, forwarding, message, queue, run, seqs, until

SMALL = {"max_bytes": 20_000, "segment_bytes": 4000}
NEWEST_FIRST = ReplayConfig(order="newest-first", delay=60)
"""What is left behind is decided when a session begins: nothing gets old here, however slow the machine is."""


def holding_back(most: int, old: int) -> Callable[[Message], Outcome | None]:
    """Takes what is above `old` at once, and the first `most` of the rest; what follows has to wait."""
    left = most

    def verdict(message: Message) -> Outcome | None:
        nonlocal left
        left -= message.seq <= old
        return DELIVERED if message.seq > old or left >= 0 else None

    return verdict


def test_newest_first_new_messages_pass_the_backlog(tmp_path: Path) -> None:
    async def body() -> None:
        metrics, broker = Metrics(), Broker(holding_back(10, 60))
        async with queue(tmp_path, metrics, replay=NEWEST_FIRST) as found:
            await append(found.outbox, metrics, *"a" * 60)
            async with forwarding(found, broker):
                await until(lambda: len(broker.waiting) == 2)  # half of the window, and no more
                await append(found.outbox, metrics, *"a" * 30)
                await until(lambda: len(broker.taken) == 40)
                assert seqs(broker, "a")[-30:] == list(range(61, 91))
                broker.verdict = lambda message: DELIVERED
                broker.answer(DELIVERED)
                await found.outbox.wait_empty()
        assert [seq for seq in seqs(broker, "a") if seq <= 60] == list(range(1, 61))
        assert books_of(metrics.registry, "b").balance
        assert metrics.registry.get_sample_value("gateway_values_replayed_total", {"sink": "b"}) == 120

    run(body())


def test_in_order_everything_follows_the_backlog(tmp_path: Path) -> None:
    async def body() -> None:
        metrics, broker = Metrics(), Broker()
        async with queue(tmp_path, metrics, replay=ReplayConfig(delay=0.05, max_rate=10_000)) as found:
            await append(found.outbox, metrics, *"a" * 60)
            await asyncio.sleep(0.06)  # they are old now
            async with forwarding(found, broker):
                await until(lambda: len(broker.taken) > 5)
                await append(found.outbox, metrics, *"a" * 10)
                await found.outbox.wait_empty()
        assert seqs(broker, "a") == list(range(1, 71))
        assert (metrics.registry.get_sample_value("gateway_values_replayed_total", {"sink": "b"}) or 0) >= 120
        assert (metrics.registry.get_sample_value("gateway_sink_throttled_seconds_total", {"sink": "b"}) or 0) > 0

    run(body())


def test_after_a_restart_in_the_middle_nothing_is_missing_and_what_passed_does_not_repeat(tmp_path: Path) -> None:
    async def body() -> None:
        metrics, broker = Metrics(), Broker(holding_back(10, 60))
        async with queue(tmp_path, metrics, replay=NEWEST_FIRST) as found:
            await append(found.outbox, metrics, *"a" * 60)
            async with forwarding(found, broker):
                await until(lambda: len(broker.waiting) == 2)
                await append(found.outbox, metrics, *"a" * 30)
                await until(lambda: len(broker.taken) == 40)
        again, metrics = Broker(), Metrics()
        async with queue(tmp_path, metrics, replay=NEWEST_FIRST) as found, forwarding(found, again):
            await found.outbox.wait_empty()
        assert seqs(again, "a") == list(range(11, 61))
        assert books_of(metrics.registry, "b").balance

    run(body())


def test_a_link_that_breaks_in_the_middle_repeats_at_most_a_window(tmp_path: Path) -> None:
    async def body() -> None:
        metrics, broker = Metrics(), Broker(break_after=50)
        async with queue(tmp_path, metrics, replay=NEWEST_FIRST) as found:
            await append(found.outbox, metrics, *"a" * 60)
            async with forwarding(found, broker):
                await append(found.outbox, metrics, *"a" * 30)
                await found.outbox.wait_empty()
        assert broker.sessions == 2
        assert sorted(set(seqs(broker, "a"))) == list(range(1, 91))
        assert len(broker.taken) - 90 <= broker.window
        assert books_of(metrics.registry, "b").balance

    run(body())


def test_a_retained_value_is_not_replaced_by_an_older_one(tmp_path: Path) -> None:
    async def body() -> None:
        metrics, broker = Metrics(), Broker(holding_back(2, 20))
        async with queue(tmp_path, metrics, replay=NEWEST_FIRST) as found:
            await append(found.outbox, metrics, *"a" * 20, *"b" * 5, retain=True)
            async with forwarding(found, broker):
                await until(lambda: len(broker.taken) == 2)
                await append(found.outbox, metrics, "a", retain=True)
                await until(lambda: len(broker.taken) == 3)
        again = Broker()  # the next process knows it as well
        async with queue(tmp_path, Metrics(), replay=NEWEST_FIRST) as found, forwarding(found, again):
            await found.outbox.wait_empty()
        assert {m.seq for m in broker.got if m.stream == "a" and m.retain} == {1, 2, 21}
        assert not [m.seq for m in again.got if m.stream == "a" and m.retain]
        assert [m.seq for m in again.got if m.stream == "b" and m.retain] == [1, 2, 3, 4, 5]

    run(body())


@pytest.mark.parametrize(("waited_s", "left_s"), [(0, 100), (40, 60), (1000, 1), (-1000, 100)])
def test_the_time_in_the_outbox_is_part_of_the_expiry(tmp_path: Path, waited_s: int, left_s: int) -> None:
    """What is too old is still sent, for those who are connected; a clock that went back gives no more than all."""

    async def body() -> None:
        async with queue(tmp_path, Metrics(), expiry_s=100.0) as found:
            record = Record(0, message("a", 1), time.time_ns() - waited_s * 10**9)
            assert left_s - 30 <= found.to_send(record).expiry_s <= left_s

    run(body())


@pytest.mark.parametrize(("expiry_s", "retain"), [(None, False), (100.0, True)])
def test_without_expiry_or_when_retained_a_message_is_sent_unchanged(
    tmp_path: Path, expiry_s: float | None, retain: bool
) -> None:
    async def body() -> None:
        async with queue(tmp_path, Metrics(), expiry_s=expiry_s) as found:
            record = Record(0, message("a", 1, retain=retain), 0)
            assert found.to_send(record) is record.message

    run(body())


@pytest.mark.parametrize("verdict", [LATER, NEVER])
def test_a_message_dropped_before_its_refusal_is_stored_is_counted_once(tmp_path: Path, verdict: Outcome) -> None:
    async def body() -> None:
        metrics, broker = Metrics(), Broker(lambda message: None)
        async with queue(tmp_path, metrics, main=SMALL) as found, forwarding(found, broker):
            await append(found.outbox, metrics, *"a" * 4, size=1000)
            await until(lambda: len(broker.waiting) == 4)
            await append(found.outbox, metrics, *"b" * 30, size=1000)  # drops what waits for its verdict
            assert books_of(metrics.registry, "b").dropped >= 8
            broker.verdict = lambda message: DELIVERED
            broker.answer(verdict)
            await found.outbox.wait_empty()
            await found.refused.wait_empty()
            books = books_of(metrics.registry, "b")
            assert books.balance
            assert books.delivered + books.dropped == 68

    run(body())


def test_a_refused_message_dropped_while_it_is_offered_again_is_counted_once(tmp_path: Path) -> None:
    async def body() -> None:
        metrics, broker = Metrics(), Broker(lambda message: LATER)
        async with queue(tmp_path, metrics, refused=SMALL) as found, forwarding(found, broker):
            await append(found.outbox, metrics, "a", size=1000)
            await until(lambda: found.refused.messages == 1)
            broker.verdict = lambda message: None if message.stream == "a" else LATER
            await until(lambda: len(broker.waiting) == 1)
            await append(found.outbox, metrics, *"b" * 30, size=1000)
            await until(lambda: books_of(metrics.registry, "b").dropped > 0)
            broker.verdict = lambda message: DELIVERED
            broker.answer(DELIVERED)
            await found.refused.wait_empty()
            assert books_of(metrics.registry, "b").balance

    run(body())
