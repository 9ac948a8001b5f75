"""Commands: who may read, write and call what, by way of a broker.  Without a section `commands` nobody may anything.

What is not named by a rule does not exist for a requester: a command's text is looked up among the nodes that the rules
name, and never becomes a node id.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gateway.config.quantities import Bytes, Name, Seconds, Strict
from gateway.config.selection import NodeText
from gateway.topics import problems_of
from gateway.yaml_positions import Place, Problem

_FINITE = Field(allow_inf_nan=False)
_FIELDS = ("gateway", "requester")
_OF_SOURCE = ("read", "write", "call", "browse", "refresh")
"""The operations of a rule that names a source."""


class RateConfig(Strict):
    """How often: a bucket of so many, which fills again within the time."""

    times: Annotated[int, Field(ge=1, le=1_000_000)]
    """At most so many at once, …"""
    within: Seconds
    """… and on average within this time.  What is too fast is refused, not queued."""


class LimitsConfig(Strict):
    """Which values are allowed, beside what the server itself says of its variable.  For an array: each element."""

    minimum: Annotated[float, _FINITE] | None = None
    """The lowest number."""
    maximum: Annotated[float, _FINITE] | None = None
    """The highest number."""
    step: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Only whole steps, counted from `minimum`, or from 0 without one."""
    values: Annotated[tuple[bool | int | float | str, ...], Field(min_length=1)] | None = None
    """Only these."""
    most_elements: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """Elements of an array, or characters of a text, at most."""

    @model_validator(mode="after")
    def _range_fits(self) -> Self:
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("minimum is above maximum: nothing would be allowed")
        return self


class WriteConfig(LimitsConfig):
    """Writing is allowed, within these limits; `{}` sets none beside the server's own."""

    rate: RateConfig | None = None
    """How often each variable may be written."""


class CallConfig(Strict):
    """Calling is allowed; `{}` takes any arguments of the right types."""

    arguments: dict[str, LimitsConfig] = Field(default_factory=dict)
    """Limits of arguments, by the name that the server gives them.  One that the method has not got is refused."""
    rate: RateConfig | None = None
    """How often each method may be called."""


class BrowseConfig(Strict):
    """Looking around is allowed; `{}` takes these bounds."""

    levels: Annotated[int, Field(ge=1, le=100)] = 5
    """How deep below the node."""
    nodes: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    """How many nodes the server is asked about for one request, at most."""


class CommandRule(Strict):
    """What may be done with some nodes of one source, or with the gateway itself.  The first rule that names node,
    requester and operation decides."""

    source: Name | None = None
    """Which source.  Without one the rule is about the gateway itself: `diagnostics` and `reload`."""
    requesters: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    """Who (default: all requesters)."""
    node: NodeText | None = None
    """One variable or method: its node id, best with the namespace URI, or its path of browse names."""
    subtree: NodeText | None = None
    """All variables and methods below an object: its node id or path."""
    type: NodeText | None = None
    """All variables and methods of every instance of an object type, or of a subtype: its node id."""
    name: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    """What requesters call the one `node` (default: its browse name).  Others are called by their path below
    `subtree`, or by the instance and the path below it: `press-1/SpeedFactor`."""
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
    """What is below `node`, `subtree` or each instance of `type` may be listed: those paths that `include` and
    `exclude` choose.  It is called by `name`, by its browse name or by its node id."""
    refresh: bool = False
    """The value may be read again and sent to the brokers, where it is one of the source's tags."""
    diagnostics: bool = False
    """Without `source`: the state of sources, brokers and outbox may be asked for."""
    reload: bool = False
    """Without `source`: the configuration file may be taken anew, as by SIGHUP."""

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if self.source is None:
            return self._of_itself()
        if self.diagnostics or self.reload:
            raise ValueError("diagnostics and reload are of the gateway itself: in a rule without source")
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
        """Whether this requester may do this with what the rule names."""
        if self.requesters is not None and requester not in self.requesters:
            return False
        return hasattr(self, operation) and self._is_set(operation)


CodecName = Literal["omp", "opc-publisher", "opcua-actions"]
"""Requests in other forms than the gateway's own; `gateway/commands/codecs` implements them."""


_WITH_VALUES = ("opcua-actions",)
"""They go with a format of values."""


class CodecConfig(Strict):
    """Requests of one more form.  The same rules hold for it."""

    format: CodecName
    """`omp`: the connector of the Open Manufacturing Platform.  `opc-publisher`: the methods of OPC Publisher.
    `opcua-actions`: OPC UA Part 14, beside `opcua-pubsub`."""
    topic: str | None = None
    """Topic template that requests come on, with `{gateway}` and `{requester}`, and with `{method}` for
    `opc-publisher` (default: that of the format)."""
    requester: Name | None = None
    """Who asks on a topic without `{requester}`: everybody whom the broker lets publish there."""
    replies: str | None = None
    """Where answers go, with `{gateway}` and `{requester}` (default: that of the format)."""
    lifetime: Seconds | None = None
    """How long a request holds that has neither an expiry nor a deadline, from when it says that it was sent, else
    from its arrival (default: that of the format; else it is refused)."""


class CommandsConfig(Strict):
    """Commands that come by a broker.  Requests arrive on `gateways/{gateway}/commands/{requester}/{source}`; MQTT
    tells no sender, so the broker's access list has to bind `{requester}` to the user."""

    requesters: Annotated[tuple[Name, ...], Field(min_length=1, max_length=1000)]
    """Who may ask at all."""
    rules: Annotated[tuple[CommandRule, ...], Field(min_length=1, max_length=10_000)]
    """What they may do.  What no rule names is refused."""
    brokers: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    """Brokers that commands are taken from (default: all)."""
    replies: str = "gateways/{gateway}/replies/{requester}"
    """Where answers go.  A Response Topic of the request must be this topic or lie below it, else it is refused."""
    codecs: Annotated[tuple[CodecConfig, ...], Field(max_length=100)] = ()
    """Requests in other forms than the gateway's own."""
    max_deadline: Annotated[Seconds, Field(le=86_400)] = 300.0
    """A deadline that lies further ahead is refused: so long a repeated request is recognized for certain."""
    keep: Seconds = 600.0
    """How long after its deadline an answer is kept for a repeated request, while there is room.  Later, the same id
    with another deadline is another request."""
    at_once: Annotated[int, Field(ge=1, le=100)] = 4
    """At most so many commands of one source run at the same time: the others wait for those that take long."""
    waiting: Annotated[int, Field(ge=1, le=10_000)] = 100
    """At most so many commands of one source wait; one more is refused as `busy`."""
    slow_after: Seconds = 2.0
    """A command that takes longer says `accepted`, lets the next of its source begin, and tells its outcome later."""
    verify_within: Seconds = 1.0
    """After a write: how long to read back until the server shows the value."""
    journal_bytes: Bytes = 16 * 2**20
    """How much disk the journal takes at most, in the folder of the outbox; full, it refuses what is new."""
    audit_bytes: Bytes = 64 * 2**20
    """How much disk the audit takes at most, in files of a tenth of it; the oldest file goes first."""


def problems_with_commands(
    commands: CommandsConfig, sources: Sequence[str], brokers: Sequence[str]
) -> Iterator[Problem]:
    """What the section names and the configuration has not got, each with its place."""
    for problem in problems_of(commands.replies, _FIELDS):
        yield ("commands", "replies"), problem
    if commands.replies.startswith("gateways/{gateway}/commands"):
        yield ("commands", "replies"), "an answer would be taken for a request: not below gateways/{gateway}/commands"
    if "{requester}" not in commands.replies:
        yield ("commands", "replies"), "without {requester} one requester would read the answers of another"
    yield from _unknown(("commands", "brokers"), commands.brokers or (), brokers, "broker")
    for number, rule in enumerate(commands.rules):
        place: Place = ("commands", "rules", number)
        yield from _unknown((*place, "source"), (rule.source,) if rule.source else (), sources, "source")
        yield from _unknown((*place, "requesters"), rule.requesters or (), commands.requesters, "requester")


def problems_with_codecs(commands: CommandsConfig, with_values: Iterable[str]) -> Iterator[Problem]:
    """`with_values` are the codecs that go with the formats of the routes."""
    for number, codec in enumerate(commands.codecs):
        place: Place = ("commands", "codecs", number)
        yield from _unknown(
            (*place, "requester"), [codec.requester] if codec.requester else [], commands.requesters, "requester"
        )
        known = (*_FIELDS, "method") if codec.format == "opc-publisher" else _FIELDS
        if codec.topic is not None:
            for problem in problems_of(codec.topic, known):
                yield (*place, "topic"), problem
            if codec.format == "opc-publisher" and "{method}" not in codec.topic.split("/"):
                yield (*place, "topic"), "without a level {method} nobody says what is wanted"
            if ("{requester}" in codec.topic.split("/")) == (codec.requester is not None):
                yield (*place, "topic"), "who asks is told by a level {requester} of the topic, or else by `requester`"
        elif codec.requester is not None:
            yield (*place, "requester"), "the topic of this format tells who asks: name a topic without {requester} too"
        if codec.replies is not None:
            for problem in problems_of(codec.replies, _FIELDS):
                yield (*place, "replies"), problem
            if "{requester}" not in codec.replies and codec.requester is None:
                yield (*place, "replies"), "without {requester} one requester would read the answers of another"
            if codec.replies.startswith("gateways/{gateway}/commands"):
                yield (*place, "replies"), "an answer would be taken for a request"
        if codec.format in _WITH_VALUES and codec.format not in with_values:
            yield (*place, "format"), "it goes with values in OPC UA PubSub, and no broker has them"


def _unknown(place: Place, names: Sequence[str], known: Sequence[str], what: str) -> Iterator[Problem]:
    for name in names:
        if name not in known:
            yield place, f"no {what} is named {name!r}: there are {', '.join(known) or 'none'}"
