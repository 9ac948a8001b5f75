"""The nouns that travel: `Tag`, `Batch`, `Gap`, `Message`.  Plain data, no behaviour beyond what names need.

Instants are OPC UA ticks (100 ns since 1601-01-01 UTC, Part 6, 5.2.2.5) because that is what servers send and no
digit may be lost; 0 means "not given".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    """What is delivered first and dropped last has the lowest number."""

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
    """The built-in type that its values are encoded as."""
    members: tuple[tuple[int, str], ...] = ()
    """Of an enumeration: number and name of each."""
    kind: int = 0
    """Of a structure: 1 when it has optional fields, 2 when it is a union (StructureType, Part 3, 8.48)."""
    fields: tuple[DataField, ...] = ()


@dataclass(frozen=True, slots=True)
class VariableType:
    """What a server says of a variable's values before there is one."""

    rank: int
    """ValueRank: -1 for a scalar, 1 or more for so many dimensions, else it may be one or the other."""
    types: tuple[DataType, ...]
    """Its data type, and behind it those that it is made of."""


@dataclass(frozen=True, slots=True)
class Tag:
    """One configured variable: where it is on the server, what consumers call it."""

    name: str
    """What consumers see, unique within its topic."""
    node_id: str
    """As text, with the namespace URI (`nsu=…;s=…`), so that it survives a reshuffle of indexes."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """What topic templates may use: `site`, `line`, `machine` …"""
    unit: str | None = None
    selection: int = 0
    """Which selection of its source took it."""
    priority: Priority = Priority.TELEMETRY
    """Which lane of the outbox its values take; EVENT for what tells events, which have topics of their own."""
    variable_type: VariableType | None = None
    """What the server says of its values, where it does and somebody wants to know."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A discontinuity, announced in the stream: values that existed and will not come."""

    cause: str
    """One of `model.GAP_CAUSES`."""
    detail: str
    """For people: what happened, in one sentence."""
    from_ticks: int = 0
    to_ticks: int = 0
    count: int | None = None
    """How many values, where that is known."""
    handles: tuple[int, ...] = ()
    """The tags it concerns; empty means every tag of the source."""


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
)


LossCause = Literal["outbox_full", "expired", "corrupt"]
"""Why stored messages will not be delivered: dropped by policy, too old, or damaged on the disk."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A range of one stream that was stored and will not be delivered."""

    id: int
    stream: str
    """Empty where the damage does not tell."""
    from_seq: int
    to_seq: int
    """Inclusive; both 0 where unknown."""
    messages: int
    values: int
    cause: LossCause
    from_ns: int
    """Source time of the oldest value in them, or when the first was appended where no value has one; nanoseconds since
    1970, 0 where unknown."""
    to_ns: int
    """When the last of them was appended: values are older."""
    readers: tuple[str, ...]
    """Who will not get them; others have had them already."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The values of one publish response, as columns of equal length.

    Row *i* is a change of `tags[handles[i]]`.  Rows keep the order of the response.
    """

    source: str
    tags: Sequence[Tag]
    """The tag table of the source; `handles` index into it.  The same object for all batches between two changes of
    the selection, so that whoever derives something from it may do so once."""
    handles: NDArray[np.uint32]
    types: NDArray[np.uint8]
    """OPC UA built-in type ids (Part 6, 5.1.2: Boolean 1, Int32 6, Double 11, String 12 …), plus `IS_ARRAY` and
    `IS_MATRIX`; 0 where the value is null."""
    values: Sequence[object] | NDArray[np.generic]
    """Python values: bool, int, float, str, bytes, None; DateTime as ticks; see `gateway/values.py` for the rest.
    A numpy array where all values are of one numeric type."""
    statuses: NDArray[np.uint32]
    """The full 32-bit StatusCode."""
    source_ticks: NDArray[np.int64]
    """When each value was so: the source timestamp, or another time, see `time_sources`."""
    server_ticks: NDArray[np.int64]
    gaps: tuple[Gap, ...] = ()
    """Discontinuities noticed before these values."""
    checkpoint: bytes = b""
    """Where the source would go on after this batch: stored with it in one transaction, given back after a restart."""
    historical: bool = False
    """Read from the server's history, to fill in a time in which nobody was subscribed: older than what came before."""
    time_sources: NDArray[np.uint8] | None = None
    """The `TimeSource` of each of `source_ticks`; None where all are the source's, or not given."""

    def __len__(self) -> int:
        return len(self.handles)


class Message(msgspec.Struct, frozen=True):
    """One MQTT message to be, with all that the outbox and the broker need to know of it.

    A struct, because there may be one per value: a frozen dataclass takes nine times as long to make.
    """

    topic: str
    payload: bytes
    stream: str
    """Whose `seq` this is: consumers see `seq` rise by one per message of a stream, also across restarts."""
    seq: int
    values: int
    """How many values the payload carries: the books are kept in values."""
    source: str = ""
    """Name of the source the values came from."""
    oldest_ticks: int = 0
    """Earliest source timestamp inside, for the end-to-end delay; 0 if there is none."""
    priority: Priority = Priority.TELEMETRY
    content_type: str = "application/json"
    retain: bool = False
    properties: tuple[tuple[str, str], ...] = ()
    """MQTT 5 user properties."""
    expiry_s: int = 0
    """MQTT 5 message expiry, from now on; 0 for none.  Not stored: it is worked out when the message is sent."""
    response_topic: str = ""
    """Where an answer is wanted.  Not stored, like `correlation`: no message of the outbox asks, or answers."""
    correlation: bytes = b""
    """What an answer carries back to whoever asked."""
