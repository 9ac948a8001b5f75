"""Records on disk: one JSON object on each line, after its checksum.  Pure.

    1f3a90c2 {"k":"begun","requester":"mes",…}

A crash can leave an incomplete last line.  It was never acknowledged and is cut off.  A complete line with a wrong
checksum is damage: an acknowledged record is lost.
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
    """The content of a file."""

    records: Sequence[Mapping[str, object]]
    """The intact records, in order."""
    end: int
    """Offset after the last complete line."""
    damaged: int
    """Number of damaged lines."""


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
