"""A disk in memory that behaves like a bad one: it loses unsynced data, tears writes, fills up and fails.

It obeys the physics of a real disk.  A write can be read back at once, but is durable only after a sync.  A failed sync
drops the dirty pages, and the next sync succeeds all the same.  Names become durable when their folder is synced.  A
kill loses no write; a power cut loses any part of the unsynced ones.
"""

import errno
import os
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gateway.outbox import Files

GARBAGE = 0xA5


@dataclass
class Inode:
    cached: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    dirty: list[tuple[int, bytes | None]] = field(default_factory=list)
    """Writes not synced: offset and data; None for a truncation."""
    holder: int | None = None


def _apply(data: bytearray, offset: int, change: bytes | None) -> None:
    if change is None:
        del data[offset:]
        return
    if len(data) < offset:
        data.extend(bytes(offset - len(data)))
    data[offset : offset + len(change)] = change


class Disk:
    """What survives the process: open it with `files()`, once for each life of the process."""

    def __init__(self, capacity: int = 10**9) -> None:
        self.capacity = capacity
        self.names: dict[Path, Inode] = {}
        self.durable_names: dict[Path, Inode] = {}
        self.name_changes: list[tuple[Path, Inode | None]] = []
        self.boots = 1
        self.lock = threading.RLock()
        self.current: SimulatedFiles | None = None
        self.faults: dict[str, list[int]] = {}
        """By operation: errors of the next calls, 0 for success."""
        self.always: dict[str, int] = {}
        """By operation: the error of all calls until it is taken away."""
        self.seen: Callable[[str, Path | None], None] = lambda operation, path: None

    def files(self) -> "SimulatedFiles":
        self.current = SimulatedFiles(self)
        return self.current

    @property
    def used(self) -> int:
        return sum(len(inode.cached) for inode in self.names.values())

    def kill(self) -> None:
        """The process is gone; the page cache stays."""
        with self.lock:
            if self.current is not None:
                self.current.alive = False
            for inode in self.names.values():
                inode.holder = None

    def cut_power(self, rng: random.Random) -> None:
        """The machine is gone; of what was not synced, any part has reached the disk, torn anywhere."""
        with self.lock:
            self.kill()
            self.boots += 1
            for path, inode in self.name_changes[: rng.randint(0, len(self.name_changes))]:
                self._name(self.durable_names, path, inode)
            self.name_changes.clear()
            self.names = dict(self.durable_names)
            for file in {id(each): each for each in self.names.values()}.values():
                self._lose(file, rng)

    def _lose(self, inode: Inode, rng: random.Random) -> None:
        kept = rng.randint(0, len(inode.dirty))
        for n, (offset, change) in enumerate(inode.dirty[: kept + 1]):
            if n == kept and change:
                change = change[: rng.randint(0, len(change))]
                if rng.random() < 0.2:  # the size was written, the data was not
                    change = bytes(len(change))
            elif n == kept:
                continue
            _apply(inode.durable, offset, change)
        inode.dirty.clear()
        inode.cached = bytearray(inode.durable)

    @staticmethod
    def _name(names: dict[Path, Inode], path: Path, inode: Inode | None) -> None:
        if inode is None:
            names.pop(path, None)
        else:
            names[path] = inode


class SimulatedFiles(Files):
    """One process's view of a `Disk`."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.alive = True
        self._open: dict[int, tuple[Path, Inode]] = {}
        self._next = 1000

    def _enter(self, operation: str, path: Path | None = None) -> None:
        if not self.alive:
            raise OSError(errno.EIO, "this process is dead")
        self.disk.seen(operation, path)
        planned = self.disk.faults.get(operation)
        error = planned.pop(0) if planned else self.disk.always.get(operation, 0)
        if error:
            raise OSError(error, os.strerror(error))

    def make_folder(self, folder: Path) -> None:
        self._enter("make_folder", folder)

    def names(self, folder: Path) -> list[str]:
        self._enter("names", folder)
        with self.disk.lock:
            return sorted(path.name for path in self.disk.names if path.parent == folder)

    def open(self, path: Path, *, create: bool = False, write: bool = True) -> int:
        self._enter("open", path)
        with self.disk.lock:
            if path not in self.disk.names:
                if not create:
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
                self._change(path, Inode())
            self._next += 1
            self._open[self._next] = (path, self.disk.names[path])
            return self._next

    def _change(self, path: Path, inode: Inode | None) -> None:
        self.disk.name_changes.append((path, inode))
        Disk._name(self.disk.names, path, inode)

    def close(self, fd: int) -> None:
        inode = self._open.pop(fd)[1]
        if self.alive and inode.holder == fd:
            inode.holder = None

    def size(self, fd: int) -> int:
        self._enter("size", self._open[fd][0])
        return len(self._open[fd][1].cached)

    def read(self, fd: int, size: int, offset: int) -> bytes:
        self._enter("read", self._open[fd][0])
        with self.disk.lock:
            return bytes(self._open[fd][1].cached[offset : offset + size])

    def write(self, fd: int, data: bytes, offset: int) -> None:
        path, inode = self._open[fd]
        with self.disk.lock:
            try:
                self._enter("write", path)
            except OSError:
                self._put(inode, data[: len(data) // 2], offset)
                raise
            grows = max(0, offset + len(data) - len(inode.cached))
            room = self.disk.capacity - self.disk.used
            self._put(inode, data if grows <= room else data[: max(0, len(data) - (grows - room))], offset)
            if grows > room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _put(self, inode: Inode, data: bytes, offset: int) -> None:
        if self.alive and data:
            _apply(inode.cached, offset, data)
            inode.dirty.append((offset, data))

    def sync(self, fd: int) -> None:
        path, inode = self._open[fd]
        with self.disk.lock:
            try:
                self._enter("sync", path)
            except OSError:
                if self.alive:
                    inode.dirty.clear()  # the pages are marked clean and will not be written
                raise
            for offset, change in inode.dirty:
                _apply(inode.durable, offset, change)
            inode.dirty.clear()

    def sync_folder(self, folder: Path) -> None:
        with self.disk.lock:
            self._enter("sync_folder", folder)
            for path, inode in self.disk.name_changes:
                Disk._name(self.disk.durable_names, path, inode)
            self.disk.name_changes.clear()

    def truncate(self, fd: int, size: int) -> None:
        path, inode = self._open[fd]
        with self.disk.lock:
            self._enter("truncate", path)
            _apply(inode.cached, size, None)
            inode.dirty.append((size, None))

    def remove(self, path: Path) -> None:
        with self.disk.lock:
            self._enter("remove", path)
            if path not in self.disk.names:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
            self._change(path, None)

    def rename(self, path: Path, to: Path) -> None:
        with self.disk.lock:
            self._enter("rename", path)
            inode = self.disk.names[path]
            self._change(to, inode)
            self._change(path, None)

    def free_bytes(self, folder: Path) -> int:
        self._enter("free_bytes", folder)
        with self.disk.lock:
            return max(0, self.disk.capacity - self.disk.used)

    def lock(self, fd: int) -> bool:
        self._enter("lock")
        with self.disk.lock:
            inode = self._open[fd][1]
            if inode.holder is not None:
                return False
            inode.holder = fd
            return True

    def boot(self) -> str:
        return f"boot {self.disk.boots}"

    def process(self) -> str:
        return "a simulated process"
