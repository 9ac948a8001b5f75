"""Stations of every kind, and what gets in their way: small plants whose course can be told by hand."""

from datetime import UTC, datetime

import pytest

from simulators.flow import Factory, Machine
from simulators.flow.shifts import working_spans
from simulators.plant import Plant, Shift
from simulators.states import State


def factory_of(stations: list[dict[str, object]], **line: object) -> Factory:
    quiet = [{"signals": [], **station} for station in stations]
    tree = {"name": "p", "site": "s", "lines": [{"name": "l", "stations": quiet, **line}]}
    factory = Factory(Plant.model_validate(tree), seed=1)
    factory.lines[0].departures = []
    return factory


def left(factory: Factory, until_s: float) -> list[float]:
    """When parts have left, up to a time."""
    factory.run(until_s)
    assert factory.lines[0].departures is not None
    return factory.lines[0].departures


def seconds(machine: Machine, state: State, now_s: float) -> float:
    return machine.account.seconds(now_s)[state]


def test_a_vehicle_comes_back_empty_before_it_carries_again() -> None:
    factory = factory_of([{"name": "agv", "kind": "transport", "cycle": 10, "back": 5}])
    assert left(factory, 41) == [10, 25, 40]


def test_a_belt_delivers_at_the_pace_it_is_loaded_and_holds_its_places() -> None:
    factory = factory_of([{"name": "belt", "kind": "conveyor", "cycle": 20, "places": 4}])
    assert left(factory, 41) == [20, 25, 30, 35, 40]
    assert factory.lines[0].parts == 4


def test_a_belt_queues_at_its_end_and_is_blocked() -> None:
    belt = {"name": "belt", "kind": "conveyor", "cycle": 4, "places": 4}
    factory = factory_of([belt, {"name": "slow", "cycle": 10}])
    assert left(factory, 35) == [14, 24, 34]
    assert factory.machines[0].state is State.BLOCKED
    assert factory.lines[0].parts == 5


def test_a_stopped_belt_moves_nothing() -> None:
    factory = factory_of([{"name": "belt", "kind": "conveyor", "cycle": 20, "places": 1}])
    factory.run(5)
    factory.machines[0].stop(State.HELD)
    factory.run(105)
    factory.machines[0].release(State.HELD)
    assert left(factory, 121) == [120]


def test_an_oven_bakes_a_full_batch_or_what_has_come_in_time() -> None:
    source = {"kind": "orders", "orders": [{"product": "x", "quantity": 5}], "repeat": False}
    oven = {"name": "oven", "kind": "oven", "cycle": 30, "batch": 3, "patience": 4}
    factory = factory_of([oven], source=source)
    assert left(factory, 100) == [30, 30, 30, 64, 64]


def test_zero_places_hand_over_directly() -> None:
    factory = factory_of([{"name": "a", "cycle": 2}, {"name": "b", "cycle": 5}])
    assert left(factory, 18) == [7, 12, 17]
    assert seconds(factory.machines[0], State.BLOCKED, 18) == 9


def test_blocking_before_service_starts_only_when_there_is_room() -> None:
    factory = factory_of([{"name": "a", "cycle": 2, "blocking": "before"}, {"name": "b", "cycle": 5}])
    assert left(factory, 25) == [7, 14, 21]


def test_parallel_machines_share_their_buffer_and_have_accounts_of_their_own() -> None:
    factory = factory_of([{"name": "a", "cycle": 10, "machines": 3}])
    assert [machine.path for machine in factory.machines] == ["l/a-1", "l/a-2", "l/a-3"]
    assert left(factory, 21) == [10, 10, 10, 20, 20, 20]


def test_a_loop_lets_in_no_more_parts_than_carriers_and_waits_for_them_to_come_back() -> None:
    loop = {"name": "pallets", "carriers": 1, "first": "a", "last": "b", "back": 4}
    factory = factory_of([{"name": "a", "cycle": 1}, {"name": "b", "cycle": 2}], loops=[loop])
    assert left(factory, 18) == [3, 10, 17]


def test_scrap_inside_a_loop_gives_its_carrier_back() -> None:
    loop = {"name": "pallets", "carriers": 1, "first": "a", "last": "b"}
    factory = factory_of([{"name": "a", "cycle": 1, "scrap": 1.0}, {"name": "b", "cycle": 2}], loops=[loop])
    factory.run(10.5)
    assert factory.lines[0].lost == 10


def test_a_crew_serves_the_most_urgent_first() -> None:
    def station(name: str, breaks_at: float, priority: int) -> dict[str, object]:
        failure = {"every": breaks_at, "repair": 10, "crew": "c", "priority": priority}
        return {"name": name, "cycle": 1000, "buffer": "unlimited", "failures": [failure]}

    lines = [
        {"name": name, "stations": [{"signals": [], **station(name, at, priority)}]}
        for name, at, priority in (("x", 1, 5), ("y", 2, 5), ("z", 3, 1))
    ]
    tree = {"name": "p", "site": "s", "crews": [{"name": "c"}], "lines": lines}
    factory = Factory(Plant.model_validate(tree), seed=1)
    factory.run(32)
    repaired = [(c.at_s, c.machine) for c in factory.take_changes() if c.name == "fault" and c.value == ""]
    assert repaired == [(11, "x/x"), (21, "z/z"), (31, "y/y")]


def test_calendar_failures_strike_while_starved_and_operating_ones_do_not() -> None:
    def down(counts: str) -> float:
        failure = {"every": 10, "repair": 5, "counts": counts}
        source = {"kind": "orders", "orders": [{"product": "x", "quantity": 1, "at": 500}]}
        factory = factory_of([{"name": "a", "cycle": 1, "failures": [failure]}], source=source)
        factory.run(400)
        return seconds(factory.machines[0], State.DOWN, 400)

    assert down("operating") == 0
    assert down("calendar") == pytest.approx(400 / 15 * 5, abs=5)


def test_maintenance_between_parts_waits_for_the_part_and_at_once_does_not() -> None:
    def course(when: str) -> list[float]:
        care = {"by": "age", "every": 15, "takes": 100, "when": when}
        return left(factory_of([{"name": "a", "cycle": 10, "maintenance": [care]}]), 240)

    assert course("between_parts") == [10, 20, 130, 140]
    assert course("at_once") == [10, 120, 230]


def test_maintenance_counts_parts_or_the_calendar() -> None:
    by_parts = {"by": "parts", "every": 3, "takes": 7}
    assert left(factory_of([{"name": "a", "cycle": 1, "maintenance": [by_parts]}]), 12) == [1, 2, 3, 11]
    by_calendar = {"by": "calendar", "every": 5.5, "takes": 2}
    assert left(factory_of([{"name": "a", "cycle": 2, "maintenance": [by_calendar]}]), 11) == [2, 4, 6, 10]


def test_changeovers_take_the_time_of_the_pair_and_the_first_product_none() -> None:
    source = {"kind": "orders", "orders": [{"product": p, "quantity": 1} for p in "xyz"]}
    setup = {"usual": 10, "changeovers": {"x": {"y": 100}}}
    assert left(factory_of([{"name": "a", "cycle": 1, "setup": setup}], source=source), 125) == [1, 102, 113, 124]


def test_a_product_follows_its_own_route_and_times() -> None:
    source = {"kind": "orders", "orders": [{"product": "x", "quantity": 1}, {"product": "y", "quantity": 1}]}
    stations: list[dict[str, object]] = [
        {"name": "a", "cycle": 1, "cycles": {"y": 3}, "next": [{"to": "b"}, {"to": "out", "product": "y"}]},
        {"name": "b", "cycle": 1, "buffer": 5},
    ]
    assert left(factory_of(stations, source=source), 8.5) == [2, 4, 6, 8]


def test_rework_is_bounded_then_scrap() -> None:
    again = {"code": "again", "probability": 1.0, "to": "a", "at_most": 2}
    factory = factory_of([{"name": "a", "cycle": 1, "defects": [again]}])
    factory.run(9.5)
    machine = factory.machines[0]
    assert (machine.rework, machine.scrap, machine.good) == (6, 3, 0)


def test_the_pedigree_tells_machines_verdicts_and_components() -> None:
    battery = {"name": "battery"}, {"name": "harness", "lot": 2}
    factory = factory_of([{"name": "a", "cycle": 1, "components": battery}, {"name": "b", "cycle": 1}])
    factory.run(10)
    part = factory.lines[0].pedigree("l-00000003")
    assert part is not None
    assert [(v.machine, v.began_s, v.ended_s) for v in part.visits] == [("a", 2, 3), ("b", 3, 4)]
    assert part.components == ["l/a/battery/3", "l/a/harness/2"]


def test_speed_changes_act_on_the_part_in_work() -> None:
    factory = factory_of([{"name": "a", "cycle": 10}])
    factory.run(5)
    factory.machines[0].set_speed(2.0)
    assert left(factory, 13) == [7.5, 12.5]
    with pytest.raises(ValueError, match="hold the machine"):
        factory.machines[0].set_speed(0)


def test_two_stops_end_only_with_the_second_release() -> None:
    factory = factory_of([{"name": "a", "cycle": 10}])
    machine = factory.machines[0]
    factory.run(2)
    machine.stop(State.HELD)
    machine.stop(State.DOWN)
    shown = [machine.state]
    factory.run(10)
    machine.release(State.DOWN)
    shown.append(machine.state)
    assert shown == [State.DOWN, State.HELD]
    factory.run(20)
    machine.release(State.HELD)
    assert left(factory, 29) == [28]


def test_machines_are_off_outside_the_shifts_and_finish_their_part_next_day() -> None:
    shift = {"days": ["mon"], "from": "00:00", "to": "00:01"}
    factory = factory_of([{"name": "a", "cycle": 50}], shifts=[shift])
    assert left(factory, 7 * 86_400 + 41) == [50, 7 * 86_400 + 40]
    assert seconds(factory.machines[0], State.OFF, 7 * 86_400) == 7 * 86_400 - 60


def test_a_night_shift_is_an_hour_longer_when_summer_time_ends() -> None:
    shift = Shift.model_validate({"days": ["sat"], "from": "22:00", "to": "06:00"})
    spans = working_spans([shift], "Europe/Berlin", datetime(2026, 10, 17, tzinfo=UTC))
    lengths = [(end - begin) / 3600 for begin, end in (next(spans), next(spans), next(spans))]
    assert lengths == [8, 9, 8]


def test_adjoining_shifts_are_one_span() -> None:
    shifts = [Shift.model_validate({"from": a, "to": b}) for a, b in (("06:00", "14:00"), ("14:00", "22:00"))]
    begin, end = next(working_spans(shifts, "UTC", datetime(2026, 1, 5, tzinfo=UTC)))
    assert (begin, end) == (6 * 3600, 22 * 3600)


def test_a_machine_that_is_ready_again_takes_the_part_that_has_waited_longest() -> None:
    factory = factory_of([{"name": "a", "cycle": 1}, {"name": "b", "cycle": 1, "buffer": 1}])
    factory.machines[1].stop(State.DOWN)
    factory.run(10)
    factory.machines[1].release(State.DOWN)
    factory.run(20)
    assert [part.serial[-1] for part in factory.lines[0].finished][:4] == ["1", "2", "3", "4"]
