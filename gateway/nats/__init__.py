"""The NATS adapter: one session with one server, and JetStream's acknowledgement of every publish.

`open_sink` opens a session.  `wire` reads and writes the protocol, `subjects` makes subjects of topics, `login` says
who we are, `verdicts` what JetStream's answers mean, and `session` keeps the contract of `gateway/delivery`.
"""

from gateway import tls
from gateway.config import BrokerConfig
from gateway.nats.connect import open_sink, problems_with
from gateway.nats.login import expires_s

__all__ = ["certificate_expires_s", "credential_expires_s", "open_sink", "problems_with"]


def credential_expires_s(config: BrokerConfig) -> float:
    """Unix time at which the login ends.  NaN: unlimited, or not readable."""
    return expires_s(config)


def certificate_expires_s(config: BrokerConfig) -> float:
    """Unix time at which our own certificate ends.  NaN: there is none, or it cannot be read."""
    return tls.expires_s(config.tls.certificate)
