"""The plan of a group: complete, within shares, and without needless moves."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.group.plan import least_of, plan, score, shares_of

names = st.lists(st.text("abcdef", min_size=1, max_size=3), unique=True, min_size=1, max_size=6)
weights = names.flatmap(lambda some: st.fixed_dictionaries(dict.fromkeys(some, st.sampled_from([0.5, 1.0, 2.0]))))
works = st.lists(st.integers(0, 99).map(lambda n: f"source {n}"), unique=True, max_size=30)


def counted(found: dict[str, str]) -> dict[str, int]:
    return {member: list(found.values()).count(member) for member in set(found.values())}


@given(works, weights)
def test_each_work_has_one_member_and_nobody_more_than_its_share(todo: list[str], members: dict[str, float]) -> None:
    found = plan(todo, members)
    assert found.keys() == set(todo)
    shares = shares_of(len(todo), members)
    assert all(number <= shares[member] for member, number in counted(found).items())


@given(works, weights)
def test_the_plan_does_not_depend_on_the_order_in_which_things_are_named(
    todo: list[str], members: dict[str, float]
) -> None:
    assert plan(todo[::-1], dict(reversed(members.items()))) == plan(todo, members)


@given(works, weights, st.data())
def test_only_the_works_of_a_member_that_leaves_move(
    todo: list[str], members: dict[str, float], data: st.DataObject
) -> None:
    before = plan(todo, members)
    gone = data.draw(st.sampled_from(sorted(members)))
    left = {member: weight for member, weight in members.items() if member != gone}
    after = plan(todo, left, holders=before)
    assert not left or all(after[work] == before[work] for work in todo if before[work] != gone)


@given(works, weights)
def test_others_give_a_new_member_only_what_is_beyond_their_shares(todo: list[str], members: dict[str, float]) -> None:
    before = plan(todo, members)
    joined = {**members, "new": 1.0}
    after, shares = plan(todo, joined, holders=before), shares_of(len(todo), joined)
    moved = [work for work in todo if after[work] != before[work]]
    assert len(moved) == sum(max(0, number - shares[member]) for member, number in counted(before).items())


@given(works, weights)
def test_the_plan_of_a_plan_is_that_plan(todo: list[str], members: dict[str, float]) -> None:
    found = plan(todo, members)
    assert plan(todo, members, holders=found) == found


@given(works, weights)
def test_shared_anew_everybody_has_the_least_of_its_part(todo: list[str], members: dict[str, float]) -> None:
    joined = {**members, "new": 1.0}
    found, least = plan(todo, joined, holders=plan(todo, members), level=True), least_of(len(todo), joined)
    assert all(counted(found).get(member, 0) >= least[member] for member in joined)
    assert plan(todo, joined, holders=found, level=True) == found


def test_who_is_drained_has_nothing_and_a_wish_counts_only_while_its_member_is_there() -> None:
    todo = ["a", "b", "c", "d"]
    assert set(plan(todo, {"one": 0.0, "two": 1.0}, holders=dict.fromkeys(todo, "one")).values()) == {"two"}
    assert plan(todo, {"one": 1.0, "two": 1.0}, wishes={"a": "two", "b": "two"})["b"] == "two"
    assert plan(todo, {"one": 1.0}, wishes={"a": "two"})["a"] == "one"
    assert plan(todo, {"one": 0.0}) == {}


def test_twice_the_weight_wins_twice_as_often() -> None:
    wins = sum(score(f"w{n}", "strong", 2.0) > score(f"w{n}", "weak", 1.0) for n in range(3000))
    assert 0.62 < wins / 3000 < 0.71
