"""The MQTT adapter: one session with one broker, and the outcome of every publish.

`open_sink` opens a session.  `reasons` holds the reason codes, `limits` the limits of a broker; `dial` opens the
connection.  Two session classes fulfil one contract (`gateway/delivery`).
"""

from gateway import tls
from gateway.config import BrokerConfig
from gateway.mqtt import credentials
from gateway.mqtt.connect import open_sink, problems_with

__all__ = ["certificate_expires_s", "credential_expires_s", "open_sink", "problems_with"]


def credential_expires_s(config: BrokerConfig) -> float:
    """Unix time at which the login ends.  NaN: unlimited, or not readable."""
    token = config.credentials.token if config.credentials is not None else None
    return credentials.expires_s(token or config.password)


def certificate_expires_s(config: BrokerConfig) -> float:
    """Unix time at which our own certificate ends.  NaN: there is none, or it cannot be read."""
    return tls.expires_s(config.tls.certificate)
