"""The Kafka adapter: an idempotent producer behind the contract of `gateway/delivery`.

`open_sink` opens a session, `settings` makes librdkafka's settings of ours, `verdicts` says what errors mean, and
`registry` registers a schema.  librdkafka (`confluent-kafka`, an optional package) is imported when a session opens.
"""

import math

from gateway import tls
from gateway.config import BrokerConfig
from gateway.kafka.connect import open_sink
from gateway.kafka.settings import problems_with, token_ends_s

__all__ = ["certificate_expires_s", "credential_expires_s", "open_sink", "problems_with"]


def credential_expires_s(config: BrokerConfig) -> float:
    """Unix time at which the login ends.  NaN: unlimited, or not readable."""
    token = config.kafka_or_default.token
    return math.nan if token is None else token_ends_s(token)


def certificate_expires_s(config: BrokerConfig) -> float:
    """Unix time at which our own certificate ends.  NaN: there is none, or it cannot be read."""
    return tls.expires_s(config.tls.certificate)
