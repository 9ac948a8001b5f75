"""Forwarding: order within a stream, nothing lost whatever the link does, books that balance."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.delivery import DELIVERED
from gateway.link import Link
from gateway.metrics import Metrics, books_of
from gateway.pipeline.forward import forward
from tests.support.forwarding import AT_ONCE, LATER, NEVER, Broker, append, forwarding, queue, run, seqs, until


def test_a_request_to_leave_ends_the_session_in_order(tmp_path: Path) -> None:
    async def body() -> None:
        broker = Broker()
        async with queue(tmp_path, Metrics()) as found, forwarding(found, broker):
            await until(lambda: broker.sessions == 1)
        assert broker.left_in_order == 1

    run(body())


def test_everything_arrives_in_order_and_leaves_the_outbox(tmp_path: Path) -> None:
    async def body() -> None:
        metrics, broker = Metrics(), Broker()
        async with queue(tmp_path, metrics) as found, forwarding(found, broker):
            await append(found.outbox, metrics, *"ab" * 50)
            await found.outbox.wait_empty()
        assert seqs(broker, "a") == seqs(broker, "b") == list(range(1, 51))
        books = books_of(metrics.registry, "b")
        assert books.balance
        assert (books.delivered, books.messages) == (200, 100)

    run(body())


def test_a_lost_connection_repeats_at_most_a_window_and_loses_nothing(tmp_path: Path) -> None:
    async def body() -> None:
        metrics, broker = Metrics(), Broker(break_after=30)
        async with queue(tmp_path, metrics) as found:
            await append(found.outbox, metrics, *"a" * 60)
            async with forwarding(found, broker):
                await found.outbox.wait_empty()
        assert broker.sessions == 2
        assert sorted(set(seqs(broker, "a"))) == list(range(1, 61))
        assert len(broker.taken) - 60 <= broker.window
        repeated = metrics.registry.get_sample_value("gateway_sink_messages_repeated_total", {"sink": "b"})
        assert repeated is not None
        assert len(broker.taken) - 60 <= repeated <= broker.window
        assert books_of(metrics.registry, "b").balance

    run(body())


def test_a_refused_stream_waits_in_order_while_others_pass(tmp_path: Path) -> None:
    async def body() -> None:
        allowed = {"b"}
        metrics, broker = Metrics(), Broker(lambda m: DELIVERED if m.stream in allowed else LATER)
        async with queue(tmp_path, metrics) as found, forwarding(found, broker):
            await append(found.outbox, metrics, *"ab" * 20)
            await found.outbox.wait_empty()
            assert seqs(broker, "b") == list(range(1, 21))
            assert found.refused.messages == 20
            assert books_of(metrics.registry, "b").balance
            allowed.add("a")
            await append(found.outbox, metrics, *"a" * 5)
            await until(lambda: len(seqs(broker, "a")) == 25 and not found.held)
            await append(found.outbox, metrics, "a")
            await found.outbox.wait_empty()
        assert seqs(broker, "a") == list(range(1, 27))
        books = books_of(metrics.registry, "b")
        assert books.balance
        assert (books.stored, books.dropped) == (0, 0)

    run(body())


def test_refused_messages_survive_a_restart_and_still_go_first(tmp_path: Path) -> None:
    async def body() -> None:
        metrics = Metrics()
        async with queue(tmp_path, metrics, 30.0) as found, forwarding(found, Broker(lambda m: LATER)):
            await append(found.outbox, metrics, *"a" * 5)
            await found.outbox.wait_empty()
        metrics, broker = Metrics(), Broker()
        async with queue(tmp_path, metrics) as found, forwarding(found, broker):
            await append(found.outbox, metrics, *"a" * 5)
            await until(lambda: len(broker.taken) == 10)
            await found.refused.wait_empty()
        assert seqs(broker, "a") == list(range(1, 11))
        books = books_of(metrics.registry, "b")
        assert books.balance
        assert books.recovered == 10

    run(body())


def test_after_a_reconnection_by_reload_all_refused_messages_are_delivered_in_order(tmp_path: Path) -> None:
    """A reload that connects a broker again: its refused messages were read by the one that forwarded before."""

    async def body() -> None:
        allowed = {"b"}
        metrics, broker = Metrics(), Broker(lambda m: DELIVERED if m.stream in allowed else LATER)
        async with queue(tmp_path, metrics) as found:
            async with forwarding(found, broker):
                await append(found.outbox, metrics, *"ab" * 5)
                await until(lambda: found.refused.messages == 5 and found.refused_reader.unread == 0)
            async with forwarding(found, broker):
                await append(found.outbox, metrics, *"ab" * 5)
                await until(lambda: found.refused.messages == 10 and found.reader.messages == 0)
                allowed.add("a")
                await until(lambda: found.stored_values == 0)
        assert seqs(broker, "a") == seqs(broker, "b") == list(range(1, 11))
        assert books_of(metrics.registry, "b").balance

    run(body())


def test_the_counters_balance_when_the_outbox_readers_are_opened_again_after_an_error(tmp_path: Path) -> None:
    """What was dropped while it was being moved, or delivered before what is older, is found on the disk again."""
    small = {"max_bytes": 8000, "segment_bytes": 1000, "min_free": 1}

    async def body() -> None:
        metrics = Metrics()
        async with queue(tmp_path, metrics, main=small) as found:
            await append(found.outbox, metrics, "a")
            (record,) = await found.reader.read(1, 10**6)
            await append(found.outbox, metrics, *"b" * 100)
            assert books_of(metrics.registry, "b").dropped > 0
            await found.set_aside(record, LATER, found.reader)
            for later in await found.reader.read(3, 10**6):
                await found.set_aside(later, LATER, found.reader)
            given = await found.refused_reader.read(10, 10**6)
            found.count_delivered(given[-1], 0.0)
            found.refused_reader.ack(given[-1].number)
            await asyncio.sleep(0)
            assert books_of(metrics.registry, "b").balance
        async with queue(tmp_path, metrics, main=small) as found, forwarding(found, Broker()):
            assert books_of(metrics.registry, "b").balance
            await until(lambda: found.stored_values == 0)
        assert books_of(metrics.registry, "b").balance

    run(body())


def test_messages_found_missing_at_the_start_are_counted(tmp_path: Path) -> None:
    async def body() -> None:
        async with queue(tmp_path, Metrics(), main={"segment_bytes": 500}) as found:
            await append(found.outbox, Metrics(), *"a" * 30)
        segments = sorted((tmp_path / "main").glob("*.seg"))
        segments[-1].unlink()
        metrics = Metrics()
        async with queue(tmp_path, metrics) as found, forwarding(found, Broker()):
            await until(lambda: found.stored_values == 0)
        books = books_of(metrics.registry, "b")
        assert books.balance
        assert books.dropped > 0
        assert books.recovered == 60

    run(body())


def test_damage_among_refused_messages_blocks_nothing(tmp_path: Path) -> None:
    small = {"max_bytes": 40_000, "segment_bytes": 4_000}

    async def refused() -> None:
        metrics = Metrics()
        async with queue(tmp_path, metrics, refused=small) as found, forwarding(found, Broker(lambda m: LATER)):
            await append(found.outbox, metrics, *"aab" * 4, size=1000)
            await until(lambda: found.refused.messages == 12)

    async def offered() -> None:
        metrics, broker = Metrics(), Broker()
        async with queue(tmp_path, metrics, refused=small) as found, forwarding(found, broker):
            await append(found.outbox, metrics, *"ab" * 3)
            await until(lambda: found.stored_values == 0)
        assert len(set(broker.taken)) == 17
        assert seqs(broker, "b") == sorted(seqs(broker, "b"))

    run(refused())
    first, *_ = sorted((tmp_path / "refused").glob("*.seg"))
    data = bytearray(first.read_bytes())
    data[data.rindex(b"xxxx")] ^= 1  # in the last record of a segment that is not read at the start
    first.write_bytes(data)
    run(offered())


def test_an_error_in_settling_a_message_ends_the_forwarding_and_leaks_no_window_slot(tmp_path: Path) -> None:
    async def body() -> None:
        broker = Broker(lambda m: ZeroDivisionError("x") if m.seq == 3 else DELIVERED)
        async with queue(tmp_path, Metrics()) as found:
            await append(found.outbox, found.all_metrics, *"a" * 10)
            link, leave = Link("b", ""), asyncio.Event()
            with pytest.raises(ExceptionGroup) as raised:
                await forward(found, broker.session, link, AT_ONCE, leave)
            assert raised.group_contains(ZeroDivisionError)
            broker.verdict = lambda m: DELIVERED
            async with forwarding(found, broker):
                await found.outbox.wait_empty()
        assert set(seqs(broker, "a")) == set(range(1, 11))

    run(body())


def test_a_message_refused_for_good_becomes_a_dead_letter_and_is_counted(tmp_path: Path) -> None:
    async def body() -> None:
        metrics, broker = Metrics(), Broker(lambda m: NEVER if m.seq == 3 else DELIVERED)
        async with queue(tmp_path, metrics) as found, forwarding(found, broker):
            await append(found.outbox, metrics, *"a" * 5)
            await found.outbox.wait_empty()
        assert seqs(broker, "a") == [1, 2, 4, 5]
        books = books_of(metrics.registry, "b")
        assert books.balance
        assert books.dropped == 2

    run(body())


def test_many_refusals_are_logged_once_for_each_reason(tmp_path: Path) -> None:
    async def body() -> None:
        metrics, broker = Metrics(), Broker(lambda m: NEVER if m.stream == "a" else LATER)
        async with queue(tmp_path, metrics) as found, forwarding(found, broker):
            with capture_logs() as logs:
                await append(found.outbox, metrics, *"a" * 200, *(f"s{n}" for n in range(100)))
                await until(lambda: found.dead.messages == 200 and found.refused.messages == 100)
        told = [line["event"] for line in logs if line["log_level"] in ("warning", "error")]
        assert sorted(told) == ["refused for good", "refused for now"]

    run(body())
