"""The data that travels: `Tag`, `Batch`, `Gap`, `Message`.  Plain data with hardly any behaviour.

Instants are OPC UA ticks (100 ns since 1601-01-01 UTC, Part 6, 5.2.2.5), as servers send them, so that no digit is
lost. 0 means "not given".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

TICKS_PER_SECOND = 10_000_000
UNIX_EPOCH_TICKS = 116_444_736_000_000_000
"""1970-01-01T00:00:00Z in OPC UA ticks."""

IS_ARRAY = 0x80
IS_MATRIX = 0x40
"""Flags beside the built-in type id in `Batch.types`, as in the Variant's encoding byte (Part 6, 5.2.2.16)."""


class Priority(IntEnum):
    """The lowest number is delivered first and dropped last."""

    EVENT = 0
    STATE = 1
    TELEMETRY = 2


class TimeSource(IntEnum):
    """Whose clock says when a value was so."""

    SOURCE = 0
    SERVER = 1
    RECEIPT = 2
    """Ours, when it arrived: neither the source nor the server gave a time."""


@dataclass(frozen=True, slots=True)
class DataField:
    """One field of a structure, as its server describes it."""

    name: str
    type_id: str
    rank: int
    """ValueRank (Part 3, 8.6): -1 for a scalar, else the number of dimensions."""
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class DataType:
    """A data type, as its server describes it."""

    type_id: str
    name: str
    built_in: int
    """The built-in type in which its values are encoded."""
    members: tuple[tuple[int, str], ...] = ()
    """For an enumeration: number and name of each member."""
    kind: int = 0
    """For a structure: 1 if it has optional fields, 2 if it is a union (StructureType, Part 3, 8.48)."""
    fields: tuple[DataField, ...] = ()


@dataclass(frozen=True, slots=True)
class VariableType:
    """The server's description of a variable's values."""

    rank: int
    """ValueRank: -1 for a scalar, the number of dimensions if 1 or more; other values leave it open."""
    types: tuple[DataType, ...]
    """Its data type first, then the types of its parts."""


class Tag(msgspec.Struct, frozen=True, gc=False):
    """One configured variable: its node on the server, and its name for consumers.

    A msgspec struct: there may be 100 000, which the garbage collector need not look at, as none is part of a cycle.
    """

    name: str
    """The name for consumers, unique within its topic."""
    node_id: str
    """As text with the namespace URI (`nsu=…;s=…`), since namespace indexes may change."""
    fields: Mapping[str, str] = msgspec.field(default_factory=dict)
    """The fields for topic templates: `site`, `line`, `machine` …"""
    unit: str | None = None
    selection: int = 0
    """The index of its selection in the source."""
    priority: Priority = Priority.TELEMETRY
    """The lane of its values in the outbox.  EVENT for notifiers, whose events have their own topics."""
    variable_type: VariableType | None = None
    """The server's description of its values, if there is one and a format needs it."""
    range: tuple[float, float] | None = None
    """EURange: where the value lies in normal operation, if the server says so."""


@dataclass(frozen=True, slots=True)
class TagFacts:
    """What a server says of a variable beside its type, for descriptions of what the gateway sends."""

    description: str = ""
    access: int = 0
    """UserAccessLevel (Part 3, 8.57): 1 readable, 2 writable, 4 its history is readable."""
    low: float | None = None
    high: float | None = None
    """EURange: where the value lies in normal operation.  It may lie outside."""
    unit_code: str = ""
    """Code of the unit in UNECE Recommendation 20; empty where the server names none."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A discontinuity, announced in the stream: values that existed and will not be delivered."""

    cause: str
    """One of `model.GAP_CAUSES`."""
    detail: str
    """What happened, in one sentence for people."""
    from_ticks: int = 0
    to_ticks: int = 0
    count: int | None = None
    """The number of values, where known."""
    handles: tuple[int, ...] = ()
    """The affected tags; empty: all tags of the source."""


GAP_CAUSES = (
    "server_overflow",
    "subscription_recreated",
    "not_read",
    "sequence_gap",
    "undecodable",
    "policy_drop",
    "corrupt",
    "rejected",
    "held_lost",
    "node_removed",
    "not_available",
)


LossCause = Literal["outbox_full", "expired", "corrupt"]
"""Why stored messages will not be delivered: dropped by policy, too old, or damaged on the disk."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A range of stored messages of one stream that will not be delivered."""

    id: int
    stream: str
    """Empty where the damage hides it."""
    from_seq: int
    to_seq: int
    """Inclusive; both 0 where unknown."""
    messages: int
    values: int
    cause: LossCause
    from_ns: int
    """Source time of their oldest value, or the time of the first append if no value has one; nanoseconds since 1970, 0
    where unknown."""
    to_ns: int
    """Time of their last append; all values are older."""
    readers: tuple[str, ...]
    """The readers that will not get them; the others already have."""


@dataclass(slots=True)
class Batch:
    """The values of one publish response, as columns of equal length.  Nobody changes it.

    Row *i* is a change of `tags[handles[i]]`.  Rows keep the order of the response.  There is one per response, and a
    frozen dataclass of so many fields takes 15 times as long to create.
    """

    source: str
    tags: Sequence[Tag]
    """The tag table of the source; `handles` are indexes into it.  All batches between two changes of the selection
    share one object, so that derived data can be cached."""
    handles: NDArray[np.uint32]
    types: NDArray[np.uint8]
    """OPC UA built-in type ids (Part 6, 5.1.2: Boolean 1, Int32 6, Double 11, String 12 …), plus `IS_ARRAY` and
    `IS_MATRIX`; 0 where the value is null."""
    values: Sequence[object] | NDArray[np.generic]
    """Python values: bool, int, float, str, bytes, None; DateTime as ticks; `gateway/values.py` lists the others.  A
    numpy array if all values have the same numeric type."""
    statuses: NDArray[np.uint32]
    """The full 32-bit StatusCode."""
    source_ticks: NDArray[np.int64]
    """When each value was so: the source timestamp, or another time, see `time_sources`."""
    server_ticks: NDArray[np.int64]
    gaps: tuple[Gap, ...] = ()
    """Discontinuities before these values."""
    checkpoint: bytes = b""
    """From where the source continues after this batch.

    Stored with it in one transaction, returned after a restart.
    """
    historical: bool = False
    """Read from the server's history to fill a gap, so older than the values before."""
    time_sources: NDArray[np.uint8] | None = None
    """The `TimeSource` of each of `source_ticks`.  None: all are source timestamps, or not given."""

    _is_good: bool | None = field(default=None, init=False, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.handles)

    @property
    def is_good(self) -> bool:
        """Whether all statuses are 0."""
        if self._is_good is None:
            self._is_good = not np.count_nonzero(self.statuses)
        return self._is_good

    def rows(self, rows: "slice | NDArray[np.intp]") -> "Batch":
        """Some rows, in every column; all else as it is."""
        values = self.values
        if not isinstance(values, np.ndarray) and not isinstance(rows, slice):
            chosen: Sequence[object] | NDArray[np.generic] = [values[row] for row in rows.tolist()]
        else:
            chosen = values[rows]  # type: ignore[index]  # an array takes both, a list a slice
        return replace(
            self,
            handles=self.handles[rows],
            types=self.types[rows],
            values=chosen,
            statuses=self.statuses[rows],
            source_ticks=self.source_ticks[rows],
            server_ticks=self.server_ticks[rows],
            time_sources=None if self.time_sources is None else self.time_sources[rows],
        )


class Message(msgspec.Struct, frozen=True):
    """One MQTT message with everything that the outbox and the sink need.

    A msgspec struct: there may be one per value, and a frozen dataclass takes nine times as long to create.
    """

    topic: str
    payload: bytes
    stream: str
    """The stream that `seq` counts.  `seq` rises by one per message, also across restarts."""
    seq: int
    values: int
    """The number of values in the payload; the books count values."""
    source: str = ""
    """Name of the source the values came from."""
    oldest_ticks: int = 0
    """Earliest source timestamp, for the end-to-end delay; 0: none."""
    priority: Priority = Priority.TELEMETRY
    content_type: str = "application/json"
    retain: bool = False
    properties: tuple[tuple[str, str], ...] = ()
    """MQTT 5 user properties."""
    expiry_s: int = 0
    """MQTT 5 message expiry from now on; 0: none.  Not stored, but computed when the message is sent."""
    response_topic: str = ""
    """The topic for a response.  Not stored, like `correlation`: no message in the outbox is a request or response."""
    correlation: bytes = b""
    """The correlation data that a response returns."""
