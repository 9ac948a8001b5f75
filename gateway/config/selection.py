"""Which variables of a server, and what is done to their values: `select` and `shape`."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gateway.config.quantities import Fields, Seconds, SecondsOrZero, Strict

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
    publishing_interval: Seconds | None = None
    """How often the server sends what changed (default: of the source).  Selections of one interval share a
    subscription, each interval has its own."""
    sampling_interval: SecondsOrZero | None = None
    """How often the server looks at the value (default: the publishing interval).  0 asks for every change, as fast as
    the server can."""
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
    priority: Literal["state", "telemetry"] = "telemetry"
    """What is delivered first after an outage and dropped last: events, then `state`, then `telemetry`.  For changes of
    state, modes and the like."""
    heartbeat: Seconds | None = None
    """Send the last value once more when nothing has changed for this long (default: never)."""
    metric: bool = False
    """Show the last values of these variables on `/metrics/tags` too, as gauges for Prometheus: numbers only, at most
    `http.max_tags` of them."""
    shape: ShapingConfig | None = None
    """What happens to the values here, before they are sent (default: `shape` of the source; `{}` for nothing)."""

    @model_validator(mode="after")
    def _events_have_their_shape(self) -> Self:
        if self.events is not None and self.priority != "telemetry":
            raise ValueError("priority goes with node, subtree and type: events come before all of them anyway")
        if self.events is not None and self.shape is not None:
            raise ValueError("shape goes with node, subtree and type, not with events")
        if self.events is not None and self.metric:
            raise ValueError("metric goes with node, subtree and type, not with events")
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
