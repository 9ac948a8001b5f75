"""The interface of a format: everything that the rest of the gateway needs of it.

A format is one file with a `Format`, and an entry in `gateway/payload/choose.py`.  Code outside this package never
branches on the name of a format.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from gateway.config import PayloadConfig
from gateway.delivery import LateStage, Presence, Session
from gateway.link import Link
from gateway.model import Batch, Loss, Message
from gateway.payload.splitting import ANY_SIZE, FormatSettings, NextSeq, SizeLimits

Announcement = Callable[[Loss, str, str, int], Message]
"""From loss, stream, topic and sequence number to the message that announces the loss."""


class Encoder(Protocol):
    """Makes the messages of one source."""

    def encode(self, batch: Batch, next_seq: NextSeq, packet_bytes: int = ANY_SIZE) -> list[Message]:
        """The messages of a batch.  Their numbers continue from what `next_seq` returns for each stream.

        `packet_bytes` is the largest packet that their brokers accept, as far as known.
        """

    def keep_alives(self, next_seq: NextSeq) -> list[Message]:
        """A keep-alive for each writer that was silent since the last call.  Empty where the format has none."""


@dataclass(frozen=True, slots=True)
class EncoderContext:
    """The source of an encoder, and the limits of its messages."""

    payload: PayloadConfig
    gateway: str
    source: str
    sources: tuple[str, ...]
    """The names of all sources of the gateway, including this one."""
    stream_prefix: str
    latest_ns: Callable[[], int] = time.time_ns
    """A wall clock that never goes back."""
    endpoint: str = ""
    """The address of the source."""
    shared: object = None
    """What the format's `shares` made for the route; in a group, what `remembers` made for the source."""

    @property
    def settings(self) -> FormatSettings:
        """The settings that every format needs.  Topics leave room for the suffixes of the format."""
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
        """The settings of a format that also uses topics below the configured one."""
        settings = self.settings
        room = max(1, settings.rules.max_bytes - len(below_topic))
        return replace(settings, rules=replace(settings.rules, max_bytes=room))


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Where the schema of a message can name the variables of its topic."""

    place: tuple[str, ...]
    """Keys from the schema of the message to the one that is narrowed."""
    by_name: bool = False
    """Whether values are members under the names of variables; otherwise they are objects with a `name`."""
    is_open: bool = False
    """Whether members of the format itself stand beside the variables."""
    has_plain_values: bool = True
    """Whether a value has the form of `gateway/payload/forms.py`."""


def data_alone(payload: PayloadConfig, gateway: str, source: str, topic: str) -> tuple[str, str]:
    """Messages go to the topic of the template, and nothing describes them."""
    return topic, ""


@runtime_checkable
class SeesLink(Protocol):
    """An encoder that says when its server comes and goes."""

    def link_changed(self, is_up: bool, next_seq: NextSeq) -> list[Message]:
        """The messages that say so, numbered as in `encode`."""


class Remembering(Protocol):
    """What a format knows of a route from its records, in a group, where the log is what all members see."""

    @property
    def payload(self) -> PayloadConfig:
        """For which it was made."""

    def learn(self, message: Message) -> None:
        """A record that is in the log."""

    def kept(self) -> Sequence[Message]:
        """Records from which another one learns the same."""

    @property
    def sources_alive(self) -> int:
        """How many sources have a server that is there."""


class Place(Protocol):
    """What the log of a group has of one broker."""

    async def wait_caught_up(self) -> None:
        """Wait until what is remembered contains what is in the log now.  Raises `Unavailable`."""

    async def count_connection(self, least: int = 0) -> int:
        """The number of a new connection, from 1 on, at least this one, once the log has it.

        Raises `Unavailable` when the broker belongs to another member.
        """

    async def confirm(self) -> None:
        """Raises `Unavailable` when the broker belongs to another member, or nobody can say."""


@dataclass(frozen=True, slots=True)
class SessionContext:
    """One broker of a route, for a format with sessions of its own form."""

    payload: PayloadConfig
    gateway: str
    broker: str
    folder: Path
    """That of the outbox."""
    shared: object
    """What the format's `shares` made for the route; in a group, what `remembers` made."""
    figures: Callable[[], Mapping[str, int]] = dict
    """How the gateway is, as far as this broker is concerned: always the same names, in the same order."""
    place: Place | None = None
    """None: the gateway is alone."""


class SessionForm(Protocol):
    """What a format does on the sessions with one broker, beside its messages."""

    @property
    def presence(self) -> Presence:
        """Instead of the configured presence."""

    def late(self) -> LateStage:
        """The late stage of the next session."""

    async def prepare(self) -> None:
        """Before each connection.  Raises `Unavailable`."""

    def around(self, session: Session, link: Link, topics: Sequence[str]) -> AbstractAsyncContextManager[Session]:
        """The session as the format uses it.  It subscribes to `topics` as well, for commands.

        Entering raises `Unavailable`.
        """


def configured_topic(payload: PayloadConfig) -> str:
    return payload.topic


def topic_as_configured(template: str, payload: PayloadConfig, has_states: bool) -> str:
    return template


def any_mqtt(payload: PayloadConfig) -> str:
    return ""


def any_in_group(payload: PayloadConfig, sources: Sequence[str]) -> str:
    return ""


def any_name(payload: PayloadConfig, name: str) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Format:
    """How batches become messages, and what the format needs of tags, topics and brokers."""

    encoder: Callable[[EncoderContext], Encoder]
    announcement: Callable[[PayloadConfig, str], Announcement]
    """How losses are announced, given the name of the gateway."""
    schema: Callable[[], dict[str, object]]
    """The JSON Schema of its messages."""
    longest_topic: Callable[[str, PayloadConfig, bool], str] = topic_as_configured
    """The longest topic template that it makes of a configured one.  The flag says whether there are state changes."""
    uses_topic: bool = True
    """Whether `payload.topic` is used; otherwise the format has topics of its own."""
    template: Callable[[PayloadConfig], str] = configured_topic
    """The template of its topics with values, of which devices or messages are made."""
    takes_topic_per_tag: bool = False
    """Whether the topic template may contain `{tag}`."""
    takes_compression: bool = True
    takes_server_time: bool = True
    """Whether its messages have a place for server timestamps, or leave them out as what reads them does."""
    describes_types: bool = False
    """Whether it describes the server's types, so that the tags must carry them."""
    retains_lists: bool = False
    """Whether what its messages refer to (tag lists, metadata) is retained on topics of its own."""
    numbers_writers: bool = False
    """Whether its topics are numbered across all sources of the gateway."""
    why_mqtt_5: Callable[[PayloadConfig], str] = any_mqtt
    """Why it needs MQTT 5, and what to set otherwise.  Empty where MQTT 3.1.1 will do."""
    keep_alive_s: Callable[[PayloadConfig], float] | None = None
    """After how much silence a topic gets a keep-alive, in seconds.  None: it has none."""
    codec: str = ""
    """The codec of commands that goes with it alone.  Empty: none."""
    most_age_s: float | None = None
    """Values that are older when they would be sent are not accepted by those who read it."""
    is_things: bool = False
    """Whether its messages are those of a cloud's own thing model, which clouds take on a topic of its own."""
    places: Callable[[PayloadConfig, str, str, str], tuple[str, str]] = data_alone
    """The topics of its data and of what describes them, given the names of gateway and source and the topic of the
    template.  The second is empty where nothing does."""
    content_type: str = "application/json"
    """Content type of messages with values."""
    body: Callable[[PayloadConfig], dict[str, object]] | None = None
    """The JSON Schema of a payload, where the settings decide.  None: it is `schema`."""
    variant: Callable[[PayloadConfig], str] = any_mqtt
    """With `body`: equal for settings with equal schemas."""
    problem_with_name: Callable[[PayloadConfig, str], str] = any_name
    """Why a variable cannot have this name.  Empty: it can."""
    narrowing: Narrowing | None = None
    """Where its schema can name variables.  None: nowhere."""
    presence: Callable[[PayloadConfig, str], Presence] | None = None
    """Its own presence message, given the name of the gateway.  None: that of `GatewayPresence`."""
    shares: Callable[[PayloadConfig, str, Path, tuple[str, ...]], object] | None = None
    """What all encoders and sessions of a route share, given the names of gateway and brokers and the folder of the
    outbox.  Blocks.  None: nothing."""
    session: Callable[[SessionContext], SessionForm] | None = None
    """Its form of sessions.  None: it has none of its own."""
    remembers: Callable[[PayloadConfig, str], Remembering] | None = None
    """What takes the place of `shares` in a group, given the name of the gateway.  None: nothing."""
    problem_in_group: Callable[[PayloadConfig, Sequence[str]], str] = any_in_group
    """Why the sources of these names cannot be on several members.  Empty: they can."""
