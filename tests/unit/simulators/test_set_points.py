"""Set-points change what they say, from the moment on, within their range, and a run with them can be repeated."""

from collections import Counter
from pathlib import Path

import pytest

from simulators.errors import OutOfRange
from simulators.flow import Command, Factory, replay
from simulators.flow.change import Value
from simulators.plant import Plant, load
from simulators.states import State
from simulators.trace import line_of

BROWNFIELD = load(Path(__file__).parents[3] / "config" / "plants" / "brownfield.yaml")
LINE, MILL = "brown/SetPoints", "brown/mill/SetPoints"


def entered(factory: Factory) -> list[str]:
    """The products in the order in which their lots entered."""
    return [str(c.value) for c in factory.changes if (c.machine, c.name) == ("brown", "product")]


def test_lots_grow_by_a_factor_and_the_mix_of_products_stays() -> None:
    factory = Factory(BROWNFIELD, seed=1)
    factory.set_points.set(LINE, "LotFactor", 0.5)
    lots = Counter[int]()
    factory.lines[0].buffers["weld"].set_capacity(float("inf"))
    factory.run(40 * 3600)
    for part in factory.lines[0].finished:
        lots[part.order] += 1
    whole = sorted(lots)[1:-1]
    assert whole
    assert all(25 <= lots[order] <= 30 for order in whole)  # thirty each, less what was scrapped
    assert entered(factory)[:5] == ["a", "c", "b", "d", "a"]


def test_a_sequence_holds_from_the_next_lot_on() -> None:
    factory = Factory(BROWNFIELD, seed=1)
    factory.run(60)
    factory.set_points.set(LINE, "Sequence", "a, b,c,d")
    factory.run(20 * 3600)
    assert entered(factory)[:9] == ["a", "b", "c", "d", "a", "b", "c", "d", "a"]
    factory.set_points.set(LINE, "Sequence", "")
    before = len(entered(factory))
    factory.run(40 * 3600)
    rest = entered(factory)[before:]
    assert "".join(rest)[-4:] in "acbdacbd"


def test_parts_are_released_at_a_rate() -> None:
    factory = Factory(BROWNFIELD, seed=1)
    factory.set_points.set(LINE, "ReleaseRate", 30.0)
    factory.run(10 * 3600)
    assert 270 <= factory.lines[0].entered <= 301
    factory.set_points.set(LINE, "ReleaseRate", 0.0)
    factory.run(20 * 3600)
    assert factory.lines[0].entered > 301 + 700


def test_the_limit_of_a_buffer_is_what_fits_in() -> None:
    factory = Factory(BROWNFIELD, seed=1)
    buffer, most = factory.lines[0].buffers["mill"], 0
    for limit in (7, 0, 12):
        factory.set_points.set("brown/Buffers/mill", "Limit", limit)
        factory.run(factory.now_s + 3600)  # what is more than fits in leaves first
        most = 0
        for _ in range(1200):
            factory.run(factory.now_s + 30)
            most = max(most, len(buffer))
        assert most == limit


def test_the_interval_of_a_care_holds_for_the_one_that_is_waited_for() -> None:
    factory = Factory(BROWNFIELD, seed=1, keeping=False)
    mill = factory.machine("brown/mill")
    factory.run(3600)
    factory.set_points.set(MILL, "SpindleInterval", 250.0)
    while not mill.account.seconds_in(State.MAINTENANCE, factory.now_s):
        factory.run(factory.now_s + 60)
    assert mill.cycles == 250


THREE = Plant.model_validate({
    "name": "three", "site": "s", "crews": [{"name": "crew"}, {"name": "others"}],
    "lines": [
        {"name": name, "stations": [{"name": "m", "cycle": 1, "signals": [], "failures": [{
            "name": "jam", "every": {"law": "constant", "value": 100}, "repair": 10, "crew": "crew",
        }], "maintenance": [
            {"name": "oil", "by": "calendar", "every": 1000, "takes": 5},
            {"name": "belt", "by": "calendar", "every": 9000, "takes": 5},
        ]}]}
        for name in "abc"
    ],
})  # fmt: skip


def first_down_s(factory: Factory) -> list[float]:
    factory.run(140)
    return [machine.account.seconds_in(State.DOWN, 140) for machine in factory.machines]


def test_the_more_urgent_job_is_done_first_and_another_crew_does_it_beside() -> None:
    assert first_down_s(Factory(THREE, seed=1)) == [10, 20, 30]
    urgent = Factory(THREE, seed=1)
    urgent.set_points.set("c/m/SetPoints", "JamPriority", -1)
    assert first_down_s(urgent) == [10, 30, 20]
    shared = Factory(THREE, seed=1)
    shared.set_points.set("b/m/SetPoints", "JamCrew", "others")
    assert first_down_s(shared) == [10, 10, 20]
    with pytest.raises(OutOfRange):
        shared.set_points.set("b/m/SetPoints", "JamCrew", "nobody")


def test_a_care_by_the_calendar_comes_at_its_new_time() -> None:
    factory = Factory(THREE, seed=1)
    factory.run(300)
    factory.set_points.set("a/m/SetPoints", "OilInterval", 400.0)
    factory.set_points.set("a/m/SetPoints", "BeltInterval", 20_000.0)
    machine = factory.machine("a/m")
    factory.run(399)
    assert machine.account.seconds_in(State.MAINTENANCE, 399) == 0
    factory.run(420)
    assert machine.account.seconds_in(State.MAINTENANCE, 420) == 5
    factory.run(830)
    assert machine.account.seconds_in(State.MAINTENANCE, 830) == 10


REFUSED: tuple[tuple[str, str, Value], ...] = (
    (LINE, "LotFactor", 0.01), (LINE, "LotFactor", float("nan")), (LINE, "Sequence", "a,b,c"),
    (LINE, "Sequence", "a,b,c,x"), (LINE, "ReleaseRate", -1.0), ("brown/Buffers/mill", "Limit", 13),
    ("brown/Buffers/mill", "Limit", -1), ("brown/Buffers/mill", "Limit", 2.5), (MILL, "ChipsPriority", 101),
    (MILL, "SpindleInterval", 0.0),
)  # fmt: skip


@pytest.mark.parametrize(("path", "name", "value"), REFUSED)
def test_what_is_out_of_range_changes_nothing(path: str, name: str, value: Value) -> None:
    factory = Factory(BROWNFIELD, seed=1)
    point = factory.set_points.all[path, name]
    before = point.read()
    with pytest.raises(OutOfRange):
        factory.set_points.set(path, name, value)
    assert point.read() == before
    assert not factory.commands
    assert not factory.changes


SETTINGS: tuple[Command, ...] = (
    Command(1800.0, LINE, "LotFactor", 2.0), Command(1800.0, LINE, "Sequence", "a,b,c,d"),
    Command(5000.0, "brown/Buffers/mill", "Limit", 9), Command(9000.0, MILL, "ChipsPriority", -1),
    Command(9000.0, MILL, "SpindleInterval", 7200.0), Command(12_000.0, LINE, "ReleaseRate", 90.0),
)  # fmt: skip


def test_a_run_with_set_points_is_repeated_from_its_commands() -> None:
    first, second = Factory(BROWNFIELD, seed=3), Factory(BROWNFIELD, seed=3)
    replay(first, SETTINGS, 40_000.0)
    assert first.commands == list(SETTINGS)
    replay(second, first.commands, 40_000.0)
    changes = first.take_changes()
    assert list(map(line_of, changes)) == list(map(line_of, second.take_changes()))
    noted = {(c.machine, c.name): c.value for c in changes}
    assert all(noted[c.machine, c.name] == c.value for c in SETTINGS)


def test_a_machine_says_why_it_stands_and_on_what_it_works() -> None:
    factory = Factory(BROWNFIELD, seed=2)
    factory.run(86_400)
    seen: dict[str, set[str]] = {}
    reason: dict[str, str] = {}
    for change in factory.take_changes():
        if change.name == "reason":
            reason[change.machine] = str(change.value)
        elif change.name == "state":
            seen.setdefault(f"{change.machine} {change.value}", set()).add(reason.get(change.machine, ""))
    assert seen["brown/mill down"] == {"chips"}
    assert seen["brown/mill maintenance"] == {"spindle"}
    assert seen["brown/mill setup"] == {"tool"}
    assert seen["brown/stamp setup"] == {"a", "b", "c", "d"}
    assert seen["brown/weld blocked"] == {"mill"}
    assert seen["brown/weld working"] == seen["brown/weld starved"] == {""}
