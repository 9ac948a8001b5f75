"""A fleet: plants of their own names, ports and seeds, which do what they do alone."""

from pathlib import Path

import pytest

from simulators.errors import ConfigError
from simulators.fleet import Share, check_memory, members
from simulators.flow import Factory
from simulators.plant import load
from simulators.trace import line_of, trace

PLANTS = Path(__file__).parents[3] / "config" / "plants"
FILES = [PLANTS / "munich.yaml", PLANTS / "smt.yaml"]


def test_the_shares_of_all_processes_are_the_fleet() -> None:
    shares = [members(FILES, 122, 7, "opc.tcp://127.0.0.1:4840", Share(rest, 3)) for rest in range(3)]
    fleet = sorted((member for share in shares for member in share), key=lambda each: each.number)
    assert [member.number for member in fleet] == list(range(122))
    assert len({member.plant.name for member in fleet}) == len({member.plant.site for member in fleet}) == 122
    assert [member.seed for member in fleet] == list(range(7, 129))
    assert fleet[121].endpoint == "opc.tcp://127.0.0.1:4961"
    assert fleet[0].plant.name == "munich-001"
    assert fleet[1].plant.name == "smt-002"


def test_plants_that_run_in_turns_in_one_process_do_what_each_does_alone() -> None:
    fleet = members(FILES, 4, 7, "opc.tcp://127.0.0.1:0")
    factories = [Factory(member.plant, member.seed) for member in fleet]
    for until_s in (400, 900, 1500):
        for factory in factories:
            factory.run(until_s)
    for member, factory in zip(fleet, factories, strict=True):
        alone = list(trace(load(FILES[member.number % 2]), member.seed, 1500))
        assert list(map(line_of, factory.take_changes())) == alone[:-1]


def test_a_fleet_that_does_not_fit_is_refused_with_what_fits() -> None:
    with pytest.raises(ConfigError, match="at most 125 fit"):
        check_memory(1000, 2, free=4_000_000_000)
    check_memory(122, 2, free=4_000_000_000)
    with pytest.raises(ConfigError, match="ports from 65000"):
        members(FILES, 1000, 1, "opc.tcp://127.0.0.1:65000")
