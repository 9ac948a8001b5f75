"""A small file of two slots, written in turn: whatever is torn, the other slot holds the state before.

Each slot is 4096 bytes apart from the other: magic 8s | crc u32 | length u32 | generation u64 | JSON body.
The slot of the higher generation that is intact is the state.
"""

import struct
import zlib
from pathlib import Path

import orjson

from gateway.outbox.files import Files

_MAGIC = b"CFslot1\n"
_HEAD = struct.Struct("<8sIIQ")
_SLOT_BYTES = 4096


class DoubleBufferedFile:
    """One open slot file.  Not for two threads at once."""

    def __init__(self, files: Files, path: Path) -> None:
        self._files = files
        self._fd = files.open(path, create=True)
        self._generation = 0
        self._unsynced = False
        self.found: object = None
        """What the file held when it was opened; None when it was new or wholly damaged."""
        data = files.read(self._fd, 2 * _SLOT_BYTES, 0)
        self.was_new = not data
        for generation, body in intact(data):
            if generation > self._generation:
                self._generation, self.found = generation, body

    def write(self, body: object) -> None:
        """Into the operating system: survives the process, not a power cut.  Raises `OSError`."""
        generation = self._generation + 1
        text = orjson.dumps(body)
        rest = len(text).to_bytes(4, "little") + generation.to_bytes(8, "little") + text
        head = _MAGIC + zlib.crc32(rest).to_bytes(4, "little")
        if len(head) + len(rest) > _SLOT_BYTES:
            raise ValueError("too much for a slot")
        self._files.write(self._fd, head + rest, (generation % 2) * _SLOT_BYTES)
        self._generation, self._unsynced = generation, True

    def sync(self) -> None:
        """Onto the disk what was written."""
        if self._unsynced:
            self._files.sync(self._fd)
            self._unsynced = False

    def close(self) -> None:
        self._files.close(self._fd)


def intact(data: bytes) -> list[tuple[int, object]]:
    """Generation and body of each undamaged slot."""
    found: list[tuple[int, object]] = []
    for at in (0, _SLOT_BYTES):
        if len(data) - at < _HEAD.size:
            continue
        magic, crc, length, generation = _HEAD.unpack_from(data, at)
        rest = data[at + 12 : at + _HEAD.size + length]
        if magic == _MAGIC and length <= _SLOT_BYTES - _HEAD.size and zlib.crc32(rest) == crc:
            found.append((generation, orjson.loads(rest[12:])))
    return found
