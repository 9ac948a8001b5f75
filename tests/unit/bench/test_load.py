"""A load server that is honest: numbers that never skip, what was not acknowledged can be had again, no value twice."""

import numpy as np
import pytest

from tests.bench.chain.load import Load, LoadSubscription, Sent
from tests.bench.chain.wire import ROW, UNIX_EPOCH_TICKS, Reader, Status

SECOND_NS = 10**9


def subscription(variables: int = 3, most: int = 0) -> LoadSubscription:
    """With all initial values taken."""
    made = LoadSubscription(1, most=most)
    for variable in range(variables):
        made.add(variable, 100 + variable)
    while made.ready:
        made.take(0)
    return made


def values_of(message: bytes) -> tuple[int, np.ndarray[tuple[int], np.dtype[np.void]]]:
    """Sequence number and rows of a NotificationMessage."""
    reader = Reader(message)
    number, _, parts = reader.take("Iqi")
    assert parts == 1
    reader.skip_extension_head()
    count = reader.count()
    return int(number), np.frombuffer(message, ROW, count, reader.at)


def test_first_every_variable_has_an_initial_value_that_names_it() -> None:
    made = LoadSubscription(1, base=10**9)
    for variable in (0, 1, 2):
        made.add(variable, 100 + variable)
    number, rows = values_of(made.take(0))
    assert number == 1
    assert rows["value"].tolist() == [-1 - 10**9, -2 - 10**9, -3 - 10**9]
    assert rows["handle"].tolist() == [100, 101, 102]
    assert not made.ready


@pytest.mark.parametrize("per", [1, 2, 7])
def test_every_serial_comes_once_and_with_the_handle_of_its_variable(per: int) -> None:
    made = subscription(3)
    made.begin(Load(20, per), 0)
    rows = []
    while made.ready:
        rows += [values_of(made.take(0))[1]]
    all_rows = np.concatenate(rows)
    assert all_rows["value"].tolist() == [serial + 0.5 for serial in range(20)]
    assert all_rows["handle"].tolist() == [100 + serial % 3 for serial in range(20)]
    assert all(len(part) == per for part in rows[:-1])


def test_serials_go_on_from_load_to_load() -> None:
    made = subscription()
    for _ in range(2):
        made.begin(Load(4, 4), 0)
        _, rows = values_of(made.take(0))
    assert rows["value"].tolist() == [4.5, 5.5, 6.5, 7.5]


def test_sequence_numbers_never_skip_and_keep_alives_use_none() -> None:
    made = subscription()
    before = made.sequence_number
    made.begin(Load(3, 1), 0)
    told = int.from_bytes(made.nothing()[:4], "little")
    numbers = [values_of(made.take(0))[0] for _ in range(3)]
    assert told == numbers[0]
    assert numbers == [before + 1, before + 2, before + 3]


def test_unacknowledged_messages_can_be_republished_unchanged_even_during_a_later_load() -> None:
    made = subscription()
    made.begin(Load(9, 9), 0)
    number, rows = values_of(made.take(0))
    kept = rows.copy()
    made.begin(Load(2, 2), 0)
    made.take(0)
    again = made.again(number)
    assert again is not None
    assert values_of(again)[1].tolist() == kept.tolist()


def test_an_acknowledgement_counts_once_and_an_unknown_number_is_reported() -> None:
    made = subscription()
    made.begin(Load(5, 5), 0)
    number, _ = values_of(made.take(0))
    assert made.acknowledge(number) == 0
    assert made.acknowledge(number) == Status.SEQUENCE_NUMBER_UNKNOWN
    assert made.again(number) is None
    assert (made.acknowledged, made.unknown_acknowledgements) == (5, 1)


def test_a_rate_makes_values_when_they_are_due_and_gives_the_next_time() -> None:
    made = subscription()
    made.begin(Load(40, 10, rate_hz=100.0), 5 * SECOND_NS)
    made.advance(5 * SECOND_NS)
    assert made.ready, "the first ones are due at once"
    made.take(5 * SECOND_NS)
    made.advance(5 * SECOND_NS + 99_000_000)
    assert not made.ready
    assert made.wakes_at_ns() == 5 * SECOND_NS + 100_000_000


def test_a_value_that_waits_for_a_request_keeps_the_time_at_which_it_was_made() -> None:
    made = subscription()
    made.begin(Load(20, 10, rate_hz=100.0), 0)
    made.advance(SECOND_NS // 10)
    for due_ticks in (0, 0):
        _, rows = values_of(made.take(9 * SECOND_NS))
        assert rows["source"][0] == due_ticks + UNIX_EPOCH_TICKS + SECOND_NS // 10 // 100


def test_a_client_with_smaller_messages_gets_every_value() -> None:
    made = subscription(most=4)
    made.begin(Load(10, 10, rate_hz=1000.0), 0)
    made.advance(SECOND_NS)
    counts = []
    while made.ready:
        counts.append(len(values_of(made.take(SECOND_NS))[1]))
    assert counts == [4, 4, 2]
    assert made.finished


def test_a_load_ends_after_its_duration_or_its_number_of_values() -> None:
    made = subscription()
    made.begin(Load(10**6, 1, seconds=1.0), 0)
    made.take(0)
    made.advance(2 * SECOND_NS)
    assert made.finished
    made.begin(Load(10**6, 1, rate_hz=10.0), 0)
    made.advance(SECOND_NS // 4)
    made.enough()
    while made.ready:
        made.take(0)
    assert made.finished
    assert made.next == 4


def test_without_acknowledgements_the_oldest_messages_are_dropped_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.bench.chain.load.MOST_KEPT", 2)
    made = subscription()
    made.begin(Load(5, 1), 0)
    while made.ready:
        made.take(0)
    assert list(made.kept.values()) == [Sent(s, 1, UNIX_EPOCH_TICKS) for s in (3, 4)]
    assert made.forgotten == 4
