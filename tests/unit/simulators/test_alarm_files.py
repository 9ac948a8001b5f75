"""The alarm file: each mistake has its place, and the script is due at exact times."""

from pathlib import Path

import pytest

from simulators.alarms import load_alarms
from simulators.errors import ConfigError
from simulators.plant import load

CONFIG = Path(__file__).parents[3] / "config"
MACHINE = "machine: line-1/assembly"
WRONG = {
    "unknown machine": ("- {name: A, kind: off_normal, machine: line-1/nobody}", ":2: alarms[0].machine"),
    "same name": (f"- {{name: A, kind: off_normal, {MACHINE}}}\n- {{name: A, kind: off_normal, {MACHINE}}}", ":3:"),
    "limits that fall": (f"- {{name: A, kind: exclusive_limit, {MACHINE}, high: 9, high_high: 8}}", "limits must rise"),
    "no limit": (f"- {{name: A, kind: non_exclusive_limit, {MACHINE}}}", "at least one of low_low"),
    "default that is no option": (
        f"- {{name: A, kind: dialog, {MACHINE}, prompt: p, default: 9}}",
        "index of an option",
    ),
    "unknown key": (f"- {{name: A, kind: off_normal, {MACHINE}, colour: red}}", "colour"),
    "script of nobody": (f"- {{name: A, kind: off_normal, {MACHINE}}}\nscript: [{{at: 1s, alarm: B}}]", "no alarm 'B'"),
    "step without value": (f"- {{name: A, kind: off_normal, {MACHINE}}}\nscript: [{{at: 1s, alarm: A}}]", "`value`"),
    "script writes a signal": (
        f"- {{name: A, kind: off_normal, {MACHINE}, input: energy}}\nscript: [{{at: 1s, alarm: A, value: 1}}]",
        "cannot write",
    ),
    "steps in disorder": (
        f"- {{name: A, kind: off_normal, {MACHINE}}}\nscript: [{{at: 9s, alarm: A}}, {{at: 1s, alarm: A}}]",
        "order of their times",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_told_with_its_place(name: str, tmp_path: Path) -> None:
    text, told = WRONG[name]
    file = tmp_path / "alarms.yaml"
    file.write_text(f"alarms:\n{text}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_alarms(file, load(CONFIG / "plant.yaml"))
    assert all(problem.startswith(f"{file}:") for problem in caught.value.problems)
    assert told in "\n".join(caught.value.problems)


def test_the_script_repeats_and_each_step_is_due_once() -> None:
    alarms = load_alarms(CONFIG / "alarms.yaml", load(CONFIG / "plant.yaml"))
    whole = alarms.due(-1.0, 179.0)
    assert len(whole) == 3 * len(alarms.script)
    pieces = [step for n in range(1, 180) for step in alarms.due(n - 1.0 if n > 1 else -1.0, float(n))]
    assert pieces == whole
