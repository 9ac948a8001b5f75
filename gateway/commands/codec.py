"""The interface of a codec, which translates messages of one format into requests of `request.py`, and answers back.

A codec is one file with a `Codec` in `gateway/commands/codecs`, and an entry in `choose.py` there.  It only translates:
the topic names the requester, the rules say what is allowed, and both are the same for every codec.  Pure.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.commands.outcome import Refused
from gateway.commands.request import Request
from gateway.config import SourceConfig
from gateway.delivery import Packet
from gateway.payload.forms import Json

MOST_WISHES = 100
"""Requests in one message."""
Context = Mapping[str, Json]
"""What the answer needs of its request, in addition to the common fields.  It is kept in the journal: small."""

Known = Callable[[], Mapping[str, Sequence[str]]]
"""By connected source: the names of the variables that rules name there."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A message on a topic of a codec."""

    packet: Packet
    names: Mapping[str, str]
    """The levels of its topic, by the fields of the template."""
    requester: str
    gateway: str
    endpoints: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The sources, by `endpoint_key` of their addresses and by their names."""
    known: Known = dict

    def source_at(self, endpoint: str) -> str:
        """The configured source with this address or name.  Raises `Refused`.  It never causes a connection."""
        found = self.endpoints.get(endpoint_key(endpoint), ())
        if not found:
            raise Refused("source_unknown")
        if len(found) > 1:
            raise Refused("ambiguous", f"{len(found)} sources have this address: use the name of one")
        return found[0]


@dataclass(frozen=True, slots=True)
class Wish:
    """One request of a message, or the reason why it is invalid."""

    source: str = ""
    request: Request | None = None
    error: Refused | None = None
    id: str = ""
    """Of the request; empty where the message has none."""
    respond_to: str = ""
    """The topic for the answer, if the message names one."""
    correlation: bytes | None = None
    """The correlation data of the answer; None: that of the packet."""
    claims: str = ""
    """The sender that the message names."""
    context: Context = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Encoded:
    """An answer in the format of its requester."""

    body: object
    properties: tuple[tuple[str, str], ...] = ()
    """MQTT 5 user properties."""
    below: str = ""
    """Levels below the topic of the answer."""


def as_configured(topic: str) -> tuple[str, ...]:
    return (topic,)


@dataclass(frozen=True, slots=True)
class Codec:
    """One format of requests and answers."""

    topic: str
    """Template of the topic that requests come on."""
    decode: Callable[[Heard], Sequence[Wish]]
    """Never raises: an invalid request is a `Wish` with an `error`."""
    encode: Callable[[Mapping[str, object], Context], Encoded]
    """From an answer in the form of `schema.py`, and what was kept of the request."""
    replies: str = ""
    """Template of the topic of answers; empty for that of the configuration."""
    fields: frozenset[str] = frozenset()
    """Fields that the template of the topic must have, beside `{requester}`."""
    topics: Callable[[str], tuple[str, ...]] = as_configured
    """All templates that it listens on, made of the configured one."""
    lifetime_s: float | None = None
    """Seconds until the deadline of a request that has none; None: it must have one."""
    tells_accepted: bool = False
    """Whether a requester can tell `accepted` from the final answer."""
    asks: Sequence[tuple[str, bytes]] = ()
    """What it asks a cloud for at the beginning of a session, once it listens: templates of topics, and payloads."""
    is_by_name: bool = False
    """Whether requests name variables without their source."""
    announce: Callable[[str, Sequence[str]], Sequence[tuple[str, Mapping[str, object]]]] | None = None
    """Retained messages of the gateway for its sources: topic and body of each."""


def endpoint_key(text: str) -> str:
    """A form in which equal addresses are equal texts."""
    return text.strip().rstrip("/").casefold()


def endpoints_of(sources: Iterable[SourceConfig]) -> Mapping[str, tuple[str, ...]]:
    """The sources by `endpoint_key` of their addresses and of their names."""
    found: dict[str, tuple[str, ...]] = {}
    for source in sources:
        for key in {endpoint_key(source.url), endpoint_key(source.name)}:
            found[key] = (*found.get(key, ()), source.name)
    return found


def refusal(error: Refused, **known: object) -> Wish:
    """A message that is no request."""
    return Wish(error=error, **known)  # type: ignore[arg-type]  # fields of a Wish
