"""The JSON Schema of requests and answers, generated from the models in this file.

`request.py` decodes requests itself, with bounds and its own messages.  A test checks that both accept the same.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from gateway.commands.fields import MOST_ID, MOST_ITEMS, MOST_NAME
from gateway.commands.outcome import REASONS
from gateway.commands.request import AGGREGATES, EVERY, MOST_INTERVAL_S, MOST_LEVELS, MOST_NODES, OPERATIONS

_Name = Annotated[str, Field(min_length=1, max_length=MOST_NAME)]
_Instant = Annotated[str, Field(min_length=1, max_length=40, json_schema_extra={"format": "date-time"})]


class Described(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, defer_build=True)


_TAGS_OR_EVERY = ConfigDict(json_schema_extra={"oneOf": [{"required": ["tags"]}, {"required": ["every"]}]})


class _Asked(Described):
    id: str = Field(default="", max_length=MOST_ID)
    """Identifies the request: a repeat with the same id gets the same answer and is not executed again.  With MQTT 5
    the correlation data can be used instead."""
    deadline: _Instant = ""
    """A time with its UTC offset: a command that has not begun by then is not executed.  With MQTT 5 the message
    expiry can be used instead."""
    sent: _Instant = ""
    """The time of sending by the requester's clock.  If it is ahead of the gateway's clock, the request is refused."""
    respond_to: str = Field(default="", max_length=MOST_NAME)
    """For MQTT 3.1.1: the topic of the answer, at or below the topic of answers.  MQTT 5 has the Response Topic."""
    dry_run: bool = False
    """Make all checks and send nothing to the server."""


class ReadRequest(_Asked):
    """Read the values of variables."""

    operation: Literal["read"]
    tags: list[_Name] = Field(min_length=1, max_length=MOST_ITEMS)
    """Names as defined by the rules (`press-1/SpeedFactor`), or node ids."""


class Write(Described):
    """One variable and its new value."""

    tag: _Name
    value: object
    """Exactly of the variable's type.  64-bit numbers beyond 2^53 are written as text."""


class WriteRequest(_Asked):
    """Write values, in one request to the server."""

    operation: Literal["write"]
    writes: list[Write] = Field(min_length=1, max_length=MOST_ITEMS)
    all_or_nothing: bool = True
    """If the gateway refuses one write, it sends none.  The server may still refuse single writes."""


class CallRequest(_Asked):
    """Call a method."""

    operation: Literal["call"]
    method: _Name
    arguments: dict[str, object] = Field(default_factory=dict, max_length=MOST_ITEMS)
    """Arguments by their names on the server, or all by position: `0`, `1`, …"""


class BrowseRequest(_Asked):
    """List the nodes below a node that a rule names, sorted by path, in pages."""

    operation: Literal["browse"]
    below: _Name
    """The name or node id of that node."""
    levels: int = Field(default=1, ge=1, le=MOST_LEVELS)
    limit: int = Field(default=200, ge=1, le=MOST_NODES)
    """The largest number of nodes in one answer."""
    after: str = Field(default="", max_length=MOST_NAME)
    """`next` of the previous page."""
    attributes: bool = False
    """Tell the attributes of that node as well, without its value."""


class RefreshRequest(_Asked):
    """Read tags of the source again and send their values to the brokers."""

    operation: Literal["refresh"]
    tags: list[_Name] = Field(min_length=1, max_length=MOST_ITEMS)


class HistoryRequest(_Asked):
    """Read what the server keeps of the past of one variable, oldest first, page by page."""

    operation: Literal["history"]
    tag: _Name
    start: _Instant
    end: _Instant
    """Not in it."""
    limit: int = Field(default=MOST_NODES, ge=1, le=MOST_NODES)
    after: str = Field(default="", max_length=MOST_NAME)
    """`next` of the page before; everything else stays the same."""
    aggregate: Literal[AGGREGATES] = ""  # type: ignore[valid-type]  # a list that is kept elsewhere
    """Instead of the values: this aggregate of each interval (Part 13)."""
    interval: float = Field(default=0.0, gt=0, le=MOST_INTERVAL_S)
    """Seconds (default: the whole time)."""


class SubscribeRequest(_Asked):
    """Add variables, or the events of nodes, to what the source sends, until they are taken away again: all of them or
    none."""

    model_config = _TAGS_OR_EVERY
    operation: Literal["subscribe"]
    tags: list[_Name] = Field(default=[], min_length=1, max_length=MOST_ITEMS)
    every: Literal[EVERY] = ""  # type: ignore[valid-type]  # a list that is kept elsewhere
    """Instead of tags: what was subscribed to at run time stays as it is, and the answer lists it."""
    publishing_interval: float = Field(default=0.0, gt=0, le=MOST_INTERVAL_S)
    """Seconds (default: that of the source)."""
    sampling_interval: float = Field(default=0.0, gt=0, le=MOST_INTERVAL_S)
    """Seconds (default: the publishing interval)."""
    heartbeat_interval: float = Field(default=0.0, gt=0, le=MOST_INTERVAL_S)
    """Seconds: send the last value again when it has not changed for this long (default: never)."""


class UnsubscribeRequest(_Asked):
    """Take away what was subscribed to at run time."""

    model_config = _TAGS_OR_EVERY
    operation: Literal["unsubscribe"]
    tags: list[_Name] = Field(default=[], min_length=1, max_length=MOST_ITEMS)
    every: Literal[EVERY] = ""  # type: ignore[valid-type]  # a list that is kept elsewhere
    """Instead of tags: all that were subscribed to at run time and that the rules allow."""


class _Response(_Asked):
    condition: _Name
    """Its name as the rule has it, or its node id."""
    event: _Name
    """EventId of the alarm, in base64, as its messages have it."""
    comment: str = Field(default="", max_length=MOST_NAME)


class AcknowledgeRequest(_Response):
    """Acknowledge an alarm (Part 9, 5.7.3)."""

    operation: Literal["acknowledge"]


class ConfirmRequest(_Response):
    """Confirm an alarm (Part 9, 5.7.4)."""

    operation: Literal["confirm"]


class PastValue(BaseModel):
    """One value of a history."""

    time: str
    value: object
    status: int | None = None


class DiagnosticsRequest(_Asked):
    """Get the state of sources, brokers and outbox.  The source of the request is `_gateway`."""

    operation: Literal["diagnostics"]


class ReloadRequest(_Asked):
    """Reload the configuration file, as with SIGHUP.  The source of the request is `_gateway`."""

    operation: Literal["reload"]


class Node(BaseModel):
    """A node found by browsing."""

    path: str
    node: str
    type: str | None = None
    class_: Literal["Object", "Variable", "Method"] = Field(alias="class")


class ResultOfOne(BaseModel):
    """The outcome of one variable, method or browsed node, or of the gateway itself."""

    model_config = ConfigDict(use_attribute_docstrings=True, defer_build=True)
    tag: str
    outcome: Literal["done", "refused", "failed", "expired", "unknown"]
    reason: str | None = None
    detail: str | None = None
    node: str | None = None
    status: int | None = None
    """OPC UA StatusCode; left out when it is 0 (Good)."""
    before: object = None
    """The value before a write."""
    wanted: object = None
    """The value sent to the server."""
    value: object = None
    """The value read; after a write, the value read back."""
    type: str | None = None
    """The built-in type of the value read."""
    verified: bool | None = None
    """Whether the value read back is the written one."""
    arguments: dict[str, object] | None = None
    outputs: dict[str, object] | None = None
    types: dict[str, str] | None = None
    """The built-in type of each output."""
    attributes: dict[str, object] | None = None
    """Of the browsed node."""
    nodes: list[Node] | None = None
    """The nodes found by browsing."""
    values: list[PastValue] | None = None
    """The values of a history."""
    next: str | None = None
    """The `after` of the next page.  Left out: there is none."""


class Answer(Described):
    """The answer to a request.  A slow command has an answer `accepted` before its final one."""

    id: str
    gateway: str
    source: str
    operation: Literal[(*OPERATIONS, "none")]  # type: ignore[valid-type]  # a list of another module
    outcome: Literal["accepted", "done", "refused", "failed", "expired", "unknown"]
    final: bool
    """False only for `accepted`."""
    reason: Literal[tuple(REASONS)] | None = None  # type: ignore[valid-type]  # the keys of a table
    """The reason of a refusal."""
    detail: str | None = None
    """For people."""
    status: int | None = None
    dry_run: bool | None = None
    results: list[ResultOfOne] | None = None
    received: str
    """The time of its arrival."""
    time: str
    """The time of this outcome."""


def schema() -> dict[str, object]:
    """The schema of a request or an answer."""
    every = ReadRequest | WriteRequest | CallRequest | BrowseRequest | RefreshRequest | DiagnosticsRequest
    more = HistoryRequest | SubscribeRequest | UnsubscribeRequest | AcknowledgeRequest | ConfirmRequest | ReloadRequest
    return TypeAdapter[object](every | more | Answer).json_schema()
