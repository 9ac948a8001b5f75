"""What a changed configuration asks for: nobody is touched who is not concerned."""

from pathlib import Path

import pytest

from gateway.config import Config
from gateway.run.changes import Change, change_of, in_effect, snapshot_of

SOURCE = {"name": "a", "url": "opc.tcp://h:1", "insecure": True, "select": [{"node": "i=1"}]}
OTHER = {**SOURCE, "name": "b"}
BROKER = {"name": "near", "url": "mqtt://h:1"}
FAR = {"name": "far", "url": "mqtt://h:2"}
NOTHING = Change((), (), (), ())


def config(**changes: object) -> Config:
    plain = {"sources": [SOURCE, OTHER], "brokers": [BROKER, FAR]}
    return Config.model_validate(plain | changes)


def changes(before: Config, now: Config) -> tuple[Change, Change]:
    old, new = snapshot_of(before), snapshot_of(now)
    return change_of(old.sources, new.sources), change_of(old.brokers, new.brokers)


def test_an_unchanged_configuration_affects_no_peer() -> None:
    assert changes(config(), config()) == (NOTHING, NOTHING)
    assert changes(config(), config(outbox={"max_bytes": "2GiB"}, log_level="debug")) == (NOTHING, NOTHING)


def test_a_new_or_removed_peer_starts_or_ends_alone() -> None:
    assert changes(config(sources=[OTHER]), config()) == (Change((), ("a",), (), ()), NOTHING)
    assert changes(config(), config(brokers=[BROKER])) == (NOTHING, Change(("far",), (), (), ()))


@pytest.mark.parametrize(
    "source",
    [
        {"url": "opc.tcp://h:2"},
        {"queue_size": 7},
        {"select": [{"node": "i=2"}]},
        {"fields": {"site": "x"}},
    ],
)
def test_a_change_of_a_sources_connection_reconnects_it(source: dict[str, object]) -> None:
    now = config(sources=[{**SOURCE, **source}, OTHER])
    assert changes(config(), now) == (Change((), (), ("a",), ()), NOTHING)


@pytest.mark.parametrize(
    "source", [{"shape": {"deadband": 1}}, {"select": [{"node": "i=1", "shape": {"rate_limit": "1s"}}]}]
)
def test_shaping_is_changed_in_place(source: dict[str, object]) -> None:
    now = config(sources=[{**SOURCE, **source}, OTHER])
    assert changes(config(), now) == (Change((), (), (), ("a",)), NOTHING)


def test_payload_is_changed_in_place_unless_it_needs_type_descriptions() -> None:
    topics, pubsub = config(payload={"topic": "x/{source}"}), config(payload={"format": "opcua-pubsub"})
    assert changes(config(), topics) == (NOTHING, Change((), (), (), ("near", "far")))
    assert changes(config(), pubsub) == (Change((), (), ("a", "b"), ()), Change((), (), ("near", "far"), ()))
    alone = config(sources=[SOURCE], payload={"format": "opcua-pubsub"})
    assert changes(pubsub, alone) == (Change(("b",), (), (), ()), NOTHING)


def test_a_change_of_a_brokers_payload_or_tags_is_in_place_and_affects_no_other() -> None:
    for own in ({"payload": {"topic": "y/{source}"}}, {"tags": [{"sources": ["a"]}]}):
        assert changes(config(), config(brokers=[BROKER, {**FAR, **own}])) == (NOTHING, Change((), (), (), ("far",)))
    described = config(brokers=[BROKER, {**FAR, "payload": {"format": "opcua-pubsub"}}])
    assert changes(config(), described) == (Change((), (), ("a", "b"), ()), Change((), (), ("far",), ()))
    again = config(brokers=[BROKER, {**FAR, "payload": {"format": "opcua-pubsub", "pubsub": {"prefix": "x"}}}])
    assert changes(described, again) == (NOTHING, Change((), (), ("far",), ()))
    rules = config(brokers=[BROKER, {**FAR, "payload": {"topic_escape": "."}}])
    assert changes(config(), rules) == (NOTHING, Change((), (), ("far",), ()))


def test_another_password_in_the_same_file_reconnects_that_broker(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("one")
    secret.chmod(0o600)
    near = {**BROKER, "username": "u", "password": {"file": str(secret)}, "insecure": True}
    made = config(brokers=[near, FAR])
    before = snapshot_of(made)
    secret.write_text("two")
    assert change_of(before.brokers, snapshot_of(made).brokers) == Change((), (), ("near",), ())


def test_a_key_that_needs_a_restart_is_reported_and_keeps_its_value() -> None:
    wanted = config(name="other", outbox={"path": "elsewhere", "max_bytes": "2GiB"}, stop_grace="9s")
    kept, named = in_effect(config(), wanted)
    assert (kept.name, kept.outbox.path, kept.outbox.max_bytes, kept.stop_grace) == (
        "gateway", Path("var/outbox"), 2**31, 9.0,
    )  # fmt: skip
    assert [text.split()[0] for text in named] == ["name", "outbox.path"]
