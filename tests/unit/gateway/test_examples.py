"""Every configuration that comes with the project is one that works."""

from pathlib import Path

import pytest

from gateway.config import PayloadConfig
from gateway.loading import load

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((*(ROOT / "config").glob("gateway*.yaml"), *(ROOT / "config/clouds").glob("*.yaml")))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_a_configuration(path: Path) -> None:
    assert load(path).name == "edge-1"


def test_there_is_an_example_of_every_format() -> None:
    formats = PayloadConfig.model_fields["format"].annotation.__args__  # type: ignore[union-attr]
    assert {load(path).payload.format for path in EXAMPLES} == {*formats} - {"msgpack"}  # which is `json`, packed
