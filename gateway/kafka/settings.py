"""The settings of librdkafka, from ours.  Secrets are read at every connect."""

import base64
import json
import math
from collections.abc import Callable
from importlib.util import find_spec

from gateway import tls
from gateway.config import BrokerConfig
from gateway.config.kafka import KAFKA_SCHEMES
from gateway.config.secret import Secret
from gateway.errors import ConfigError
from gateway.urls import Url, parse_url
from gateway.yaml_positions import Place, Problem

Setting = str | int | float | bool
MESSAGE_BYTES = 1_000_000
"""The longest record: librdkafka's default, below that of brokers (1 048 588)."""
NEEDS = "kafka:// needs librdkafka: pip install 'connected-factory[kafka]'"
_NOT_OF_LIBRDKAFKA = ("minimum", "server_name", "alpn")
"""Keys of `tls` for which librdkafka has nothing."""


def problems_with(config: BrokerConfig) -> list[Problem]:
    """Files, secrets and packages that a session needs and cannot use.  Reads all of them, and blocks."""
    problems: list[Problem] = []
    if find_spec("confluent_kafka") is None:
        problems.append((("url",), NEEDS))
    kafka = config.kafka_or_default
    tries: list[tuple[Place, Callable[[], object]]] = []
    if config.password is not None:
        tries.append((("password",), config.password.read))
    if kafka.token is not None:
        tries.append((("kafka", "token"), kafka.token.read))
    if kafka.registry is not None:
        tries.append((("kafka", "registry", "schema_file"), lambda: schema_of(config)))
        if kafka.registry.password is not None:
            tries.append((("kafka", "registry", "password"), kafka.registry.password.read))
    for place, read in tries:
        try:
            read()
        except ConfigError as error:
            problems += [(place, text) for text in error.problems]
    for key in _NOT_OF_LIBRDKAFKA:
        if key in config.tls.model_fields_set:
            problems.append((("tls", key), "has no meaning for Kafka: remove it"))
    if config.tls.model_fields_set or is_tls(config):
        problems += [(("tls", *place), text) for place, text in tls.problems_with(config.tls)]
    return problems


def urls_of(config: BrokerConfig) -> list[Url]:
    """The brokers to begin with."""
    return [parse_url(text, KAFKA_SCHEMES) for text in (config.url, *config.fallback)]


def is_tls(config: BrokerConfig) -> bool:
    """Whether the session is encrypted."""
    return any(url.scheme == "kafkas" for url in urls_of(config))


def settings_of(config: BrokerConfig, client_id: str) -> dict[str, Setting]:
    """What a producer is made with.  Reads secrets, and blocks.  Raises `ConfigError`."""
    kafka = config.kafka_or_default
    brokers = [f"[{url.host}]:{url.port}" if ":" in url.host else f"{url.host}:{url.port}" for url in urls_of(config)]
    found: dict[str, Setting] = {
        "bootstrap.servers": ",".join(brokers),
        "client.id": client_id,
        "enable.idempotence": True,  # with it acks=all, and the order of a partition through retries
        "partitioner": "murmur2_random",  # as Java's producers choose: a key has one partition for all
        "compression.type": kafka.compression,
        "message.max.bytes": max(1000, config.max_packet or MESSAGE_BYTES),
        "message.timeout.ms": math.ceil(config.ack_timeout * 1000),
        "socket.keepalive.enable": True,
        "socket.connection.setup.timeout.ms": max(1000, math.ceil(config.connect_timeout * 1000)),
        "reconnect.backoff.max.ms": 2000,
        "allow.auto.create.topics": False,
        "topic.metadata.propagation.max.ms": 2000,  # a topic that is gone is told before `ack_timeout`
        "topic.metadata.refresh.interval.ms": math.ceil(min(config.retry_refused, 60.0) * 1000),  # what was refused
        "log_level": 0,
        "security.protocol": _protocol(config),
    }
    if config.username is not None and config.password is not None:
        found |= {"sasl.mechanism": kafka.mechanism, "sasl.username": config.username,
                  "sasl.password": config.password.read()}  # fmt: skip
    if kafka.token is not None:
        found |= {"sasl.mechanism": "OAUTHBEARER"}
    return found | (_tls_of(config) if is_tls(config) else {})


def _protocol(config: BrokerConfig) -> str:
    has_login = config.password is not None or config.kafka_or_default.token is not None
    return ("SASL_" if has_login else "") + ("SSL" if is_tls(config) else "PLAINTEXT")


def _tls_of(config: BrokerConfig) -> dict[str, Setting]:
    given = config.tls
    found: dict[str, Setting] = {
        "enable.ssl.certificate.verification": True,
        "ssl.endpoint.identification.algorithm": "https",
        "ssl.ca.location": str(given.ca) if given.ca is not None else "probe",
    }
    if given.crl is not None:
        found["ssl.crl.location"] = str(given.crl)
    if given.ciphers is not None:
        found["ssl.cipher.suites"] = given.ciphers
    if given.certificate is not None:
        found["ssl.certificate.location"] = str(given.certificate)
        found["ssl.key.location"] = str(given.key or given.certificate)
        if given.key_password is not None:
            found["ssl.key.password"] = given.key_password.read()
    return found


def token_ends_s(token: Secret) -> float:
    """Unix time at which a JSON Web Token ends.  NaN: it is none, or has no end."""
    try:
        part = token.read().split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return float(claims["exp"])
    except (ConfigError, ValueError, IndexError, KeyError, TypeError):
        return math.nan


def schema_of(config: BrokerConfig) -> str:
    """The schema to register.  Raises `ConfigError`."""
    registry = config.kafka_or_default.registry
    assert registry is not None
    path = registry.schema_file
    try:
        text = path.read_text(encoding="utf-8")
        if not isinstance(json.loads(text), dict):
            raise ValueError("it is no object")  # noqa: TRY004 - a mistake in the file
    except OSError as error:
        raise ConfigError([f"cannot read the JSON Schema in {path}: {error.strerror}"]) from error
    except ValueError as error:
        raise ConfigError([f"{path} should hold a JSON Schema: {error}"]) from error
    return text
