"""The MQTT side: one session with one broker, and the truth about every publish.

`open_sink` is the way in.  `reasons` knows what a reason code means, `limits` what a broker takes, `dial` and `tls`
open the connection, and two sessions speak the protocol behind one contract (`gateway/delivery`).
"""

from gateway.config import BrokerConfig
from gateway.mqtt import credentials, tls
from gateway.mqtt.connect import open_sink, problems_with

__all__ = ["certificate_expires_s", "credential_expires_s", "open_sink", "problems_with"]


def credential_expires_s(config: BrokerConfig) -> float:
    """Unix time at which the login ends; NaN where it does not say, or cannot be read."""
    return credentials.expires_s(config.password)


def certificate_expires_s(config: BrokerConfig) -> float:
    """Unix time at which our own certificate ends; NaN without one, or when it cannot be read."""
    return tls.expires_s(config.tls.certificate)
