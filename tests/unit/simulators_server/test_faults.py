"""Faults come when the file or the seed says, end in order, and are written down."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest

from simulators.app import Running, Settings
from simulators.errors import ConfigError
from simulators.faults import Active, Fault, FaultLog, Schedule, load_faults
from simulators.plant import Plant
from simulators.server.distortion import ServedValue, distortion_of
from simulators.server.record import Recorder

NOW = datetime(2026, 1, 5, tzinfo=UTC)
TEXT = """
faults:
  - {kind: freeze, at: 10s, lasts: 20s, nodes: "line-1/*"}
  - {kind: kill_sessions, at: 15s}
  - {kind: slow_answers, every: {law: exponential, mean: 60s}, lasts: 5s, delay: 0.1s}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "faults.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def edges(path: Path, seed: int, step_s: float) -> list[tuple[float, bool, str]]:
    schedule, now_s = Schedule(load_faults(path), seed), 0.0
    found: list[tuple[float, bool, str]] = []
    while now_s < 600:
        now_s += step_s
        found += [(e.at_s, e.begins, e.active.fault.kind) for e in schedule.due(min(now_s, 600.0))]
    return found


def test_same_seed_gives_the_same_faults_however_time_is_sliced(tmp_path: Path) -> None:
    path = written(tmp_path, TEXT)
    assert edges(path, 1, 0.5) == edges(path, 1, 37.0)
    assert edges(path, 1, 1.0) != edges(path, 2, 1.0)


def test_scripted_faults_begin_and_end_at_their_times(tmp_path: Path) -> None:
    found = edges(written(tmp_path, TEXT), 1, 1.0)
    assert [(at, begins) for at, begins, kind in found if kind == "freeze"] == [(10.0, True), (30.0, False)]
    drawn = [(at, begins) for at, begins, kind in found if kind == "slow_answers"]
    assert len(drawn) > 6
    assert all(end - begin == pytest.approx(5.0) for (begin, _), (end, _) in zip(drawn[::2], drawn[1::2], strict=False))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{kind: freeze, at: 1s, every: {law: exponential, mean: 2s}, nodes: x}", "either `at` or `every`"),
        ("{kind: error_answers, at: 1s, rate: 1.5}", "rate"),
        ("{kind: melt, at: 1s}", "kind"),
        ("{kind: freeze, at: 1s, nodes: x, colour: red}", "colour"),
    ],
)
def test_impossible_faults_are_refused_with_their_line(tmp_path: Path, line: str, complaint: str) -> None:
    path = written(tmp_path, f"faults:\n  - {line}\n")
    with pytest.raises(ConfigError, match=complaint) as caught:
        load_faults(path)
    assert f"{path}:2: " in str(caught.value)


def test_fault_log_has_one_json_line_per_beginning_and_end(tmp_path: Path) -> None:
    schedule = Schedule(load_faults(written(tmp_path, TEXT)), 1)
    with (tmp_path / "log").open("wb") as file:
        log = FaultLog(file)
        for edge in schedule.due(12.0):
            log.add(edge, ["line-1/a/Good"])
        line = json.loads((tmp_path / "log").read_text(encoding="utf-8"))
    assert (line["at_s"], line["event"], line["kind"]) == (10.0, "begin", "freeze")
    assert line["parameters"] == {"lasts": 20.0, "nodes": "line-1/*"}
    assert line["affected"] == ["line-1/a/Good"]


def test_faults_of_values_sensors_and_machines_stay_apart_in_the_log(tmp_path: Path) -> None:
    stuck = {"kind": "stuck", "at": 100, "lasts": 50}
    signal = {"name": "t", "kind": "lag", "unit": "°C", "high": 90, "working": 60, "idle": 20, "faults": [stuck]}
    failure = {"name": "jam", "every": 120, "repair": 30}
    station = {"name": "press", "cycle": 10, "failures": [failure], "signals": [signal]}
    plant = Plant.model_validate({"name": "p", "site": "s", "lines": [{"name": "l", "stations": [station]}]})
    (bad,) = load_faults(written(tmp_path, 'faults:\n  - {kind: status, at: 130s, nodes: "l/*"}\n'))
    with (tmp_path / "log").open("wb") as file:
        log = FaultLog(file)
        running = Running(Settings(), plant, Recorder(None), log)
        running.factory.run(200.0)
        running.publish(200.0)
        for edge in Schedule((bad,), 1).due(131.0):
            log.add(edge, ["l/press/Good"])
    lines = [json.loads(line) for line in (tmp_path / "log").read_text(encoding="utf-8").splitlines()]
    assert sorted((each["origin"], each["at_s"], each["event"], each["kind"], *each["affected"]) for each in lines) == [
        ("machine", 120.0, "begin", "jam", "l/press"),
        ("machine", 150.0, "end", "jam", "l/press"),
        ("sensor", 100.0, "begin", "stuck", "l/press/t"),
        ("sensor", 150.0, "end", "stuck", "l/press/t"),
        ("value", 130.0, "begin", "status", "l/press/Good"),
    ]


def test_the_shipped_fault_file_has_every_kind_of_fault() -> None:
    shipped = load_faults(Path(__file__).parents[3] / "config" / "faults.yaml")
    assert {type(fault) for fault in shipped} == set(get_args(Fault))


def distorted(folder: Path, line: str, truths: list[object], now_s: float = 0.0) -> list[ServedValue | None]:
    fault = load_faults(written(folder, f"faults:\n  - {line}\n"))[0]
    distortion = distortion_of(Active(0, fault, 0.0, 10.0), NOW, lambda: now_s)
    assert distortion is not None
    assert distortion.fits("line-1/a/Good")
    assert not distortion.fits("line-2/a/Good")
    later = [NOW + timedelta(seconds=n) for n in range(len(truths))]
    return [distortion.apply("line-1/a/Good", ServedValue(t, at, 0)) for t, at in zip(truths, later, strict=True)]


def test_rolled_over_counter_goes_on_from_zero(tmp_path: Path) -> None:
    line = '{kind: rollover, at: 0s, nodes: "line-1/*", left: 1}'
    shown = distorted(tmp_path, line, [7, 8, 9, 10])
    assert [s.content for s in shown if s] == [2**32 - 2, 2**32 - 1, 0, 1]


def test_status_cycles_through_its_codes(tmp_path: Path) -> None:
    line = '{kind: status, at: 0s, nodes: "line-1/*", codes: [BadSensorFailure, UncertainLastUsableValue], period: 5s}'
    codes = [distorted(tmp_path, line, [1], now_s)[0] for now_s in (0.0, 6.0, 11.0)]
    assert [s.code for s in codes if s] == [0x808C_0000, 0x4090_0000, 0x808C_0000]


def test_frozen_values_are_held_back_and_times_repeat_or_step_back(tmp_path: Path) -> None:
    assert distorted(tmp_path, '{kind: freeze, at: 0s, nodes: "line-1/*"}', [1, 2]) == [None, None]
    repeated = distorted(tmp_path, '{kind: repeat_time, at: 0s, nodes: "line-1/*"}', [1, 2, 3])
    assert {s.source_time for s in repeated if s} == {NOW}
    disordered = distorted(tmp_path, '{kind: disorder_time, at: 0s, nodes: "line-1/*", by: 3s}', [1, 2, 3])
    offsets = [(s.source_time - NOW).total_seconds() for s in disordered if s]
    assert offsets == [0.0, -2.0, 2.0]
