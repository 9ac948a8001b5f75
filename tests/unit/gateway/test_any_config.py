"""Whatever a configuration says, it is one, or mistakes with file and line; nothing else comes out of loading it."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import ConfigError
from gateway.loading import load

FOLDERS = ("config", "docker/gateway")
FILES = sorted(path for folder in FOLDERS for path in (Path(__file__).parents[3] / folder).glob("gateway*.yaml"))
TREES = [yaml.safe_load(path.read_text("utf-8")) for path in FILES]

Place = tuple[int | str, ...]


def places(value: object, place: Place = ()) -> Iterator[Place]:
    """Every place in a tree but its root."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield (*place, key)
        yield from places(part, (*place, key))


PLACES = [(n, place) for n, tree in enumerate(TREES) for place in places(tree)]
WORDS = st.sampled_from(
    ["", "x", "{x}", "{", "}{", "{gateway}/#", "$", "opc.tcp://[", "mqtt://", "10min", "-1s", "../.."]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
KEYS = [
    "name", "brokers", "broker", "sources", "payload", "fields", "levels", "topic", "shape", "events", "presence",
    "events_topic", "format", "pubsub", "topic_escape", "max_topic_bytes", "max_topic_levels", "priority",
]  # fmt: skip


def written(value: object) -> str:
    """As YAML; JSON with what JSON calls numbers and YAML does not."""
    return re.sub(r"(?<![\w\"])(NaN|-?Infinity)", ".nan", json.dumps(value, ensure_ascii=False))


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PLACES), st.sampled_from([None, *KEYS]), VALUES)
def test_any_content_gives_a_configuration_or_mistakes(
    tmp_path_factory: pytest.TempPathFactory, where: tuple[int, Place], key: str | None, value: object
) -> None:
    check_one(tmp_path_factory.getbasetemp() / "any.yaml", where, key, value)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("payload", "fields"), [[]]),
        (("payload", "fields"), [{"a": 1}]),
        (("payload", "topic"), ["a"]),
        (("sources", 0, "fields"), [["a"]]),
        (("sources", 0, "select", 0, "levels"), [["a"], 1]),
        (("broker", "presence"), {"topic": ["a"]}),
    ],
)
def test_input_that_once_crashed_the_loader_is_a_mistake(tmp_path: Path, place: Place, value: object) -> None:
    assert check_one(tmp_path / "any.yaml", (FILES.index(FILES[0].with_name("gateway.yaml")), place), None, value)


def check_one(path: Path, where: tuple[int, Place], key: str | None, value: object) -> list[str] | None:
    """The mistakes of a file that has another value in one place; None when it is still a configuration."""
    tree, place = copy.deepcopy(TREES[where[0]]), where[1]
    inside: Any = tree
    for part in place[:-1]:
        inside = inside[part]
    if key is not None and isinstance(inside[place[-1]], dict):
        inside[place[-1]][key] = value
    else:
        inside[place[-1]] = value
    path.write_bytes(written(tree).encode("utf-8", "surrogatepass"))
    told: list[str] | None = None
    try:
        load(path)
    except ConfigError as error:
        told = error.problems
    assert told is None or (told and all(re.match(rf"{re.escape(str(path))}:\d+: ", problem) for problem in told))
    return told
