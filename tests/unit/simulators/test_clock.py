"""The clock: where simulated time stands at every wall time, with a wall that only moves when told."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Generator
from itertools import pairwise
from pathlib import Path

import pytest
import simpy

from simulators.clock import BUDGET_S, Clock, TooSlow
from simulators.errors import Illegal
from simulators.flow import Factory, PackMLUnit, replay
from simulators.pace import LatePolicy
from simulators.plant import load
from simulators.states import Cause
from simulators.trace import hashed, line_of, trace

DEMO = Path(__file__).parents[3] / "config" / "plant.yaml"


class Wall:
    """A monotonic clock that moves by sleeping only; `each_look_s` makes every look at it cost time."""

    def __init__(self, each_look_s: float = 0.0) -> None:
        self.now_s = 1000.0
        self.each_look_s = each_look_s

    def monotonic(self) -> float:
        self.now_s += self.each_look_s
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        await asyncio.sleep(0)


def drive(clock: Clock, until_s: float, after: Callable[[float], None] = lambda now_s: None) -> None:
    asyncio.run(asyncio.wait_for(clock.run(after, until_s), 60))


def clock_of(factory: Factory, wall: Wall, speed: float, policy: LatePolicy = LatePolicy.CATCH_UP) -> Clock:
    return Clock(factory.env, speed, policy, monotonic=wall.monotonic, sleep=wall.sleep)


def hash_of(factory: Factory) -> str:
    return list(hashed(map(line_of, factory.take_changes())))[-1]


@pytest.fixture(scope="module")
def reference() -> str:
    """The hash of ten simulated minutes, in one run."""
    factory = Factory(load(DEMO), seed=1)
    factory.run(600)
    return hash_of(factory)


def test_trace_ends_with_the_hash_of_the_run(reference: str) -> None:
    assert list(trace(load(DEMO), 1, 600))[-1] == reference


@pytest.mark.parametrize("slice_s", [0.37, 1.0, 7.5])
def test_slices_do_not_change_what_happens(slice_s: float, reference: str) -> None:
    factory = Factory(load(DEMO), seed=1)
    while factory.now_s < 600:
        factory.run(min(factory.now_s + slice_s, 600))
    assert hash_of(factory) == reference


def test_single_steps_do_not_change_what_happens(reference: str) -> None:
    factory = Factory(load(DEMO), seed=1)
    while factory.env.peek() < 600:
        factory.env.step()
    assert hash_of(factory) == reference


@pytest.mark.parametrize("speed", [1.0, 100.0, 10_000.0, float("inf")])
def test_no_speed_changes_what_happens(speed: float, reference: str) -> None:
    factory = Factory(load(DEMO), seed=1)
    drive(clock_of(factory, Wall(), speed), 600)
    assert hash_of(factory) == reference


def test_a_slow_machine_does_not_change_what_happens(reference: str) -> None:
    factory = Factory(load(DEMO), seed=1)
    drive(clock_of(factory, Wall(each_look_s=BUDGET_S), 5000.0), 600)
    assert hash_of(factory) == reference


def test_sampling_signals_does_not_change_what_happens(reference: str) -> None:
    factory = Factory(load(DEMO), seed=1)
    signals = [signal for machine in factory.machines for signal in machine.signals.values()]
    drive(clock_of(factory, Wall(), 50.0), 600, lambda now_s: [signal.value(now_s) for signal in signals].clear())
    assert hash_of(factory) == reference


COMMANDS = (Cause.STOP, Cause.RESET, Cause.START, Cause.HOLD, Cause.UNHOLD, Cause.ABORT, Cause.CLEAR)


@pytest.mark.parametrize("look_s", [0.0, BUDGET_S])
def test_commands_replayed_from_the_journal_give_the_same_run(look_s: float) -> None:
    factory, wall, chance = Factory(load(DEMO), seed=1), Wall(look_s), random.Random(1)
    units = [PackMLUnit(machine) for machine in factory.machines]

    def after(now_s: float) -> None:
        unit = chance.choice(units)
        unit.machine.set_speed(chance.uniform(0.5, 2.0))
        with contextlib.suppress(Illegal):
            unit.command(chance.choice(COMMANDS))

    drive(clock_of(factory, wall, 300.0), 600, after)
    again = Factory(load(DEMO), seed=1)
    replay(again, factory.commands, 600)
    assert len({command.value for command in factory.commands if command.name == "command"}) > 4
    assert hash_of(again) == hash_of(factory)


def test_simulated_time_follows_the_wall_at_the_speed() -> None:
    factory, wall = Factory(load(DEMO), seed=1), Wall()
    drive(clock_of(factory, wall, 4.0), 100)
    assert wall.now_s - 1000 == pytest.approx(25, abs=0.03)


def test_a_change_of_speed_makes_no_jump_and_no_stall() -> None:
    factory, wall = Factory(load(DEMO), seed=1), Wall()
    clock = clock_of(factory, wall, 1.0)
    seen: list[tuple[float, float]] = []

    def after(now_s: float) -> None:
        seen.append((wall.now_s, now_s))
        if clock.speed == 1.0 and now_s >= 10:
            clock.set_speed(100.0)

    drive(clock, 200, after)
    for (wall_before_s, before_s), (wall_after_s, after_s) in pairwise(seen):
        assert after_s - before_s <= 100 * (wall_after_s - wall_before_s) + 1e-6
    assert wall.now_s - 1000 == pytest.approx(10 + 190 / 100, abs=0.1)


def test_a_change_of_speed_wakes_the_sleeping_clock() -> None:
    factory = Factory(load(DEMO), seed=1)
    clock = Clock(factory.env)

    async def body() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(clock.run(lambda now_s: None, 3600))
            await asyncio.sleep(0)
            clock.set_speed(float("inf"))

    asyncio.run(asyncio.wait_for(body(), 60))
    assert factory.now_s == 3600


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
def test_a_speed_that_is_not_positive_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="use pause to stop time"):
        Clock(Factory(load(DEMO), seed=1).env, speed)


def test_a_pause_stops_simulated_time_and_resume_continues_it() -> None:
    factory, wall = Factory(load(DEMO), seed=1), Wall()
    clock = clock_of(factory, wall, 1.0)
    paused_at: list[float] = []

    def after(now_s: float) -> None:
        if now_s >= 10 and not paused_at:
            paused_at.append(now_s)
            clock.pause()
        elif clock.paused:
            assert now_s == paused_at[0]
            if wall.now_s > 1100:
                clock.resume()

    drive(clock, 20, after)
    assert wall.now_s - 1000 == pytest.approx(110, abs=0.2)


def slow(policy: LatePolicy) -> tuple[Clock, Wall, Factory]:
    """A computer that manages 64 events in a budget, at a speed that needs far more."""
    factory, wall = Factory(load(DEMO), seed=1), Wall(each_look_s=BUDGET_S)
    return clock_of(factory, wall, 100_000.0, policy), wall, factory


def test_catch_up_loses_nothing_and_reports_its_lag() -> None:
    clock, _, _ = slow(LatePolicy.CATCH_UP)
    lags: list[float] = []
    drive(clock, 10_000, lambda now_s: lags.append(clock.lag_s))
    assert max(lags) > 0.5
    assert clock.slipped_s == 0
    assert clock.achieved_speed < 100_000


def test_slip_bounds_the_lag() -> None:
    clock, _, _ = slow(LatePolicy.SLIP)
    lags: list[float] = []
    drive(clock, 20_000, lambda now_s: lags.append(clock.lag_s))
    assert max(lags) < 1.5
    assert clock.slipped_s > 0


def test_fail_says_that_it_is_too_slow() -> None:
    clock, _, _ = slow(LatePolicy.FAIL)
    with pytest.raises(TooSlow, match="behind the clock"):
        drive(clock, 100_000)


def test_time_in_which_the_computer_was_suspended_is_skipped() -> None:
    factory, wall = Factory(load(DEMO), seed=1), Wall()

    async def sleep(seconds: float) -> None:
        wall.now_s += seconds + (36_000 if wall.now_s == pytest.approx(1005, abs=0.01) else 0)

    clock = Clock(factory.env, 1.0, monotonic=wall.monotonic, sleep=sleep)
    drive(clock, 10)
    assert wall.now_s - 1000 == pytest.approx(36_010, abs=1)
    assert clock.slipped_s == pytest.approx(36_000, abs=1)


def test_unpaced_history_is_followed_by_live_time_at_speed_one() -> None:
    factory, wall = Factory(load(DEMO), seed=1), Wall()
    clock = clock_of(factory, wall, float("inf"))
    drive(clock, 3600)
    assert (factory.now_s, wall.now_s) == (3600, 1000)
    clock.set_speed(1.0)
    drive(clock, 3610)
    assert wall.now_s - 1000 == pytest.approx(10, abs=0.03)


def test_an_error_in_the_flow_is_raised_by_run() -> None:
    factory = Factory(load(DEMO), seed=1)

    def broken() -> Generator[simpy.Event, None, None]:
        yield factory.env.timeout(1)
        raise RuntimeError("broken machine")

    factory.env.process(broken())
    with pytest.raises(RuntimeError, match="broken machine"):
        drive(clock_of(factory, Wall(), 100.0), 10)


def test_a_slice_never_holds_the_loop_for_longer_than_its_budget() -> None:
    factory, wall = Factory(load(DEMO), seed=1), Wall(each_look_s=0.001)
    clock = clock_of(factory, wall, float("inf"))
    ends: list[float] = []
    drive(clock, 5000, lambda now_s: ends.append(wall.now_s))
    assert max(later - sooner for sooner, later in pairwise(ends)) <= BUDGET_S + 0.006
