"""A group of real gateways: a member dies, another leaves in order, and nothing is missing at the broker."""

import json
import subprocess
import sys
import time
from pathlib import Path

from tests.chaos.group import log_reader
from tests.support.group_plant import MemberProgram, group_plant
from tests.support.programs import wait_until

BUSY_S = 6.0
"""How much longer than promised it may take on a machine that does other things as well."""


def told(command: str, member: MemberProgram, *words: str) -> dict[str, str]:
    """What `gateway group` answers: for `status`, the member of each source."""
    json_too = ("--json",) if command == "status" else ()
    program = [sys.executable, "-m", "gateway", "group", command, str(member.config_path), *words, *json_too]
    answer = subprocess.run(program, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    works = json.loads(answer.stdout)["works"] if json_too else []
    return {work["work"].partition("/")[2]: work["member"] for work in works}


def test_members_come_and_go_and_every_value_arrives_once_in_order(tmp_path: Path) -> None:
    with (
        group_plant(tmp_path, members=2, servers=2, tags=20, proxied=False) as plant,
        log_reader(plant.cluster.servers) as log,
    ):
        killed, left = sorted(plant.members, key=lambda member: "broker/broker" in member.holds)
        killed.kill()
        at_s = time.monotonic()
        wait_until(lambda: len(left.holds) == 3, "the other member to take everything over", 60)
        assert time.monotonic() - at_s < plant.presence_s + 2 + BUSY_S
        plant.wait_caught_up(60)
        assert told("status", left)["s0"] == left.member
        killed.restart()
        killed.wait_said("started", times=2)
        told("move", left, "s0", killed.member)
        wait_until(lambda: "source/s0" in killed.holds, "the work to move", 2 + BUSY_S)
        assert left.stop() == 0
        wait_until(lambda: len(killed.holds) == 3, "the first member to take everything back", 2 + BUSY_S)
        plant.finish()
        for checker in plant.checkers:
            assert (checker.holes, checker.gaps, checker.disordered) == ([], [], 0)
            assert not +checker.problems
        assert log.wrong == []
        assert log.take_overs >= 4
