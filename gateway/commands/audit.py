"""The audit: one JSON line for each request, append-only, each with the hash of the line before it.

    audit-000000000001.jsonl   {"seq":1,"prev":"000…","time":"2026-…Z","requester":"mes","operation":"write",…}
    audit-000000004096.jsonl   the number of its first line

A line that was changed, removed or inserted breaks the chain, and `verify` reports it.  Anybody who can write the files
can make a whole new chain.  So keep the hash of the last line, which `verify` prints, in another place.

The audit is split into ten files; the oldest is deleted first.  A crash can leave an incomplete last line.  Nothing was
acknowledged for it, so it is cut off.  A number may then be missing, but the chain stays intact, which distinguishes it
from a removed line.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from gateway.outbox import Files

START = "0" * 64
ACTS = "acts"
"""A folder inside that of the outbox, with the audit of what people did on the live page."""
_NAME = re.compile(r"audit-(\d{12})\.jsonl")
_SHARE = 10
_TAIL_BYTES = 2**20


class AuditFile:
    """The files that lines are appended to.  Every method blocks and may raise `OSError`."""

    def __init__(self, files: Files, folder: Path, most_bytes: int) -> None:
        self._files = files
        self._folder = folder
        self._most_bytes = most_bytes
        self._fd = -1
        self._end = 0
        self._prev = START
        self.seq = 0
        """The number of the last line on disk."""

    def open(self) -> None:
        names = _names(self._files, self._folder)
        for name in reversed(names):  # the newest may be empty, after a crash
            fd = self._files.open(self._folder / name)
            data = self._files.read(fd, self._files.size(fd), 0)
            end = data.rfind(b"\n") + 1
            if end < len(data):
                self._files.truncate(fd, end)
                self._files.sync(fd)
            if end or name == names[0]:
                last = data[:end].rstrip(b"\n").rpartition(b"\n")[2]
                self.seq = _seq_of(last) if last else int(_NAME.fullmatch(name)[1]) - 1  # type: ignore[index]
                self._prev = hash_of(last) if last else START
                self._fd, self._end = fd, end
                return
            self._files.close(fd)
            self._files.remove(self._folder / name)

    def append(self, records: Sequence[Mapping[str, object]]) -> list[bytes]:
        """Append records, sync them, and return their lines.  Records whose `seq` is on disk already are skipped."""
        fresh = [record for record in records if int(str(record["seq"])) > self.seq]
        if not fresh:
            return []
        if self._fd < 0 or self._end >= self._most_bytes // _SHARE:
            self._begin_file(int(str(fresh[0]["seq"])))
        prev, lines = self._prev, list[bytes]()
        for record in fresh:
            line = orjson.dumps({"seq": record["seq"], "prev": prev, **record})
            prev = hash_of(line)
            lines.append(line + b"\n")
        data = b"".join(lines)
        self._files.append(self._fd, data, self._end)
        self._end, self._prev, self.seq = self._end + len(data), prev, int(str(fresh[-1]["seq"]))
        return lines

    def _begin_file(self, seq: int) -> None:
        path = self._folder / f"audit-{seq:012d}.jsonl"
        fd = self._files.open(path, create=True)
        self._files.sync_folder(self._folder)
        if self._fd >= 0:
            self._files.close(self._fd)
        self._fd, self._end = fd, 0
        for name in _names(self._files, self._folder)[:-_SHARE]:
            self._files.remove(self._folder / name)

    def keep_within(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes

    def close(self) -> None:
        if self._fd >= 0:
            self._files.close(self._fd)
            self._fd = -1


def hash_of(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _names(files: Files, folder: Path) -> list[str]:
    return [name for name in files.names(folder) if _NAME.fullmatch(name)]


def _seq_of(line: bytes) -> int:
    """The number of a line.  0: it is damaged, which `verify` reports."""
    try:
        return int(orjson.loads(line)["seq"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return 0


# -- looking at it


@dataclass(frozen=True, slots=True)
class Verified:
    """The result of a check of the chain."""

    first: int
    """Number of the first line.  Earlier ones were deleted with their files."""
    last: int
    head: str
    """Hash of the last line.  A copy kept elsewhere proves later that nothing was changed."""
    problems: tuple[str, ...]


def lines_in(folder: Path) -> Iterator[tuple[str, int, bytes]]:
    """Every line with its file and its line number there, oldest first.  Raises `OSError`."""
    for name in _names(Files(), folder):
        data = (folder / name).read_bytes()
        for number, line in enumerate(data[: data.rfind(b"\n") + 1].split(b"\n")[:-1], 1):
            yield name, number, line


def verify(folder: Path) -> Verified:
    """Follow the chain.  Raises `OSError`."""
    first = last = 0
    prev, problems = "", list[str]()
    for name, number, line in lines_in(folder):
        where = f"{name}:{number}"
        try:
            record = orjson.loads(line)
            seq, told = int(record["seq"]), str(record["prev"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            problems.append(f"{where}: not a line of the audit")
            prev = hash_of(line)
            continue
        first = first or seq
        if prev and told != prev:
            problems.append(f"{where}: the line before it was changed, or a line was removed or inserted")
        if seq <= last:
            problems.append(f"{where}: number {seq} follows {last}")
        last, prev = seq, hash_of(line)
    if first == 1 and not problems and _first_prev(folder) != START:
        problems.append("the first line does not begin the chain")
    return Verified(first, last, prev or START, tuple(problems))


def _first_prev(folder: Path) -> str:
    return next((str(orjson.loads(line)["prev"]) for _, _, line in lines_in(folder)), START)
