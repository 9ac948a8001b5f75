"""The file operations the outbox needs, behind one seam.

`Files` is the real disk.  Tests replace it with one that loses what was not synced, tears, fills up and fails: so every
byte that matters to durability goes through here, and nothing else of the package imports `os`.
"""

import contextlib
import fcntl
import os
from pathlib import Path


class Files:
    """The operating system's files.  Every method may raise `OSError`."""

    def make_folder(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)

    def names(self, folder: Path) -> list[str]:
        """What is in a folder, in order of name."""
        return sorted(os.listdir(folder))

    def open(self, path: Path, *, create: bool = False, write: bool = True) -> int:
        flags = os.O_RDWR if write else os.O_RDONLY
        return os.open(path, flags | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o640)

    def close(self, fd: int) -> None:
        os.close(fd)

    def size(self, fd: int) -> int:
        return os.fstat(fd).st_size

    def read(self, fd: int, size: int, offset: int) -> bytes:
        """Up to `size` bytes: fewer only at the end of the file."""
        data = os.pread(fd, size, offset)
        while 0 < len(data) < size:
            more = os.pread(fd, size - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def write(self, fd: int, data: bytes, offset: int) -> None:
        """All of `data`, or an error with any part of it written."""
        view = memoryview(data)
        while view:
            written = os.pwrite(fd, view, offset)
            offset += written
            view = view[written:]

    def sync(self, fd: int) -> None:
        """The data and the size of a file on stable storage (fdatasync)."""
        os.fdatasync(fd)

    def sync_folder(self, folder: Path) -> None:
        """The names in a folder on stable storage."""
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def remove(self, path: Path) -> None:
        os.unlink(path)

    def rename(self, path: Path, to: Path) -> None:
        os.rename(path, to)

    def put(self, path: Path, data: bytes) -> int:
        """A durable file with just this in it, in the place of any that was there, and open: whole or not at all,
        because it is written beside and then renamed."""
        beside = path.with_name(f"{path.name}.new")
        fd = self.open(beside, create=True)
        try:
            self.truncate(fd, 0)
            self.write(fd, data, 0)
            self.sync(fd)
            self.rename(beside, path)
            self.sync_folder(path.parent)
        except OSError:
            self.close(fd)
            with contextlib.suppress(OSError):
                self.remove(beside)
            raise
        return fd

    def free_bytes(self, folder: Path) -> int:
        """What an unprivileged process may still write on this disk."""
        found = os.statvfs(folder)
        return found.f_bavail * found.f_frsize

    def lock(self, fd: int) -> bool:
        """Take the lock on an open file; False when somebody else has it.  It ends with the process at the latest."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def boot(self) -> str:
        """What differs after every start of the machine: tells a crash of the process from a loss of power."""
        try:
            return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()[:36]
        except OSError:
            return ""  # unknown: then every start counts as one of the machine

    def process(self) -> str:
        """Who we are, for the lock file."""
        return f"process {os.getpid()} on {os.uname().nodename}"
