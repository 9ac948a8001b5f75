"""A client of another stack (node-opcua) finds the machines, everything their types demand, a method and an event."""

import json
import subprocess
from pathlib import Path

from tests.support.node import PEERS, node_for
from tests.support.programs import Factory, running


def test_node_opcua_reads_every_mandatory_node_calls_a_method_and_gets_an_event(tmp_path: Path) -> None:
    node = node_for("node-opcua")
    with running(Factory(tmp_path, plant=Path(__file__).parent / "mixed.yaml")) as program:
        assert isinstance(program, Factory)
        program.wait_said("serving")
        command = [node, "inspect-machines.js", program.url, "mill", "Abort"]
        ended = subprocess.run(command, cwd=PEERS, capture_output=True, text=True, timeout=240, check=False)
        assert ended.returncode == 0, ended.stderr
    report = json.loads(next(line for line in ended.stdout.splitlines() if line.startswith("{")))
    assert report["types"] == {
        "plain": "BaseObjectType",
        "filler": "BaseObjectType",
        "mill": "MachineToolType",
    }
    assert report["missing"] == []
    assert report["mandatory"] > 100
    assert report["empty"] == []
    bad = {path: code for path, code in report["read"].items() if code != "Good"}
    assert set(bad.values()) <= {"BadStateNotActive"}
    assert all("StateMachine" in path or "State" in path for path in bad)
    assert report["call"] == "Good"
    assert report["event"] == {"source": "line-1/mill", "message": "line-1/mill is held", "severity": 100}
    assert report["again"] == "BadInvalidState"
