"""Segment files: names, headers, and the facts that the outbox keeps about each.

A segment belongs to one lane (`lanes.py`) and is named `<lane>-<number of its first record>.seg`.  Header:

    magic "CFoutbx1" | crc u32 | length u32 | JSON body | records …

The body holds the format version, the epoch, the end of the lane, the numbers of all routes, the counters of all
streams and the last checkpoints of all sources at that moment.  So a segment can be read alone, and counters outlive
older segments.
"""

import base64
import re
import struct
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.model import Priority
from gateway.outbox.recent import RecentRecords

PRIORITIES = tuple(Priority)
LAST_LANE = 84 * len(PRIORITIES) + len(PRIORITIES) - 1
"""A record has one byte for the lane."""
FORMAT_VERSION = 1
_MAGIC = b"CFoutbx1"
_HEAD = struct.Struct("<8sII")
_LANE_BITS = 8
_LANE_MASK = 2**_LANE_BITS - 1
_NAME = re.compile(r"^([0-9]{1,3})-([0-9]{16})\.seg$")


class Header(BaseModel):
    """The body of a segment's header."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    version: int = FORMAT_VERSION
    epoch: str
    lane: int
    first: int
    """Number of the first record."""
    previous_end: int
    """The end of the previous segment, as far as known.  A hole up to `first` has been announced already."""
    values_before: int
    """The sum of values of all records of the lane before this segment."""
    appended_ns: int
    clock_ns: int
    streams: dict[str, tuple[int, int, int]] = {}
    """For each stream of any lane: lane, last sequence number, sum of values."""
    checkpoints: dict[str, tuple[int, str]] = Field(default={}, alias="marks")
    """For each source: position among all checkpoints, token (base64)."""
    routes: dict[str, int] = {}
    """The number of each route that has a name."""


def encode_header(header: Header) -> bytes:
    body = orjson.dumps(header.model_dump(by_alias=True))
    length = len(body).to_bytes(4, "little")
    return _MAGIC + zlib.crc32(length + body).to_bytes(4, "little") + length + body


def decode_header(data: bytes) -> tuple[Header, int] | None:
    """The header and the offset of the first record.  None: damaged, or of another format."""
    if len(data) < _HEAD.size:
        return None
    magic, crc, length = _HEAD.unpack_from(data)
    rest = data[12 : _HEAD.size + length]
    if magic != _MAGIC or len(rest) != 4 + length or zlib.crc32(rest) != crc:
        return None
    try:
        header = Header.model_validate_json(rest[4:])
    except ValidationError:
        return None
    return (header, _HEAD.size + length) if header.version == FORMAT_VERSION else None


def header_bytes(data: bytes) -> int | None:
    """The size of the header, as its start states it.  None: this is no header."""
    if len(data) < _HEAD.size or not data.startswith(_MAGIC):
        return None
    return _HEAD.size + int.from_bytes(data[12:16], "little")


def token_text(token: bytes) -> str:
    return base64.b64encode(token).decode()


def token_bytes(text: str) -> bytes:
    return base64.b64decode(text)


def name_of(lane: int, first: int) -> str:
    return f"{lane}-{first:016d}.seg"


def parse_name(name: str) -> tuple[int, int] | None:
    """Lane and first number.  None: not the name of a segment."""
    match = _NAME.match(name)
    if match is None or int(match[1]) > LAST_LANE or name != name_of(int(match[1]), int(match[2])):
        return None
    return int(match[1]), int(match[2])


def salt_of(name: str) -> int:
    """The seed of all checksums of a segment."""
    return zlib.crc32(name.encode())


@dataclass(slots=True)
class Segment:
    """The durable part of one segment file."""

    lane: int
    first: int
    end: int
    """One more than the number of its last record."""
    body: int
    """Offset of the first record."""
    size: int
    values_before: int
    values_end: int
    clock_ns: int
    """Age-clock time at which it was started."""
    last_clock_ns: int

    @property
    def name(self) -> str:
        return name_of(self.lane, self.first)


@dataclass(slots=True)
class Lane:
    """The segments of one route and priority, oldest first.  The last one is being written, or was when the last run
    ended."""

    index: int
    segments: deque[Segment] = field(default_factory=deque)
    end: int = 0
    """The number of the next durable record."""
    values_end: int = 0
    recent: RecentRecords = field(default_factory=RecentRecords)

    @property
    def first(self) -> int:
        """The number of the oldest record."""
        return self.segments[0].first if self.segments else self.end

    @property
    def behind(self) -> tuple[int, int]:
        """The end of its last record, and the values up to there.  After a loss that is below `end`."""
        return (self.segments[-1].end, self.segments[-1].values_end) if self.segments else (self.end, self.values_end)

    def holding(self, number: int) -> Segment | None:
        """The segment with this number, or the first one behind it.  None: there is none yet."""
        for segment in self.segments:
            if segment.end > number:
                return segment
        return None


def number_of(lane: int, position: int) -> int:
    """Combine lane and position into one number."""
    return position << _LANE_BITS | lane


def place_of(number: int) -> tuple[int, int]:
    """Split such a number into lane and position."""
    return number & _LANE_MASK, number >> _LANE_BITS


def segments_of(lanes: Iterable[Lane]) -> Iterator[Segment]:
    for lane in lanes:
        yield from lane.segments
