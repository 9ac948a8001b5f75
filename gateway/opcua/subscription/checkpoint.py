"""The mark: what a source must know to go on where it stopped, also after `kill -9`.

It is stored with the values it follows, in one transaction, and given back at the next open.  It changes with every
batch, so all but a few numbers are encoded once per change of the subscriptions:

    magic · how many positions · clock · positions, one per subscription · the lease, as JSON
"""

import json
import struct
from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace
from itertools import pairwise

_HEAD = struct.Struct("<4sHq")
_POSITION = struct.Struct("<Iq")
_MAGIC = b"OUA3"
_FORMER_HEAD = struct.Struct("<4sIqq")
_FORMER_MAGIC = b"OUA2"
"""Of the marks of one subscription."""
_NO_HANDLE = 2**32

Ranges = tuple[tuple[int, int], ...]
"""Handles: the first of each run, and the one after its last."""


MOST_RUNS = 500
"""The mark goes to the disk with every batch."""


def ranges_of(handles: Iterable[int]) -> Ranges | None:
    """Handles as runs; None when they are more than a mark should carry."""
    runs: list[tuple[int, int]] = []
    for handle in sorted(handles):
        if runs and runs[-1][1] == handle:
            runs[-1] = (runs[-1][0], handle + 1)
        else:
            runs.append((handle, handle + 1))
    return tuple(runs) if len(runs) <= MOST_RUNS else None


def handles_of(ranges: Ranges, count: int) -> set[int]:
    """The handles of runs, of those below `count`."""
    return {handle for first, end in ranges for handle in range(first, min(end, count))}


@dataclass(frozen=True, slots=True)
class Absence:
    """A time in which nobody listened, and that has to be accounted for."""

    since_ticks: int
    """The latest timestamp seen before it; 0 where nothing was."""
    until_ticks: int
    cause: str
    """One of `model.GAP_CAUSES`."""
    detail: str
    unproven: bool = False
    """The server was started anew in between, or a clock was set: what its history tells proves nothing."""
    handles: Ranges = ()
    """The tags nobody listened to; empty for every tag."""


@dataclass(frozen=True, slots=True)
class Held:
    """One subscription we hold on a server, and what it monitors."""

    id: int
    asked_s: float
    """The publishing interval that was asked for, and then what the server made of it."""
    interval_s: float
    keep_alive_s: float
    lifetime_s: float
    handles: Ranges | None
    """None when they are too many runs, or the server has not said yet: then it must tell."""
    watches_model: bool = False
    """The server tells here when its address space changes."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far one subscription is durable."""

    sequence: int
    """The last notification that is."""
    ticks: int
    """The latest timestamp seen: where a gap would begin."""


@dataclass(frozen=True, slots=True)
class Lease:
    """What we hold on a server."""

    url: str
    started: str
    """Start time of the server: after a restart its numbers mean something else."""
    digest: str
    """Of the table of tags: its handles are the client handles of the subscriptions."""
    held: tuple[Held, ...] = ()
    """Empty where the server is polled."""
    added: tuple[str, ...] | None = ()
    """Node ids that came while it was in use, in the order of their handles, the last of the table; None when they are
    too many to say."""
    owed: tuple[Absence, ...] = ()
    """What is being filled in beside the live values."""

    def encode(self) -> bytes:
        fields = {name: getattr(self, name) for name in self.__slots__}
        fields["held"] = [astuple(held) for held in self.held]
        fields["owed"] = [astuple(absence) for absence in self.owed]
        return json.dumps(fields).encode()


@dataclass(frozen=True, slots=True)
class Mark:
    """A lease, and how far it is durable."""

    lease: Lease
    positions: tuple[Position, ...]
    """Of each subscription that is held; of polling, one."""
    offset_ticks: int = 0
    """The server's clock less ours then; 0 where it is not known."""

    @property
    def ticks(self) -> int:
        """Up to here there is something of every subscription."""
        return min((position.ticks for position in self.positions), default=0)

    def encode(self) -> bytes:
        return encode(self.lease.encode(), self.positions, self.offset_ticks)

    def for_table(self, digest: str) -> "Mark":
        """As it is to be read with this table: handles of another mean nothing, so all of that is owed to every tag."""
        if self.lease.digest == digest:
            return self
        owed = tuple(replace(absence, handles=()) for absence in self.lease.owed)
        return replace(self, lease=replace(self.lease, owed=owed))


def encode(lease: bytes, positions: Iterable[Position], offset_ticks: int = 0) -> bytes:
    """A mark, from an encoded lease."""
    packed = [_POSITION.pack(position.sequence, position.ticks) for position in positions]
    return b"".join((_HEAD.pack(_MAGIC, len(packed), offset_ticks), *packed, lease))


def decode(mark: bytes) -> Mark | None:
    """The mark, or None where there is none that we understand: then everything begins anew."""
    read = {_MAGIC: _read, _FORMER_MAGIC: _read_former}.get(mark[:4])
    try:
        return read(mark) if read is not None else None
    except (ValueError, TypeError, KeyError, struct.error):
        return None


def _read(mark: bytes) -> Mark:
    _, count, offset_ticks = _HEAD.unpack_from(mark)
    end = _HEAD.size + count * _POSITION.size
    positions = tuple(Position(*each) for each in _POSITION.iter_unpack(mark[_HEAD.size : end]))
    fields = json.loads(mark[end:])
    fields["held"] = tuple(_held(*held) for held in fields["held"])
    if len(positions) != max(1, len(fields["held"])):
        raise ValueError(f"{len(positions)} positions of {len(fields['held'])} subscriptions")
    return Mark(_lease(fields), positions, offset_ticks)


def _held(*fields: object) -> Held:
    held = Held(*fields)  # type: ignore[arg-type]  # as it was encoded
    return replace(held, handles=_ranges(held.handles)) if held.handles is not None else held


def _lease(fields: dict[str, object]) -> Lease:
    lease = Lease(**fields)  # type: ignore[arg-type]  # as it was encoded
    owed = [Absence(*absence) for absence in lease.owed]  # type: ignore[misc]  # likewise
    return replace(
        lease,
        added=tuple(lease.added) if lease.added is not None else None,
        owed=tuple(replace(absence, handles=_ranges(absence.handles)) for absence in owed),
    )


def _ranges(pairs: Iterable[Iterable[int]]) -> Ranges:
    return tuple((int(first), int(end)) for first, end in pairs)


def _read_former(mark: bytes) -> Mark:
    """One subscription with all handles but those that failed."""
    _, sequence, ticks, offset_ticks = _FORMER_HEAD.unpack_from(mark)
    fields = json.loads(mark[_FORMER_HEAD.size :])
    number, failed = fields.pop("subscription"), fields.pop("failed")
    interval_s, keep_alive_s, lifetime_s = (fields.pop(name) for name in ("interval_s", "keep_alive_s", "lifetime_s"))
    handles = _ranges_between(failed) if failed is not None else None
    held = Held(number, interval_s, interval_s, keep_alive_s, lifetime_s, handles)
    lease = _lease(fields | {"held": (held,) if number else ()})
    return Mark(lease, (Position(sequence, ticks),), offset_ticks)


def _ranges_between(left_out: Iterable[int]) -> Ranges:
    bounds = [-1, *sorted(left_out), _NO_HANDLE]
    return tuple((a + 1, b) for a, b in pairwise(bounds) if a + 1 < b)
