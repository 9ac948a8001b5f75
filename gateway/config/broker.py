"""One broker: address, TLS, presence, window.  The scheme of its address says what it speaks."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from gateway.config.from_profile import DPS, host_of, profile_or_mistake, with_profile
from gateway.config.kafka import KAFKA_SCHEMES, KafkaConfig
from gateway.config.nats import NATS_SCHEMES, NatsConfig
from gateway.config.payload import PayloadConfig
from gateway.config.quantities import Bytes, Host, MqttText, Name, Seconds, Strict, url_of
from gateway.config.routes import TagsConfig
from gateway.config.secret import Secret
from gateway.profiles import Profile
from gateway.profiles.names import Who, is_signed
from gateway.urls import parse_url

PRESENCE_TOPIC = "gateways/{gateway}/presence"


class TlsConfig(Strict):
    """TLS to one broker.  The broker's certificate and name are always checked.  Files are read at every connect."""

    ca: Path | None = None
    """PEM file with the certificate authorities to trust for the broker (default: those of the system)."""
    crl: Path | None = None
    """PEM file with revocation lists.  It must then have a valid list of every authority between the broker and `ca`,
    and no certificate of that chain may be revoked."""
    certificate: Path | None = None
    """PEM file with our client certificate, and the chain up to its authority."""
    key: Path | None = None
    """PEM file with the key of our certificate (default: it is in the file of `certificate`).  Other users must not be
    able to read it, as with a secret."""
    key_password: Secret | None = None
    """Where the password of the key is kept."""
    minimum: Literal["1.2", "1.3"] = "1.2"
    """The oldest accepted TLS version."""
    ciphers: Annotated[str, Field(min_length=1)] | None = None
    """Cipher suites for TLS 1.2 as an OpenSSL list, such as `ECDHE+AESGCM` (default: those of Python).  TLS 1.3 has its
    own suites, which are all good."""
    server_name: Host | None = None
    """The name for SNI, which must be in the certificate (default: the host of the address)."""
    alpn: tuple[Annotated[str, Field(pattern=r"^[!-~]{1,255}$")], ...] = ()
    """ALPN protocols to offer, such as `x-amzn-mqtt-ca` on port 443."""

    @model_validator(mode="after")
    def _key_of_something(self) -> Self:
        if self.certificate is None and (self.key is not None or self.key_password is not None):
            raise ValueError("a key needs the certificate that it belongs to: add certificate")
        return self


class PresenceConfig(Strict):
    """One retained message that tells consumers "nothing changed" apart from "nobody is there"."""

    topic: str | None = PRESENCE_TOPIC
    """Its topic; `{gateway}` is the gateway's name, escaped as in `payload.topic`.  `null` turns it off, for brokers
    without retained messages.  With the payload format `opcua-pubsub` it is that format's status message, on its
    topic."""
    heartbeat: Seconds = 30.0
    """How often it is renewed."""


class ReplayConfig(Strict):
    """How messages stored during an outage are delivered beside new ones."""

    order: Literal["in-order", "newest-first"] = "in-order"
    """`in-order`: every stream in the order of its numbers.  `newest-first`: new messages pass at once, and the backlog
    follows, oldest first; consumers sort by `seq`."""
    delay: Seconds = 1.0
    """Messages that waited longer are a backlog.  It is sent as fast as the link allows without delaying other PUBACKs
    by more than this time."""
    max_rate: Bytes | None = None
    """The most payload bytes of a backlog per second, for brokers and links with volume charges or limits."""


class ProvisioningConfig(Strict):
    """Azure's Device Provisioning Service (DPS), which names the hub of a device: `endpoint` is then left out."""

    scope: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,64}$")]
    """The ID scope, as the console shows it."""
    endpoint: Annotated[str, url_of("https", "http")] = DPS
    """Where the service is.  `http://` is accepted on this machine only."""
    registration: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,128}$")] | None = None
    """The registration id (default: `device`)."""

    @model_validator(mode="after")
    def _is_covered(self) -> Self:
        url = parse_url(self.endpoint, ("https", "http"))
        if url.scheme == "http" and not url.is_local:
            raise ValueError(f"the login would be sent unencrypted to {self.endpoint}: use https://")
        return self


class CredentialsConfig(Strict):
    """What a cloud's login is made of.  The password is made anew at every connect."""

    key: Secret | None = None
    """Where the device's key is stored, as the cloud's console shows it."""
    group_key: Secret | None = None
    """Where the key of an enrolment group is stored, from which the device's key follows (Azure DPS)."""
    token: Secret | None = None
    """Where a token is stored that something else renews: of a service account (Azure IoT Operations), or a JSON Web
    Token of Entra (Event Grid).  It goes into the enhanced authentication of MQTT 5, and is read at every connect."""
    method: Annotated[str, Field(min_length=1)] | None = None
    """The authentication method of `token` (default: the first that the profile names)."""
    provisioning: ProvisioningConfig | None = None
    """The service that names the hub of this device.  Without a key the device shows `tls.certificate` there."""
    lifetime: Annotated[Seconds, Field(ge=60)] | None = None
    """How long a password shall last, where it has an end (default: as the profile says).  The gateway connects anew,
    and loses nothing, after 80 to 90 % of it."""

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        given = sum(each is not None for each in (self.key, self.group_key, self.token))
        if given > 1 or (given == 0 and self.provisioning is None):
            raise ValueError("name one: key, group_key, or token")
        if self.method is not None and self.token is None:
            raise ValueError("a method goes with a token")
        return self

    @property
    def is_key(self) -> bool:
        """Whether passwords are made from a key."""
        return self.key is not None or self.group_key is not None


MQTT_SCHEMES = ("mqtt", "mqtts", "ws", "wss")
BROKER_SCHEMES = (*MQTT_SCHEMES, *NATS_SCHEMES, *KAFKA_SCHEMES)
_BrokerUrl = Annotated[str, url_of(*BROKER_SCHEMES)]


_MQTT_ALONE = (
    "profile", "endpoint", "device", "product", "credentials", "wire_topic", "version", "query", "topic_aliases",
    "max_value_age",
)  # fmt: skip
"""Keys that mean nothing to another kind of broker."""


class BrokerConfig(Strict):
    """One broker: of MQTT, NATS or Kafka."""

    name: Name = "broker"
    """Its name in logs and metrics."""
    profile: Annotated[str, Field(min_length=1)] | None = None
    """A cloud or kind of broker whose limits are kept, such as `aws-iot-core` (`gateway profile list`), or a file with
    a profile of your own (`….yaml`).  It answers `url`, `version`, `keep_alive`, `window`, `max_packet` and `tls.alpn`
    where they are not set."""
    endpoint: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+(:[0-9]{1,5})?$")] | None = None
    """With `profile`: the address that the cloud's console shows, perhaps with a port."""
    device: Annotated[str, Field(min_length=1)] | None = None
    """With `profile`: the name of this gateway as a device of the cloud (default: the client id without a profile)."""
    product: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = None
    """With `profile`: the product of the device (Tencent, Alibaba; default: the first part of `endpoint`)."""
    credentials: CredentialsConfig | None = None
    """With `profile`: the key from which passwords are made.  Without it the device shows `tls.certificate`, or
    `password` is used as it is."""
    wire_topic: Annotated[str, Field(pattern=r"^[^+#\x00]+$")] | None = None
    """With `profile`: the topic at the cloud, as a template with `{topic}` (the one of `payload.topic`), `{device}` and
    `{product}` (default: as the profile says).  `$aws/rules/RULE/{topic}` is Basic Ingest of AWS."""
    url: _BrokerUrl = ""
    """`mqtt://host:1883`, `mqtts://host:8883` with TLS, or a web socket: `ws://host:80/mqtt`, `wss://host:443/mqtt`.
    NATS JetStream: `nats://host:4222`, or `tls://host:4222` with TLS.  Kafka: `kafka://host:9092`, or
    `kafkas://host:9093` with TLS."""
    fallback: tuple[_BrokerUrl, ...] = ()
    """More addresses of the same broker, tried in order when the first one fails."""
    version: Literal["auto", "5", "3.1.1"] = "auto"
    """MQTT version; `auto`: 5, or 3.1.1 when the broker refuses 5."""
    client_id: MqttText | None = None
    """MQTT client identifier (default: the gateway's name; with several brokers followed by `-` and the broker's
    name).  Two clients with the same one disconnect each other."""
    username: MqttText | None = None
    """User name at the broker."""
    password: Secret | None = None
    """Where the password is stored."""
    query: Secret | None = None
    """For `ws://` and `wss://`: where the query (the part after `?` in the address) is stored.  Some brokers want a
    token there, and addresses are shown in logs."""
    tls: TlsConfig = TlsConfig()
    """For `mqtts://`, `wss://`, `tls://` and `kafkas://`."""
    nats: NatsConfig | None = None
    """For `nats://` and `tls://`."""
    kafka: KafkaConfig | None = None
    """For `kafka://` and `kafkas://`."""
    insecure: bool = False
    """Allow sending the password over a network without TLS."""
    keep_alive: Annotated[Seconds, Field(ge=1, le=65535)] = 15.0
    """MQTT keep-alive.  A link without a packet for one and a half times this counts as lost."""
    connect_timeout: Seconds = 10.0
    """Time-out for connecting, per address."""
    window: Annotated[int, Field(ge=1, le=65000)] = 100
    """How many publishes may wait for their PUBACK.  The broker's Receive Maximum may lower it."""
    max_packet: Bytes | None = None
    """The largest packet to send, for brokers with a limit that they do not announce."""
    topic_aliases: Annotated[int, Field(ge=0, le=65535)] = 65535
    """The largest number of MQTT 5 topic aliases in a session (fewer bytes per message).  The broker may allow fewer.
    0: use none, for brokers and proxies that get them wrong."""
    ack_timeout: Seconds = 20.0
    """A publish without a PUBACK for this long means that the link is dead, unless more of it leaves this machine
    meanwhile, or the line is known to be slow."""
    retry_refused: Seconds = 30.0
    """How often messages are offered again that the broker refused for now (not authorised, quota).

    They stay on the disk.
    """
    expiry: Annotated[Seconds, Field(ge=1)] | None = None
    """MQTT 5 message expiry: how long after storage here the broker may still deliver a message to a consumer that was
    away. The time in the outbox counts; older messages reach only connected consumers.  Retained messages do not
    expire."""
    max_value_age: Annotated[Seconds, Field(ge=1)] | None = None
    """Messages whose oldest value is older when they would be sent become dead letters: counted, kept in a file of
    their own, not tried again (default: as the format says; `sitewise`: seven days)."""
    replay: ReplayConfig = ReplayConfig()
    """Delivery of messages stored during an outage."""
    presence: PresenceConfig = PresenceConfig()
    """The gateway's own retained message."""
    payload: PayloadConfig | None = None
    """Form and topics of messages to this broker (default: `payload` of the gateway).  It inherits nothing: keys that
    it does not set have their own defaults."""
    tags: Annotated[tuple[TagsConfig, ...], Field(min_length=1)] | None = None
    """The tags that this broker gets: those that match any item of the list (default: all)."""

    _table: Profile | None = PrivateAttr(default=None)

    @model_validator(mode="before")
    @classmethod
    def _from_profile(cls, given: object) -> object:
        return with_profile(given) if isinstance(given, dict) and given.get("profile") else given

    @model_validator(mode="after")
    def _has_an_address(self) -> Self:
        if not self.url:
            raise ValueError("url is missing: the address of the broker, or profile and endpoint of a cloud")
        for key in ("endpoint", "device", "product", "credentials", "wire_topic"):
            if self.profile is None and getattr(self, key) is not None:
                raise ValueError(f"{key} goes with profile: `gateway profile list` names them")
        if self.credentials is not None and self.password is not None:
            raise ValueError("credentials make the password: remove password")
        if self.credentials is not None and self.credentials.provisioning is not None and self.endpoint is not None:
            raise ValueError("credentials.provisioning names the hub: remove endpoint")
        return self

    @model_validator(mode="after")
    def _keys_of_its_kind(self) -> Self:
        scheme = self.url.partition(":")[0].lower()
        if self.nats is not None and scheme not in NATS_SCHEMES:
            raise ValueError("nats goes with an address nats:// or tls://")
        if self.kafka is not None and scheme not in KAFKA_SCHEMES:
            raise ValueError("kafka goes with an address kafka:// or kafkas://")
        if scheme in KAFKA_SCHEMES and self.expiry is not None:
            raise ValueError("records of Kafka expire as their topic says (retention.ms): remove expiry")
        if self.kafka_or_default.token is not None and (self.username is not None or self.password is not None):
            raise ValueError("name one login: username and password, or kafka.token")
        if scheme not in MQTT_SCHEMES:
            for key in _MQTT_ALONE:
                if key in self.model_fields_set:
                    raise ValueError(f"{key} is of MQTT, and {self.url} is not: remove it")
        given = [name for name in ("credentials", "nkey", "token") if getattr(self.nats_or_default, name) is not None]
        if len(given) > 1 or (given and (self.username is not None or self.password is not None)):
            raise ValueError("name one login: username and password, nats.credentials, nats.nkey or nats.token")
        return self

    @property
    def is_mqtt(self) -> bool:
        """Whether it speaks MQTT."""
        return self.url.partition(":")[0] in MQTT_SCHEMES

    @property
    def kafka_or_default(self) -> KafkaConfig:
        """What is set for Kafka."""
        return self.kafka or KafkaConfig()

    @property
    def nats_or_default(self) -> NatsConfig:
        """What is set for NATS."""
        return self.nats or NatsConfig()

    @model_validator(mode="after")
    def _keeps_its_table(self) -> Self:
        """A file with a profile is read once: what happens to it later concerns the next reload."""
        if self.profile is not None:
            self._table = profile_or_mistake(self.profile)
        return self

    @model_validator(mode="after")
    def _token_is_wanted(self) -> Self:
        if self._table is None or self.credentials is None or self.credentials.token is None:
            return self
        methods = self._table.login.methods
        if not methods:
            raise ValueError(f"{self._table.title} takes no credentials.token: set credentials.key, or password")
        if self.credentials.method is not None and self.credentials.method not in methods:
            raise ValueError(f"{self._table.title} knows the methods {', '.join(methods)}")
        if self.version == "3.1.1" or any(url.startswith("ws") for url in (self.url, *self.fallback)):
            raise ValueError("credentials.token needs MQTT 5 over mqtts://")
        return self

    @property
    def table(self) -> Profile | None:
        """The profile.  Raises `ValueError` for one that does not exist, which a checked configuration has not."""
        return self._table if self._table is not None or self.profile is None else profile_or_mistake(self.profile)

    def who(self, default_device: str) -> Who:
        """This gateway as a device of the cloud."""
        host = host_of(self.endpoint, self.url)
        is_tls = parse_url(self.url, BROKER_SCHEMES).scheme in ("mqtts", "wss")
        return Who(self.device or self.client_id or default_device, host, self.product or host.split(".")[0], is_tls)

    @model_validator(mode="after")
    def _secrets_are_covered(self) -> Self:
        for text in (self.url, *self.fallback):
            url = parse_url(text, BROKER_SCHEMES)
            in_clear = url.scheme in ("mqtt", "ws", "nats", "kafka") and not url.is_local and not self.insecure
            if in_clear and self.credentials is not None and not (self.table and is_signed(self.table)):
                raise ValueError(f"the password would be sent unencrypted to {text}: use TLS, or set insecure")
            for what in ("password", "query"):
                if in_clear and getattr(self, what) is not None:
                    raise ValueError(f"the {what} would be sent unencrypted to {text}: use TLS, or set insecure")
            if in_clear and (self.nats_or_default.token is not None or self.kafka_or_default.token is not None):
                raise ValueError(f"the token would be sent unencrypted to {text}: use TLS, or set insecure")
            if self.query is not None and url.scheme not in ("ws", "wss"):
                raise ValueError(f"query needs a web socket address, and {text} is not one")
        return self
