"""The file operations of the outbox, in one place.

`Files` is the real disk.  Tests replace it with a disk that loses unsynced data, tears writes, fills up and fails.  So
every byte that matters for durability goes through here, and no other module of the package imports `os`.
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
        """The names in a folder, sorted."""
        return sorted(os.listdir(folder))

    def open(self, path: Path, *, create: bool = False, write: bool = True) -> int:
        flags = os.O_RDWR if write else os.O_RDONLY
        return os.open(path, flags | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o640)

    def close(self, fd: int) -> None:
        os.close(fd)

    def size(self, fd: int) -> int:
        return os.fstat(fd).st_size

    def read(self, fd: int, size: int, offset: int) -> bytes:
        """Read `size` bytes.  Fewer only at the end of the file."""
        data = os.pread(fd, size, offset)
        while 0 < len(data) < size:
            more = os.pread(fd, size - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def write(self, fd: int, data: bytes, offset: int) -> None:
        """Write all of `data`.  After an error, any part of it may be written."""
        view = memoryview(data)
        while view:
            written = os.pwrite(fd, view, offset)
            offset += written
            view = view[written:]

    def sync(self, fd: int) -> None:
        """Bring the data and the size of a file to stable storage (fdatasync)."""
        os.fdatasync(fd)

    def append(self, fd: int, data: bytes, end: int) -> None:
        """Write behind the first `end` bytes of a file, and sync.  Raising `OSError`, it has cut the file back."""
        try:
            self.write(fd, data, end)
            self.sync(fd)
        except OSError:
            with contextlib.suppress(OSError):
                self.truncate(fd, end)
            raise

    def sync_folder(self, folder: Path) -> None:
        """Bring the names in a folder to stable storage."""
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
        """Create a durable file with this content and open it.  It replaces an existing one.  It is whole or not there,
        because it is written under another name and then renamed."""
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
        """The bytes that an unprivileged process may still write on this disk."""
        found = os.statvfs(folder)
        return found.f_bavail * found.f_frsize

    def lock(self, fd: int) -> bool:
        """Lock an open file.  False: another process has the lock.  The lock ends with the process at the latest."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def boot(self) -> str:
        """An identifier of this boot of the machine.  It tells a crash of the process from a power cut."""
        try:
            return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()[:36]
        except OSError:
            return ""  # unknown: every start counts as a new boot

    def process(self) -> str:
        """The name of this process for the lock file."""
        return f"process {os.getpid()} on {os.uname().nodename}"
