"""What the API tells: its answers as models, from which its OpenAPI document is made.

The figures are those of the metrics.  A figure that is not known is null.  Instants are UTC, as RFC 3339 text.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict


class Told(BaseModel):
    """One object of an answer."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, defer_build=True)


def _sound(text: object) -> object:
    """Without lone surrogates, which servers may send and JSON cannot carry."""
    return text if not isinstance(text, str) or text.isascii() else text.encode("utf-8", "replace").decode()


Text = Annotated[str, BeforeValidator(_sound)]
LinkState = Literal["connecting", "up", "down"]


class Verdict(Told):
    """The state of everything, in a sentence."""

    level: Literal["good", "warning", "bad"]
    """`bad`: values are being lost or nothing arrives; `warning`: a peer is away or something is late."""
    text: Text


class TagCounts(Told):
    """The tags of a source, by the status of their last values."""

    total: int
    """Tags that the source has, with those that the server refuses."""
    good: int
    uncertain: int
    bad: int
    refused: int
    """Tags that the server refuses to monitor; asked for again regularly."""


class Peer(Told):
    """A server or a broker."""

    name: Text
    address: Text
    state: LinkState
    reason: Text
    """Why it is not connected, in the peer's words; empty while it is."""
    advice: Text
    """What to check next; empty where there is nothing to say."""
    since: Text
    """Since when the state lasts."""
    for_s: float
    connects: int
    """How often it was connected since the start."""


class SourceState(Peer):
    """One OPC UA server."""

    is_polled: bool
    tags: TagCounts
    received_values: int
    """`gateway_values_received_total`."""
    values_per_second: float | None
    """Received in the last seconds; null at the first look."""
    newest: Text | None
    """Source timestamp of the newest value."""
    newest_age_s: float | None
    gaps_24h: int
    """Discontinuities announced in the last 24 hours, at most 1000."""
    held_values: int
    """`gateway_values_held`: values that wait in a rule."""
    filtered_values: int
    """`gateway_values_filtered_total`, over all rules."""


class RefusedTopic(Told):
    """A topic whose messages the broker refuses for now."""

    topic: Text
    reason: Text


class BrokerState(Peer):
    """One MQTT broker."""

    route: Text
    """Its route; empty for that of the gateway's own payload."""
    stored_values: int
    """`gateway_outbox_values`: on the disk, not yet delivered to this broker."""
    stored_messages: int
    oldest_age_s: float
    """Age of the oldest of them; 0 where there is none."""
    in_flight: int
    delivered_values: int
    """`gateway_values_delivered_total`."""
    values_per_second: float | None
    """Delivered in the last seconds; null at the first look."""
    dropped_values: dict[Text, int]
    """`gateway_values_dropped_total` by reason; reasons without any are left out."""
    refused_messages: int
    """`gateway_sink_refused_messages`: offered again regularly."""
    refused_topics: list[RefusedTopic]
    """The first 100."""
    dead_letters: int
    """`gateway_sink_dead_letter_messages`: refused for good, kept for people."""
    imbalance_values: int
    """`gateway_books_imbalance_values`: anything but 0 means that values were lost in silence."""


class OutboxState(Told):
    """The buffer on the disk."""

    path: Text
    bytes: int
    capacity_bytes: int
    oldest_age_s: float
    trouble: Text
    """Why nothing can be stored at present; empty: all is well."""


class WaitingCertificate(Told):
    """A certificate of a server that nobody has trusted yet."""

    thumbprint: Text
    name: Text
    application_uri: Text
    valid_until: Text
    sources: list[Text]
    """The sources whose folder of certificates has it."""
    command: Text
    """Trusts it."""


class MachineState(Told):
    """A machine whose variables have roles: of a plant, or of a simulator that stands for one."""

    machine: Text
    line: Text
    source: Text
    state: Text
    """`working`, `setup`, `starved`, `blocked`, `held`, `down`, `maintenance` or `off`; empty: nobody says."""
    for_s: float
    """How long it has been in this state, by the clock of the plant."""
    good_parts: int
    scrap_parts: int


class OwnedWork(Told):
    """A source or broker of a group, and the member that has it."""

    kind: Literal["source", "broker"]
    name: Text
    member: Text
    """Empty: nobody has it at present."""
    since: Text | None
    """Since when; null: nobody says."""


class GroupState(Told):
    """Who does what in the group that this gateway is a member of."""

    name: Text
    member: Text
    """This gateway's own name in it."""
    works: list[OwnedWork]


class Event(Told):
    """Something that happened."""

    time: Text
    level: Text
    event: Text
    peer: Text
    reason: Text
    advice: Text
    command: Text
    """The command that helps; empty where none does."""
    more: dict[Text, Text]


class State(Told):
    """Everything at a glance."""

    name: Text
    version: Text
    time: Text
    started: Text
    configuration: Text
    """Hash of the configuration in use."""
    may_act: bool
    """Whether the gateway has a token, so that people who know it may act."""
    verdict: Verdict
    sources: list[SourceState]
    brokers: list[BrokerState]
    outbox: OutboxState
    machines: list[MachineState]
    """Those with roles, in the order of their names."""
    group: GroupState | None
    """Null: this gateway is alone."""
    certificates: list[WaitingCertificate]
    events: list[Event]
    """The last 50, newest first."""


class Point(Told):
    """One moment of the past."""

    time_s: float
    """Unix time."""
    delivered_per_second: float
    """Values delivered, over all brokers."""
    stored_values: int
    """Values on the disk, for the broker with the most."""


class History(Told):
    """The last ten minutes, oldest first."""

    every_s: float
    points: list[Point]


class Gap(Told):
    """A discontinuity: values that existed and were not delivered."""

    time: Text
    """When it was announced."""
    source: Text
    cause: Text
    detail: Text
    begin: Text | None
    """The values that are missing are later than this, where known."""
    end: Text | None
    values: int | None
    """How many, where known."""
    tags: list[Text]
    """The first few; empty: all tags of the source."""


class Dropped(Told):
    """Values that a broker did not get."""

    time: Text
    """When they were counted, at most a minute later."""
    broker: Text
    reason: Text
    values: int


class Gaps(Told):
    """What was not delivered in the last 24 hours, newest first; also before the gateway was started."""

    gaps: list[Gap]
    dropped: list[Dropped]
    since: Text
    """From when on all is known: the first start, or the oldest that is kept."""


class Way(Told):
    """Where the values of a tag go."""

    route: Text
    topic: Text
    brokers: list[Text]


class HeldBack(Told):
    """What the rules of a tag did while somebody looked."""

    rule: Text
    """The rule, as configured."""
    for_s: float
    """How long somebody looked."""
    arrived: int
    passed: int


class TagState(Told):
    """One tag."""

    source: Text
    name: Text
    node: Text
    unit: Text
    value: Text | None
    """As text; null where none is known."""
    type: Text
    status: Text
    """In words, with the number: `BadSensorFailure (0x808C0000)`."""
    severity: Literal["good", "uncertain", "bad", "unknown"]
    source_time: Text | None
    server_time: Text | None
    age_s: float | None
    """Since the source timestamp, else since the server's."""
    ways: list[Way]
    held_back: HeldBack | None
    """Null for a tag without a rule."""


class Tags(Told):
    """The tags that were searched for."""

    matches: int
    """How many there are; `tags` has the first of them."""
    tags: list[TagState]


class TappedValue(Told):
    """A value that passed."""

    time: str
    """When it passed."""
    stage: Literal["decode", "shape", "encode"]
    source: Text
    tag: Text
    node: Text
    value: Text | None
    """As text; null where it is null."""
    type: Text
    status: Text
    source_time: Text | None
    server_time: Text | None


class TappedMessage(Told):
    """A message that became durable."""

    time: str
    stage: Literal["encode"]
    source: Text
    route: Text
    """Empty for that of the gateway's own payload."""
    topic: Text
    stream: Text
    seq: int
    count: int
    """How many values it carries."""
    size_bytes: int
    payload: Text
    """The beginning of it: as text, or in hexadecimal after `0x`."""


class Tapped(Told):
    """What passed since the event before."""

    tags: int
    """How many tags are wanted, of those that are known at present."""
    values: list[TappedValue]
    messages: list[TappedMessage]
    left_out: int
    """How many were not taken so far: too many passed in one second."""
    dropped: int
    """How many were thrown away so far: they were not read in time."""


class Done(Told):
    """What was done."""

    done: Text


class Problem(Told):
    """Why an answer cannot be given."""

    error: Text
