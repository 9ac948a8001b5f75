"""Form and topics of messages."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gateway.config.quantities import Bytes, Seconds, SecondsOrZero, Strict
from gateway.topics import Rules, expand

_MOST_TOPIC_BYTES = 60_000
"""Less than MQTT allows, because stream names contain the topic and more."""


LOSSES_TOPIC = "gateways/{gateway}/losses"


class PubSubConfig(Strict):
    """Data sets, for the formats `opcua-pubsub` and `cloudevents`."""

    prefix: Annotated[str, Field(pattern=r"^[^+#$\x00-\x1f\x7f-\x9f][^+#\x00-\x1f\x7f-\x9f]{0,200}$")] = "opcua"
    """First levels of every topic of `opcua-pubsub`."""
    encoding: Literal["verbose", "compact", "raw"] = "verbose"
    """The form of a field (Part 6, 5.4): `verbose` and `compact` have type, status and times, `raw` only the value."""
    key_frame_every: Annotated[int, Field(ge=0, le=1_000_000)] = 100
    """A frame with all fields is sent at first, and after this many messages of a topic; 0: never."""
    keep_alive: Seconds = 10.0
    """A topic without values for this long gets a keep-alive, while the server is connected."""


class CloudEventsConfig(Strict):
    """Events, for the format `cloudevents`."""

    mode: Literal["binary", "structured"] = "binary"
    """`binary`: attributes are MQTT 5 user properties, so the broker must support MQTT 5.  `structured`: one JSON
    object, also for MQTT 3.1.1."""
    source: Annotated[str, Field(min_length=1, pattern=r"^[!-~]+$")] | None = None
    """Attribute `source`, a URI or a path (default: `urn:connected-factory:GATEWAY:SOURCE`)."""


class ThingsConfig(Strict):
    """Things, for the formats `iotda` and `thing-model`."""

    service: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = "opcua"
    """The service in the product's model, for `iotda`."""
    dialect: Literal["alibaba", "tencent"] = "alibaba"
    """Whose thing model, for `thing-model`."""


def _free_key(key: str) -> str:
    if key in ("gaps", "fields", "stream", "seq", "historical", "time_source"):
        raise ValueError(f"{key} is a member of the format already")
    return key


def _one_level(template: str) -> str:
    if "{path}" in template:
        raise ValueError("{path} may have several levels, and this is one: use a field of `levels`")
    return template


_Key = Annotated[
    str,
    Field(min_length=1, max_length=100),
    AfterValidator(_free_key),
]
"""A key of a message."""

_SparkplugId = Annotated[
    str,
    Field(pattern=r"^[^+#/$\x00-\x1f\x7f-\x9f][^+#/\x00-\x1f\x7f-\x9f]{0,200}$"),
    AfterValidator(_one_level),
]
"""A template of one level of a topic."""


class SparkplugConfig(Strict):
    """An edge node, for the format `sparkplug`."""

    group: _SparkplugId = "factory"
    """Group ID; `{gateway}` is the gateway's name."""
    node: _SparkplugId = "{gateway}"
    """Edge node ID.  Group and node together must be unique at all brokers of the plant."""
    device: _SparkplugId = "{source}"
    """Device ID: `{source}`, an OPC UA server, or fields of the selections: `{machine}`, `{line}-{machine}`."""
    primary_host: Annotated[str, Field(pattern=r"^[^+#/\x00-\x1f\x7f-\x9f]{1,200}$")] | None = None
    """Host ID of the primary host application.  Values are sent only while its STATE says that it is online, and kept
    on the disk meanwhile; with `broker.fallback`, where it is offline the next address is tried."""
    host_timeout: Seconds = 30.0
    """How long a new connection waits for the primary host, before the next address is tried."""
    host_grace: SecondsOrZero = 1.0
    """With `primary_host`: how long a value stays on the disk after the broker has it.  If the host goes offline within
    this time, the value comes again.  At most `broker.window` messages wait so long, which bounds the rate."""
    rebirth_interval: Seconds = 5.0
    """The least time between two births of the node, however often hosts ask and metrics are added."""
    source_time: bool = False
    """Give each value its full source time as well, with seven digits, as the property `sourceTime`."""
    qos: Literal[0, 1] = 0
    """QoS of values.  0 is what the specification demands.  1 is for hosts that allow it, and needs no barrier."""
    compression: Literal["none", "deflate", "gzip"] = "none"
    """Compression of births and data from 512 bytes, as clients of Eclipse Tahu read it."""
    structures: Literal["native", "json"] = "native"
    """`native`: structures are templates, and matrices are DataSets.  `json`: both are texts, for hosts that read
    neither."""
    node_interval: SecondsOrZero = 10.0
    """How often the metrics of the node itself (`Gateway/…`) are looked at; what has changed is sent as NDATA.  0: only
    births have them."""
    barrier_topic: str = "gateways/{gateway}/barrier"
    """Topic of the empty messages with QoS 1 whose acknowledgement says that the broker has read all values before."""


class FlatConfig(Strict):
    """Objects with tags as keys, for the format `flat`."""

    timestamp: _Key | None = "timestamp"
    """The key of the time that all values of a message have.  `null`: no time is sent, and values of different times
    share a message."""
    status: _Key | None = "status"
    """The key of the StatusCodes that are not 0 (Good), by name.  `null`: none are sent, and a Bad value is null."""
    numbers: Literal["properties", "payload"] = "properties"
    """Where `stream` and `seq` are.  `properties`: MQTT 5 user properties, so the broker must support MQTT 5.
    `payload`: members, also for MQTT 3.1.1."""

    @model_validator(mode="after")
    def _keys_differ(self) -> Self:
        if self.timestamp is not None and self.timestamp == self.status:
            raise ValueError("timestamp and status need different keys")
        return self


FormatName = Literal[
    "json",
    "json-columns",
    "msgpack",
    "flat",
    "opcua-pubsub",
    "cloudevents",
    "omp",
    "sitewise",
    "iotda",
    "thing-model",
    "aio",
    "sparkplug",
]
"""The names of formats in the file; `gateway/payload` implements them."""


class PayloadConfig(Strict):
    """Form and topics of messages."""

    format: FormatName = "json"
    """How values are encoded.  `json`: for people and any program.  `json-columns`: for large volumes, a ninth of the
    cost. `msgpack`: as `json`, in MessagePack.  `flat`: tags as keys, `{"Temperature": 61.5}`.  `opcua-pubsub`: OPC UA
    Part 14.  `cloudevents`: CloudEvents with the OPC UA extension.  `omp`: as the connector of the Open Manufacturing
    Platform, a message for each value.
    `sitewise`, `iotda`, `thing-model`, `aio`: as AWS IoT SiteWise, Huawei IoTDA, the thing models of Alibaba and
    Tencent, and Azure IoT Operations take them.
    `sparkplug`: an edge node of Sparkplug B 3.0.  `gateway schema FORMAT` prints the JSON Schema."""
    topic: str = "factory/{site}/{line}/{machine}"
    """Topic template with `{gateway}`, `{source}`, `{tag}`, and the names from `fields` and `levels` of the
    selections.  With `{tag}` every variable has its own topic (Unified Namespace):
    `acme/{site}/{line}/{machine}/{tag}`.  The field `path` may have any number of levels: `acme/{path}/{tag}`."""
    events_topic: str | None = None
    """Topic template for events and alarms, with the fields of their selection (default: `topic` with `/events`
    appended). They are delivered before state changes and telemetry, dropped after them, and never retained."""
    retain: bool | None = None
    """Ask the broker to retain the last message of each topic (default: if the topic contains `{tag}`)."""
    server_time: bool = False
    """Also send the server timestamp of each value."""
    fields: tuple[str, ...] = ()
    """Fields that messages contain, besides the topic: with each value (`json`, `msgpack`), by name (`flat`), in the
    tag list (`json-columns`), in the metadata (`opcua-pubsub`, `cloudevents`).  Variables without a field leave it out.
    `unit` is the engineering unit, unless a selection has a field of that name."""
    max_values: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """The largest number of values in one message."""
    max_bytes: Annotated[Bytes, Field(ge=1024)] = 256 * 2**10
    """A longer payload is split by values, before compression.  A lower limit announced by the broker applies, too.  A
    single value that is longer goes alone."""
    compress: Literal["none", "gzip", "zstd"] = "none"
    """Compress payloads.  The user property `content-encoding` says how."""
    max_topic_levels: Annotated[int, Field(ge=1)] | None = None
    """Refuse a template with more levels, for brokers with such a limit (AWS IoT Core: 8)."""
    max_topic_bytes: Annotated[int, Field(ge=1, le=65535)] = 65535
    """The longest topic, for brokers with such a limit (AWS IoT Core: 256).  A longer template is refused.  Names from
    a server that make a topic longer are cut and get a hash."""
    topic_escape: Annotated[str, Field(pattern=r"^[^A-Za-z0-9_/%~{}]*$")] = ""
    """More characters to percent-encode in the names that fill the template, for brokers that forbid them: `". "` for
    NATS, which accepts neither dots nor spaces."""
    pubsub: PubSubConfig = PubSubConfig()
    """Data sets, for `opcua-pubsub` and `cloudevents`."""
    cloudevents: CloudEventsConfig = CloudEventsConfig()
    """Events, for `cloudevents` and `aio`."""
    things: ThingsConfig = ThingsConfig()
    """Things, for `iotda` and `thing-model`."""
    flat: FlatConfig = FlatConfig()
    """Keys and numbers, for `flat`."""
    sparkplug: SparkplugConfig = SparkplugConfig()
    """The edge node, for `sparkplug`."""

    @property
    def topic_of_events(self) -> str:
        """The topic template for events."""
        return self.events_topic or f"{self.topic}/events"

    @property
    def rules(self) -> Rules:
        """The rules for topics."""
        return Rules(min(self.max_topic_bytes, _MOST_TOPIC_BYTES), self.topic_escape)

    @property
    def rules_of_templates(self) -> Rules:
        """The rules for topic templates."""
        return Rules(self.max_topic_bytes, self.topic_escape, self.max_topic_levels)

    def losses_topic(self, gateway: str) -> str:
        """The topic for losses whose stream is unknown."""
        return expand(LOSSES_TOPIC, {"gateway": gateway}, self.rules)

    @property
    def retains(self) -> bool:
        """Whether messages with values are retained."""
        return "{tag}" in self.topic if self.retain is None else self.retain
