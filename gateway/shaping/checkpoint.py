"""The record stored with the source's checkpoint while values are held: how many values, and since when.

With it the next process can announce held values that were lost with the process.  Without held values the checkpoint
is the source's own, byte for byte.
"""

import struct

from gateway.model import Gap

_HEAD = struct.Struct("<4sIq")
_MAGIC = b"SHP1"


def wrap(mark: bytes, held: int, since_ticks: int) -> bytes:
    """The checkpoint to store.  An empty one stays empty (there is none)."""
    return _HEAD.pack(_MAGIC, min(held, 0xFFFFFFFF), since_ticks) + mark if mark and held else mark


def unwrap(mark: bytes) -> bytes:
    """The source's own checkpoint."""
    return mark[_HEAD.size :] if mark.startswith(_MAGIC) else mark


def lost(mark: bytes) -> tuple[Gap, ...]:
    """The values held when this checkpoint was stored: a process that does not hold them announces them as lost."""
    if not mark.startswith(_MAGIC) or len(mark) < _HEAD.size:
        return ()
    _, held, since_ticks = _HEAD.unpack_from(mark)
    detail = f"{held} values waited in a window, a swinging door or a rate limit when the gateway ended"
    return (Gap("held_lost", detail, since_ticks, 0, held),)
