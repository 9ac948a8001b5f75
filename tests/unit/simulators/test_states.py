"""PackML and machinery states: the tables, and the unit that follows a machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.errors import Illegal
from simulators.flow import Factory, PackMLUnit
from simulators.plant import Plant
from simulators.states import (
    ACTING,
    MACHINERY,
    PACK_OF,
    Cause,
    Edition,
    ItemState,
    OperationMode,
    Pack,
    PackMode,
    State,
    move,
    packml,
    way,
)  # fmt: skip

STATES = st.sampled_from([state for state in Pack if state is not Pack.UNDEFINED])
COMMANDS = st.sampled_from([cause for cause in Cause if cause is not Cause.STATE_COMPLETE])
EDITIONS = st.sampled_from(list(Edition))
ABORTED = (Pack.ABORTING, Pack.ABORTED)


@given(STATES, EDITIONS)
def test_abort_leads_to_aborted_from_every_state(state: Pack, edition: Edition) -> None:
    if state in ABORTED:
        return
    aborting = move(state, Cause.ABORT, edition)
    assert move(aborting, Cause.STATE_COMPLETE, edition) is Pack.ABORTED


@given(STATES, COMMANDS, EDITIONS)
def test_only_clear_leaves_aborted(state: Pack, command: Cause, edition: Edition) -> None:
    after = packml(edition).get((state, command))
    if state in ABORTED and after is not None:
        assert (command, after) == (Cause.CLEAR, Pack.CLEARING)


@given(STATES, EDITIONS)
def test_every_acting_state_completes_in_exactly_one_way(state: Pack, edition: Edition) -> None:
    completes = (state, Cause.STATE_COMPLETE) in packml(edition)
    assert completes == (state in ACTING)
    assert completes == (state.name.endswith("ING") or state is Pack.EXECUTE)


@given(STATES, COMMANDS, EDITIONS)
def test_a_command_that_is_not_in_the_diagram_is_illegal(state: Pack, command: Cause, edition: Edition) -> None:
    if (state, command) not in packml(edition):
        with pytest.raises(Illegal):
            move(state, command, edition)


@given(STATES, STATES, EDITIONS)
def test_every_state_can_be_reached_by_arrows_of_the_diagram(start: Pack, goal: Pack, edition: Edition) -> None:
    here = start
    for step in way(start, goal, edition):
        assert step in {after for (state, _), after in packml(edition).items() if state is here}
        here = step
    assert here is goal


def test_the_table_has_the_arrows_of_the_standard_and_no_others() -> None:
    table = packml(Edition.Y2015)
    assert len(table) == 11 + 9 + 5 + 12 + 15  # completions, single commands, dashed holds, stops, aborts
    assert table[Pack.EXECUTE, Cause.COMPLETE] is Pack.COMPLETING
    assert table[Pack.STOPPED, Cause.RESET] is Pack.RESETTING
    assert (Pack.STOPPED, Cause.STOP) not in table
    assert (Pack.HELD, Cause.COMPLETE) not in table
    assert (Pack.HELD, Cause.COMPLETE) in packml(Edition.Y2022)


def test_every_state_of_a_machine_has_its_standard_names() -> None:
    assert set(MACHINERY) == set(PACK_OF) == set(State)
    assert MACHINERY[State.WORKING] == (ItemState.EXECUTING, OperationMode.PROCESSING)
    assert MACHINERY[State.MAINTENANCE] == (ItemState.OUT_OF_SERVICE, OperationMode.MAINTENANCE)


def unit_of(**station: object) -> tuple[Factory, PackMLUnit]:
    stations = [{"name": "a", "cycle": 10, "signals": [], **station}]
    plant = Plant.model_validate({"name": "p", "site": "s", "lines": [{"name": "l", "stations": stations}]})
    factory = Factory(plant, seed=1)
    return factory, PackMLUnit(factory.machines[0])


def test_the_unit_follows_the_account_along_the_arrows() -> None:
    factory, unit = unit_of(failures=[{"every": 15, "repair": 5}])
    passed: list[tuple[Pack, float]] = []
    unit.on_state.append(lambda state, at_s: passed.append((state, at_s)))
    factory.run(21)
    assert [state for state, at_s in passed if at_s == 15] == [Pack.ABORTING, Pack.ABORTED]
    recovery = [Pack.CLEARING, Pack.STOPPED, Pack.RESETTING, Pack.IDLE, Pack.STARTING, Pack.EXECUTE]
    assert [state for state, at_s in passed if at_s == 20] == recovery


def test_a_light_failure_shows_as_held() -> None:
    factory, unit = unit_of(failures=[{"every": 15, "repair": 5, "severity": "hold"}])
    factory.run(16)
    assert unit.state is Pack.HELD


def test_stop_holds_the_machine_until_it_is_reset_and_started() -> None:
    factory, unit = unit_of()
    factory.run(5)
    unit.command(Cause.STOP)
    assert (unit.state, unit.machine.state) == (Pack.STOPPED, State.HELD)
    factory.run(100)
    assert unit.machine.good == 0
    unit.command(Cause.RESET)
    assert (unit.state, unit.machine.state) == (Pack.IDLE, State.HELD)
    unit.command(Cause.START)
    factory.run(106)
    assert (unit.state, unit.machine.good) == (Pack.EXECUTE, 1)


def test_an_illegal_command_changes_nothing() -> None:
    factory, unit = unit_of()
    factory.run(5)
    with pytest.raises(Illegal, match="unhold is not possible in execute"):
        unit.command(Cause.UNHOLD)
    assert (unit.state, unit.machine.state, unit.mode) == (Pack.EXECUTE, State.WORKING, PackMode.PRODUCTION)


def test_clear_waits_for_the_repair() -> None:
    factory, unit = unit_of(failures=[{"every": 15, "repair": 5}])
    factory.run(16)
    with pytest.raises(Illegal, match="until the repair is done"):
        unit.command(Cause.CLEAR)
    assert unit.state is Pack.ABORTED


@given(st.lists(COMMANDS, max_size=25), st.integers(0, 1000))
def test_after_any_commands_all_time_is_accounted_for_and_the_machine_can_start_again(
    commands: list[Cause], seed: int
) -> None:
    factory, unit = unit_of(failures=[{"every": 33, "repair": 4}])
    for number, command in enumerate(commands, 1):
        factory.run(number * 7 + (seed % 5))
        try:
            unit.command(command)
        except Illegal:
            continue
        held = unit.machine.state is State.HELD or unit.machine.state is State.DOWN
        assert held == (unit.state is not Pack.EXECUTE)
    factory.run(1000)
    assert sum(unit.machine.account.seconds(1000).values()) == pytest.approx(1000)
    assert sum(unit.cumulative_s(1000).values()) == pytest.approx(1000)


def test_the_times_of_the_states_add_up_to_the_times_of_the_modes() -> None:
    care = {"by": "calendar", "every": 100, "takes": 20, "when": "at_once"}
    factory, unit = unit_of(failures=[{"every": 33, "repair": 4}], maintenance=[care])
    factory.run(1000)
    spent = unit.cumulative_s(1000)
    account = unit.machine.account.seconds(1000)
    cared = sum(seconds for (mode, _), seconds in spent.items() if mode is PackMode.MAINTENANCE)
    assert cared == pytest.approx(account[State.MAINTENANCE])
    assert spent[PackMode.PRODUCTION, Pack.EXECUTE] == pytest.approx(account[State.WORKING])
    assert spent[PackMode.PRODUCTION, Pack.ABORTED] == pytest.approx(account[State.DOWN])
    assert sum(spent.values()) == pytest.approx(1000)
