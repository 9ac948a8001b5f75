"""One subscription: its sequence, what it was taken up with, and how long it may be silent."""

from gateway.opcua.codec.decode import Published, read_publish
from gateway.opcua.subscription.checkpoint import Position
from gateway.opcua.subscription.services import Subscription
from gateway.opcua.subscription.tracker import MISSED_KEEP_ALIVES, SubscriptionTracker
from tests.support import opcua_wire as wire

LAST = 2**32 - 1


def tracker(last: int = 0) -> SubscriptionTracker:
    made = SubscriptionTracker(Subscription(7, 0.1, 1.0, 10.0), 0.1, 100)
    made.continue_from(Position(last, 0), ())
    return made


def message(sequence: int, *available: int) -> Published:
    return read_publish(wire.publish_response([wire.data_change([])], sequence, available=available))


def test_each_message_is_taken_once_and_in_order() -> None:
    followed = tracker()
    assert [followed.take(message(number)) for number in (1, 2, 2, 1, 3)] == [True, True, False, False, True]
    assert tracker(LAST).take(message(1))


def test_what_is_missing_shows_until_it_is_given_up() -> None:
    followed, late = tracker(5), message(9)
    assert followed.missing_before(message(6)) == 0
    assert (followed.missing_before(late), followed.numbers_before(late)) == (3, [6, 7, 8])
    followed.pass_over(late)
    assert followed.missing_before(late) == 0
    assert followed.take(late)


def test_a_first_number_that_is_not_one_is_a_gap_only_where_the_server_has_those_before() -> None:
    assert tracker().missing_before(message(17)) == 0
    assert tracker().missing_before(message(3, 2, 3)) == 2


def test_what_the_server_kept_is_durable_or_read_again() -> None:
    followed = tracker()
    followed.continue_from(Position(LAST, 12), (1, LAST, LAST - 1, 2))
    assert followed.durable == (LAST - 1, LAST)
    assert list(followed.to_replay) == [1, 2]
    assert followed.position == Position(LAST, 12)


def test_silence_is_counted_while_we_wait_and_ends_with_a_word() -> None:
    followed = tracker()
    assert followed.is_unproven
    followed.wait(MISSED_KEEP_ALIVES * 1.0 - 0.5)
    assert followed.patience_s == 0.5
    followed.hear()
    assert (followed.patience_s, followed.is_unproven) == (MISSED_KEEP_ALIVES * 1.0, False)
