"""Presence: one retained message that tells "nothing changed" apart from "nobody is there".

    {"gateway": "edge", "state": "online", "since": "2026-01-01T06:00:00Z", "time": "2026-01-01T06:00:30Z",
     "heartbeat_s": 30.0, "version": "1.4.2", "config": "sha256:5f0c…", "streams": ["edge.line-1", …],
     "health": {"sources": {"up": 3, "all": 4}, "backlog": {"values": 120, "age_s": 3.2}, …}}

It is published when a session begins, renewed every `heartbeat`, and a few seconds after its health (`health.py`) or
configuration has changed.  A gateway that stops replaces it with `"state":
"offline", "reason": "stopped"`.  If the gateway vanishes, the broker publishes its last will with `"reason": "lost"`.
So a consumer may trust silence while the state is online and `time` is younger than two heartbeats.

Where the broker may bring commands, `commands` has what the rules name, by source and kind, for whoever completes names
as they are typed: at most 200 of a kind.

A format with a status message of its own (OPC UA PubSub) has another `Presence`.  A session has only one, because it
has one last will.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson
from pydantic import BaseModel

from gateway.config import PresenceConfig
from gateway.model import Message, Priority
from gateway.payload.health import Health
from gateway.topics import ANY_BROKER, Rules, expand


def hash_of(config: BaseModel) -> str:
    """A short name for a configuration.  Equal configurations have equal names.  Secrets do not enter."""
    return f"sha256:{hashlib.sha256(config.model_dump_json().encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class GatewayPresence:
    """The presence message of our own formats."""

    topic: str
    heartbeat_s: float
    gateway: str
    version: str
    config: Callable[[], str]
    """Returns `hash_of` the present configuration."""
    streams: Callable[[], Sequence[str]] = tuple
    """Returns the present streams."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    is_will_alone: bool = False
    commands: Callable[[], Mapping[str, object]] = dict
    """Returns what may be asked for, by source; empty: nothing."""
    health: Callable[[], Health | None] = lambda: None
    """Returns how the gateway is; None: nobody knows."""

    @property
    def news(self) -> object:
        """See `gateway.delivery.Presence`."""
        health = self.health()
        return None if health is None else (self.config(), health.news)

    def birth(self, since: datetime) -> Message:
        """The gateway is online; also the heartbeat."""
        health = self.health()
        return self._message(
            {
                "gateway": self.gateway,
                "state": "online",
                "since": _text(since),
                "time": _text(self.now()),
                "heartbeat_s": self.heartbeat_s,
                "version": self.version,
                "config": self.config(),
                "streams": list(self.streams()),
                **({"health": dict(health.body)} if health is not None else {}),
                **({"commands": dict(commands)} if (commands := self.commands()) else {}),
            }
        )

    def goodbye(self, since: datetime) -> Message:
        """The gateway stops on purpose."""
        return self._message({**self._gone(since, "stopped"), "time": _text(self.now())})

    def will(self, since: datetime) -> Message:
        """The last will: published by the broker when it loses the gateway, at an unknown time."""
        return self._message(self._gone(since, "lost"))

    def _gone(self, since: datetime, reason: str) -> dict[str, object]:
        return {"gateway": self.gateway, "state": "offline", "reason": reason, "since": _text(since)}

    def _message(self, body: dict[str, object]) -> Message:
        payload = orjson.dumps(body)
        return Message(self.topic, payload, stream="", seq=0, values=0, retain=True, priority=Priority.STATE)


def presence_of(
    config: PresenceConfig,
    gateway: str,
    version: str,
    config_hash: Callable[[], str],
    streams: Callable[[], Sequence[str]] = tuple,
    rules: Rules = ANY_BROKER,
    commands: Callable[[], Mapping[str, object]] = dict,
    health: Callable[[], Health | None] = lambda: None,
) -> GatewayPresence | None:
    """The configured presence.  None: it is turned off.  `rules`: the broker's rules for topics."""
    if config.topic is None:
        return None
    topic = expand(config.topic, {"gateway": gateway}, rules)
    return GatewayPresence(
        topic, config.heartbeat, gateway, version, config_hash, streams, commands=commands, health=health
    )


def _text(instant: datetime) -> str:
    return instant.isoformat(timespec="seconds").replace("+00:00", "Z")
