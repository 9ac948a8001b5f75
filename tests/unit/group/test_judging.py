"""When a member takes and gives: from what it sees, over time."""

import pytest

from gateway.errors import Unavailable
from gateway.group.entry import FORMAT, FORMAT_HEADER, HEADER, stored_from
from gateway.group.judging import SETTLE_S, Judge, Seen, Wishes

WORKS = ("source/a", "source/b", "source/c", "source/d")


def judge(member: str = "one") -> Judge:
    return Judge(member, presence_s=15.0, rebalance_after_s=60.0, handover_s=5.0, begun_s=0.0)


def holding(*works: str) -> Seen:
    return Seen(1.0, dict.fromkeys(works, 1))


def test_a_member_that_has_just_come_looks_first() -> None:
    one, members = judge(), {"one": Seen()}
    assert one.look(SETTLE_S / 2, WORKS, members, Wishes(), ()).take == ()
    assert set(one.look(SETTLE_S, WORKS, members, Wishes(), ()).take) == set(WORKS)


def test_who_disappears_is_replaced_at_once_and_who_is_there_is_left_alone() -> None:
    one, members = judge(), {"one": holding(*WORKS[:2]), "two": holding(*WORKS[2:])}
    assert one.look(10, WORKS, members, Wishes(), WORKS[:2]).take == ()
    del members["two"]
    assert set(one.look(11, WORKS, members, Wishes(), WORKS[:2]).take) == set(WORKS[2:])


def test_when_nobody_could_show_itself_nobody_is_taken_for_gone() -> None:
    """All NATS servers were away: the presence of everybody ran out."""
    one, alone = judge(), {"one": holding(*WORKS[:2])}
    one.silent_at_s = 100.0
    assert one.look(101.0, WORKS, alone, Wishes(), WORKS[:2]).take == ()
    assert set(one.look(108.0, WORKS, alone, Wishes(), WORKS[:2]).take) == set(WORKS[2:])


def test_work_is_shared_anew_only_when_the_group_has_been_the_same_for_a_while() -> None:
    one, members = judge(), {"one": holding(*WORKS), "two": Seen()}
    one.look(99, WORKS, {"one": holding(*WORKS)}, Wishes(), WORKS)
    assert one.look(100, WORKS, members, Wishes(), WORKS).give == ()
    assert len(one.look(160, WORKS, members, Wishes(), WORKS).give) == 2


def test_a_wish_and_a_drain_are_followed_at_once() -> None:
    one, members = judge(), {"one": holding(*WORKS[:2]), "two": holding(*WORKS[2:])}
    moved = Wishes(moves={"source/a": "two"})
    assert one.look(10, WORKS, members, moved, WORKS[:2]).give == ("source/a",)
    assert set(one.look(11, WORKS, members, Wishes(drained=["one"]), WORKS[:2]).give) == set(WORKS[:2])


def test_what_a_member_that_is_there_never_hands_over_is_taken_in_the_end() -> None:
    one, members = judge(), {"one": Seen(), "two": holding(*WORKS)}
    wishes = Wishes(moves={"source/a": "one"})
    assert one.look(10, WORKS, members, wishes, ()).take == ()
    assert one.look(74, WORKS, members, wishes, ()).take == ()
    assert "source/a" in one.look(75, WORKS, members, wishes, ()).take


def test_of_two_that_claim_the_same_the_later_claim_counts() -> None:
    one, members = judge(), {"one": Seen(1.0, {"source/a": 1}), "two": Seen(1.0, {"source/a": 2})}
    assert one.look(10, ("source/a",), members, Wishes(), ()).take == ()


def test_what_is_not_configured_any_more_is_given_up() -> None:
    assert judge().look(10, WORKS[1:], {"one": holding(*WORKS)}, Wishes(), WORKS).give == (WORKS[0],)


def test_members_of_an_older_form_of_records_hand_over_to_those_of_the_newer() -> None:
    """They could not read what those write.  A version that is taken back waits in the same way."""
    old = judge()
    members = {"one": holding(*WORKS), "two": Seen(format=2)}
    assert set(old.look(10, WORKS, members, Wishes(), WORKS).give) == set(WORKS)
    new = judge("two")
    assert set(new.look(80, WORKS, {"one": Seen(), "two": Seen(format=2)}, Wishes(), ()).take) == set(WORKS)
    assert old.look(20, WORKS, {"one": Seen(), "two": Seen(format=2)}, Wishes(), ()).take == ()


def test_a_record_of_a_later_form_is_refused_and_one_without_a_form_is_of_the_first() -> None:
    writer = {HEADER: "3 7 a/0/1 values"}
    assert stored_from("s", 9, writer, b"").mark.epoch == 3
    with pytest.raises(Unavailable, match="update this member"):
        stored_from("s", 9, {**writer, FORMAT_HEADER: str(FORMAT + 1)}, b"")
    with pytest.raises(Unavailable, match="not written by a member"):
        stored_from("s", 9, {}, b"")
