"""Kafka without a cluster: keys of the configuration, librdkafka's settings, and a gateway without librdkafka."""

import ast
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from gateway import kafka
from gateway.config import BrokerConfig
from gateway.kafka import settings
from gateway.kafka.settings import NEEDS, settings_of

SECRET = {"env": "KAFKA_SECRET"}


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"url": "kafka://h", "version": "5"}, "version is of MQTT"),
        ({"url": "mqtt://h", "kafka": {}}, "kafka goes with an address kafka:// or kafkas://"),
        ({"url": "kafka://h", "expiry": "1h"}, "remove expiry"),
        ({"url": "kafka://h", "username": "u", "password": SECRET}, "the password would be sent unencrypted"),
        ({"url": "kafka://h", "kafka": {"token": SECRET}}, "the token would be sent unencrypted"),
        ({"url": "kafkas://h", "username": "u", "kafka": {"token": SECRET}}, "name one login"),
        ({"url": "kafkas://h", "kafka": {"topic": "a/b"}}, "topic"),
        (
            {"url": "kafkas://h", "kafka": {"registry": {
                "url": "http://r:1", "schema_file": "s", "password": SECRET, "username": "u"}}},
            "the password would be sent unencrypted to http://r:1",
        ),
    ],
)  # fmt: skip
def test_keys_of_another_kind_and_open_secrets_are_mistakes(keys: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        BrokerConfig.model_validate(keys)


def test_a_login_and_tls_become_settings_of_librdkafka(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_SECRET", "secret")
    keys = {
        "url": "kafkas://k1", "fallback": ["kafkas://[::1]:9094"], "username": "u", "password": SECRET,
        "tls": {"ca": "ca.pem", "certificate": "us.pem", "key": "us.key"}, "kafka": {"mechanism": "SCRAM-SHA-256"},
    }  # fmt: skip
    made = settings_of(BrokerConfig.model_validate(keys), "edge")
    assert made.items() >= {
        "bootstrap.servers": "k1:9093,[::1]:9094", "client.id": "edge", "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-256", "sasl.username": "u", "sasl.password": "secret",
        "ssl.ca.location": "ca.pem", "ssl.key.location": "us.key", "enable.ssl.certificate.verification": True,
        "ssl.endpoint.identification.algorithm": "https", "enable.idempotence": True,
    }.items()  # fmt: skip
    token = BrokerConfig.model_validate({"url": "kafkas://k1", "kafka": {"token": SECRET}})
    assert settings_of(token, "edge").items() >= {"sasl.mechanism": "OAUTHBEARER", "ssl.ca.location": "probe"}.items()


def test_without_librdkafka_the_command_that_brings_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> ModuleSpec | None:
        return None

    monkeypatch.setattr(settings, "find_spec", missing)
    assert kafka.problems_with(BrokerConfig(url="kafka://h")) == [(("url",), NEEDS)]
    assert "pip install 'connected-factory[kafka]'" in NEEDS


def test_librdkafka_is_imported_when_a_session_opens_and_not_before() -> None:
    for path in Path(str(kafka.__file__)).parent.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.startswith("confluent_kafka") for name in names), path
