"""Brokers that hang up over a message: the rest gets through, the verdict is the right one, nobody is blamed for it."""

import asyncio
from collections.abc import Coroutine

from gateway.delivery import Outcome, Verdict
from gateway.errors import Unavailable
from gateway.model import Message
from gateway.mqtt.disconnect_guard import SESSIONS_NOT_SURVIVED, BrokerHistory, GuardedSink
from gateway.mqtt.lean import LeanSink
from gateway.mqtt.sink import Sink
from tests.support.mqtt_fake import FakeBroker, fake_broker
from tests.support.mqtt_sessions import message, opened

QUIET_S = 0.02


def run(body: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(body, 60))


class Outbox:
    """What a forwarder does, in small: everything without a verdict is sent again on the next session, in order."""

    def __init__(self, messages: list[Message], retry_s: float = 60.0) -> None:
        self.left = list(messages)
        self.retry_s = retry_s
        self.outcomes: dict[str, Outcome] = {}
        self.experience = BrokerHistory()
        self.sessions = 0

    async def empty(self, broker: FakeBroker) -> None:
        while self.left:
            self.sessions += 1
            assert self.sessions < 50, f"no end to it: {self.left}"
            async with opened("lean", broker.url, window=10) as session:
                assert isinstance(session, LeanSink)
                cautious = GuardedSink(session, self.experience, self.retry_s, QUIET_S)
                await self._serve(cautious if self.experience.is_bad else session)
                if self.experience.is_bad:
                    cautious.session_over()
                else:
                    self.experience.session_over(session.in_flight, session.window)

    async def _serve(self, sink: Sink) -> None:
        while self.left:
            batch = self.left[: sink.window]
            futures = [sink.send(each) for each in batch]
            await asyncio.wait(futures)
            for each, future in zip(batch, futures, strict=True):
                if future.exception() is None:
                    self.outcomes[each.topic] = future.result()
                    self.left.remove(each)
            if any(isinstance(future.exception(), Unavailable) for future in futures):
                return


def messages(*topics: str) -> list[Message]:
    return [message(topic, seq=number) for number, topic in enumerate(topics)]


def test_a_refusal_lost_in_a_reset_is_received_in_the_end_and_the_rest_delivered() -> None:
    async def body() -> None:
        async with fake_broker() as broker:  # as mosquitto 2.0.11: refuse, then cut, with more in the pipe
            broker.verdict = lambda publish: 0x87 if publish.topic == "closed" else 0
            broker.cuts_on = lambda publish: publish.topic == "closed"
            outbox = Outbox(messages("a", "b", "closed", "c", "d"))
            await outbox.empty(broker)
            assert outbox.outcomes["closed"].reason == "not_authorized"
            assert all(outbox.outcomes[topic].verdict is Verdict.DELIVERED for topic in "abcd")

    run(body())


def test_a_refusal_before_a_cut_is_remembered_until_the_next_try_is_due() -> None:
    async def body() -> None:
        async with fake_broker() as broker:
            broker.verdict = lambda publish: 0x87 if publish.topic == "closed" else 0
            broker.cuts_on = lambda publish: publish.topic == "closed"
            outbox = Outbox([])
            for _ in range(3):  # offered again and again, as what is refused for now is
                outbox.left = messages("closed", "a")
                await outbox.empty(broker)
            before = outbox.sessions
            outbox.left = messages("closed", "b", "closed", "c")
            await outbox.empty(broker)
            assert outbox.sessions == before + 1, "one more session, and it held"
            assert outbox.outcomes["closed"].reason == "not_authorized"
            broker.verdict, broker.cuts_on = lambda publish: 0, lambda publish: False
            outbox.experience.refusals = {topic: (o, 0.0) for topic, (o, _) in outbox.experience.refusals.items()}
            outbox.left = messages("closed")
            await outbox.empty(broker)
            assert outbox.outcomes["closed"].verdict is Verdict.DELIVERED

    run(body())


def test_a_message_that_no_session_survives_becomes_a_dead_letter() -> None:
    async def body() -> None:
        async with fake_broker() as broker:
            broker.verdict = lambda publish: None if publish.topic == "poison" else 0
            broker.cuts_on = lambda publish: publish.topic == "poison"
            outbox = Outbox(messages("a", "b", "poison", "c", "d"))
            await outbox.empty(broker)
            assert (outbox.outcomes["poison"].verdict, outbox.outcomes["poison"].reason) == (Verdict.NEVER, "refused")
            assert all(outbox.outcomes[topic].verdict is Verdict.DELIVERED for topic in "abcd")
            before = outbox.sessions
            outbox.left = [message("poison", seq=2)]  # its owner did not take the verdict in, and sends it again
            await outbox.empty(broker)
            assert outbox.sessions == before + 1
            assert outbox.outcomes["poison"].verdict is Verdict.NEVER

    run(body())


def test_a_broker_that_fails_by_itself_makes_no_dead_letter() -> None:
    """The suspect waits until the idle connection was seen to hold; a broker that dies before says nothing about it."""

    async def body() -> None:
        async with fake_broker() as broker:
            suspect = message("suspect", seq=7)
            experience = BrokerHistory(short_sessions=1, suspect=(suspect.stream, suspect.seq), suspicions=3)
            for _ in range(2 * SESSIONS_NOT_SURVIVED):
                async with opened("lean", broker.url) as session:
                    assert isinstance(session, LeanSink)
                    cautious = GuardedSink(session, experience, 60.0, quiet_s=5.0)
                    future = cautious.send(suspect)
                    broker.cut()
                    await asyncio.wait([future])
                    assert isinstance(future.exception(), Unavailable)
                    cautious.session_over()
            assert not experience.condemned

    run(body())


def test_a_cut_without_open_messages_clears_the_suspect() -> None:
    async def body() -> None:
        async with fake_broker() as broker:
            suspect = message("suspect", seq=7)
            experience = BrokerHistory(short_sessions=1, suspect=(suspect.stream, suspect.seq), suspicions=3)
            async with opened("lean", broker.url) as session:
                assert isinstance(session, LeanSink)
                cautious = GuardedSink(session, experience, 60.0, quiet_s=60.0)
                waiting = cautious.send(suspect)
                broker.cut()
                await asyncio.wait([waiting])
                cautious.session_over()
            assert broker.publishes == []
            async with opened("lean", broker.url) as session:
                assert isinstance(session, LeanSink)
                cautious = GuardedSink(session, experience, 60.0, quiet_s=60.0)
                assert (await cautious.send(suspect)).verdict is Verdict.DELIVERED

    run(body())


def test_after_one_cut_open_messages_are_sent_at_once_in_the_next_session() -> None:
    async def body() -> None:
        async with fake_broker() as broker:
            broker.verdict = lambda publish: None
            experience = BrokerHistory(short_sessions=1)
            for holds_s in (60.0, 60.0):
                async with opened("lean", broker.url) as session:
                    assert isinstance(session, LeanSink)
                    cautious = GuardedSink(session, experience, 60.0, quiet_s=holds_s)
                    future = cautious.send(message("unlucky", seq=7))
                    await broker.wait_publishes(len(broker.publishes) + 1)
                    broker.cut()
                    await asyncio.wait([future])
                    cautious.session_over()
            assert len(broker.publishes) == 2
            assert experience.must_hold(message("unlucky", seq=7)), "twice is no accident"

    run(body())


def test_a_message_sent_after_the_end_fails_at_once() -> None:
    async def body() -> None:
        async with fake_broker() as broker, opened("lean", broker.url) as session:
            assert isinstance(session, LeanSink)
            broker.verdict = lambda publish: None
            cautious = GuardedSink(session, BrokerHistory(short_sessions=1), 60.0, QUIET_S)
            before = [cautious.send(each) for each in messages("a", "b", "c")]
            await broker.wait_publishes(1)
            broker.cut()
            await asyncio.wait(before)
            after = [cautious.send(each) for each in messages("d", "e", "f")]
            await asyncio.wait(after)
            assert all(isinstance(future.exception(), Unavailable) for future in before + after)

    run(body())


def test_a_long_session_or_another_end_causes_no_guarded_session() -> None:
    async def body() -> None:
        async with fake_broker() as broker:
            experience = BrokerHistory()
            async with opened("lean", broker.url, window=3) as session:
                assert isinstance(session, LeanSink)
                for _ in range(3):
                    await session.send(message())
                broker.verdict = lambda publish: None
                future = session.send(message())
                await broker.wait_publishes(4)
                broker.cut()
                await asyncio.wait([future])
                experience.session_over(session.in_flight, session.window)
            async with opened("lean", broker.url, ack_timeout_s=0.05) as session:
                assert isinstance(session, LeanSink)
                await asyncio.wait([session.send(message())])
                experience.session_over(session.in_flight, session.window)
            assert not experience.is_bad

    run(body())
