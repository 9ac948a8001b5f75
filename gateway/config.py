"""The configuration: one frozen tree, decoded strictly, checked before any I/O.

Every key is documented where it is declared; the reference and the JSON Schema are generated from here.  Reading a
file and pointing at the line of a mistake is `gateway/located.py`'s.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gateway.errors import ConfigError
from gateway.located import Place, dotted, read_yaml, validated
from gateway.topics import MAX_TOPIC_BYTES, problems_of

_DURATION = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|min|h|d)\s*$")
_DURATION_S = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*(B|KiB|MiB|GiB|TiB|kB|MB|GB|TB)\s*$")
_SIZE_BYTES = {
    "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
}  # fmt: skip
_FIELD = re.compile(r"^[a-z][a-z0-9_]*$")


def _duration(value: object) -> object:
    if isinstance(value, str):
        match = _DURATION.match(value)
        if match is None:
            raise ValueError("write a duration as a number and a unit: 250ms, 5s, 10min, 2h or 7d")
        return float(match[1]) * _DURATION_S[match[2]]
    return value


def _size(value: object) -> object:
    if isinstance(value, str):
        match = _SIZE.match(value)
        if match is None:
            raise ValueError("write a size as a number and a unit: 64KiB, 16MiB or 2GiB (or MB, GB for powers of ten)")
        return int(float(match[1]) * _SIZE_BYTES[match[2]])
    return value


def _url(*schemes: str) -> AfterValidator:
    def check(value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in schemes or not parts.hostname:
            raise ValueError(f"write an address as {' or '.join(f'{s}://host:port' for s in schemes)}")
        if parts.username or parts.password:
            raise ValueError("keep user name and password out of the address: use username and password")
        _ = parts.port  # raises ValueError when it is not a port
        return value

    return AfterValidator(check)


Seconds = Annotated[float, BeforeValidator(_duration, json_schema_input_type=float | str), Field(gt=0, le=31_536_000)]
"""A duration: `250ms`, `5s`, `10min`, `2h`, `7d`, or a number of seconds."""
SecondsOrZero = Annotated[
    float, BeforeValidator(_duration, json_schema_input_type=float | str), Field(ge=0, le=31_536_000)
]
"""A duration that may be 0."""
Bytes = Annotated[int, BeforeValidator(_size, json_schema_input_type=int | str), Field(gt=0)]
"""A size: `64KiB`, `16MiB`, `2GiB`, or a number of bytes."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
"""A name: letters, digits, `_`, `.` and `-`; up to 64 of them."""


def _fields(value: dict[str, str]) -> dict[str, str]:
    for key in value:
        if not _FIELD.match(key):
            raise ValueError(f"a field name is lower case letters, digits and '_': {key!r} is not")
    return value


Fields = Annotated[dict[str, str], AfterValidator(_fields)]


class Strict(BaseModel):
    """Unknown keys are mistakes, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True)


class Secret(Strict):
    """Where a secret is kept: never in the configuration itself."""

    file: Path | None = None
    """A file that holds nothing but the secret; its mode must not let others read it (0600)."""
    env: str | None = None
    """The name of an environment variable."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.file is None) == (self.env is None):
            raise ValueError("name one place: file or env")
        return self

    def read(self) -> str:
        """The secret itself, without a trailing newline.  Raises `ConfigError` with what is missing."""
        if self.env is not None:
            if self.env not in os.environ:
                raise ConfigError([f"the environment variable {self.env} is not set: it should hold a secret"])
            return os.environ[self.env]
        assert self.file is not None
        try:
            if self.file.stat().st_mode & 0o077:
                raise ConfigError([f"{self.file} holds a secret but others may read it: chmod 600 {self.file}"])
            return self.file.read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            raise ConfigError([f"cannot read the secret in {self.file}: {error.strerror}"]) from error


_NODE_ID = re.compile(r"^(nsu=[^;]+;|ns=\d{1,5};)?(i=\d{1,10}|s=.+|g=[0-9a-fA-F-]{36}|b=[A-Za-z0-9+/=]+)$", re.DOTALL)


def _node(value: str) -> str:
    if not _NODE_ID.match(value) and not (value.startswith("/") and len(value) > 1):
        raise ValueError(
            "write a node id, best with the namespace URI (nsu=urn:acme:press;s=Line1.Temperature), or the browse "
            "names from the root, each after a slash (/Objects/line-1/press-1)"
        )
    return value


NodeText = Annotated[str, AfterValidator(_node)]


class AggregateConfig(Strict):
    """Aggregates over windows of source time, instead of the values themselves."""

    window: Seconds
    """Length of a window; windows lie side by side."""
    functions: Annotated[
        tuple[Literal["min", "max", "mean", "last", "count", "time_weighted_mean"], ...], Field(min_length=1)
    ]
    """What to tell of a window, each as a variable of its own: `Temperature.mean`.  Only Good numbers count; any other
    value ends the window early and is sent as it is."""
    grace: SecondsOrZero = 2.0
    """A window without further values is closed this long after its end, so that late values still count."""

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.functions)) < len(self.functions):
            raise ValueError("name each function once")
        return self


_FINITE = Field(allow_inf_nan=False)
_POSITIVE = Field(gt=0, allow_inf_nan=False)


class ShapingConfig(Strict):
    """What happens to values here, before they are sent: scale, then dead-band and rate limit, or a swinging door, or
    aggregates; then names.  What is held back counts as filtered."""

    scale: Annotated[float, _FINITE] = 1.0
    """Numbers are multiplied by this; they become Double.  `deadband`, `range` and `swinging_door` are in
    the unit after it."""
    offset: Annotated[float, _FINITE] = 0.0
    """Then this is added."""
    unit: str | None = None
    """The unit after scaling, where it is another one."""
    deadband: Annotated[float, _POSITIVE] | None = None
    """A number that differs from the last one sent by no more than this is held back."""
    deadband_percent: Annotated[float, Field(gt=0, le=100)] | None = None
    """The same in percent of `range`."""
    deadband_percent_of_last: Annotated[float, _POSITIVE] | None = None
    """The same in percent of the last value sent."""
    range: tuple[Annotated[float, _FINITE], Annotated[float, _FINITE]] | None = None
    """Lowest and highest value, for `deadband_percent`."""
    at_least: Seconds | None = None
    """With a dead-band or a swinging door: a value is sent when the last one sent is this old (swinging door: default
    60 s).  Nothing is made up: where no value comes, none is sent."""
    rate_limit: Seconds | None = None
    """At most one value per this time: the first, and at the end of the time the newest of the others.  A change of
    status is always sent."""
    swinging_door: Annotated[float, _POSITIVE] | None = None
    """Compress: what is left out lies within plus or minus this of the line between the values sent."""
    aggregate: AggregateConfig | None = None
    """Send aggregates over windows."""
    rename: dict[str, str] = Field(default_factory=dict)
    """Other names for variables: the present one to the new one.  Aggregates follow: `New.mean`."""
    fields: Fields = Field(default_factory=dict)
    """More fields for the topic template; they win over those of the selection."""

    @model_validator(mode="after")
    def _scale_is_not_zero(self) -> Self:
        if self.scale == 0:
            raise ValueError("scale: 0 makes every value the same")
        return self

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        bands = [
            key
            for key in ("deadband", "deadband_percent", "deadband_percent_of_last")
            if getattr(self, key) is not None
        ]
        if len(bands) > 1:
            raise ValueError(f"{' and '.join(bands)} contradict each other: keep one")
        thin = [*bands, *(["rate_limit"] if self.rate_limit is not None else [])]
        whole = [key for key in ("swinging_door", "aggregate") if getattr(self, key) is not None]
        if len(whole) > 1 or (whole and thin):
            raise ValueError(
                f"{' and '.join([*thin, *whole])} contradict each other: a swinging door or an aggregate speaks of all "
                "values, so nothing else may hold any back"
            )
        if self.at_least is not None and not (bands or self.swinging_door is not None):
            raise ValueError("at_least goes with a dead-band or swinging_door")
        return self

    @model_validator(mode="after")
    def _range_fits(self) -> Self:
        if (self.range is None) != (self.deadband_percent is None):
            raise ValueError("deadband_percent and range go together")
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError("write range as [lowest, highest]")
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if len(set(self.rename.values())) < len(self.rename) or not all(self.rename.values()):
            raise ValueError("rename: new names must differ and not be empty")
        return self


class Selection(Strict):
    """Which variables: one `node`, all below a `subtree`, or all of every instance of a `type`."""

    node: NodeText | None = None
    """Node id of one variable, best with the namespace URI: `nsu=urn:acme:press;s=Line1.Temperature`; or its path of
    browse names: `/Objects/line-1/press-1/Temperature`."""
    subtree: NodeText | None = None
    """Node id or path of an object: every variable below it is taken.  The Objects folder is `i=85`."""
    type: NodeText | None = None
    """Node id of an object type: every variable of every instance of it, or of a subtype, is taken, wherever it is.
    The path of a variable begins with the name of the instance."""
    events: NodeText | None = None
    """Node id or path of an object that tells events, such as the Server (`i=2253`): all its events are taken."""
    event_fields: tuple[str, ...] = ()
    """With `events`: fields to ask for, as browse names below the event type, parts joined with `/` (default: the
    usual ones of events and alarms)."""
    event_types: tuple[NodeText, ...] = ()
    """With `events`: node ids of event types to take, with their subtypes (default: all)."""
    least_severity: Annotated[int, Field(ge=1, le=1000)] = 1
    """With `events`: events less severe are left out."""
    name: str | None = None
    """What consumers call this one variable (with `node` and `events`; default: its browse name)."""
    levels: tuple[str, ...] = ()
    """With `subtree` and `type`: names for the first levels of the path, as fields for the topic.  `[line, machine]`
    makes `press-1` of `…/line-1/press-1/Temperature` the field `machine`."""
    include: tuple[str, ...] = ()
    """With `subtree` and `type`: patterns of paths to take, `*` within a level, `**` across levels (default: all)."""
    exclude: tuple[str, ...] = ()
    """With `subtree` and `type`: patterns of paths to leave out; wins over `include`."""
    fields: Fields = Field(default_factory=dict)
    """Fields for the topic template, for these variables."""
    sampling_interval: SecondsOrZero | None = None
    """How often the server looks at the value (default: the publishing interval of the source).  0 asks for every
    change, as fast as the server can."""
    queue_size: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """How many samples the server keeps between two publishes (default: of the source)."""
    discard: Literal["oldest", "newest"] = "oldest"
    """What the server drops when its queue is full; it is announced in the stream either way."""
    trigger: Literal["status", "value", "timestamp"] = "value"
    """What counts as a change: the status; status or value; status, value or source timestamp."""
    deadband: Annotated[float, Field(gt=0)] | None = None
    """Changes of a number up to this much are not sent by the server, in the unit of the value."""
    deadband_percent: Annotated[float, Field(gt=0, le=100)] | None = None
    """The same in percent of the variable's range (EURange)."""
    heartbeat: Seconds | None = None
    """Send the last value once more when nothing has changed for this long (default: never)."""
    shape: ShapingConfig | None = None
    """What happens to the values here, before they are sent (default: `shape` of the source; `{}` for nothing)."""

    @model_validator(mode="after")
    def _events_have_their_shape(self) -> Self:
        if self.events is not None and self.shape is not None:
            raise ValueError("shape goes with node, subtree and type, not with events")
        return self

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum(kind is not None for kind in (self.node, self.subtree, self.type, self.events)) != 1:
            raise ValueError(
                "name one of node (one variable), subtree (all variables below an object), type (all variables of "
                "the instances of an object type) or events (what an object tells)"
            )
        if self.events is None and (self.event_fields or self.event_types or self.least_severity > 1):
            raise ValueError("event_fields, event_types and least_severity go with events")
        if (self.subtree or self.type) is None and (self.levels or self.include or self.exclude):
            raise ValueError("levels, include and exclude go with subtree and type, not with node or events")
        if (self.node or self.events) is None and self.name is not None:
            raise ValueError("name goes with node and events, not with subtree or type")
        if self.deadband is not None and self.deadband_percent is not None:
            raise ValueError("write deadband or deadband_percent, not both")
        return self


class SecurityConfig(Strict):
    """How the channel to one OPC UA server is secured.  `security: {}` takes the strongest the server offers."""

    policy: Literal["auto", "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"] = "auto"
    """SecurityPolicy; `auto` takes the strongest the server offers, and never a weaker one than before."""
    mode: Literal["auto", "Sign", "SignAndEncrypt"] = "auto"
    """`auto` encrypts where the server can, and signs otherwise."""
    pki: Path = Path("var/pki")
    """Folder of certificates: `own`, `trusted`, `rejected`, `issuers`, `crl`.  Made at first start, with a certificate
    of our own; `gateway cert` shows and changes what is in it."""
    check_host: bool = True
    """The certificate of a server that is trusted through its issuer must name the host of `url`.  A certificate that
    is trusted itself need not."""


class SourceConfig(Strict):
    """One OPC UA server."""

    name: Name
    """Its name in logs, metrics and streams."""
    url: Annotated[str, _url("opc.tcp")]
    """Endpoint URL, `opc.tcp://host:4840`."""
    insecure: bool = False
    """Use SecurityPolicy None for this server: nothing is encrypted and nobody is checked."""
    security: SecurityConfig | None = None
    """How the channel is secured; needed unless `insecure`."""
    username: str | None = None
    """Log in with a name and a password; never over a channel that does not protect it."""
    password: Secret | None = None
    """Where the password of `username` is kept."""
    user_certificate: Path | None = None
    """Log in with an X.509 certificate (DER or PEM); needs `user_key`."""
    user_key: Path | None = None
    """Private key of `user_certificate` (PEM or DER); its mode must not let others read it (0600)."""
    select: Annotated[tuple[Selection, ...], Field(min_length=1)]
    """Which variables to subscribe to."""
    fields: Fields = Field(default_factory=dict)
    """Fields for the topic template, for all variables of this server."""
    publishing_interval: Seconds = 0.25
    """How often the server sends what changed."""
    queue_size: Annotated[int, Field(ge=1, le=100_000)] = 20
    """How many samples per variable the server keeps between two publishes, and while we are slow."""
    keep_alive: Seconds = 5.0
    """The server says at least this often that it is there; after three silent ones the link counts as lost."""
    lifetime: Seconds = 600.0
    """How long the server keeps our subscription while we are away."""
    session_timeout: Seconds = 60.0
    """How long the server keeps our session while we are away."""
    request_timeout: Seconds = 10.0
    """How long to wait for the answer to one request."""
    publish_requests: Annotated[int, Field(ge=1, le=100)] = 3
    """How many PublishRequests wait at the server, so that a slow round trip does not cap the rate."""
    backfill: Literal["off", "before"] = "before"
    """Where a subscription was lost and the server keeps history: read what was missed and deliver it before the live
    values.  What cannot be read is announced either way."""
    structures: bool = True
    """Read the server's definitions of structures at connect and decode them; else they are passed on as bytes."""
    retry_failed: Seconds = 60.0
    """A variable that could not be subscribed to is tried again this often."""
    shape: ShapingConfig | None = None
    """What happens to values here, before they are sent: for all selections that have no `shape` of their own."""

    @property
    def is_shaped(self) -> bool:
        """Whether there is any rule."""
        nothing = ShapingConfig()
        rules = [s.shape if s.shape is not None else self.shape for s in self.select if s.events is None]
        return any(rule is not None and rule != nothing for rule in rules)

    @model_validator(mode="after")
    def _secure_or_said_so(self) -> Self:
        if not self.insecure and self.security is None:
            raise ValueError(
                "nothing says how to secure this server: write security: {} (takes the strongest it offers), or "
                "insecure: true for SecurityPolicy None, which encrypts nothing and checks nobody"
            )
        if self.insecure and self.security is not None:
            raise ValueError("security and insecure: true contradict each other: keep one")
        return self

    @model_validator(mode="after")
    def _one_user(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together")
        if (self.user_certificate is None) != (self.user_key is None):
            raise ValueError("user_certificate and user_key go together")
        if self.username is not None and self.user_certificate is not None:
            raise ValueError("log in with username or with user_certificate, not with both")
        if self.insecure and self.password is not None:
            raise ValueError("the password would cross the network in clear: use security instead of insecure: true")
        return self


class TlsConfig(Strict):
    """TLS to one broker.  The broker's certificate and name are always checked; files are read at every connect."""

    ca: Path | None = None
    """PEM file with the certificate authorities that may vouch for the broker (default: those of the system)."""
    certificate: Path | None = None
    """PEM file with our client certificate, and the chain up to its authority."""
    key: Path | None = None
    """PEM file with the key of our certificate (default: it is in the file of `certificate`)."""
    key_password: Secret | None = None
    """Where the password of the key is kept."""
    minimum: Literal["1.2", "1.3"] = "1.2"
    """The oldest TLS version that is accepted."""
    server_name: str | None = None
    """The name to ask for (SNI) and to find in the certificate (default: the host of the address)."""
    alpn: tuple[str, ...] = ()
    """Application protocols to offer, such as `x-amzn-mqtt-ca` on port 443."""

    @model_validator(mode="after")
    def _key_of_something(self) -> Self:
        if self.certificate is None and (self.key is not None or self.key_password is not None):
            raise ValueError("a key needs the certificate that it belongs to: add certificate")
        return self


class PresenceConfig(Strict):
    """Whether consumers can tell that nothing changed from that nobody is there: one retained message."""

    topic: Annotated[str, Field(pattern=r"^[^+#\x00]{1,1000}$")] | None = "gateways/{gateway}/presence"
    """Where it is kept; `{gateway}` is the gateway's name.  `null` turns it off, for brokers that retain nothing."""
    heartbeat: Seconds = 30.0
    """It is renewed this often."""


_BROKER_SCHEMES = ("mqtt", "mqtts", "ws", "wss")
_BrokerUrl = Annotated[str, _url(*_BROKER_SCHEMES)]


class BrokerConfig(Strict):
    """One MQTT broker."""

    name: Name = "broker"
    """Its name in logs and metrics."""
    url: _BrokerUrl
    """`mqtt://host:1883`, `mqtts://host:8883` with TLS, or a web socket: `ws://host:80/mqtt`, `wss://host:443/mqtt`."""
    fallback: tuple[_BrokerUrl, ...] = ()
    """More addresses of the same broker, tried in order when the first one does not take us."""
    version: Literal["auto", "5", "3.1.1"] = "auto"
    """MQTT version; `auto` is 5, and 3.1.1 when the broker refuses 5."""
    client_id: Annotated[str, Field(max_length=65535)] | None = None
    """MQTT client identifier (default: the gateway's name).  Two clients of one name throw each other out."""
    username: str | None = None
    """Who we are to the broker."""
    password: Secret | None = None
    """Where the password is kept."""
    tls: TlsConfig = TlsConfig()
    """For `mqtts://` and `wss://`."""
    insecure: bool = False
    """Allow the password to cross a network without TLS."""
    keep_alive: Annotated[Seconds, Field(ge=1, le=65535)] = 15.0
    """MQTT keep-alive: a silent link counts as lost after one and a half of these."""
    connect_timeout: Seconds = 10.0
    """How long connecting may take."""
    window: Annotated[int, Field(ge=1, le=65000)] = 100
    """How many publishes may wait for their PUBACK; the broker's Receive Maximum may lower it."""
    max_packet: Bytes | None = None
    """The largest packet to send, for brokers that have a limit and do not announce it."""
    ack_timeout: Seconds = 20.0
    """A publish without PUBACK for this long means that the link is dead."""
    retry_refused: Seconds = 30.0
    """What the broker refuses for now (not authorised, quota) is kept on disk and offered again this often."""
    presence: PresenceConfig = PresenceConfig()
    """The gateway's own retained message."""

    @model_validator(mode="after")
    def _password_is_covered(self) -> Self:
        for url in (self.url, *self.fallback):
            parts = urlsplit(url)
            far = parts.hostname not in ("localhost", "127.0.0.1", "::1")
            if self.password and far and parts.scheme in ("mqtt", "ws") and not self.insecure:
                raise ValueError(f"the password would cross the network to {url} in clear: use TLS, or insecure: true")
        return self


class OutboxConfig(Strict):
    """The buffer on disk between the servers and the brokers."""

    path: Path = Path("var/outbox")
    """A folder of its own."""
    max_bytes: Bytes = 2**30
    """How much disk it may take."""
    segment_bytes: Bytes = 8 * 2**20
    """Size of one file: what is dropped or freed at once."""
    commit: Literal["fdatasync", "os"] = "fdatasync"
    """`fdatasync`: acknowledged means on the disk.  `os`: survives a crash of the gateway, not a power cut."""
    when_full: Literal["drop_oldest", "block"] = "drop_oldest"
    """Drop the oldest values and announce it, or stop taking values from the servers until there is room."""
    max_age: Seconds | None = None
    """Drop what has waited longer than this, and announce it.  Whole files at once, so it may wait a little longer."""
    min_free: Bytes = 64 * 2**20
    """How much of the disk always stays free for others: below that the outbox counts as full."""
    compress: Literal["none", "zlib"] = "none"
    """`zlib` packs each message on the disk: less disk for more processor."""


class PubSubConfig(Strict):
    """Data sets, for the formats `opcua-pubsub` and `cloudevents`."""

    prefix: Annotated[str, Field(pattern=r"^[^+#\x00$][^+#\x00]{0,200}$")] = "opcua"
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
    """`binary`: attributes are MQTT 5 user properties.  `structured`: one JSON object, also for MQTT 3.1.1."""
    source: Annotated[str, Field(min_length=1, pattern=r"^[!-~]+$")] | None = None
    """Attribute `source`, a URI or a path (default: `urn:connected-factory:GATEWAY:SOURCE`)."""


class PayloadConfig(Strict):
    """What a message looks like and where it goes."""

    format: Literal["json", "json-columns", "msgpack", "opcua-pubsub", "cloudevents"] = "json"
    """How values are encoded: `json` for people and any program; `json-columns` for volume: a fifth of the cost;
    `msgpack`: as `json`, in MessagePack; `opcua-pubsub`: OPC UA Part 14; `cloudevents`: CloudEvents with the OPC UA
    extension.  `gateway schema FORMAT` prints the form."""
    topic: str = "factory/{site}/{line}/{machine}"
    """Topic template: `{gateway}`, `{source}`, `{tag}`, and what `fields` and `levels` of the selections name.  With
    `{tag}` every variable has a topic of its own (Unified Namespace): `acme/{site}/{line}/{machine}/{tag}`."""
    retain: bool | None = None
    """Ask the broker to keep the last message of each topic (default: when the topic holds `{tag}`)."""
    server_time: bool = False
    """Also send the server timestamp of each value."""
    max_values: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """At most this many values in one message."""
    max_bytes: Annotated[Bytes, Field(ge=1024)] = 256 * 2**10
    """A longer payload is split by values, before compression.  One value that is longer by itself goes alone."""
    compress: Literal["none", "gzip", "zstd"] = "none"
    """Compress payloads; the user property `content-encoding` tells."""
    max_topic_levels: Annotated[int, Field(ge=1)] | None = None
    """Refuse a topic with more levels, for brokers with such a limit (AWS IoT Core: 8)."""
    max_topic_bytes: Annotated[int, Field(ge=1, le=65535)] = 65535
    """Refuse a topic that is longer even before its fields are filled in (AWS IoT Core: 256)."""
    pubsub: PubSubConfig = PubSubConfig()
    """Data sets, for `opcua-pubsub` and `cloudevents`."""
    cloudevents: CloudEventsConfig = CloudEventsConfig()
    """Events, for `cloudevents`."""

    @property
    def retains(self) -> bool:
        """Whether messages with values are retained."""
        return "{tag}" in self.topic if self.retain is None else self.retain

    @model_validator(mode="after")
    def _topic_fits_format(self) -> Self:
        if "{tag}" in self.topic and self.format not in ("json", "msgpack"):
            raise ValueError(
                f"{self.format} puts many tags into a message: leave {{tag}} out of the topic, or use json or msgpack"
            )
        if self.format == "cloudevents" and self.compress != "none":
            raise ValueError("cloudevents has no word for compression: leave compress out")
        return self


class HttpConfig(Strict):
    """Metrics and health."""

    host: str = "127.0.0.1"
    """Address to listen on: this machine only, unless you say otherwise."""
    port: Annotated[int, Field(ge=0, le=65535)] = 9464
    """Port to listen on; 0 takes a free one."""


class BackoffConfig(Strict):
    """How long to wait before connecting again: a random time up to a ceiling that doubles from `first` to `most`."""

    first: Seconds = 0.5
    """Ceiling of the first wait."""
    most: Seconds = 30.0
    """Ceiling of all later waits."""


class Config(Strict):
    """The whole configuration of one gateway."""

    name: Name = "gateway"
    """The gateway's name, in streams, logs and metrics."""
    sources: Annotated[tuple[SourceConfig, ...], Field(min_length=1)]
    """The OPC UA servers to read from."""
    broker: BrokerConfig | None = None
    """The MQTT broker to deliver to."""
    brokers: tuple[BrokerConfig, ...] = ()
    """Several brokers instead of one: each gets every message, and one that is away does not hold up the others."""
    outbox: OutboxConfig = OutboxConfig()
    """The buffer on disk between them."""
    payload: PayloadConfig = PayloadConfig()
    """What messages look like and where they go."""
    http: HttpConfig = HttpConfig()
    """Where metrics and health are shown."""
    reconnect: BackoffConfig = BackoffConfig()
    """How long to wait before connecting again."""
    stop_grace: Seconds = 5.0
    """After SIGTERM: how long to go on delivering what is in the outbox before leaving.  The rest stays on disk."""

    @property
    def all_brokers(self) -> tuple[BrokerConfig, ...]:
        """The one, or the several."""
        return self.brokers or ((self.broker,) if self.broker else ())

    @model_validator(mode="after")
    def _broker_or_brokers(self) -> Self:
        if (self.broker is None) == (not self.brokers):
            raise ValueError("name either broker (one) or brokers (a list of them)")
        return self

    @model_validator(mode="after")
    def _distinct_names(self) -> Self:
        for kind, names in (
            ("sources", [s.name for s in self.sources]),
            ("brokers", [b.name for b in self.all_brokers]),
        ):
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"two {kind} are named {name!r}: names must differ")
        return self


def load(path: Path) -> Config:
    """Read and check a configuration file.  Raises `ConfigError` with every problem, each with file and line."""
    located = read_yaml(path)
    return validated(Config, located, topic_problems(located.value))


def topic_problems(raw: object) -> list[tuple[Place, str]]:
    """What is wrong with the topic template, given the fields the selections name.

    Looks at the file as it was read, so that these mistakes are told together with all others.
    """
    template = _at(raw, "payload", "topic") or PayloadConfig().topic
    if not isinstance(template, str):
        return []
    levels, size = _at(raw, "payload", "max_topic_levels"), _at(raw, "payload", "max_topic_bytes")
    limits = (levels if isinstance(levels, int) else None, size if isinstance(size, int) else MAX_TOPIC_BYTES)
    sources = _at(raw, "sources")
    problems: list[tuple[Place, str]] = []
    for s, source in enumerate(sources if isinstance(sources, list) else []):
        selections = _at(source, "select")
        for n, selection in enumerate(selections if isinstance(selections, list) else []):
            known = {"gateway", "source", "tag", *_names(source, "fields"), *_names(selection, "fields", "levels")}
            known |= _names(_at(selection, "shape") or _at(source, "shape"), "fields")
            place: Place = ("payload", "topic") if _at(raw, "payload", "topic") else ("sources", s, "select", n)
            problems += [
                (place, f"for {dotted(('sources', s, 'select', n))}: {p}")
                for p in problems_of(template, known, *limits)
            ]
    return problems


def _at(raw: object, *keys: str) -> object:
    for key in keys:
        raw = raw.get(key) if isinstance(raw, dict) else None
    return raw


def _names(raw: object, *keys: str) -> set[str]:
    found = [_at(raw, key) for key in keys]
    return {str(name) for part in found if isinstance(part, dict | list) for name in part}
