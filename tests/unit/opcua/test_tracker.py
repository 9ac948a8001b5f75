"""One subscription: its sequence, what it was taken up with, and how long it may be silent."""

import pytest

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


def test_each_notification_is_accepted_once_and_in_order() -> None:
    followed = tracker()
    assert [followed.take(message(number)) for number in (1, 2, 2, 1, 3)] == [True, True, False, False, True]
    assert tracker(LAST).take(message(1))


def test_missing_messages_are_reported_until_they_are_given_up() -> None:
    followed, late = tracker(5), message(9)
    assert followed.missing_before(message(6)) == []
    assert followed.missing_before(late) == [6, 7, 8]
    followed.pass_over(late, [6, 7, 8])
    assert followed.missing_before(late) == []
    assert followed.take(late)


def test_a_first_number_above_one_is_a_gap_only_if_the_server_keeps_earlier_ones() -> None:
    assert tracker().missing_before(message(17)) == []
    assert tracker().missing_before(message(3, 2, 3)) == [1, 2]
    assert tracker().missing_before(message(2_000_000, 1_999_999, 2_000_000)) == [1_999_999]


def test_of_many_missing_messages_the_newest_and_the_listed_are_requested() -> None:
    followed, late = tracker(5), message(5_000, 17, 18, 5_000)
    missing = followed.missing_before(late)
    assert missing == list(range(6, 5_000))
    assert followed.worth_asking(missing, late) == [17, 18, *range(4_900, 5_000)]


@pytest.mark.parametrize(
    ("last", "number", "place"),
    [
        (5, 6, "following"), (5, 9, "following"), (LAST, 1, "following"), (5, 10_005, "following"),
        (5, 10_006, "elsewhere"), (5, 2**31 + 9, "elsewhere"), (5, 4, "elsewhere"), (50, 1, "elsewhere"),
        (5, 0, "elsewhere"), (0, 0, "following"), (0, 77, "following"), (5, 5, "repeated"),
    ],
)  # fmt: skip
def test_after_a_transfer_the_sequence_number_gives_the_place_of_a_message(last: int, number: int, place: str) -> None:
    """Of a subscription that was transferred: what it had before is known by its number alone."""
    assert tracker(last).place_of(message(number)) == place


def test_a_repeated_message_is_known_by_its_bytes_and_a_new_one_of_the_same_number_is_new() -> None:
    followed = tracker()
    assert followed.take(message(1))
    assert followed.take(message(2))
    other = read_publish(wire.publish_response([wire.data_change([wire.item(0, wire.double(1))])], 1))
    later = read_publish(wire.publish_response([wire.data_change([])], 1, ticks=9))
    places = [followed.place_of(each) for each in (message(1), message(2), other, later)]
    assert places == ["repeated", "repeated", "elsewhere", "elsewhere"]


def test_a_keep_alive_with_an_implausible_number_counts_as_a_repeat() -> None:
    followed = tracker(500)
    numbers = (0, 1, 499, 500, 501, 502, 900_000)
    alive = [read_publish(wire.publish_response([], number)) for number in numbers]
    assert [followed.place_of(each) for each in alive] == ["repeated"] * 4 + ["following"] * 2 + ["repeated"]


def test_messages_the_server_kept_are_acknowledged_or_read_again() -> None:
    followed = tracker()
    followed.continue_from(Position(LAST, 12), (1, LAST, LAST - 1, 2))
    assert followed.durable == (LAST - 1, LAST)
    assert list(followed.to_replay) == [1, 2]
    assert followed.position == Position(LAST, 12)


def test_numbers_that_fell_back_before_a_transfer_are_read_again_and_not_taken_for_durable() -> None:
    followed = tracker()
    followed.continue_from(Position(1000, 12), (3, 4, 999, 1000, 1001))
    assert followed.durable == (999, 1000)
    assert list(followed.to_replay) == [1001, 3, 4]
    assert followed.place_of(message(3)) == "elsewhere"  # what is missing before it is announced


def test_silence_counts_only_waiting_time_and_ends_with_a_message() -> None:
    followed = tracker()
    assert followed.is_unproven
    followed.wait(MISSED_KEEP_ALIVES * 1.0 - 0.5)
    assert followed.patience_s == 0.5
    followed.hear()
    assert (followed.patience_s, followed.is_unproven) == (MISSED_KEEP_ALIVES * 1.0, False)
