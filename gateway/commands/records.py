"""Records on the disk: one JSON object a line, with its checksum before it.  Pure.

    1f3a90c2 {"k":"begun","requester":"mes",…}

A line without its end is what a crash left of a write that was never promised: it is cut off.  A whole line whose
checksum is wrong is damage, wherever it stands: something that was promised is not known any more.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

_HEAD = 9


def line_of(record: Mapping[str, object]) -> bytes:
    text = orjson.dumps(record)
    return b"%08x %s\n" % (zlib.crc32(text), text)


@dataclass(frozen=True, slots=True)
class Read:
    """What there is in a file."""

    records: Sequence[Mapping[str, object]]
    """The intact ones, in order."""
    end: int
    """Behind the last whole line."""
    damaged: int
    """Whole lines that are not what was written."""


def read_lines(data: bytes) -> Read:
    end = data.rfind(b"\n") + 1
    records: list[Mapping[str, object]] = []
    damaged = 0
    for line in data[:end].split(b"\n")[:-1]:
        record = _record(line)
        if record is None:
            damaged += 1
        else:
            records.append(record)
    return Read(records, end, damaged)


def _record(line: bytes) -> Mapping[str, object] | None:
    text = line[_HEAD:]
    if line[:_HEAD] != b"%08x " % zlib.crc32(text):
        return None
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None
