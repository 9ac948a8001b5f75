"""What of the routes in a configuration cannot work is told with its place, before anything runs."""

from pathlib import Path

import pytest
import yaml

from gateway.config import Config
from gateway.errors import ConfigError
from gateway.loading import load

FILE = """
sources:
  - name: line-1
    url: opc.tcp://127.0.0.1:4840
    insecure: true
    select:
      - {subtree: i=85, levels: [machine]}
      - {node: i=2258, fields: {room: "1"}, priority: state}
payload: {topic: "f/{source}"}
brokers:
  - {name: plant, url: "mqtt://127.0.0.1"}
  - name: cloud
    url: mqtt://127.0.0.1
"""


def problems(folder: Path, cloud: str) -> list[str]:
    path = folder / "gateway.yaml"
    path.write_text(FILE + "".join(f"    {line}\n" for line in cloud.splitlines()), encoding="utf-8")
    try:
        load(path)
    except ConfigError as error:
        return [problem.removeprefix(f"{path}:") for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("cloud", "said"),
    [
        ("payload: {topic: 'g/{machine}'}", "14: brokers[1].payload.topic: for sources[0].select[1]: {machine} is not"),
        ("payload: {topic: 'g/{tag}', format: json-columns}", "brokers[1].payload.topic: json-columns puts many tags"),
        ("payload: {topic: g, fields: [hall]}", "brokers[1].payload.fields: 'hall' is not a field of any selection"),
        (
            "version: '3.1.1'\npayload: {topic: g, format: cloudevents}",
            "14: brokers[1].version: 'cloud' has version 3.1.1",
        ),
        ("payload: {topic: g, max_topic_levels: 1}", "gateways/{gateway}/losses, the topic of losses"),
        ("payload: {topic: g, topic_escape: '.'}\npresence: {topic: a.b}", "brokers[1].presence.topic: a topic must"),
        (
            "tags: [{sources: [line-2]}]",
            "14: brokers[1].tags[0].sources: no source is named 'line-2': there are line-1",
        ),
        ("tags: [{fields: {hall: x}}]", "brokers[1].tags[0].fields: 'hall' is not a field of any selection"),
        ("tags: [{fields: {machine: x, room: y}}]", "brokers[1].tags[0]: no selection matches all of these"),
        (
            "tags: [{priorities: [event]}]",
            "brokers[1].tags[0]: no selection matches all of these: nothing would be sent",
        ),
        ("tags: []", "brokers[1].tags: needs at least one item"),
        ("tags: [{machine: x}]", "brokers[1].tags[0].machine: no such key"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_with_its_place(tmp_path: Path, cloud: str, said: str) -> None:
    told = problems(tmp_path, cloud)
    assert any(said in problem for problem in told), told


@pytest.mark.parametrize(
    "cloud",
    [
        "payload: {topic: 'g/{machine}'}\ntags: [{fields: {machine: '*'}}]",
        "payload: {topic: 'g/{room}'}\ntags: [{priorities: [state]}]",
        "payload: {topic: g, max_topic_levels: 3}",
        "tags: [{sources: [line-1], include: ['**/Temp*'], exclude: ['Old*']}]",
    ],
)
def test_a_topic_needs_only_the_fields_of_the_selected_tags(tmp_path: Path, cloud: str) -> None:
    assert problems(tmp_path, cloud) == []


def test_an_unused_payload_of_the_gateway_is_not_checked(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(FILE.replace('payload: {topic: "f/{source}"}\n', "").replace('127.0.0.1"}', '127.0.0.1", '
                    'payload: {topic: x}}') + "    payload: {topic: y}\n", encoding="utf-8")  # fmt: skip
    assert [route.name for route in load(path).distinct_routes] == ["plant", "cloud"]


def test_a_brokers_payload_inherits_nothing() -> None:
    raw = yaml.safe_load(FILE) | {"payload": {"topic": "f/{source}", "compress": "gzip", "max_values": 5}}
    raw["brokers"][1]["payload"] = {"topic": "g"}
    own = Config.model_validate(raw).routes["cloud"].payload
    assert (own.topic, own.compress, own.max_values) == ("g", "none", 1000)
