"""A broker that lost what it was asked to retain gets it again: all, once, and nothing old after something new."""

from pathlib import Path

from structlog.testing import capture_logs

from gateway.delivery import DELIVERED
from gateway.metrics import Metrics, books_of
from gateway.pipeline.retained import MESSAGE_BYTES, Retained
from tests.support.forwarding import LATER, Broker, append, forwarding, message, queue, run, until

TOPICS = [f"t{n}" for n in range(42)]


def owed(retained: Retained) -> list[tuple[str, int]]:
    found = []
    while (message := retained.next()) is not None:
        found.append((message.topic, message.seq))
    return found


def test_retained_messages_are_sent_again_only_if_the_broker_lost_the_session(tmp_path: Path) -> None:
    async def body() -> None:
        metrics, broker = Metrics(), Broker(window=5)
        async with queue(tmp_path, metrics) as found, forwarding(found, broker):
            await append(found.outbox, metrics, *TOPICS, *TOPICS, retain=True)
            await append(found.outbox, metrics, "plain")
            await found.outbox.wait_empty()
            broker.has_forgotten = False
            broker.current[-1].break_off()
            await until(lambda: broker.sessions == 2)
            await append(found.outbox, metrics, "plain")
            await found.outbox.wait_empty()
            assert len(broker.got) == 2 * 42 + 2, "it kept them"
            broker.has_forgotten = True
            broker.current[-1].break_off()
            await until(lambda: len(broker.got) >= 3 * 42 + 2)
        again = broker.got[-42:]
        assert {(each.topic, each.seq, each.retain) for each in again} == {(topic, 2, True) for topic in TOPICS}
        assert len(broker.got) == 3 * 42 + 2
        assert books_of(metrics.registry, "b").balance, "what is told again is in no book"

    run(body())


def test_a_new_retained_message_replaces_a_pending_repeat(tmp_path: Path) -> None:
    async def body() -> None:
        metrics, broker = Metrics(), Broker(window=4)
        async with queue(tmp_path, metrics) as found, forwarding(found, broker):
            await append(found.outbox, metrics, *TOPICS, retain=True)
            await found.outbox.wait_empty()
            broker.verdict = lambda message: None  # the first ones that are owed wait for their PUBACK
            broker.got.clear()
            broker.current[-1].break_off()
            await until(lambda: len(broker.waiting) == 2)  # half of the window
            await append(found.outbox, metrics, "t41", retain=True)
            await until(lambda: len(broker.waiting) == 3)
            broker.verdict = lambda message: DELIVERED
            broker.answer(DELIVERED)
            await until(lambda: len(broker.got) >= 42)
        assert [each.seq for each in broker.got if each.topic == "t41"] == [2]
        assert len(broker.got) == 42

    run(body())


def test_repeats_pending_when_a_session_broke_come_first_in_the_next(tmp_path: Path) -> None:
    retained = Retained()
    for topic in "abc":
        retained.keep(message(topic, 1, retain=True))
    retained.begin(has_forgotten=True)
    assert (retained.next() or message("", 0)).topic == "a"
    retained.begin(has_forgotten=True)
    assert owed(retained) == [("b", 1), ("c", 1), ("a", 1)]


def test_a_refused_repeat_does_not_end_the_session(tmp_path: Path) -> None:
    async def body() -> None:
        metrics, broker = Metrics(), Broker(window=4)
        async with queue(tmp_path, metrics) as found, forwarding(found, broker):
            await append(found.outbox, metrics, "a", "b", retain=True)
            await found.outbox.wait_empty()
            broker.verdict = lambda message: LATER if message.topic == "a" else DELIVERED
            broker.current[-1].break_off()
            await until(lambda: len(broker.got) == 3)
            await append(found.outbox, metrics, "b", retain=True)
            await found.outbox.wait_empty()
        assert books_of(metrics.registry, "b").balance

    run(body())


def test_an_overtaken_older_message_is_not_repeated() -> None:
    retained = Retained()
    retained.keep(message("a", 2, retain=True))
    retained.keep(message("a", 1, retain=True))
    retained.begin(has_forgotten=True)
    assert owed(retained) == [("a", 2)]


def test_memory_for_retained_messages_is_bounded_and_the_bound_is_logged(tmp_path: Path) -> None:
    told: list[None] = []
    retained = Retained(lambda: told.append(None), most_bytes=10 * (MESSAGE_BYTES + 100))
    for n in range(100):
        for topic in ("a", f"t{n}"):
            retained.keep(message(topic, n + 1, size=90, retain=True))
    retained.begin(has_forgotten=True)
    assert 5 < len(owed(retained)) <= 10
    assert told

    async def body() -> None:
        metrics = Metrics()
        async with queue(tmp_path, metrics) as found:
            found.retained = Retained(found.tell_forgotten, most_bytes=1000)
            with capture_logs() as logs:
                async with forwarding(found, Broker()):
                    await append(found.outbox, metrics, *TOPICS, retain=True)
                    await found.outbox.wait_empty()
            assert [log["event"] for log in logs].count("more topics are retained than are remembered") == 1

    run(body())
