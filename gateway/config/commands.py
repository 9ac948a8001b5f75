"""Commands: who may read, write and call what by a broker.  Without a section `commands` no command is accepted.

For a requester only the nodes named by a rule exist: the text of a command is looked up among these nodes, and is never
parsed as a node id.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gateway.config.quantities import Bytes, Fields, Name, Seconds, SecondsOrZero, Strict
from gateway.config.selection import NodeText
from gateway.topics import problems_of
from gateway.yaml_positions import Place, Problem

_FINITE = Field(allow_inf_nan=False)
_FIELDS = ("gateway", "requester")
_OF_SOURCE = ("read", "write", "call", "browse", "refresh", "history", "subscribe", "acknowledge", "confirm")
"""The operations of a rule that names a source."""


class RateConfig(Strict):
    """A rate limit (token bucket): `times` at once, and on average `times` in the time `within`."""

    times: Annotated[int, Field(ge=1, le=1_000_000)]
    """The largest number at once."""
    within: Seconds
    """The time in which this number is allowed on average.  A command above the limit is refused, not queued."""


class LimitsConfig(Strict):
    """The allowed values, in addition to the server's own limits.  For an array they apply to each element."""

    minimum: Annotated[float, _FINITE] | None = None
    """The lowest number."""
    maximum: Annotated[float, _FINITE] | None = None
    """The highest number."""
    step: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Only whole steps, counted from `minimum`, or from 0 without one."""
    values: Annotated[tuple[bool | int | float | str, ...], Field(min_length=1)] | None = None
    """Only these values."""
    most_elements: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """The largest number of elements of an array, or of characters of a text."""

    @model_validator(mode="after")
    def _range_fits(self) -> Self:
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("minimum is above maximum: nothing would be allowed")
        return self


class WriteConfig(LimitsConfig):
    """Writing is allowed within these limits.  With `{}` only the server's own limits apply."""

    rate: RateConfig | None = None
    """How often each variable may be written."""


class CallConfig(Strict):
    """Calling is allowed.  With `{}` any arguments of the right types are accepted."""

    arguments: dict[str, LimitsConfig] = Field(default_factory=dict)
    """Limits of arguments, by their names on the server.  If the method has no such argument, calls are refused."""
    rate: RateConfig | None = None
    """How often each method may be called."""


class BrowseConfig(Strict):
    """Browsing is allowed.  With `{}` the default bounds apply."""

    levels: Annotated[int, Field(ge=1, le=100)] = 5
    """The largest depth below the node."""
    nodes: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    """The largest number of nodes that one request browses on the server."""


class HistoryConfig(Strict):
    """The past may be read; `{}` takes these bounds."""

    span: Seconds = 86_400.0
    """The longest time from the start to the end of a request."""
    values: Annotated[int, Field(ge=1, le=1000)] = 1000
    """Values in one answer, at most; there is a next page."""


class SubscribeConfig(Strict):
    """Subscribing at run time is allowed; `{}` takes these bounds."""

    fastest: SecondsOrZero = 1.0
    """The shortest interval that may be asked for."""
    events: bool = False
    """The events and alarms of `node`, of `subtree` or of each instance of `type` may be subscribed to as well."""
    fields: Fields = Field(default_factory=dict)
    """Fields for the topic template, as a selection of the source has them."""


class CommandRule(Strict):
    """What may be done with some nodes of one source, or with the gateway itself.  The first rule with this node,
    requester and operation applies."""

    source: Name | None = None
    """Name of the source.  Without it, the rule is for the gateway itself: `diagnostics` and `reload`."""
    requesters: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    """The requesters that the rule is for (default: all)."""
    node: NodeText | None = None
    """One variable or method: its node id, best with the namespace URI, or its path of browse names."""
    subtree: NodeText | None = None
    """All variables and methods below an object: its node id or path."""
    type: NodeText | None = None
    """All variables and methods of every instance of an object type, or of a subtype: its node id."""
    name: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    """The name of the one `node` in requests (default: its browse name).  With `subtree` the name is the path below
    it; with `type` the instance and the path below it: `press-1/SpeedFactor`."""
    include: tuple[str, ...] = ()
    """With `subtree` and `type`: patterns of paths, `*` within a level, `**` across levels (default: all)."""
    exclude: tuple[str, ...] = ()
    """With `subtree` and `type`: patterns of paths to leave out; wins over `include`."""
    read: bool = False
    """The value may be read."""
    write: WriteConfig | None = None
    """The value may be written."""
    call: CallConfig | None = None
    """The method may be called."""
    browse: BrowseConfig | None = None
    """The nodes below `node`, `subtree` or each instance of `type` may be listed, as far as `include` and `exclude`
    select them.  Requests name that node by `name`, by its browse name or by its node id."""
    refresh: bool = False
    """The value may be read again and sent to the brokers, if the variable is a tag of the source."""
    history: HistoryConfig | None = None
    """The history that the server keeps may be read, raw and as aggregates."""
    subscribe: SubscribeConfig | None = None
    """The variable may be added at run time to what the source sends, and taken away again."""
    acknowledge: bool = False
    """Alarms may be acknowledged: the condition that `node` is or has, or those below `subtree` or each instance."""
    confirm: bool = False
    """Alarms may be confirmed, in the same way."""
    diagnostics: bool = False
    """Without `source`: the state of sources, brokers and outbox may be read."""
    reload: bool = False
    """Without `source`: the configuration file may be reloaded, as with SIGHUP."""

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if self.source is None:
            return self._of_itself()
        if self.diagnostics or self.reload:
            raise ValueError("diagnostics and reload are for the gateway itself: use a rule without source")
        chosen = [key for key in ("node", "subtree", "type") if getattr(self, key) is not None]
        if len(chosen) != 1:
            raise ValueError("name one of node, subtree and type")
        if self.node is not None and (self.include or self.exclude):
            raise ValueError("include and exclude go with subtree or type")
        if self.node is None and self.name is not None:
            raise ValueError("name goes with node")
        if not any(self._is_set(each) for each in _OF_SOURCE):
            raise ValueError("nothing is allowed: add read: true, write: {}, call: {} or another operation")
        return self

    def _of_itself(self) -> Self:
        others = [each for each in ("node", "subtree", "type", "name") if getattr(self, each) is not None]
        others += [each for each in _OF_SOURCE if self._is_set(each)]
        if others or self.include or self.exclude:
            raise ValueError(f"{(*others, 'include or exclude')[0]} needs a source")
        if not (self.diagnostics or self.reload):
            raise ValueError("nothing is allowed: add source, or diagnostics: true or reload: true")
        return self

    def _is_set(self, operation: str) -> bool:
        return getattr(self, operation) not in (None, False)

    def allows(self, requester: str, operation: str) -> bool:
        """Whether this requester may use this operation on the nodes of the rule."""
        if self.requesters is not None and requester not in self.requesters:
            return False
        operation = "subscribe" if operation == "unsubscribe" else operation
        return hasattr(self, operation) and self._is_set(operation)


CodecName = Literal[
    "omp", "opc-publisher", "opcua-actions", "sparkplug", "iot-hub", "iot-hub-twin", "iotda", "iotda-properties",
    "aws-shadow", "aws-jobs", "tencent", "alibaba",
]  # fmt: skip
"""Requests in other forms than the gateway's own; `gateway/commands/codecs` implements them."""


OF_CLOUDS = (
    "iot-hub", "iot-hub-twin", "iotda", "iotda-properties", "aws-shadow", "aws-jobs", "tencent", "alibaba",
)  # fmt: skip
"""Codecs at topics of a cloud, which let one requester stand for all."""
_MORE_FIELDS = {
    "opc-publisher": ("method",), "sparkplug": ("device",), "iot-hub": ("method", "rid"), "iotda": ("rid", "thing"),
    "iotda-properties": ("rid", "thing"), "aws-shadow": ("thing",), "aws-jobs": ("thing",),
    "alibaba": ("product", "thing"),
}  # fmt: skip
"""Levels that the topics of a codec may have beside `{gateway}` and `{requester}`."""
_WITH_VALUES = {
    "opcua-actions": "it needs a broker with values in the format opcua-pubsub",
    "sparkplug": "it needs a broker with values in the same format",
}
"""Codecs that need a broker with a certain format of values, and what is said where there is none."""


class CodecConfig(Strict):
    """Requests in one more form.  The same rules apply to them."""

    format: CodecName
    """`omp`: the connector of the Open Manufacturing Platform.  `opc-publisher`: the methods of OPC Publisher.
    `opcua-actions`: OPC UA Part 14, needs `opcua-pubsub` values.  `sparkplug`: DCMD, needs `sparkplug` values.
    `iot-hub`, `iot-hub-twin`: direct methods and desired properties of Azure IoT Hub.  `iotda`, `iotda-properties`:
    commands and property sets of Huawei IoTDA.  `aws-shadow`, `aws-jobs`: shadow and jobs of an AWS thing.  `tencent`,
    `alibaba`: properties, and actions or services, of their thing models."""
    topic: str | None = None
    """Topic template of requests, with `{gateway}` and `{requester}`, and with `{method}` for `opc-publisher` (default:
    that of the format)."""
    requester: Name | None = None
    """The requester of all messages on a topic without `{requester}`.  The broker decides who may publish there."""
    replies: str | None = None
    """Topic template of answers, with `{gateway}` and `{requester}` (default: that of the format)."""
    lifetime: Seconds | None = None
    """The time until the deadline of a request that has neither an expiry nor a deadline, counted from its time of
    sending, or from its arrival if it has none (default: that of the format; else such a request is refused)."""


class CommandsConfig(Strict):
    """Commands by a broker.  Requests arrive on `gateways/{gateway}/commands/{requester}/{source}`.  MQTT does not tell
    the sender of a message, so the broker's access list must allow each user only its own `{requester}`."""

    requesters: Annotated[tuple[Name, ...], Field(min_length=1, max_length=1000)]
    """The requesters that commands are accepted from."""
    rules: Annotated[tuple[CommandRule, ...], Field(min_length=1, max_length=10_000)]
    """What requesters may do.  Everything else is refused."""
    brokers: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    """The brokers that commands are accepted from (default: all)."""
    replies: str = "gateways/{gateway}/replies/{requester}"
    """The topic of answers.  A request whose Response Topic is not this topic or one below it is refused."""
    codecs: Annotated[tuple[CodecConfig, ...], Field(max_length=100)] = ()
    """Other forms of requests, beside the gateway's own."""
    max_deadline: Annotated[Seconds, Field(le=86_400)] = 300.0
    """The largest time until a deadline.  Until its deadline a repeated request is always recognized."""
    keep: Seconds = 600.0
    """How long after its deadline an answer is kept for a repeated request, while there is room.  Later, the same id
    with a new deadline is a new request."""
    at_once: Annotated[int, Field(ge=1, le=100)] = 4
    """The largest number of commands of one source that run at the same time."""
    waiting: Annotated[int, Field(ge=1, le=10_000)] = 100
    """The largest number of commands of one source that wait.  Further ones are refused with `busy`."""
    subscriptions: Annotated[int, Field(ge=1, le=10_000)] = 100
    """At most so many variables of one source are subscribed to at run time."""
    slow_after: Seconds = 2.0
    """A command that takes longer is answered with `accepted`.  The next command of its source then begins, and the
    outcome follows later."""
    verify_within: Seconds = 1.0
    """After a write: how long to read back until the server shows the value."""
    audit_topic: str | None = None
    """Each line of the audit is also published on this topic, with `{gateway}`, by the brokers that commands are taken
    from (default: nowhere)."""
    journal_bytes: Bytes = 16 * 2**20
    """The largest size of the journal on disk, in the folder of the outbox.  A full journal refuses new commands."""
    audit_bytes: Bytes = 64 * 2**20
    """The largest size of the audit on disk.  It has ten files, and the oldest is deleted first."""


def problems_with_commands(
    commands: CommandsConfig, sources: Sequence[str], brokers: Sequence[str]
) -> Iterator[Problem]:
    """Names in the section that the configuration does not have, each with its place."""
    for problem in problems_of(commands.replies, _FIELDS):
        yield ("commands", "replies"), problem
    if commands.replies.startswith("gateways/{gateway}/commands"):
        yield (
            ("commands", "replies"),
            "not below gateways/{gateway}/commands: answers would be read as requests",
        )
    if "{requester}" not in commands.replies:
        yield ("commands", "replies"), "without {requester} one requester would read the answers of another"
    for problem in problems_of(commands.audit_topic, ("gateway",)) if commands.audit_topic is not None else ():
        yield ("commands", "audit_topic"), problem
    yield from _unknown(("commands", "brokers"), commands.brokers or (), brokers, "broker")
    for number, rule in enumerate(commands.rules):
        place: Place = ("commands", "rules", number)
        yield from _unknown((*place, "source"), (rule.source,) if rule.source else (), sources, "source")
        yield from _unknown((*place, "requesters"), rule.requesters or (), commands.requesters, "requester")


def _without_dollar(form: CodecName, topic: str) -> str:
    """Clouds have topics that begin with `$`."""
    return topic.removeprefix("$") if form in OF_CLOUDS else topic


def problems_with_codecs(commands: CommandsConfig, with_values: Iterable[str]) -> Iterator[Problem]:
    """Mistakes in `codecs`, each with its place.  `with_values`: the codecs that fit the formats of the routes."""
    for number, codec in enumerate(commands.codecs):
        place: Place = ("commands", "codecs", number)
        yield from _unknown(
            (*place, "requester"), [codec.requester] if codec.requester else [], commands.requesters, "requester"
        )
        known = (*_FIELDS, *_MORE_FIELDS.get(codec.format, ()))
        if codec.topic is not None:
            for problem in problems_of(_without_dollar(codec.format, codec.topic), known):
                yield (*place, "topic"), problem
            if codec.format == "opc-publisher" and "{method}" not in codec.topic.split("/"):
                yield (*place, "topic"), "needs a level {method}, which names the operation"
            if ("{requester}" in codec.topic.split("/")) == (codec.requester is not None):
                yield (*place, "topic"), "needs either a level {requester}, or the key `requester`"
        elif codec.format in ("sparkplug", *OF_CLOUDS):
            if codec.requester is None:
                yield (*place, "requester"), "is missing: the topic does not tell who asks"
        elif codec.requester is not None:
            yield (*place, "requester"), "the default topic has {requester}: set a topic without it as well"
        if codec.replies is not None:
            for problem in problems_of(_without_dollar(codec.format, codec.replies), _FIELDS):
                yield (*place, "replies"), problem
            if "{requester}" not in codec.replies and codec.requester is None:
                yield (*place, "replies"), "without {requester} one requester would read the answers of another"
            if codec.replies.startswith("gateways/{gateway}/commands"):
                yield (*place, "replies"), "answers would be read as requests"
        if codec.format in _WITH_VALUES and codec.format not in with_values:
            yield (*place, "format"), _WITH_VALUES[codec.format]


def _unknown(place: Place, names: Sequence[str], known: Sequence[str], what: str) -> Iterator[Problem]:
    for name in names:
        if name not in known:
            yield place, f"no {what} is named {name!r}: there are {', '.join(known) or 'none'}"
