"""The demo plant runs, keeps its books, and says the same again."""

from pathlib import Path

import pytest
from msgspec.structs import astuple

from simulators.errors import ConfigError
from simulators.flow import Factory
from simulators.plant import load

DEMO = Path(__file__).parents[3] / "config" / "plant.yaml"


def test_every_second_is_in_exactly_one_state() -> None:
    factory = Factory(load(DEMO), seed=1)
    factory.run(5000.5)
    for machine in factory.machines:
        assert sum(machine.account.seconds(5000.5).values()) == pytest.approx(5000.5, rel=1e-12)


def test_same_seed_same_changes_and_another_seed_others() -> None:
    def changes(seed: int) -> list[tuple[object, ...]]:
        factory = Factory(load(DEMO), seed)
        factory.run(600)
        return [astuple(change) for change in factory.take_changes()]

    assert changes(7) == changes(7)
    assert changes(7) != changes(8)


def test_every_mistake_is_reported_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "plant.yaml"
    path.write_text(
        "name: x\nsite: y\nlines:\n  - name: l\n    stations:\n      - name: a\n        cycle: 2 parsecs\n"
        "        bufer: 3\n      - name: b\n        cycle: {law: normal, mean: 2s}\n        scrap: 1.2\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        load(path)
    text = "\n".join(caught.value.problems)
    assert f"{path}:7: lines[0].stations[0].cycle.value: write a duration" in text
    assert f"{path}:8: lines[0].stations[0].bufer: no such key: did you mean buffer?" in text
    assert f"{path}:10: lines[0].stations[1].cycle.sd: is missing" in text
    assert f"{path}:11: lines[0].stations[1].scrap: input should be less than or equal to 1" in text
