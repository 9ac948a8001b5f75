"""The checks of a request that need no server: its requester, the topic of its answer, its deadline and the clocks.
Pure.

A requester chooses the topic of its answer.  Only its own topic of answers, or one below it, is accepted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.commands.codec import Heard, Known, Wish
from gateway.commands.forms import Asked
from gateway.commands.listening import Listening, listenings
from gateway.commands.outcome import Refused
from gateway.commands.request import Request
from gateway.config import CommandsConfig
from gateway.delivery import Packet
from gateway.topics import escape, expand, problems_of

PREFIX = "gateways/{gateway}/commands"
CLOCK_DOUBT_S = 5.0
Things = Mapping[str, Mapping[str, str]]
"""By broker: what it calls this gateway, as fields of topics (`thing`, `product`)."""
MOST_CORRELATION = 256
_MOST_TOPIC = 1000


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request as received, with the first reason to refuse it."""

    asked: Asked
    error: Refused | None
    """None: no reason found so far."""


@dataclass(frozen=True, slots=True)
class Hall:
    """The topics and settings by which commands arrive at one gateway."""

    gateway: str
    config: CommandsConfig
    listenings: Sequence[Listening]
    endpoints: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Sources by `endpoint_key` of their addresses and names."""
    things: Things = field(default_factory=dict)
    at: Mapping[str, Sequence[Listening]] = field(default_factory=dict)
    """The listenings with the names of the brokers that have some."""

    def names_at(self, broker: str) -> Mapping[str, str]:
        """What this broker calls the gateway, by field: `thing` and `product`."""
        return self.things.get(broker, {})

    def listenings_at(self, broker: str) -> Sequence[Listening]:
        """The topics as this broker has them."""
        return self.at.get(broker, self.listenings)

    def filters(self, broker: str) -> tuple[str, ...]:
        """The topic filters of the subscription for requests."""
        return tuple(topic for each in self.listenings_at(broker) for topic in each.filters)


def hall_of(
    gateway: str, config: CommandsConfig, endpoints: Mapping[str, Sequence[str]] | None = None,
    things: Things | None = None,
) -> Hall:  # fmt: skip
    heard, things = listenings(gateway, config), things or {}
    at = {broker: [each.at(names) for each in heard] for broker, names in things.items()}
    as_named = [each.at({"thing": escape(gateway)}) for each in heard]
    return Hall(gateway, config, as_named, endpoints or {}, things, at)


def read(packet: Packet, hall: Hall, broker: str, now_ns: int, known: Known = dict) -> list[Arrival]:
    """Read any packet.  Invalid requests are returned with the reason to refuse them."""
    for listening in hall.listenings_at(broker):
        names = listening.names_in(packet.topic)
        if names is not None:
            requester = listening.requester or names.get("requester", "")
            heard = Heard(packet, names, requester, hall.gateway, hall.endpoints, known)
            return [_arrival(wish, heard, listening, hall, broker, now_ns) for wish in listening.codec.decode(heard)]
    return []  # the broker sent a message outside the subscription


def _arrival(wish: Wish, heard: Heard, listening: Listening, hall: Hall, broker: str, now_ns: int) -> Arrival:
    packet, requester, config = heard.packet, heard.requester, hall.config
    wanted = packet.response_topic or wish.respond_to
    home = expand_of_clouds(listening.replies, {**heard.names, "gateway": hall.gateway, "requester": requester})
    topic = wanted if wanted and lies_below(wanted, home) else home
    given = packet.correlation if wish.correlation is None else wish.correlation
    correlation = given[:MOST_CORRELATION]
    asked_id = wish.id or (f"correlation:{correlation.hex()}" if correlation else "")
    deadline_s = _deadline_s(packet, wish.request, now_ns, listening.lifetime_s)
    asked = Asked(
        broker, requester, wish.source, asked_id, topic, correlation, now_ns,
        int(deadline_s * 1e9) if deadline_s is not None else 0, wish.request, listening.name, wish.context,
    )  # fmt: skip
    error = wish.error
    if requester not in config.requesters:
        error = Refused("requester_unknown")
    elif packet.is_retained:
        error = Refused("retained")
    elif wish.claims in config.requesters and wish.claims != requester:
        error = Refused("sender", f"the topic is that of {requester}")
    elif error is None:
        try:
            _check_form(asked, len(given), wanted)
        except Refused as refusal:
            error = refusal
    return Arrival(asked, error)


def _deadline_s(packet: Packet, request: Request | None, now_ns: int, lifetime_s: float | None) -> float | None:
    """The earlier one of the message expiry and the deadline in the body, else the configured one, as unix time."""
    said = [request.deadline_s] if request is not None and request.deadline_s is not None else []
    if packet.expiry_s is not None:
        said.append(now_ns / 1e9 + packet.expiry_s)
    if not said and lifetime_s is not None:
        sent_s = request.sent_s if request is not None else None
        said.append((sent_s if sent_s is not None else now_ns / 1e9) + lifetime_s)
    return min(said, default=None)


def expand_of_clouds(template: str, fields: Mapping[str, str]) -> str:
    """The topic; at clouds it may begin with `$`."""
    mark = "$" if template.startswith("$") else ""
    return mark + expand(template.removeprefix("$"), fields)


def lies_below(topic: str, home: str) -> bool:
    """Whether answers may go to this topic: it must be valid, and the requester's own or below it."""
    if topic != home and not topic.startswith(f"{home}/"):
        return False
    levels = topic.split("/")
    return len(topic) <= _MOST_TOPIC and not problems_of(escape_braces(topic), ()) and "" not in levels


def escape_braces(topic: str) -> str:
    """Replace braces: in a topic they are ordinary characters, in a template they delimit a field."""
    return topic.replace("{", "_").replace("}", "_")


def _check_form(asked: Asked, correlation_bytes: int, wanted: str) -> None:
    if wanted and asked.topic != wanted:
        raise Refused("response_topic", f"answers go to {asked.topic} or below")
    if correlation_bytes > MOST_CORRELATION:
        raise Refused("invalid", f"correlation data of more than {MOST_CORRELATION} bytes")
    if not asked.id:
        raise Refused("no_id")
    if not asked.deadline_ns:
        raise Refused("no_deadline")


def check_time(asked: Asked, config: CommandsConfig, now_ns: int, latest_ns: int) -> None:
    """Raises `Refused` if a clock is in doubt, or if the deadline is too far ahead.

    With a gateway clock that was set back, expired commands would be executed.  A clock that is ahead only makes more
    commands expire.
    """
    if (latest_ns - now_ns) / 1e9 > CLOCK_DOUBT_S:
        raise Refused("clock", "the clock of the gateway was set back")
    sent_s = asked.request.sent_s if asked.request is not None else None
    if sent_s is not None and sent_s - now_ns / 1e9 > CLOCK_DOUBT_S:
        raise Refused("clock", f"its time of sending is {sent_s - now_ns / 1e9:.1f} s ahead of the gateway's clock")
    ahead_s = (asked.deadline_ns - now_ns) / 1e9
    if ahead_s > config.max_deadline:
        raise Refused("deadline_too_far", f"{ahead_s:.0f} s ahead; at most {config.max_deadline:g} s are allowed")


def shown(text: str) -> str:
    """Text from outside, escaped and shortened for a log."""
    return escape(text)[:100]
