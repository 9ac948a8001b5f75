"""Every profile is sound data, a user's own extends one, and what it says of topics, properties and rates is kept."""

from pathlib import Path

import pytest

from gateway.config import BrokerConfig, Config
from gateway.config.fitting import fitted
from gateway.config.payload import PayloadConfig
from gateway.errors import ConfigError
from gateway.model import Message
from gateway.profiles import names_of_profiles, profile_named
from gateway.profiles.bucket import bucket
from gateway.profiles.names import Who
from gateway.profiles.wire import Wire, problem_of_topic, read_bag

WHO = Who("edge-1", "contoso.azure-devices.net", "p1")


def message(topic: str = "factory/hall 1", *, retain: bool = False, stream: str = "s") -> Message:
    return Message(topic, b"{}", stream, 1, 1, retain=retain, properties=(("k", "ä&b"),))


@pytest.mark.parametrize("name", names_of_profiles())
def test_every_limit_has_a_source_with_address_and_date(name: str) -> None:
    profile = profile_named(name)
    assert profile.name == name
    for limit in profile.limits.values():
        source = profile.sources[limit.source]
        assert source.url.startswith("https://")
        assert source.date.year >= 2026


def test_the_profiles_of_the_clouds_and_brokers_are_there() -> None:
    wanted = "aws-iot-core azure-iot-hub azure-event-grid azure-iot-operations huawei-iotda tencent-iot alibaba-iot "
    assert {*names_of_profiles()} == {*(wanted + "emqx hivemq mosquitto nats generic").split()}


def test_a_profile_of_ones_own_says_only_what_is_different(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("extends: aws-iot-core\nname: mine\nlimits: {messages_per_s: {value: 500, source: quotas}}\n")
    mine = profile_named(str(file))
    assert (mine.limit("messages_per_s"), mine.limit("topic_slashes")) == (500, 7)
    file.write_text("extends: aws-iot-core\nlimits: {speed: {value: 1, source: rumour}}\n")
    with pytest.raises(ConfigError, match="no such limit") as error:
        profile_named(str(file))
    assert "rumour" in str(error.value)


def test_a_broker_with_a_profile_needs_no_more_than_an_endpoint() -> None:
    broker = BrokerConfig.model_validate({"profile": "huawei-iotda", "endpoint": "x.iotda-device.example.com"})
    assert broker.url == "mqtts://x.iotda-device.example.com:8883"
    assert (broker.version, broker.keep_alive, broker.max_packet) == ("3.1.1", 30.0, 1_048_576)
    by_443 = BrokerConfig.model_validate({"profile": "aws-iot-core", "endpoint": "a-ats.iot.eu.amazonaws.com:443"})
    assert (by_443.url, by_443.tls.alpn) == ("mqtts://a-ats.iot.eu.amazonaws.com:443", ("x-amzn-mqtt-ca",))
    assert by_443.window == 100
    custom = {"username": "u?x-amz-customauthorizer-name=a", "password": {"env": "TOKEN"}}
    by_password = {"profile": "aws-iot-core", "endpoint": "a-ats.iot.eu.amazonaws.com:443", **custom}
    assert BrokerConfig.model_validate(by_password).tls.alpn == ("mqtt",)


def test_a_profile_in_a_file_holds_until_the_next_reload_which_sees_its_change(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    keys = {"profile": str(file), "url": "mqtt://localhost"}

    def loaded(per_s: int) -> BrokerConfig:
        file.write_text(f"extends: generic\nname: mine\nlimits: {{messages_per_s: {{value: {per_s}, source: mqtt}}}}\n")
        return BrokerConfig.model_validate(keys)

    first, second = loaded(5), loaded(6)
    assert first != second
    assert loaded(6) == second
    file.unlink()
    assert first.model_copy(update={"wire_topic": "x"}).table == first.table
    assert first.table is not None
    assert first.table.limit("messages_per_s") == 5


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"profile": "aws"}, "no profile 'aws': there are alibaba-iot, aws-iot-core"),
        ({"profile": "azure-iot-hub"}, "<hub>.azure-devices.net"),
        ({"url": "mqtt://localhost", "device": "d"}, "device goes with profile"),
        ({}, "url is missing"),
        ({"profile": "generic", "url": "mqtt://b", "credentials": {"key": {"env": "K"}}}, "unencrypted"),
    ],
    ids=str,
)
def test_a_broker_that_its_profile_cannot_answer_says_what_is_missing(keys: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match="Value error") as error:
        BrokerConfig.model_validate(keys)
    assert words in str(error.value)


def test_iot_hub_gets_one_topic_with_type_encoding_and_our_topic_as_properties() -> None:
    dressed = Wire(profile_named("azure-iot-hub"), WHO).dress(message(retain=True))
    head, bag = dressed.topic.rsplit("/", 1)
    assert head == "devices/edge-1/messages/events"
    assert read_bag(bag) == {
        "$.ct": "application%2Fjson", "$.ce": "utf-8", "topic": "factory%2Fhall%201", "k": "%C3%A4%26b",
    }  # fmt: skip
    assert not dressed.retain


@pytest.mark.parametrize(
    ("profile", "of_values", "topic"),
    [
        ("aws-iot-core", "$aws/rules/r/{topic}", "$aws/rules/r/factory/hall 1"),
        ("aws-iot-core", None, "factory/hall 1"),
        ("huawei-iotda", None, "$oc/devices/edge-1/user/factory/hall 1"),
        ("tencent-iot", None, "p1/edge-1/data"),
        (
            "alibaba-iot",
            "/sys/{product}/{device}/thing/event/property/post",
            "/sys/p1/edge-1/thing/event/property/post",
        ),
    ],
)
def test_a_message_goes_to_the_topic_of_the_cloud(profile: str, of_values: str | None, topic: str) -> None:
    wire = Wire(profile_named(profile), WHO, of_values)
    assert wire.dress(message()).topic == topic
    if of_values:
        assert wire.dress(message(stream="")).topic != topic  # presence is no value
    assert wire.is_plain is (topic == "factory/hall 1")


def test_a_slash_is_counted_as_the_cloud_counts() -> None:
    aws, nats = profile_named("aws-iot-core"), profile_named("nats")
    seven, eight = "a/b/c/d/e/f/g/h", "a/b/c/d/e/f/g/h/i"
    assert problem_of_topic(aws, seven) is None
    broken = problem_of_topic(aws, eight)
    assert broken is not None
    assert broken.text == f"topic `{eight}` has 8 slashes, AWS IoT Core allows 7"
    assert problem_of_topic(aws, f"$aws/rules/r/{seven}") is None
    assert problem_of_topic(aws, "x" * 257) is not None
    assert problem_of_topic(nats, "a.b") is not None


def test_a_payload_is_fitted_to_the_profile_of_its_broker_alone() -> None:
    broker = {"profile": "tencent-iot", "endpoint": "P1.iotcloud.tencentdevices.com", "name": "cloud"}
    local = {"url": "mqtt://localhost", "name": "local"}
    source = {"name": "s", "url": "opc.tcp://h:4840", "insecure": True, "select": [{"node": "i=1"}]}
    config = Config.model_validate({"sources": [source], "brokers": [broker, local], "payload": {"topic": "a/{tag}"}})
    cloud, here = config.routes["cloud"], config.routes["local"]
    assert (cloud.payload.max_bytes, cloud.payload.retains) == (16_384, False)
    assert (here.payload, here.name) == (config.payload, "")
    nats = BrokerConfig.model_validate({"profile": "nats", "url": "mqtt://localhost"})
    assert fitted(nats, PayloadConfig()).topic_escape == ". "


@pytest.mark.parametrize("per_s", [1.0, 30.0, 100.0, 524_288.0])
def test_no_second_holds_more_than_the_rate(per_s: float) -> None:
    """Sent as fast as allowed, for any cut of the seconds, and at least two thirds of the rate over time."""
    kept = bucket(per_s)
    assert kept is not None
    now_s, sent, size = 0.0, list[float](), max(1.0, per_s / 100)
    while now_s < 20.0:
        wait_s = kept.wait_s(size, now_s)
        now_s += max(wait_s, 0.0 if wait_s == 0.0 else 1e-6)
        if kept.wait_s(size, now_s) == 0.0:
            kept.take(size, now_s)
            sent.append(now_s)
    most = max(sum(size for at_s in sent if start <= at_s < start + 1.0) for start in sent)
    assert most <= max(per_s, 1.0) + size
    assert len(sent) * size >= 20 * per_s * (0.45 if per_s == 1.0 else 0.66)
