"""The JSON Schema of requests and answers, generated from what is documented here.

`request.py` reads requests by hand, because it has to be bounded and to say no in our words; a test holds the two
together.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from gateway.commands.fields import MOST_ID, MOST_ITEMS, MOST_NAME
from gateway.commands.outcome import REASONS
from gateway.commands.request import MOST_LEVELS, MOST_NODES, OPERATIONS

_Name = Annotated[str, Field(min_length=1, max_length=MOST_NAME)]
_Instant = Annotated[str, Field(min_length=1, max_length=40, json_schema_extra={"format": "date-time"})]


class Described(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class _Asked(Described):
    id: str = Field(default="", max_length=MOST_ID)
    """Names the request: the same id gets the same answer and is done once.  With MQTT 5 the correlation data will
    do."""
    deadline: _Instant = ""
    """An instant with its offset: what has not begun by then is not done.  With MQTT 5 the message's expiry will
    do."""
    sent: _Instant = ""
    """When it was sent, by the requester's clock: one that is ahead is in doubt."""
    respond_to: str = Field(default="", max_length=MOST_NAME)
    """MQTT 3.1.1: where the answer is wanted, at or below the topic of answers.  MQTT 5 has the Response Topic."""
    dry_run: bool = False
    """All checks, and nothing is sent."""


class ReadRequest(_Asked):
    """Read the values of variables."""

    operation: Literal["read"]
    tags: list[_Name] = Field(min_length=1, max_length=MOST_ITEMS)
    """Names as the rules have them (`press-1/SpeedFactor`), or node ids."""


class Write(Described):
    """One variable and what to write to it."""

    tag: _Name
    value: object
    """Of exactly the variable's type; 64-bit numbers beyond 2^53 as text."""


class WriteRequest(_Asked):
    """Write values, in one request to the server."""

    operation: Literal["write"]
    writes: list[Write] = Field(min_length=1, max_length=MOST_ITEMS)
    all_or_nothing: bool = True
    """When one is refused, nothing is sent.  What a server refuses it refuses alone."""


class CallRequest(_Asked):
    """Call a method."""

    operation: Literal["call"]
    method: _Name
    arguments: dict[str, object] = Field(default_factory=dict, max_length=MOST_ITEMS)
    """By the names that the server gives them, or all by their place: `0`, `1`, …"""


class BrowseRequest(_Asked):
    """List the nodes below one that a rule names, by path, page by page."""

    operation: Literal["browse"]
    below: _Name
    """Its name, or its node id."""
    levels: int = Field(default=1, ge=1, le=MOST_LEVELS)
    limit: int = Field(default=200, ge=1, le=MOST_NODES)
    """Nodes in one answer."""
    after: str = Field(default="", max_length=MOST_NAME)
    """`next` of the page before."""


class RefreshRequest(_Asked):
    """Read tags of the source again and send their values to the brokers."""

    operation: Literal["refresh"]
    tags: list[_Name] = Field(min_length=1, max_length=MOST_ITEMS)


class DiagnosticsRequest(_Asked):
    """The state of sources, brokers and outbox; to the source `_gateway`."""

    operation: Literal["diagnostics"]


class ReloadRequest(_Asked):
    """Take the configuration file anew, as by SIGHUP; to the source `_gateway`."""

    operation: Literal["reload"]


class Node(BaseModel):
    """A node that was found below another."""

    path: str
    node: str
    type: str | None = None
    class_: Literal["Object", "Variable", "Method"] = Field(alias="class")


class ResultOfOne(BaseModel):
    """What became of one variable, method or place, or of the gateway itself."""

    model_config = ConfigDict(use_attribute_docstrings=True)
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
    """The value that was written, as it was sent."""
    value: object = None
    """What was read: after a write, what the server shows then."""
    type: str | None = None
    """What was read: the built-in type of its value."""
    verified: bool | None = None
    """Whether the server shows what was written."""
    arguments: dict[str, object] | None = None
    outputs: dict[str, object] | None = None
    nodes: list[Node] | None = None
    """What browsing has found."""
    next: str | None = None
    """Where there is more: what to ask with as `after`."""


class Answer(Described):
    """What became of a request.  One that takes long has an answer `accepted` before its final one."""

    id: str
    gateway: str
    source: str
    operation: Literal[(*OPERATIONS, "none")]  # type: ignore[valid-type]  # a list that is kept elsewhere
    outcome: Literal["accepted", "done", "refused", "failed", "expired", "unknown"]
    final: bool
    """False for `accepted` alone."""
    reason: Literal[tuple(REASONS)] | None = None  # type: ignore[valid-type]  # the keys of a table
    """Why it is refused."""
    detail: str | None = None
    """For people."""
    status: int | None = None
    dry_run: bool | None = None
    results: list[ResultOfOne] | None = None
    received: str
    """When it arrived."""
    time: str
    """When this was decided."""


def schema() -> dict[str, object]:
    """Of a request or an answer."""
    every = ReadRequest | WriteRequest | CallRequest | BrowseRequest | RefreshRequest | DiagnosticsRequest
    return TypeAdapter[object](every | ReloadRequest | Answer).json_schema()
