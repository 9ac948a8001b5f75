"""The form of a profile.  Every limit stands beside its source; a source has an address and the date it was read."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

PasswordKind = Literal["none", "any", "sas", "huawei", "tencent", "alibaba", "token"]
"""How a password is made (`signing`).  `any`: as configured.  `none`: X.509 alone.  `token`: a file that something else
renews."""


class Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Source(Frozen):
    """Where a limit was read."""

    url: str
    date: date


class Limit(Frozen):
    """One limit of a cloud."""

    value: float | bool
    source: str
    """A key of `sources`."""
    note: str = ""
    unverified: bool = False
    """General knowledge that no source confirmed."""


class Port(Frozen):
    """A port that the cloud listens on."""

    port: Annotated[int, Field(ge=1, le=65535)]
    tls: bool = True
    alpn: str = ""


class Login(Frozen):
    """How a device connects.  Texts are templates: `names` lists their fields."""

    versions: Annotated[tuple[Literal["5", "3.1.1"], ...], Field(min_length=1)] = ("5", "3.1.1")
    """The best one first."""
    ports: tuple[Port, ...] = (Port(port=8883),)
    """The usual one first."""
    client_id: str = "{device}"
    username: str | None = None
    """None: as configured."""
    password: PasswordKind = "any"
    device: str = r"[^\x00/+#]{1,128}"
    """The form of a device's name: a regular expression."""
    methods: tuple[str, ...] = ()
    """Methods of enhanced authentication (MQTT 5, 4.12) that take a token; the usual one first."""
    lifetime_s: float | None = None
    """How long a password made by us lasts.  None: it has no end."""


class Topics(Frozen):
    """Where messages go.  `{topic}` is the topic of ours, which only some clouds can carry as a topic."""

    publish: str = "{topic}"
    things: str | None = None
    """Where messages of the cloud's own thing model go."""
    free: str = ""
    """A prefix that does not count against the slashes: a regular expression."""
    forbidden: str = ""
    """Characters that are not accepted in a topic."""
    properties: Literal["user", "bag", "none"] = "user"
    """`user`: MQTT 5 user properties, where version 5 is spoken.  `bag`: URL-encoded at the end of the topic."""
    answers: tuple[str, ...] = ()
    """What the cloud sends to a device, as topic filters."""
    replies: tuple[str, ...] = ()
    """Where a device may answer, as topic filters."""


class Behaviour(Frozen):
    """What the cloud does with what it does not accept."""

    over_rate: Literal["discard", "delay", "refuse", "close", "nothing"] = "nothing"
    """`discard`: no PUBACK.  `delay`: later.  `refuse`: PUBACK 0x97 (3.1.1: as discard)."""
    over_size: Literal["close", "refuse"] = "close"
    qos_2: Literal["silence", "close", "accept"] = "close"
    retain: Literal["keep", "drop", "close"] = "keep"
    bad_topic: Literal["close", "refuse"] = "close"
    keep_alive: Literal["bound", "refuse"] = "bound"
    """What happens to a keep-alive outside of its range."""
    takes_over: bool = True
    """A second connection with the same client id ends the first."""


class Price(Frozen):
    """A list price."""

    usd: float
    per_messages: int
    unit_bytes: int
    """A message counts once for each so many bytes."""
    source: str
    note: str = ""


class Loss(Frozen):
    """What the cloud does to OPC UA data, for the reference."""

    status: str = "in the payload"
    digits: str = "seven, in the payload"
    order: str = "kept per connection"
    repeats: str = "possible: `seq` shows them"
    retained: str = "kept"


class Profile(Frozen):
    """One cloud or broker."""

    name: str
    title: str
    endpoint: str = ""
    """The form of its address, for people."""
    sources: Mapping[str, Source]
    login: Login = Login()
    topics: Topics = Topics()
    limits: Mapping[str, Limit] = Field(default_factory=dict)
    behaviour: Behaviour = Behaviour()
    price: Price | None = None
    does_to_data: Loss = Loss()
    advice: Mapping[str, str] = Field(default_factory=dict)
    """What to do about a broken limit, by its name."""
    notes: tuple[str, ...] = ()

    def limit(self, name: str) -> float | None:
        """A limit by its name in `LIMITS`.  None: there is none, or it is not known."""
        found = self.limits.get(name)
        return None if found is None else float(found.value)

    def allows(self, name: str) -> bool:
        """Whether something that is only forbidden by name is allowed: `retain`, `will`."""
        found = self.limits.get(name)
        return found is None or bool(found.value)

    def protocols_of(self, number: int) -> list[str]:
        """The ALPN protocols of a port."""
        return [each.alpn for each in self.login.ports if each.port == number and each.alpn]

    def port_of(self, number: int) -> Port | None:
        return next((each for each in self.login.ports if each.port == number), None)


LIMITS: Mapping[str, str] = {
    "payload_bytes": "longest payload, bytes",
    "packet_bytes": "longest packet, bytes",
    "retained_bytes": "longest retained payload, bytes",
    "client_id_bytes": "longest client id, bytes",
    "topic_bytes": "longest topic, bytes",
    "topic_slashes": "most slashes in a topic",
    "qos": "highest QoS",
    "retain": "retained messages",
    "will": "last will",
    "keep_alive_min_s": "shortest keep-alive, s",
    "keep_alive_max_s": "longest keep-alive, s",
    "in_flight": "publishes without a PUBACK",
    "messages_per_s": "publishes per second and connection",
    "bytes_per_s": "bytes per second and connection",
    "connect_interval_s": "least time between two connects, s",
    "topic_aliases": "topic aliases",
    "subscriptions": "subscriptions per connection",
    "message_expiry_max_s": "longest message expiry, s",
    "session_expiry_max_s": "longest session expiry, s",
    "age_max_s": "oldest accepted timestamp, s",
    "ahead_max_s": "timestamp ahead of the cloud's clock, s",
    "clock_skew_s": "difference of clocks that a login may have, s",
}  # fmt: skip
"""The names of limits, and what they mean."""
