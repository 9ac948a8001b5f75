"""The variables of a server to read, and the rules for their values: `select` and `shape`."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gateway.config.quantities import Fields, Seconds, SecondsOrZero, Strict

_NODE_ID = re.compile(
    r"^(nsu=[^;]+;|ns=\d{1,5};)?(i=\d{1,10}|s=.*|s%=.*|g=[0-9a-fA-F-]{36}|b=[A-Za-z0-9+/=]*)$", re.DOTALL
)


def _node(value: str) -> str:
    if not _NODE_ID.match(value) and not (value.startswith("/") and len(value) > 1):
        raise ValueError(
            "write a node id, best with the namespace URI (nsu=urn:acme:press;s=Line1.Temperature), or the browse "
            "names from the root, each after a slash (/Objects/line-1/press-1)"
        )
    return value


NodeText = Annotated[str, AfterValidator(_node)]


class AggregateConfig(Strict):
    """Aggregates over windows of source time, in place of the values."""

    window: Seconds
    """Length of a window.  Windows adjoin each other."""
    functions: Annotated[
        tuple[Literal["min", "max", "mean", "last", "count", "time_weighted_mean"], ...], Field(min_length=1)
    ]
    """The aggregates to send, each as a variable of its own: `Temperature.mean`.  Only Good numbers count; any other
    value ends the window early and is sent unchanged."""
    grace: SecondsOrZero = 2.0
    """How long after its end an idle window stays open for late values."""

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.functions)) < len(self.functions):
            raise ValueError("name each function once")
        return self


_FINITE = Field(allow_inf_nan=False)
_POSITIVE = Field(gt=0, allow_inf_nan=False)


class ShapingConfig(Strict):
    """Rules for values before they are sent: scale, then dead-band and rate limit, or a swinging door, or aggregates;
    then names.  Values that a rule holds back count as filtered."""

    scale: Annotated[float, _FINITE] = 1.0
    """Factor for numbers, which become Double.

    `deadband`, `range` and `swinging_door` are in the unit after scaling.
    """
    offset: Annotated[float, _FINITE] = 0.0
    """Added after the factor."""
    unit: str | None = None
    """The unit after scaling, if it changes."""
    deadband: Annotated[float, _POSITIVE] | None = None
    """Hold back a number that differs from the last sent one by no more than this."""
    deadband_percent: Annotated[float, Field(gt=0, le=100)] | None = None
    """Dead-band in percent of `range`."""
    deadband_percent_of_last: Annotated[float, _POSITIVE] | None = None
    """Dead-band in percent of the last sent value."""
    range: tuple[Annotated[float, _FINITE], Annotated[float, _FINITE]] | None = None
    """Lowest and highest value, for `deadband_percent`."""
    at_least: Seconds | None = None
    """With a dead-band or a swinging door: send a value when the last sent one is this old (swinging door: default 60
    s). No value is invented: if none comes, none is sent."""
    rate_limit: Seconds | None = None
    """Send at most one value per this time: the first one, and at the end the newest of the others.  A change of status
    is always sent."""
    swinging_door: Annotated[float, _POSITIVE] | None = None
    """Compress: omitted values lie within plus or minus this of the line between the sent ones."""
    aggregate: AggregateConfig | None = None
    """Send aggregates over windows, in place of the values."""
    rename: dict[str, str] = Field(default_factory=dict)
    """New names of variables: old name to new name.  Aggregates follow: `New.mean`."""
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
                f"{' and '.join([*thin, *whole])} contradict each other: a swinging door or an aggregate needs all "
                "values, so no other rule may hold any back"
            )
        if self.at_least is not None and not (bands or self.swinging_door is not None):
            raise ValueError("at_least needs a dead-band or swinging_door")
        return self

    @model_validator(mode="after")
    def _range_fits(self) -> Self:
        if (self.range is None) != (self.deadband_percent is None):
            raise ValueError("deadband_percent and range need each other")
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError("write range as [lowest, highest]")
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if len(set(self.rename.values())) < len(self.rename) or not all(self.rename.values()):
            raise ValueError("rename: new names must be different and not empty")
        return self


Role = Literal[
    "auto", "state", "good_parts", "scrap_parts", "rework_parts", "all_parts", "ideal_cycle", "ideal_time",
    "cycle_time", "energy", "line_entered", "line_good_parts", "line_scrap_parts",
]  # fmt: skip


class Selection(Strict):
    """Variables to read: one `node`, all below a `subtree`, or all in every instance of a `type`."""

    node: NodeText | None = None
    """Node id of one variable, best with the namespace URI: `nsu=urn:acme:press;s=Line1.Temperature`; or its path of
    browse names: `/Objects/line-1/press-1/Temperature`.  Where a URI is not unique: `ns=3;s=…`.  An identifier whose
    bytes are not UTF-8 is written `s%=…`, with these bytes percent-encoded."""
    subtree: NodeText | None = None
    """Node id or path of an object, for every variable below it.  The Objects folder is `i=85`."""
    type: NodeText | None = None
    """Node id of an object type, for every variable of every instance of it or of a subtype, anywhere on the server.
    The path of a variable begins with the name of the instance."""
    events: NodeText | None = None
    """Node id or path of an object that reports events, such as the Server (`i=2253`), for all its events."""
    event_fields: tuple[str, ...] = ()
    """With `events`: the fields to request, as browse names below the event type, joined with `/` (default: the usual
    ones of events and alarms)."""
    event_types: tuple[NodeText, ...] = ()
    """With `events`: node ids of the event types to report, with their subtypes (default: all)."""
    least_severity: Annotated[int, Field(ge=1, le=1000)] = 1
    """With `events`: the lowest severity to report."""
    name: str | None = None
    """The name for consumers (with `node` and `events`; default: the browse name)."""
    levels: tuple[str, ...] = ()
    """With `subtree` and `type`: names for the first levels of the path, as fields for the topic.  `[line, machine]`
    makes `press-1` in `…/line-1/press-1/Temperature` the field `machine`.  `path` at the end takes all further levels
    up to the variable, and is as many levels of the topic: with `[line, path]`, `press-1/hydraulics`.
    A `path` in `fields` comes before it."""
    include: tuple[str, ...] = ()
    """With `subtree` and `type`: patterns of paths to take, `*` within a level, `**` across levels (default: all)."""
    exclude: tuple[str, ...] = ()
    """With `subtree` and `type`: patterns of paths to leave out; wins over `include`."""
    fields: Fields = Field(default_factory=dict)
    """Fields for the topic template, for these variables."""
    publishing_interval: Seconds | None = None
    """How often the server sends changes (default: the source's).  Selections with the same interval share a
    subscription; each interval has its own."""
    sampling_interval: SecondsOrZero | None = None
    """How often the server samples the value (default: the publishing interval).  0: every change, as fast as the
    server can."""
    queue_size: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """How many samples the server keeps between two publishes (default: the source's)."""
    discard: Literal["oldest", "newest"] = "oldest"
    """What the server drops when its queue is full.  The loss is announced in the stream."""
    trigger: Literal["status", "value", "timestamp"] = "value"
    """What counts as a change: `status`; `value` (or status); `timestamp` (source timestamp, value or status)."""
    deadband: Annotated[float, Field(gt=0)] | None = None
    """The server does not send changes of a number up to this size, in the unit of the value."""
    deadband_percent: Annotated[float, Field(gt=0, le=100)] | None = None
    """The same in percent of the variable's EURange."""
    priority: Literal["state", "telemetry"] = "telemetry"
    """`state` is delivered before `telemetry` after an outage, and dropped after it; events come before both.  For
    changes of state, modes and the like."""
    heartbeat: Seconds | None = None
    """Send the last value again when it has not changed for this long (default: never)."""
    metric: bool = False
    """Also show the last values of these variables on `/metrics/tags`, as gauges for Prometheus: numbers only, at most
    `http.max_tags`."""
    role: Role | None = None
    """What these variables mean for their machine or line: then `/metrics/tags` has the series `factory_*` of it, which
    the dashboards and the OEE alert use.  `auto` finds the roles of Machinery, PackML and our simulators.  Times in
    seconds, energy in joules.  The machine is the field `machine`, or the path of the tag; its line is the field
    `line`, or the first part of that path, or the source.  `line_…` are counters of a line."""
    shape: ShapingConfig | None = None
    """Rules for the values before they are sent (default: `shape` of the source; `{}`: none)."""

    @model_validator(mode="after")
    def _events_have_their_shape(self) -> Self:
        if self.events is not None and self.priority != "telemetry":
            raise ValueError("priority belongs to node, subtree and type; events always come first")
        if self.events is not None and self.shape is not None:
            raise ValueError("shape belongs to node, subtree and type, not to events")
        if self.events is not None and self.metric:
            raise ValueError("metric belongs to node, subtree and type, not to events")
        if self.events is not None and self.role is not None:
            raise ValueError("role belongs to node, subtree and type, not to events")
        return self

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum(kind is not None for kind in (self.node, self.subtree, self.type, self.events)) != 1:
            raise ValueError(
                "name one of node (one variable), subtree (all variables below an object), type (all variables of "
                "the instances of an object type) or events (events of an object)"
            )
        if self.events is None and (self.event_fields or self.event_types or self.least_severity > 1):
            raise ValueError("event_fields, event_types and least_severity belong to events")
        if (self.subtree or self.type) is None and (self.levels or self.include or self.exclude):
            raise ValueError("levels, include and exclude belong to subtree and type, not to node or events")
        if "path" in self.levels[:-1]:
            raise ValueError("path takes all further levels: it comes last in levels")
        if (self.node or self.events) is None and self.name is not None:
            raise ValueError("name belongs to node and events, not to subtree or type")
        if self.deadband is not None and self.deadband_percent is not None:
            raise ValueError("write deadband or deadband_percent, not both")
        return self
