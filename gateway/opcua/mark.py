"""The mark: what a source must know to go on where it stopped, also after `kill -9`.

It is stored with the values it follows, in one transaction, and given back at the next open.  It changes with every
batch, so all but a few numbers are encoded once per subscription.
"""

import json
import struct
from dataclasses import astuple, dataclass

_HEAD = struct.Struct("<4sIqq")
_MAGIC = b"OUA2"


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


@dataclass(frozen=True, slots=True)
class Lease:
    """The subscription we hold on a server, and what it monitors."""

    url: str
    started: str
    """Start time of the server: after a restart its numbers mean something else."""
    subscription: int
    """0 where the server is polled."""
    digest: str
    """Of the table of tags: its handles are the subscription's client handles."""
    interval_s: float
    keep_alive_s: float
    lifetime_s: float
    failed: tuple[int, ...] | None = ()
    """Handles that are not monitored; None when they are too many to say with every batch."""
    added: tuple[str, ...] | None = ()
    """Node ids that came while it was in use, in the order of their handles, the last of the table; None when they are
    too many to say."""
    owed: tuple[Absence, ...] = ()
    """What is being filled in beside the live values."""

    def encode(self) -> bytes:
        fields = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps(fields | {"owed": [astuple(absence) for absence in self.owed]}).encode()


@dataclass(frozen=True, slots=True)
class Mark:
    """A lease, and how far it is durable."""

    lease: Lease
    sequence: int
    """The last notification that is durable."""
    ticks: int
    """The latest timestamp seen: where a gap would begin."""
    offset_ticks: int = 0
    """The server's clock less ours then; 0 where it is not known."""

    def encode(self) -> bytes:
        return encode(self.lease.encode(), self.sequence, self.ticks, self.offset_ticks)


def encode(lease: bytes, sequence: int, ticks: int, offset_ticks: int = 0) -> bytes:
    """A mark, from an encoded lease."""
    return _HEAD.pack(_MAGIC, sequence, ticks, offset_ticks) + lease


def decode(mark: bytes) -> Mark | None:
    """The mark, or None where there is none that we understand: then everything begins anew."""
    if len(mark) < _HEAD.size or not mark.startswith(_MAGIC):
        return None
    _, sequence, ticks, offset_ticks = _HEAD.unpack_from(mark)
    try:
        fields = json.loads(mark[_HEAD.size :])
        if fields["failed"] is not None:
            fields["failed"] = tuple(int(handle) for handle in fields["failed"])
        if fields.get("added") is not None:
            fields["added"] = tuple(fields["added"])
        fields["owed"] = tuple(Absence(*absence) for absence in fields.get("owed", ()))
        return Mark(Lease(**fields), sequence, ticks, offset_ticks)
    except (ValueError, TypeError, KeyError):
        return None
