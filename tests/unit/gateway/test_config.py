"""Configuration: every mistake at once, each with its place; nothing unknown gets in."""

from pathlib import Path

import pytest

from gateway.config import Config
from gateway.errors import ConfigError
from gateway.loading import load

GOOD = """
sources:
  - name: line-1
    url: opc.tcp://127.0.0.1:4840
    insecure: true
    fields: {site: demo}
    select:
      - subtree: i=85
        levels: [line, machine]
broker:
  url: mqtt://127.0.0.1
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "gateway.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(write(folder, text))
    return [p.removeprefix(f"{folder}/gateway.yaml") for p in caught.value.problems]


def test_a_small_configuration_is_enough(tmp_path: Path) -> None:
    config = load(write(tmp_path, GOOD))
    assert config.sources[0].publishing_interval == 0.25
    assert config.http.host == "127.0.0.1"


def test_all_mistakes_are_reported_at_once_each_with_its_line(tmp_path: Path) -> None:
    text = GOOD.replace("url: opc.tcp", "urll: opc.tcp").replace("mqtt://", "http://").replace("levels", "levls")
    found = problems(tmp_path, text)
    assert [p.split(": ")[0] for p in found] == [":3", ":4", ":8", ":8", ":9", ":11"]
    assert "did you mean url?" in found[1]
    assert "write an address as mqtt://host:port" in found[5]


def test_an_unknown_topic_field_names_those_that_exist(tmp_path: Path) -> None:
    found = problems(tmp_path, GOOD + "payload:\n  topic: factory/{shop}/{machine}\n")
    assert found == [
        ":13: payload.topic: for sources[0].select[0]: {shop} is not a field here: allowed are"
        " {gateway}, {line}, {machine}, {site}, {source}, {tag}"
    ]


def test_a_default_topic_whose_fields_are_missing_points_at_the_selection(tmp_path: Path) -> None:
    found = problems(tmp_path, GOOD.replace("        levels: [line, machine]\n", ""))
    assert all(p.startswith(":8: sources[0].select[0]") for p in found)
    assert len(found) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ": is empty"),
        ("a: [1", "is not YAML"),
        ("name: x\nname: y\n", ":2: name: stands twice, first on line 1: remove one"),
        ("- 1\n", "write keys with values here"),
    ],
)
def test_a_file_that_is_not_a_configuration_is_refused(tmp_path: Path, text: str, said: str) -> None:
    assert said in "\n".join(problems(tmp_path, text))


def test_a_mistake_of_many_selections_is_reported_once(tmp_path: Path) -> None:
    selected = "".join(f"      - node: i={n}\n" for n in range(2000, 2100))
    source = f"  - name: a\n    url: opc.tcp://a:1\n    insecure: true\n    select:\n{selected}"
    text = f"sources:\n{source}broker: {{url: 'mqtt://b:1'}}\npayload: {{topic: 'x/{{machine}}'}}\n"
    [told] = problems(tmp_path, text)
    assert "for sources[0].select[0] and 99 more: {machine} is not a field here" in told


def test_contradictions_are_reported_together_with_other_mistakes(tmp_path: Path) -> None:
    text = GOOD.replace("url: opc.tcp:", "url: opc.tpc:").replace("    select:", "    queue_size: many\n    select:")
    text = text.replace("mqtt://127.0.0.1", "mqtt://127.0.0.1\n  window: -1\n  version: '3.1.1'")
    text += (
        "payload: {format: cloudevents, max_bytes: 1B, topic: 'factory/{line}/{tag}', compress: gzip, fields: [hall]}\n"
    )
    assert [p.split(": ")[:2] for p in problems(tmp_path, text)] == [
        [":4", "sources[0].url"],
        [":7", "sources[0].queue_size"],
        [":13", "broker.window"],
        [":14", "broker.version"],
        [":15", "payload.compress"],
        [":15", "payload.fields"],
        [":15", "payload.max_bytes"],
        [":15", "payload.topic"],
    ]


@pytest.mark.parametrize(
    "text",
    [
        "sources: 5\nbroker: []\n",
        "sources: [7, {select: [null]}]\nbrokers: [x]\npayload: {topic: {a: 1}}\n",
        "payload: 5\n",
    ],
)
def test_mistakes_of_any_form_do_not_crash_the_check(tmp_path: Path, text: str) -> None:
    assert problems(tmp_path, text)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "none.yaml")


@pytest.mark.parametrize(("text", "seconds"), [("250ms", 0.25), ("5s", 5), ("2 h", 7200), ("7d", 604800), ("1.5", 1.5)])
def test_valid_durations_are_read(tmp_path: Path, text: str, seconds: float) -> None:
    config = load(
        write(tmp_path, GOOD.replace("    insecure: true\n", f"    insecure: true\n    keep_alive: {text}\n"))
    )
    assert config.sources[0].keep_alive == seconds


@pytest.mark.parametrize("text", ["5 parsecs", "-1s", "0", "1e99s", "true s"])
def test_invalid_durations_are_refused(tmp_path: Path, text: str) -> None:
    found = problems(tmp_path, GOOD.replace("    insecure: true\n", f"    insecure: true\n    keep_alive: {text}\n"))
    assert found[0].startswith(":6: sources[0].keep_alive: ")


def test_every_shipped_gateway_configuration_loads() -> None:
    paths = sorted((Path(__file__).parents[3] / "config").glob("gateway*.yaml"))
    assert paths
    assert all(isinstance(load(path), Config) for path in paths)


def test_every_key_is_documented() -> None:
    def undocumented(schema: dict[str, object], where: str) -> list[str]:
        properties = schema.get("properties", {})
        assert isinstance(properties, dict)
        return [f"{where}.{k}" for k, p in properties.items() if "description" not in p]

    schema = Config.model_json_schema()
    missing = undocumented(schema, "Config")
    for name, part in schema["$defs"].items():
        missing += undocumented(part, name)
    assert missing == []
