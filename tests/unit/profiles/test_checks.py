"""A configuration is held against its clouds before anything connects, with numbers and with what to do."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import cli
from gateway.errors import ConfigError
from gateway.loading import load
from gateway.payload.clouds import findings

FILE = """
name: edge-1
sources:
  - name: demo
    url: opc.tcp://127.0.0.1:4840
    insecure: true
    publishing_interval: 250ms
    select: [{subtree: i=85, levels: [line, machine]}, {node: i=7, fields: {line: l, machine: m}}]
broker: {%s}
payload: {%s}
"""
HUB = "profile: azure-iot-hub, endpoint: h.azure-devices.net"
AWS = "profile: aws-iot-core, endpoint: a-ats.iot.eu.amazonaws.com, tls: {certificate: a.pem}"
PLAIN = "format: json, topic: 'f/{line}'"


def file_of(folder: Path, broker: str, payload: str = PLAIN) -> Path:
    path = folder / "gateway.yaml"
    path.write_text(FILE % (broker, payload), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("broker", "payload", "said"),
    [
        (AWS, "topic: 'a/b/c/d/e/f/{line}/{machine}/{tag}'",
         "topic `a/b/c/d/e/f/line/machine/tag` has 8 slashes, AWS IoT Core allows 7: use wire_topic: \"$aws/rules"),
        (AWS + f", device: {'d' * 129}", PLAIN, "is no name of a device at AWS IoT Core"),
        (HUB + ", device: 'edge 1'", PLAIN, "'edge 1' is no name of a device at Azure IoT Hub"),
        (HUB + ", version: '5'", PLAIN, "MQTT 5, Azure IoT Hub speaks 3.1.1"),
        (HUB, "format: cloudevents", "speaks 3.1.1: binary cloudevents need MQTT 5: set cloudevents.mode"),
        (HUB + ", url: 'mqtt://hub.example.com'", PLAIN, "no TLS, Azure IoT Hub takes nothing else"),
        ("profile: huawei-iotda, endpoint: h.example.com, keep_alive: 20s", PLAIN,
         "keep-alive of 20 s, Huawei Cloud IoTDA takes 30 to 1200 s"),
        (AWS.replace("com,", "com:443,").replace("a.pem}", "a.pem, alpn: [h2]}"), PLAIN,
         "port 443 of AWS IoT Core needs ALPN `x-amzn-mqtt-ca` or `mqtt`"),
    ],
)  # fmt: skip
def test_what_a_cloud_refuses_for_certain_is_a_mistake(tmp_path: Path, broker: str, payload: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(file_of(tmp_path, broker, payload))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("broker", "payload", "said"),
    [
        (AWS + ", keep_alive: 20min, window: 200", PLAIN, "200 publishes without a PUBACK, AWS IoT Core takes 100"),
        (AWS + ", keep_alive: 2h", PLAIN, "keep-alive of 7200 s, AWS IoT Core works with 30 to 1200 s"),
        (AWS + ", expiry: 8d", PLAIN, "message expiry of 691200 s, AWS IoT Core keeps messages for 604800 s"),
        (AWS.split(", tls")[0], PLAIN, "AWS IoT Core wants a client certificate"),
        (HUB, PLAIN, "Azure IoT Hub wants a login: set credentials.key, or tls.certificate"),
        (HUB + ", url: 'mqtts://h:9999'", PLAIN, "port 9999, Azure IoT Hub listens on 8883"),
        (
            HUB,
            "format: json-columns, topic: a",
            "sends what describes its values once, retained, and Azure IoT Hub retains noth",
        ),
        (
            "profile: huawei-iotda, endpoint: h.example.com",
            PLAIN,
            "Huawei Cloud IoTDA knows no last will: that the gateway has gone shows when no presence comes for 30 s",
        ),
    ],
)
def test_what_a_cloud_does_otherwise_is_a_warning(tmp_path: Path, broker: str, payload: str, said: str) -> None:
    found = findings(load(file_of(tmp_path, broker, payload)))
    assert said in "\n".join(each.text for each in found)
    assert not any(each.is_problem for each in found)


def test_an_emulator_on_this_machine_needs_neither_tls_nor_a_certificate(tmp_path: Path) -> None:
    assert findings(load(file_of(tmp_path, "profile: aws-iot-core, url: 'mqtt://127.0.0.1:18830'"))) == []


def check(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["profile", "check", *arguments])
    return result.exit_code, result.output


def test_rates_are_those_that_the_encoder_makes_with_a_form_that_would_do(tmp_path: Path) -> None:
    path = file_of(tmp_path, AWS, "format: json, topic: 'a/{line}/{machine}/{tag}'")
    code, text = check(str(path), "--tags", "1199")
    assert code == 1
    assert "1200 tags at 250 ms in format `json` by tag make 4 800 messages/s, AWS IoT Core takes 100" in text
    assert "use `json` on `a/{line}` (52/s)" in text
    assert "414 720 000 messages/day" in text
    assert "USD in 30 days at the list prices of 2026-11-20" in text


def test_a_configuration_within_its_limits_passes_and_says_what_it_could_not_count(tmp_path: Path) -> None:
    code, text = check(str(file_of(tmp_path, AWS)))
    assert code == 0
    assert "not counted: demo: i=85 (only the server knows how many: --plan, or --tags N)" in text
    assert "1 tags, 4 values/s, 4 messages/s of 100" in text


def test_what_names_decide_is_counted_as_if_every_assumed_variable_had_such_a_name(tmp_path: Path) -> None:
    """Patterns of names and of levels; what the file itself names is chosen as always."""
    tags = "tags: [{include: [Good], fields: {line: 'line-*', machine: press}}], " + AWS
    code, text = check(str(file_of(tmp_path, tags)), "--tags", "1199")
    assert code == 0
    assert "broker: AWS IoT Core: 1199 tags, 4 796 values/s" in text
    assert "assumed: each of the variables that --tags counts has a name that `broker` wants" in text


def test_without_a_profile_there_is_nothing_to_check(tmp_path: Path) -> None:
    code, text = check(str(file_of(tmp_path, "url: 'mqtt://127.0.0.1'")))
    assert code == 78
    assert "set broker.profile" in text
