"""The plant files that ship are right, and wrong ones are told where and why."""

import json
import re
import tempfile
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.describe import describe
from simulators.errors import ConfigError
from simulators.flow import Factory
from simulators.flow.stress import tags_of
from simulators.plant import Plant, load, schema
from simulators.yaml_positions import read_yaml

CONFIG = Path(__file__).parents[3] / "config"
FILES = sorted([CONFIG / "plant.yaml", *(CONFIG / "plants").glob("*.yaml")])
ORDERLY = """\
name: x
site: y
lines:
  - name: l
    stations:
      - name: a
        cycle: 2s
      - name: b
        cycle: 3s
"""


def problems(tmp_path: Path, text: str) -> list[str]:
    """What is wrong with a plant file, without its path."""
    path = tmp_path / "plant.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(path)
    return [problem.removeprefix(f"{path}:") for problem in caught.value.problems]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_shipped_plant_loads_and_fits_its_schema(path: Path) -> None:
    load(path)
    jsonschema.Draft202012Validator(schema()).validate(read_yaml(path).value)


def test_all_plants_of_the_catalogue_are_there() -> None:
    names = {path.stem for path in FILES}
    assert names >= {
        "plant", "reference-line", "body-shop", "end-of-line", "bottling", "machining-cell", "smt", "plant-50",
        "stress",
    }  # fmt: skip


def test_the_schema_in_the_repository_is_the_one_of_the_code() -> None:
    assert json.loads((CONFIG / "plant.schema.json").read_text(encoding="utf-8")) == json.loads(json.dumps(schema()))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("cycle: 2s", "cycle: {law: norml, mean: 2s}"), "7: lines[0].stations[0].cycle: input tag 'norml'"),
        (("cycle: 2s", "cycle: {law: exponential}"), "7: lines[0].stations[0].cycle.mean: is missing"),
        (("cycle: 2s", "cycle: -1"), "7: lines[0].stations[0].cycle.value: input should be greater than or equal to 0"),
        (("cycle: 2s", "cycle: 2s\n        buffer: -1"), "8: lines[0].stations[0].buffer: input should be greater"),
        (("cycle: 2s", "cycle: 2s\n        buffer: 1.5"), "8: lines[0].stations[0].buffer: write a whole number"),
        (("cycle: 2s", "cycle: 2s\n        scrap: 1.2"), "8: lines[0].stations[0].scrap: input should be less than"),
        (("cycle: 2s", "cycle: 2s\n        kind: magic"), "6: lines[0].stations[0]: input tag 'magic'"),
        (("cycle: 2s", "cycle: 2s\n        next: [{to: c}]"), "8: lines[0].stations[0].next[0].to: no station c"),
        (("cycle: 2s", "cycle: 2s\n        next: [{to: out}]"), "9: lines[0].stations[1]: no route leads to b"),
        (("cycle: 3s", "cycle: 3s\n        next: [{to: a}]"), "good parts never leave"),
        (("cycle: 2s", "cycle: 2s\n        next: [{to: b, share: 0.5}]"), "stations[0].next: the shares add up"),
        (
            ("cycle: 2s", "cycle: 2s\n        failures: [{every: 5s, repair: 1s, crew: us}]"),
            "8: lines[0].stations[0].failures[0].crew: no crew us: the plant names no crews",
        ),
        (("site: y", "site: y\ntimezone: Europe/Atlantis"), "3: timezone: no such time zone"),
        (("name: b", "name: a"), "lines[0]: each machine needs a name of its own: a occurs more than once"),
        (("site: y", "site: y\nname: z"), "3: name: stands twice, first on line 1"),
        (("site: y", "sites: y"), "2: sites: no such key: did you mean site?"),
        (("lines:", "lines: 5\nrest:"), "3: lines: write a list here"),
    ],
)  # fmt: skip
def test_a_mistake_is_reported_with_its_line_and_what_is_allowed(
    tmp_path: Path, change: tuple[str, str], told: str
) -> None:
    found = problems(tmp_path, ORDERLY.replace(*change))
    assert any(told in problem for problem in found), found


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("loops: [{name: o, carriers: 1, first: x, last: b}]", "loops[0].first: no station x on this line"),
        ("loops: [{name: o, carriers: 1, first: b, last: a}]", "loops[0].last: a must not stand before b"),
        (
            "loops: &o [{name: o, carriers: 1, first: a, last: b}, {name: q, carriers: 1, first: a, last: a}]",
            "only one loop",
        ),
        ("source: {kind: magic}", "source: input tag 'magic'"),
        ("source: {kind: arrivals}", "source.every: is missing"),
        ("source: {kind: orders, orders: []}", "source.orders: needs at least one item"),
        ("shifts: [{from: 6, to: '14:00', days: [monday]}]", "shifts[0].days[0]: input should be 'mon'"),
        ("mix: {a: 0}", "mix.a: input should be greater than 0"),
    ],
)
def test_a_mistake_in_a_line_is_reported(tmp_path: Path, keys: str, told: str) -> None:
    found = problems(tmp_path, ORDERLY.replace("    stations:", f"    {keys}\n    stations:"))
    assert any(told in problem for problem in found), found


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("scrap: 0.6\n        defects: [{code: d, probability: 0.5}]", "scrap and defects add up to 1.1"),
        ("defects: [{code: d, probability: 0.5, to: z}]", "defects[0].to: no station z"),
        (
            "blocking: before\n        defects: [{code: d, probability: 0.5, to: a}]",
            "blocking: before needs a single next station",
        ),
        ("next: [{to: b, product: x}]", "next: needs a route without a product"),
        ("power: {working: 3 horses}", "power.working: write a power as a number and a unit"),
        (
            "signals: [{kind: lag, name: t, unit: K, high: 1, working: 1, idle: 0}]",
            "signals[0].unit: no such unit: 'K'",
        ),
        (
            "kind: conveyor\n        places: 3\n        failures: [{every: 1h, repair: 1s}]",
            "no working time",
        ),
        ("kind: oven", "batch: is missing"),
        ("failures: [{name: x, every: 1h, repair: 1s}, {name: x, every: 1h, repair: 1s}]", "x occurs more than once"),
        ("maintenance: [{by: moon, every: 1h, takes: 1s}]", "maintenance[0].by: input should be 'age', 'calendar' or"),
    ],
)
def test_a_mistake_in_a_station_is_reported(tmp_path: Path, keys: str, told: str) -> None:
    found = problems(tmp_path, ORDERLY.replace("cycle: 2s", f"cycle: 2s\n        {keys}"))
    assert any(told in problem for problem in found), found


def test_a_plant_without_lines_and_stress_is_refused(tmp_path: Path) -> None:
    assert "needs lines, stress or both" in problems(tmp_path, "name: x\nsite: y\n")[0]


@pytest.mark.parametrize("text", ["", "- a", "a: [", "a: \x00", "42"])
def test_a_file_that_is_not_a_plant_is_refused(tmp_path: Path, text: str) -> None:
    assert problems(tmp_path, text)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none.yaml")


def test_a_mistake_in_a_merged_mapping_is_reported_at_its_own_line(tmp_path: Path) -> None:
    text = ORDERLY.replace("      - name: a\n        cycle: 2s", "      - &a\n        name: a\n        cycle: 2x")
    text = text.replace("      - name: b\n        cycle: 3s", "      - {<<: *a, name: b}")
    found = problems(tmp_path, text)
    assert [problem.split(":")[0] for problem in found] == ["8", "8"]


def test_off_is_a_word_and_not_a_boolean(tmp_path: Path) -> None:
    path = tmp_path / "plant.yaml"
    path.write_text(ORDERLY.replace("cycle: 2s", "cycle: 2s\n        power: {'off': 10W}"), encoding="utf-8")
    assert load(path).lines[0].stations[0].power.off == 10.0
    [told] = problems(tmp_path, ORDERLY.replace("cycle: 2s", "cycle: 2s\n        power: {off: 10W}"))
    assert 'off is false in YAML 1.1 and a text in YAML 1.2: write "off" or false' in told


@pytest.mark.parametrize("stem", ["plant"])
def test_describe_names_the_bottleneck_and_expects_no_more_than_it_allows(stem: str) -> None:
    path = next(path for path in FILES if path.stem == stem)
    text = describe(load(path))
    most = float(text.split("at most ")[1].split()[0])
    expected = float(text.split("expected:")[1].split()[0])
    assert 0.7 * most < expected < 1.02 * most
    assert text.count("◀ bottleneck") == 1


def test_stress_values_contain_the_number_of_the_change() -> None:
    plant = Plant.model_validate({"name": "p", "site": "s", "stress": [{"name": "v", "variables": 4, "rate": 10}]})
    tags = list(tags_of(plant.stress[0]))
    assert [tag.name for tag in tags] == ["v-00000", "v-00001", "v-00002", "v-00003"]
    for tag in tags:
        assert tag.count(100.0) - tag.count(0.0) == 1000
        assert tag.count(tag.changed_s(7) + 1e-9) == 7
    assert len(Factory(plant, seed=1).stress) == 4


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("bool", True),
        ("int32", 7),
        ("uint32", 7),
        ("int64", 7),
        ("float", 0.7),
        ("double", 0.7),
        ("string", "v-00000-7"),
    ],
)
def test_stress_variables_have_the_configured_type(kind: str, value: object) -> None:
    tree = {"name": "p", "site": "s", "stress": [{"name": "v", "variables": 1, "type": kind}]}
    tag = Factory(Plant.model_validate(tree), seed=1).stress[0]
    assert tag.value(7) == value
    assert type(tag.value(7)) is type(value)


@pytest.mark.parametrize("key", ["cycle: 0s", "cycle: 2s\n        failures: [{every: 0s, repair: 1s}]"])
def test_times_with_a_mean_of_zero_are_refused(tmp_path: Path, key: str) -> None:
    assert "must last at least 1ms" in problems(tmp_path, ORDERLY.replace("cycle: 2s", key))[0]


SCALARS = st.sampled_from(
    [
        "-1", "0", "1.2", "1e400", ".nan", "null", "[]", "{}", "[1, 2]", "{a: 1}", "yes", "''", "2 parsecs",
        "2026-01-01", "*x", "!!int x",
    ]
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(st.sampled_from(FILES), st.integers(0, 10_000), st.integers(0, 3), SCALARS)
def test_any_file_gives_a_plant_or_mistakes_with_places(path: Path, place: int, how: int, scalar: str) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    at = place % len(lines)
    key = lines[at].partition(":")[0]
    lines[at : at + 1] = [[], [lines[at]] * 2, [f"{key}: {scalar}"], [f"{lines[at]}{scalar}"]][how]
    with tempfile.TemporaryDirectory() as folder:
        changed = Path(folder) / "plant.yaml"
        changed.write_text("\n".join(lines), encoding="utf-8")
        told = problems_or_none(changed)
    assert told is None or (told and all(re.match(rf"{re.escape(str(changed))}:\d+: ", problem) for problem in told))


def problems_or_none(path: Path) -> list[str] | None:
    """What is wrong with a file; None: nothing."""
    try:
        load(path)
    except ConfigError as error:
        return error.problems
    return None
