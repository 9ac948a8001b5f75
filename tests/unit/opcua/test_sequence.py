"""Sequence numbers: nothing is skipped, nothing comes twice, losses are said, acknowledgements wait."""

import asyncio
from collections.abc import Iterable
from contextlib import aclosing, suppress
from types import SimpleNamespace

import pytest
import structlog
from asyncua import ua
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import SourceConfig
from gateway.errors import Unavailable
from gateway.metrics import Metrics
from gateway.model import Batch, Tag
from gateway.opcua.codec.wire import Dialect
from gateway.opcua.session.calls import CallSizes
from gateway.opcua.space.selection import Asked, Item, Table
from gateway.opcua.subscription.checkpoint import Position, decode_checkpoint
from gateway.opcua.subscription.sequence import between, distance, predecessor, successor
from gateway.opcua.subscription.services import Subscription
from gateway.opcua.subscription.subscribed import SubscribedSource
from gateway.opcua.subscription.tracker import SubscriptionTracker
from tests.support import opcua_wire as wire
from tests.support.opcua_fake import fake_log

LAST = 2**32 - 1
NOW = 134_000_000_000_000_000
CONFIG = SourceConfig.model_validate(
    {"name": "s", "url": "opc.tcp://nowhere:1", "insecure": True, "select": [{"node": "i=1"}]}
)


def test_sequence_numbers_wrap_to_one() -> None:
    assert successor(LAST) == 1
    assert predecessor(1) == LAST
    assert distance(LAST, 1) == 1
    assert distance(1, LAST) == -1
    assert distance(0, 1) == 1
    assert between(LAST - 1, 2, 10) == [LAST, 1]
    assert between(5, 6, 10) == []


class FakeServer:
    """Answers Republish for the messages it still has, as servers do; counts what it was asked."""

    def __init__(self, kept: dict[int, int], empty_for_unknown: bool = False) -> None:
        self.kept = kept
        self.empty_for_unknown = empty_for_unknown
        self.asked: list[int] = []

    async def send(self, request: ua.RepublishRequest) -> bytes:
        number = request.Parameters.RetransmitSequenceNumber
        self.asked.append(number)
        if number in self.kept:
            return wire.republish_response([changed(self.kept[number])], number)
        if self.empty_for_unknown:
            return wire.republish_response([], 0)
        raise ua.uaerrors.BadMessageNotAvailable


class FakePublisher:
    """Brings scripted responses and notes the acknowledgements; when there are no more, the link is lost."""

    def __init__(self, responses: Iterable[bytes], at_once: int = 1) -> None:
        self.responses = list(responses)
        self.at_once = at_once
        """So many arrive together."""
        self.taken = 0
        self.acknowledged: list[int] = []

    @property
    def has_arrived(self) -> bool:
        return self.taken % self.at_once != 0 and bool(self.responses)

    def fill(self, requests: int) -> None:
        return

    def wake(self) -> None:
        return

    def acknowledge(self, subscription: int, sequence: int) -> None:
        self.acknowledged.append(sequence)

    async def receive(self, timeout_s: float) -> bytes:
        if not self.responses:
            raise Unavailable("the end of the script")
        self.taken += 1
        return self.responses.pop(0)


def changed(value: int) -> bytes:
    return wire.data_change([wire.item(0, wire.double(value), None, 134_000_000_000_000_000 + value)])


def message(sequence: int, *available: int, value: int | None = None) -> bytes:
    """A response whose value is its number, or another one."""
    return wire.publish_response([changed(sequence if value is None else value)], sequence, available=available)


def keep_alive(sequence: int) -> bytes:
    return wire.publish_response([], sequence)


class Run:
    """A source over a script, read to its end."""

    def __init__(
        self, responses: Iterable[bytes], server: FakeServer | None = None, last: int = 0, at_once: int = 1
    ) -> None:
        self.server = server or FakeServer({})
        self.publisher = FakePublisher(responses, at_once)
        self.metrics = Metrics()
        session = SimpleNamespace(
            where="fake",
            uris=(),
            started="",
            send=self.server.send,
            sizes=CallSizes(),
            log=fake_log(),
        )
        table = Table((Tag("x", "i=1"),), (Item("i=1", Asked(100.0, 10)),))
        series = self.metrics.for_source("s")
        self.source = SubscribedSource(
            session,  # type: ignore[arg-type]  # an obeying fake
            CONFIG,
            metrics=series,
            table=table,
            publisher=self.publisher,  # type: ignore[arg-type]  # an obeying fake
            dialect=Dialect(),
        )
        tracker = SubscriptionTracker(Subscription(7, 0.1, 1.0, 10.0), 0.25, 100)
        tracker.handles = {0}
        tracker.continue_from(Position(last, 0), ())
        self.source.subscriptions.adopt(tracker)
        self.batches: list[Batch] = []
        self.acknowledged_before: list[list[int]] = []
        asyncio.run(asyncio.wait_for(self._read(), 60))

    async def _read(self) -> None:
        with suppress(Unavailable):
            async with aclosing(self.source.batches()) as batches:
                async for batch in batches:
                    self.acknowledged_before.append(list(self.publisher.acknowledged))
                    self.batches.append(batch)

    @property
    def values(self) -> list[object]:
        return [value for batch in self.batches for value in batch.values]

    @property
    def causes(self) -> list[str]:
        return [gap.cause for batch in self.batches for gap in batch.gaps]


def test_acknowledged_only_after_the_next_batch_was_requested() -> None:
    run = Run([message(1), message(2), message(3)])
    assert run.values == [1, 2, 3]
    assert run.acknowledged_before == [[], [1], [1, 2]]
    assert run.publisher.acknowledged == [1, 2, 3]


def test_missed_messages_are_read_again_before_what_follows() -> None:
    run = Run([message(1), message(4)], FakeServer({2: 2, 3: 3}))
    assert run.values == [1, 2, 3, 4]
    assert run.causes == []
    assert run.publisher.acknowledged == [1, 2, 3, 4]


def test_keep_alive_is_not_a_message_but_shows_what_is_missing() -> None:
    run = Run([message(1), keep_alive(2), keep_alive(2), message(2), keep_alive(4), message(4)], FakeServer({3: 3}))
    assert run.values == [1, 2, 3, 4]
    assert run.server.asked == [3]
    assert run.publisher.acknowledged == [1, 2, 3, 4]


def test_a_wrap_of_the_sequence_number_is_not_a_gap() -> None:
    run = Run([message(LAST), message(1), message(2)], last=LAST - 1)
    assert run.values == [LAST, 1, 2]
    assert run.server.asked == []


@pytest.mark.parametrize("empty_for_unknown", [False, True])
def test_an_unavailable_message_is_announced_once_and_the_stream_continues(empty_for_unknown: bool) -> None:
    run = Run([message(1), message(4), message(5)], FakeServer({3: 3}, empty_for_unknown))
    assert run.values == [1, 3, 4, 5]
    assert run.causes == ["sequence_gap"]
    assert run.server.asked == [2, 3]


def test_gap_shown_by_a_keep_alive_is_announced_once() -> None:
    run = Run([message(1), keep_alive(3), keep_alive(3), message(3)])
    assert run.values == [1, 3]
    assert run.causes == ["sequence_gap"]


def test_repeated_message_is_acknowledged_and_not_delivered_twice() -> None:
    run = Run([message(1), message(1), message(2)])
    assert run.values == [1, 2]
    assert run.publisher.acknowledged == [1, 1, 2]


def test_a_malformed_response_is_read_again_and_affects_no_other() -> None:
    run = Run([message(1), message(2)[:40], message(3)], FakeServer({2: 2}))
    assert run.values == [1, 2, 3]
    assert 2 in run.publisher.acknowledged
    assert run.metrics.registry.get_sample_value("gateway_source_undecodable_total", {"source": "s"}) == 1


def test_a_first_number_other_than_one_is_not_a_gap() -> None:
    assert Run([message(17), message(18)]).causes == []


def test_first_message_lost_but_available_is_read_again() -> None:
    run = Run([message(2, 1, 2)], FakeServer({1: 1}))
    assert run.values == [1, 2]


def test_ended_subscription_is_unavailable() -> None:
    ended = wire.publish_response([wire.extension(820, b"\x00\x00\x0a\x80\x00")], 2)
    assert Run([message(1), ended]).values == [1]


def test_overflow_is_announced_with_its_variable() -> None:
    flagged = wire.data_change([wire.item(0, wire.double(1), 0x480, 5)])
    run = Run([wire.publish_response([flagged], 1)])
    assert run.causes == ["server_overflow"]
    assert run.batches[0].gaps[0].handles == (0,)
    assert run.batches[0].statuses.tolist() == [0x480]


def begins(*ticks: int) -> list[int]:
    """Where a gap would begin after each message, whose source timestamps these are; the server's clock says NOW."""
    parts = [wire.data_change([wire.item(0, wire.double(1), None, tick)]) for tick in ticks]
    run = Run([wire.publish_response([part], n, ticks=NOW) for n, part in enumerate(parts, 1)])
    return [position.ticks for position in positions(run)]


def test_a_time_in_the_future_does_not_move_where_a_gap_would_begin() -> None:
    """One variable of the year 2099, or a clock that was set back, must not put what is missing before the gap."""
    assert begins(NOW - 5, NOW + 10**16, NOW - 3) == [NOW - 5, NOW - 5, NOW - 3]
    assert begins(NOW - 5, NOW + 10**7) == [NOW - 5, NOW]  # a second ahead is a clock like any other
    assert begins(NOW + 10**16) == [0]  # nobody knows


def test_unknown_handles_are_counted_and_not_delivered() -> None:
    odd = wire.data_change([wire.item(0, wire.double(1)), wire.item(99, wire.double(2))])
    run = Run([wire.publish_response([odd], 1)])
    assert run.values == [1]
    assert run.causes == ["undecodable"]


def test_the_checkpoint_covers_exactly_its_batch() -> None:
    run = Run([message(1), message(4)], FakeServer({2: 2, 3: 3}))
    sequences = [position.sequence for position in positions(run)]
    assert [list(batch.values) for batch in run.batches] == [[1], [2, 3, 4]]
    assert sequences == [1, 4]


def positions(run: Run) -> list[Position]:
    """Where the checkpoint of each batch says that the subscription is."""
    return [found.positions[0] for batch in run.batches if (found := decode_checkpoint(batch.checkpoint))]


def test_messages_that_arrive_together_are_one_batch_and_acknowledged_after_it() -> None:
    run = Run([message(n) for n in range(1, 10)], at_once=4)
    assert [list(batch.values) for batch in run.batches] == [[1, 2, 3, 4], [5, 6, 7, 8], [9]]
    assert run.acknowledged_before == [[], [1, 2, 3, 4], [1, 2, 3, 4, 5, 6, 7, 8]]
    assert [ticks % 100 for batch in run.batches for ticks in batch.source_ticks.tolist()] == list(range(1, 10))


def test_a_malformed_message_does_not_affect_those_that_came_with_it() -> None:
    torn = wire.publish_response([wire.data_change([wire.item(0, wire.double(3))])[:-9] + b"\x07" * 9], 3)
    run = Run([message(1), message(2), torn, message(4)], at_once=4)
    assert [value for value in run.values if value in (1.0, 2.0, 4.0)] == [1.0, 2.0, 4.0]
    assert run.publisher.acknowledged[:2] == [1, 2]


def test_a_gap_between_messages_that_came_together_keeps_its_place() -> None:
    run = Run([message(1), message(4), message(5)], at_once=3)
    assert [(list(batch.values), len(batch.gaps)) for batch in run.batches] == [([1], 0), ([], 1), ([4, 5], 0)]


FALLEN_BACK = [
    pytest.param([*range(1, 51), *range(1, 16)], 1, id="back to one"),
    pytest.param([*range(1, 51), *range(48, 60)], 1, id="back by a few"),
    pytest.param([1, 2, 3, 1_000_000, 4, 5], 2, id="one far too high"),
    pytest.param([1, 2, 3, 2**31 + 3, 2**31 + 4], 1, id="half the numbers ahead"),
    pytest.param([LAST - 1, LAST, 7, 8], 0, id="over the end, by seven"),
    pytest.param([1, 2, 0, 0, 0], 3, id="none at all"),
    pytest.param([0, 1, 2], 0, id="from nought"),
    pytest.param([4, 4, 4], 2, id="always the same"),
    pytest.param([9, 8, 7], 2, id="downwards"),
]


@pytest.mark.parametrize("at_once", [1, 4])
@pytest.mark.parametrize(("numbers", "elsewhere"), FALLEN_BACK)
def test_a_jump_of_the_sequence_numbers_is_followed_and_announced(
    numbers: list[int], elsewhere: int, at_once: int
) -> None:
    """Whatever the numbers say: a message that is new is delivered, and where they do not go on, that is announced."""
    run = Run([message(n, value=value) for value, n in enumerate(numbers)], at_once=at_once)
    assert run.values == list(range(len(numbers)))
    missing = 1 if numbers[:2] == [LAST - 1, LAST] else 0
    assert run.causes == ["sequence_gap"] * (elsewhere + missing)
    assert run.publisher.acknowledged == numbers
    counted = run.metrics.registry.get_sample_value("gateway_source_sequence_gaps_total", {"source": "s"})
    assert counted == elsewhere + 6 * missing


def test_after_sequence_numbers_fell_back_available_messages_are_read_again_and_the_checkpoint_follows() -> None:
    responses = [message(n) for n in range(1, 41)] + [message(3, 39, 40, 1, 2, value=103)]
    run = Run(responses, FakeServer({1: 101, 2: 102, 39: 39, 40: 40}))
    assert run.values == [*range(1, 41), 101, 102, 103]
    assert run.causes == ["sequence_gap"]
    assert (run.server.asked, positions(run)[-1].sequence) == ([1, 2], 3)


def test_a_late_message_that_was_announced_missing_is_delivered() -> None:
    run = Run([message(1), message(4), message(2), message(5), message(3)], at_once=5)
    assert run.values == [1, 4, 2, 5, 3]
    assert run.causes == ["sequence_gap"]
    assert positions(run)[-1].sequence == 5


def test_messages_that_repeat_one_sequence_number_are_logged_once() -> None:
    with structlog.testing.capture_logs() as logs:
        Run([message(7, value=n) for n in range(300)])
    assert len([line for line in logs if line["log_level"] == "warning"]) == 1


NUMBERS = st.one_of(st.integers(0, 30), st.integers(0, LAST))


@given(st.lists(st.tuples(st.sampled_from(["next", "repeat", "alive", "jump"]), NUMBERS), max_size=40))
@settings(max_examples=50)
def test_with_any_numbers_each_message_is_delivered_once_and_jumps_are_announced(steps: list[tuple[str, int]]) -> None:
    sent: list[bytes] = []
    script, last, leaps = [], 0, False
    for kind, number in steps:
        if kind == "alive":
            script.append(keep_alive(successor(last)))
        elif kind == "repeat" and sent:
            script.append(sent[number % len(sent)])
        else:
            following = number if kind == "jump" else successor(last)
            leaps |= bool(sent) and following != successor(last)
            sent.append(message(following, value=len(sent)))
            script.append(sent[-1])
            last = following
    run = Run(script, at_once=3)
    assert run.values == list(range(len(sent)))
    assert bool(run.causes) == leaps
