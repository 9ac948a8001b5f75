"""A small file with two slots, written in turn: if a write is torn, the other slot holds the state before it.

Each slot takes 4096 bytes: magic 8s | crc u32 | length u32 | generation u64 | JSON body.
The intact slot with the higher generation is the state.
"""

import contextlib
import struct
import zlib
from pathlib import Path
from threading import Lock

import orjson

from gateway.outbox.files import Files

_MAGIC = b"CFslot1\n"
_HEAD = struct.Struct("<8sIIQ")
_SLOT_BYTES = 4096


class DoubleBufferedFile:
    """One open file of two slots.  One thread writes, another syncs.

    The slots are written in turn.  With `outlives_power_cut` the other slot is used only after the last write is on the
    disk.  A power cut then leaves at least that write, and a torn write costs only what came after it.  Without it the
    state before the last write still survives the end of the process.
    """

    def __init__(self, files: Files, path: Path, *, outlives_power_cut: bool = False) -> None:
        self._files = files
        self._fd = files.open(path, create=True)
        self._generation, self._slot = 0, 1
        self._synced = 0
        """The generation that is on the disk."""
        self._alternates = not outlives_power_cut
        self._lock = Lock()
        self._last = b""
        """The last written slot."""
        self._failed = False
        """Whether the last sync failed: the last write may be lost."""
        self.found: object = None
        """The content of the file when it was opened.  None: it was new or damaged."""
        data = files.read(self._fd, 2 * _SLOT_BYTES, 0)
        self.was_new = not data
        for slot, generation, body in _slots(data):
            if generation > self._generation:
                self._generation, self._slot, self.found = generation, slot, body
        if outlives_power_cut and self._generation:
            with contextlib.suppress(OSError):  # the other slot stays as it is for now
                self._files.sync(self._fd)
                self._synced = self._generation

    @classmethod
    def begun(cls, files: Files, path: Path, body: object) -> "DoubleBufferedFile":
        """A new file that survives a power cut: it exists with this content, or not at all.  Raises `OSError`."""
        files.close(files.put(path, _slot(body, 1)))
        return cls(files, path, outlives_power_cut=True)

    def write(self, body: object) -> None:
        """Write to the operating system: survives the end of the process, but not a power cut.  Raises `OSError`."""
        with self._lock:
            generation, slot = self._generation + 1, self._slot
            if self._alternates or self._synced == self._generation:
                slot = 1 - slot
            data = _slot(body, generation)
            self._files.write(self._fd, data, slot * _SLOT_BYTES)
            self._generation, self._slot, self._last = generation, slot, data

    @staticmethod
    def fits(body: object) -> bool:
        """Whether `write` would accept it."""
        return _HEAD.size + len(orjson.dumps(body)) <= _SLOT_BYTES

    def sync(self) -> None:
        """Bring the last write to the disk.  Raises `OSError`.  The next attempt writes again first, since the page
        cache may have dropped it."""
        with self._lock:
            generation = self._generation
            if self._synced == generation:
                return
            if self._failed:
                self._files.write(self._fd, self._last, self._slot * _SLOT_BYTES)
        self._failed = True
        self._files.sync(self._fd)
        self._failed, self._synced = False, generation

    def close(self) -> None:
        self._files.close(self._fd)


def _slot(body: object, generation: int) -> bytes:
    text = orjson.dumps(body)
    rest = len(text).to_bytes(4, "little") + generation.to_bytes(8, "little") + text
    head = _MAGIC + zlib.crc32(rest).to_bytes(4, "little")
    if len(head) + len(rest) > _SLOT_BYTES:
        raise ValueError("too large for a slot")
    return head + rest


def intact(data: bytes) -> list[tuple[int, object]]:
    """Generation and body of each undamaged slot."""
    return [(generation, body) for _, generation, body in _slots(data)]


def _slots(data: bytes) -> list[tuple[int, int, object]]:
    found: list[tuple[int, int, object]] = []
    for slot, at in enumerate((0, _SLOT_BYTES)):
        if len(data) - at < _HEAD.size:
            continue
        magic, crc, length, generation = _HEAD.unpack_from(data, at)
        rest = data[at + 12 : at + _HEAD.size + length]
        if magic == _MAGIC and length <= _SLOT_BYTES - _HEAD.size and zlib.crc32(rest) == crc:
            found.append((slot, generation, orjson.loads(rest[12:])))
    return found
