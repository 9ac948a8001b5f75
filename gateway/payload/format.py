"""What a format is: everything that the rest of the gateway asks of it.

A format is one file with a `Format` in it, and an entry in `gateway/payload/choose.py`.  Nobody outside this package
asks for a format by its name.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from gateway.config import PayloadConfig
from gateway.delivery import Presence
from gateway.model import Batch, Loss, Message
from gateway.payload.splitting import ANY_SIZE, FormatSettings, NextSeq, SizeLimits

Announcement = Callable[[Loss, str, str, int], Message]
"""Loss, stream, topic and sequence number to the message that tells of it."""


class Encoder(Protocol):
    """Makes the messages of one source."""

    def encode(self, batch: Batch, next_seq: NextSeq, packet_bytes: int = ANY_SIZE) -> list[Message]:
        """The messages of a batch, numbered on from what `next_seq` says of each stream.

        `packet_bytes` is the largest packet that their brokers take, as far as that is known by now.
        """

    def keep_alives(self, next_seq: NextSeq) -> list[Message]:
        """A keep-alive for each writer that was silent since the last call; nothing where the format has none."""


@dataclass(frozen=True, slots=True)
class EncoderContext:
    """Whose values an encoder is for, and what it has to keep to."""

    payload: PayloadConfig
    gateway: str
    source: str
    sources: tuple[str, ...]
    """The names of all sources of the gateway, this one among them."""
    stream_prefix: str
    latest_ns: Callable[[], int] = time.time_ns
    """A wall clock that never goes back."""

    @property
    def settings(self) -> FormatSettings:
        """The same as every format needs it.  Topics leave room for what the format puts below them."""
        payload = self.payload
        return FormatSettings(
            self.stream_prefix,
            payload.topic,
            self.gateway,
            SizeLimits(payload.max_values, payload.max_bytes),
            payload.server_time,
            payload.retains,
            payload.events_topic or "",
            payload.rules,
            payload.fields,
        )

    def settings_with(self, below_topic: str) -> FormatSettings:
        """Those of a format that sends to topics below the configured one, too."""
        settings = self.settings
        room = max(1, settings.rules.max_bytes - len(below_topic))
        return replace(settings, rules=replace(settings.rules, max_bytes=room))


def topic_as_configured(template: str, payload: PayloadConfig, has_states: bool) -> str:
    return template


def any_mqtt(payload: PayloadConfig) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Format:
    """How batches become messages, and what that needs of others."""

    encoder: Callable[[EncoderContext], Encoder]
    announcement: Callable[[PayloadConfig, str], Announcement]
    """How losses are told, given the name of the gateway."""
    schema: Callable[[], dict[str, object]]
    """The JSON Schema of its messages."""
    longest_topic: Callable[[str, PayloadConfig, bool], str] = topic_as_configured
    """The longest topic template that it makes of a configured one; the flag tells whether there are state changes."""
    takes_topic_per_tag: bool = False
    """The topic template may hold `{tag}`."""
    takes_compression: bool = True
    describes_types: bool = False
    """Tells its readers what the types of the server are, so the tags have to know."""
    numbers_writers: bool = False
    """Its topics are numbered through all sources of the gateway."""
    why_mqtt_5: Callable[[PayloadConfig], str] = any_mqtt
    """Why its messages mean nothing to a broker of MQTT 3.1.1, and what to set instead; empty where they do."""
    keep_alive_s: Callable[[PayloadConfig], float] | None = None
    """How long a topic may be silent before it gets a keep-alive; None where it has none."""
    presence: Callable[[PayloadConfig, str], Presence] | None = None
    """Its own word for "the gateway is there", given the name of the gateway; None where ours does."""
