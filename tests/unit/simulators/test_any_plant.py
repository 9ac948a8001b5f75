"""Whatever a plant file says, the books balance and the way of driving changes nothing."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.clock import Clock
from simulators.flow import Factory
from simulators.plant import Plant
from simulators.states import State
from simulators.trace import line_of

UNTIL_S = 150.0
LAWS = st.one_of(
    st.floats(0.5, 5),
    st.builds(lambda m: {"law": "exponential", "mean": m}, st.floats(0.5, 5)),
    st.builds(lambda m: {"law": "gamma", "mean": m, "cv": 0.5}, st.floats(0.5, 5)),
)
SLOW = st.builds(lambda m: {"law": "exponential", "mean": m}, st.floats(5, 40))
FAILURE = st.fixed_dictionaries(
    {"every": SLOW, "repair": LAWS, "counts": st.sampled_from(["calendar", "cycles"])},
    optional={"crew": st.just("crew"), "priority": st.integers(-1, 1), "severity": st.just("hold")},
)
CARE = st.fixed_dictionaries(
    {"by": st.sampled_from(["calendar", "parts"]), "every": st.integers(3, 30), "takes": LAWS},
    optional={"when": st.just("at_once"), "crew": st.just("crew")},
)
KIND = st.sampled_from(
    [
        {}, {}, {}, {"kind": "transport", "back": 1}, {"kind": "conveyor", "places": 3},
        {"kind": "oven", "batch": 2, "patience": 3},
    ]
)  # fmt: skip
STATION = st.builds(
    lambda kind, rest: {**rest, **kind, "signals": []},
    KIND,
    st.fixed_dictionaries(
        {"cycle": LAWS, "buffer": st.sampled_from([0, 0, 1, 2, 5, "unlimited"]), "machines": st.integers(1, 3)},
        optional={
            "failures": st.lists(FAILURE, max_size=1),
            "maintenance": st.lists(CARE, max_size=1),
            "tool": st.fixed_dictionaries({"life": st.integers(1, 9), "change": LAWS}),
            "setup": st.fixed_dictionaries({"usual": LAWS}),
            "scrap": st.sampled_from([0.0, 0.1]),
            "blocking": st.sampled_from(["after", "before"]),
            "components": st.just([{"name": "c", "lot": 2}]),
        },
    ),
)
SOURCE = st.one_of(
    st.just({"kind": "endless"}),
    st.builds(lambda e, w: {"kind": "arrivals", "every": e, "when_full": w}, LAWS, st.sampled_from(["wait", "lose"])),
    st.just({"kind": "orders", "orders": [{"product": "x", "quantity": 4}, {"product": "y", "quantity": 3, "at": 30}]}),
)


@st.composite
def plants(draw: st.DrawFn) -> Plant:
    """A line of one to four stations of any kind, perhaps with a loop of carriers, rework and shifts."""
    stations = [{**draw(STATION), "name": f"s{i}"} for i in range(draw(st.integers(1, 4)))]
    if draw(st.booleans()) and stations[-1].get("blocking") != "before":
        stations[-1]["defects"] = [{"code": "d", "probability": 0.2, "to": stations[-1]["name"], "at_most": 2}]
    line: dict[str, object] = {"name": "l", "source": draw(SOURCE), "mix": {"x": 1, "y": 2}, "stations": stations}
    if draw(st.booleans()):
        first, last = sorted(draw(st.tuples(*[st.integers(0, len(stations) - 1)] * 2)))
        back = draw(st.sampled_from([0, 2.5]))
        carriers = draw(st.integers(2, 4))
        line["loops"] = [{"name": "o", "carriers": carriers, "first": f"s{first}", "last": f"s{last}", "back": back}]
    if draw(st.booleans()):
        line["shifts"] = [{"from": "00:01", "to": "00:02"}]
    return Plant.model_validate({"name": "p", "site": "s", "crews": [{"name": "crew"}], "lines": [line]})


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(plants(), st.integers(0, 99))
def test_parts_and_times_balance_at_every_event(plant: Plant, seed: int) -> None:
    factory = Factory(plant, seed)
    line, spec_of_line = factory.lines[0], plant.lines[0]
    turns_back = any(each.next or any(defect.to for defect in each.defects) for each in spec_of_line.stations)
    spare = 1 if turns_back and spec_of_line.standstill == "swap" else 0
    while factory.env.peek() <= UNTIL_S:
        factory.env.step()
        assert line.entered == line.delivered + line.lost + line.parts
        assert 0 <= sum(len(buffer) for buffer in line.buffers.values()) <= line.parts
        for buffer in line.buffers.values():
            assert len(buffer) <= buffer.capacity + spare, "one more only where a circle of full buffers moves on"
        for loop, spec in zip(line.loops, plant.lines[0].loops, strict=True):
            assert 0 <= loop.free <= spec.carriers


@settings(max_examples=40, deadline=None)
@given(plants(), st.integers(0, 99))
def test_time_and_parts_add_up_at_the_end(plant: Plant, seed: int) -> None:
    factory = Factory(plant, seed)
    factory.run(UNTIL_S)
    line = factory.lines[0]
    for machine in factory.machines:
        assert sum(machine.account.seconds(UNTIL_S).values()) == pytest.approx(UNTIL_S, rel=1e-12)
        assert machine.cycles >= machine.good + machine.scrap + machine.rework
        assert min(machine.account.seconds(UNTIL_S).values()) >= 0
    assert line.part_seconds(UNTIL_S) >= line.sojourn_s - 1e-6
    if plant.lines[0].shifts:
        assert factory.machines[0].account.seconds(UNTIL_S)[State.OFF] == pytest.approx(90.0)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(plants(), st.integers(0, 99), st.floats(0.05, 40))
def test_slices_steps_and_the_clock_give_the_same_changes(plant: Plant, seed: int, slice_s: float) -> None:
    whole, sliced, stepped = (Factory(plant, seed) for _ in range(3))
    whole.run(UNTIL_S)
    while sliced.now_s < UNTIL_S:
        sliced.run(min(sliced.now_s + slice_s, UNTIL_S))
    clock = Clock(stepped.env, math.inf, monotonic=lambda: 0.0)
    while stepped.env.peek() < UNTIL_S:
        clock._slice(min(stepped.now_s + slice_s, UNTIL_S - 1e-9))
        if stepped.now_s >= UNTIL_S - 1e-9:
            break
    changes = whole.take_changes()
    assert list(map(line_of, sliced.take_changes())) == list(map(line_of, changes))
    # The clock stops a nanosecond early: what falls into that is not compared.
    early = [[line_of(c) for c in told if c.at_s < UNTIL_S - 1e-9] for told in (changes, stepped.take_changes())]
    assert early[0] == early[1]
