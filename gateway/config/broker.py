"""One MQTT broker: where it is, TLS, presence, the window."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gateway.config.payload import PayloadConfig
from gateway.config.quantities import Bytes, Host, MqttText, Name, Seconds, Strict, url_of
from gateway.config.routes import TagsConfig
from gateway.config.secret import Secret
from gateway.urls import parse_url

PRESENCE_TOPIC = "gateways/{gateway}/presence"


class TlsConfig(Strict):
    """TLS to one broker.  The broker's certificate and name are always checked; files are read at every connect."""

    ca: Path | None = None
    """PEM file with the certificate authorities that may vouch for the broker (default: those of the system)."""
    crl: Path | None = None
    """PEM file with revocation lists.  Then every authority between the broker and `ca` needs one there that is in
    date, and none may list what it vouches for."""
    certificate: Path | None = None
    """PEM file with our client certificate, and the chain up to its authority."""
    key: Path | None = None
    """PEM file with the key of our certificate (default: it is in the file of `certificate`).  Others must not be
    able to read it, as with a secret."""
    key_password: Secret | None = None
    """Where the password of the key is kept."""
    minimum: Literal["1.2", "1.3"] = "1.2"
    """The oldest TLS version that is accepted."""
    ciphers: Annotated[str, Field(min_length=1)] | None = None
    """Cipher suites for TLS 1.2 as an OpenSSL list, such as `ECDHE+AESGCM` (default: those of Python; TLS 1.3 has its
    own, which are all good)."""
    server_name: Host | None = None
    """The name to ask for (SNI) and to find in the certificate (default: the host of the address)."""
    alpn: tuple[Annotated[str, Field(pattern=r"^[!-~]{1,255}$")], ...] = ()
    """Application protocols to offer, such as `x-amzn-mqtt-ca` on port 443."""

    @model_validator(mode="after")
    def _key_of_something(self) -> Self:
        if self.certificate is None and (self.key is not None or self.key_password is not None):
            raise ValueError("a key needs the certificate that it belongs to: add certificate")
        return self


class PresenceConfig(Strict):
    """Whether consumers can tell that nothing changed from that nobody is there: one retained message."""

    topic: str | None = PRESENCE_TOPIC
    """Where it is kept; `{gateway}` is the gateway's name, escaped as in `payload.topic`.  `null` turns it off, for
    brokers that retain nothing.  With the payload format `opcua-pubsub` it is the status message of that format, on the
    topic of that format."""
    heartbeat: Seconds = 30.0
    """It is renewed this often."""


class ReplayConfig(Strict):
    """How what was stored during an outage is delivered beside what is new."""

    order: Literal["in-order", "newest-first"] = "in-order"
    """`in-order`: every stream in the order of its numbers.  `newest-first`: what is new passes at once and the backlog
    follows, oldest first; consumers put it in order by `seq`."""
    delay: Seconds = 1.0
    """What waited longer than this is a backlog.  It goes out as fast as the link takes it without delaying the PUBACK
    of anything else by more than this."""
    max_rate: Bytes | None = None
    """At most so many bytes of payload of a backlog per second, for brokers and links that are billed or throttled."""


BROKER_SCHEMES = ("mqtt", "mqtts", "ws", "wss")
_BrokerUrl = Annotated[str, url_of(*BROKER_SCHEMES)]


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
    client_id: MqttText | None = None
    """MQTT client identifier (default: the gateway's name; with several brokers followed by `-` and the broker's name).
    Two clients of one name throw each other out."""
    username: MqttText | None = None
    """Who we are to the broker."""
    password: Secret | None = None
    """Where the password is kept."""
    query: Secret | None = None
    """For `ws://` and `wss://`: where that is kept which follows the `?` of the address.  Some brokers want a token
    there, and an address is shown."""
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
    topic_aliases: Annotated[int, Field(ge=0, le=65535)] = 65535
    """At most this many topics of a session are told to the broker as numbers (MQTT 5 topic aliases: fewer bytes per
    message); the broker may allow less.  0 uses none, for brokers and proxies that get them wrong."""
    ack_timeout: Seconds = 20.0
    """A publish without PUBACK for this long means that the link is dead, unless more of it leaves this machine
    meanwhile, or the line is known to be slow."""
    retry_refused: Seconds = 30.0
    """What the broker refuses for now (not authorised, quota) is kept on disk and offered again this often."""
    expiry: Annotated[Seconds, Field(ge=1)] | None = None
    """MQTT 5 message expiry: how long after a value was stored here the broker may still give it to a consumer that was
    away.  The time in the outbox counts; what is older by then reaches only those who are connected.  Retained
    messages do not expire."""
    replay: ReplayConfig = ReplayConfig()
    """What was stored during an outage."""
    presence: PresenceConfig = PresenceConfig()
    """The gateway's own retained message."""
    payload: PayloadConfig | None = None
    """What messages to this broker look like and where they go (default: `payload` of the gateway).  It stands for
    itself: what it does not say has its own default."""
    tags: Annotated[tuple[TagsConfig, ...], Field(min_length=1)] | None = None
    """Which tags this broker gets: those to which any item of the list applies (default: all)."""

    @model_validator(mode="after")
    def _secrets_are_covered(self) -> Self:
        for text in (self.url, *self.fallback):
            url = parse_url(text, BROKER_SCHEMES)
            in_clear = url.scheme in ("mqtt", "ws") and not url.is_local and not self.insecure
            for what in ("password", "query"):
                if in_clear and getattr(self, what) is not None:
                    raise ValueError(f"the {what} would cross the network to {text} in clear: use TLS, or insecure")
            if self.query is not None and url.scheme not in ("ws", "wss"):
                raise ValueError(f"query goes with the address of a web socket, which {text} is not")
        return self
