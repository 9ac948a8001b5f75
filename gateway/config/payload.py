"""What messages look like and where they go."""

from typing import Annotated, Literal

from pydantic import Field

from gateway.config.quantities import Bytes, Seconds, Strict
from gateway.topics import Rules, expand

_MOST_TOPIC_BYTES = 60_000
"""Less than MQTT allows, because names of streams hold the topic and more."""


LOSSES_TOPIC = "gateways/{gateway}/losses"


class PubSubConfig(Strict):
    """Data sets, for the formats `opcua-pubsub` and `cloudevents`."""

    prefix: Annotated[str, Field(pattern=r"^[^+#$\x00-\x1f\x7f-\x9f][^+#\x00-\x1f\x7f-\x9f]{0,200}$")] = "opcua"
    """First levels of every topic of `opcua-pubsub`."""
    encoding: Literal["verbose", "compact", "raw"] = "verbose"
    """How a field looks (Part 6, 5.4): `verbose` and `compact` tell type, status and times, `raw` the value alone."""
    key_frame_every: Annotated[int, Field(ge=0, le=1_000_000)] = 100
    """A frame with all fields is sent at first and after so many messages of a topic; 0 never sends one."""
    keep_alive: Seconds = 10.0
    """A topic without values for so long gets a keep-alive, while the server is connected."""


class CloudEventsConfig(Strict):
    """Events, for the format `cloudevents`."""

    mode: Literal["binary", "structured"] = "binary"
    """`binary`: attributes are MQTT 5 user properties, so brokers must speak MQTT 5.  `structured`: one JSON object,
    also for MQTT 3.1.1."""
    source: Annotated[str, Field(min_length=1, pattern=r"^[!-~]+$")] | None = None
    """Attribute `source`, a URI or a path (default: `urn:connected-factory:GATEWAY:SOURCE`)."""


FormatName = Literal["json", "json-columns", "msgpack", "opcua-pubsub", "cloudevents"]
"""What a format is called in the file; what it is stands in `gateway/payload`."""


class PayloadConfig(Strict):
    """What a message looks like and where it goes."""

    format: FormatName = "json"
    """How values are encoded: `json` for people and any program; `json-columns` for volume: a ninth of the cost;
    `msgpack`: as `json`, in MessagePack; `opcua-pubsub`: OPC UA Part 14; `cloudevents`: CloudEvents with the OPC UA
    extension.  `gateway schema FORMAT` prints the form."""
    topic: str = "factory/{site}/{line}/{machine}"
    """Topic template: `{gateway}`, `{source}`, `{tag}`, and what `fields` and `levels` of the selections name.  With
    `{tag}` every variable has a topic of its own (Unified Namespace): `acme/{site}/{line}/{machine}/{tag}`."""
    events_topic: str | None = None
    """Topic template for events and alarms, with the fields of their selection (default: that of `topic`, and `events`
    below it).  They are delivered before state changes and telemetry, dropped after them, and never retained."""
    retain: bool | None = None
    """Ask the broker to keep the last message of each topic (default: when the topic holds `{tag}`)."""
    server_time: bool = False
    """Also send the server timestamp of each value."""
    fields: tuple[str, ...] = ()
    """Fields that are told in messages too, beside the topic: with each value (`json`, `msgpack`), in the list of tags
    (`json-columns`), in the metadata (`opcua-pubsub`, `cloudevents`).  Where a variable has none it is left out."""
    max_values: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """At most this many values in one message."""
    max_bytes: Annotated[Bytes, Field(ge=1024)] = 256 * 2**10
    """A longer payload is split by values, before compression; a broker that takes less is obeyed.  One value that is
    longer by itself goes alone."""
    compress: Literal["none", "gzip", "zstd"] = "none"
    """Compress payloads; the user property `content-encoding` tells."""
    max_topic_levels: Annotated[int, Field(ge=1)] | None = None
    """Refuse a template with more levels, for brokers with such a limit (AWS IoT Core: 8)."""
    max_topic_bytes: Annotated[int, Field(ge=1, le=65535)] = 65535
    """The longest topic, for brokers with such a limit (AWS IoT Core: 256).  A template that is longer by itself is
    refused; names from a server that make it longer are cut and get a hash."""
    topic_escape: Annotated[str, Field(pattern=r"^[^A-Za-z0-9_/%~{}]*$")] = ""
    """More characters to percent-encode in the names that fill the template, for brokers that forbid them: `". "` for
    NATS, which takes neither dots nor spaces."""
    pubsub: PubSubConfig = PubSubConfig()
    """Data sets, for `opcua-pubsub` and `cloudevents`."""
    cloudevents: CloudEventsConfig = CloudEventsConfig()
    """Events, for `cloudevents`."""

    @property
    def topic_of_events(self) -> str:
        """The topic template for events."""
        return self.events_topic or f"{self.topic}/events"

    @property
    def rules(self) -> Rules:
        """What topics must keep to."""
        return Rules(min(self.max_topic_bytes, _MOST_TOPIC_BYTES), self.topic_escape)

    @property
    def rules_of_templates(self) -> Rules:
        """What topic templates must keep to."""
        return Rules(self.max_topic_bytes, self.topic_escape, self.max_topic_levels)

    def losses_topic(self, gateway: str) -> str:
        """Where losses are told of which no stream is known."""
        return expand(LOSSES_TOPIC, {"gateway": gateway}, self.rules)

    @property
    def retains(self) -> bool:
        """Whether messages with values are retained."""
        return "{tag}" in self.topic if self.retain is None else self.retain
