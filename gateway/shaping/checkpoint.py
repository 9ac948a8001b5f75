"""What is stored beside the source's mark while values are held: how many, and since when.

So that values which die with the process are announced by the next one.  Without held values the mark is the source's
own, byte for byte.
"""

import struct

from gateway.model import Gap

_HEAD = struct.Struct("<4sIq")
_MAGIC = b"SHP1"


def wrap(mark: bytes, held: int, since_ticks: int) -> bytes:
    """The mark to store; an empty one stays empty (it means: none)."""
    return _HEAD.pack(_MAGIC, min(held, 0xFFFFFFFF), since_ticks) + mark if mark and held else mark


def unwrap(mark: bytes) -> bytes:
    """The source's own mark."""
    return mark[_HEAD.size :] if mark.startswith(_MAGIC) else mark


def lost(mark: bytes) -> tuple[Gap, ...]:
    """What was held when this mark was stored, to be announced by a process that does not have it."""
    if not mark.startswith(_MAGIC) or len(mark) < _HEAD.size:
        return ()
    _, held, since_ticks = _HEAD.unpack_from(mark)
    detail = f"{held} values waited in a window, a swinging door or a rate limit when the gateway ended"
    return (Gap("held_lost", detail, since_ticks, 0, held),)
