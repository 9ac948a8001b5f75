"""The checkpoint: everything that a source needs to continue where it stopped, also after `kill -9`.

It is stored with the values before it, in one transaction, and returned at the next open.  It changes with every batch,
so only a few numbers are encoded each time; the rest is encoded when the subscriptions change:

    magic · number of positions · clock offset · positions, one per subscription · `SubscriptionState`, as JSON
"""

import json
import struct
from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace
from itertools import pairwise

from msgspec import Struct

_HEAD = struct.Struct("<4sHq")
_POSITION = struct.Struct("<Iq")
_MAGIC = b"OUA3"
_FORMER_HEAD = struct.Struct("<4sIqq")
_FORMER_MAGIC = b"OUA2"
"""From versions with one subscription per source."""
_NO_HANDLE = 2**32
_JSON_NAMES = {"subscriptions": "held", "backfill_pending": "owed"}
"""Fields with older names on the disk, so that stored checkpoints stay readable in both directions."""

Ranges = tuple[tuple[int, int], ...]
"""Handles as runs: the first handle of each run, and the one after its last."""


MOST_RUNS = 500
"""The checkpoint is written with every batch, so its size is limited."""


def ranges_of(handles: Iterable[int]) -> Ranges | None:
    """Handles as runs.  None: too many runs for a checkpoint."""
    runs: list[tuple[int, int]] = []
    for handle in sorted(handles):
        if runs and runs[-1][1] == handle:
            runs[-1] = (runs[-1][0], handle + 1)
        else:
            runs.append((handle, handle + 1))
    return tuple(runs) if len(runs) <= MOST_RUNS else None


def handles_of(ranges: Ranges, count: int) -> set[int]:
    """The handles in these runs that are below `count`."""
    return {handle for first, end in ranges for handle in range(first, min(end, count))}


@dataclass(frozen=True, slots=True)
class Absence:
    """A period without a subscription.  Its values are read from the history or announced as missing."""

    since_ticks: int
    """The latest timestamp before it; 0: there was none."""
    until_ticks: int
    cause: str
    """One of `model.GAP_CAUSES`."""
    detail: str
    unproven: bool = False
    """Whether the server was restarted meanwhile, or a clock was set: its history may then be incomplete unnoticed."""
    handles: Ranges = ()
    """The affected tags; empty: all."""


@dataclass(frozen=True, slots=True)
class SavedSubscription:
    """A subscription that stays on a server, and what it monitors."""

    id: int
    asked_s: float
    """The requested publishing interval.  The next three are the revised values."""
    interval_s: float
    keep_alive_s: float
    lifetime_s: float
    handles: Ranges | None
    """None: too many runs, or the server had not answered yet.  Then the server must be asked."""
    watches_model: bool = False
    """Whether it also has the item for changes of the address space."""


class Position(Struct, frozen=True):
    """The durable position of one subscription."""

    sequence: int
    """The sequence number of the last durable notification."""
    ticks: int
    """The latest timestamp: the beginning of a possible gap."""


@dataclass(frozen=True, slots=True)
class SubscriptionState:
    """Our subscriptions on a server: the part of a checkpoint that seldom changes."""

    url: str
    started: str
    """Start time of the server: after a restart its subscription ids mean something else."""
    digest: str
    """The digest of the tag table, whose handles are the client handles of the subscriptions."""
    subscriptions: tuple[SavedSubscription, ...] = ()
    """Empty for a polled server."""
    added: tuple[str, ...] | None = ()
    """Node ids added while the table was in use, in the order of their handles.  They are the last ones of the table.
    None: too many."""
    backfill_pending: tuple[Absence, ...] = ()
    """Absences whose history is being read beside the live values."""

    def encode(self) -> bytes:
        fields = {_JSON_NAMES.get(name, name): getattr(self, name) for name in self.__slots__}
        fields["held"] = [astuple(saved) for saved in self.subscriptions]
        fields["owed"] = [astuple(absence) for absence in self.backfill_pending]
        return json.dumps(fields).encode()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The subscriptions of a source, and the durable position of each."""

    state: SubscriptionState
    positions: tuple[Position, ...]
    """One per saved subscription; a single one for a polled server."""
    offset_ticks: int = 0
    """The server's clock minus ours at that time; 0: unknown."""

    @property
    def ticks(self) -> int:
        """The latest time up to which all subscriptions have delivered."""
        return min((position.ticks for position in self.positions), default=0)

    def encode(self) -> bytes:
        return encode_checkpoint(self.state.encode(), self.positions, self.offset_ticks)

    def for_table(self, digest: str) -> "Checkpoint":
        """The checkpoint for use with this table.

        Handles of another table mean nothing, so pending back-fill then concerns all tags.
        """
        if self.state.digest == digest:
            return self
        pending = tuple(replace(absence, handles=()) for absence in self.state.backfill_pending)
        return replace(self, state=replace(self.state, backfill_pending=pending))


def encode_checkpoint(state: bytes, positions: Iterable[Position], offset_ticks: int = 0) -> bytes:
    """Encode a checkpoint, given an encoded `SubscriptionState`."""
    packed = [_POSITION.pack(position.sequence, position.ticks) for position in positions]
    return b"".join((_HEAD.pack(_MAGIC, len(packed), offset_ticks), *packed, state))


def decode_checkpoint(data: bytes) -> Checkpoint | None:
    """Decode a checkpoint.  None: there is none, or it is unreadable; then the source starts anew."""
    read = {_MAGIC: _read, _FORMER_MAGIC: _read_former}.get(data[:4])
    try:
        return read(data) if read is not None else None
    except (ValueError, TypeError, KeyError, struct.error):
        return None


def _read(data: bytes) -> Checkpoint:
    _, count, offset_ticks = _HEAD.unpack_from(data)
    end = _HEAD.size + count * _POSITION.size
    positions = tuple(Position(*each) for each in _POSITION.iter_unpack(data[_HEAD.size : end]))
    fields = json.loads(data[end:])
    fields["held"] = tuple(_saved(*saved) for saved in fields["held"])
    if len(positions) != max(1, len(fields["held"])):
        raise ValueError(f"{len(positions)} positions of {len(fields['held'])} subscriptions")
    return Checkpoint(_state(fields), positions, offset_ticks)


def _saved(*fields: object) -> SavedSubscription:
    saved = SavedSubscription(*fields)  # type: ignore[arg-type]  # decoded in the same types
    return replace(saved, handles=_ranges(saved.handles)) if saved.handles is not None else saved


def _state(fields: dict[str, object]) -> SubscriptionState:
    named = {ours: fields.pop(stored) for ours, stored in _JSON_NAMES.items() if stored in fields}
    state = SubscriptionState(**fields, **named)  # type: ignore[arg-type]  # decoded in the same types
    pending = [Absence(*absence) for absence in state.backfill_pending]  # type: ignore[misc]  # decoded in the same types
    return replace(
        state,
        added=tuple(state.added) if state.added is not None else None,
        backfill_pending=tuple(replace(absence, handles=_ranges(absence.handles)) for absence in pending),
    )


def _ranges(pairs: Iterable[Iterable[int]]) -> Ranges:
    return tuple((int(first), int(end)) for first, end in pairs)


def _read_former(data: bytes) -> Checkpoint:
    """Read a checkpoint with one subscription, whose handles are all except the failed ones."""
    _, sequence, ticks, offset_ticks = _FORMER_HEAD.unpack_from(data)
    fields = json.loads(data[_FORMER_HEAD.size :])
    number, failed = fields.pop("subscription"), fields.pop("failed")
    interval_s, keep_alive_s, lifetime_s = (fields.pop(name) for name in ("interval_s", "keep_alive_s", "lifetime_s"))
    handles = _ranges_between(failed) if failed is not None else None
    saved = SavedSubscription(number, interval_s, interval_s, keep_alive_s, lifetime_s, handles)
    state = _state(fields | {"held": (saved,) if number else ()})
    return Checkpoint(state, (Position(sequence, ticks),), offset_ticks)


def _ranges_between(left_out: Iterable[int]) -> Ranges:
    bounds = [-1, *sorted(left_out), _NO_HANDLE]
    return tuple((a + 1, b) for a, b in pairwise(bounds) if a + 1 < b)
