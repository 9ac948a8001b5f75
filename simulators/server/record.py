"""The ground truth: one JSON line for every value written to the server, in order.

    {"node":"nsu=urn:connected-factory:simulator;s=line-1/press-1/Good","value":17,
     "source_time":"2026-11-21T10:45:00.2500000Z","status":0}

A value equal to the last one (same value, same status) is not written, so every line is a value that each subscriber
must get.  A line is in the file before any client gets its value, so the record of a killed simulator is true.  A
restarted simulator appends to the file.
"""

import base64
import contextlib
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO

import orjson
from asyncua import ua


def instant(time: datetime) -> str:
    """RFC 3339, UTC, seven digits.  OPC UA counts 100 ns, Python microseconds, so the seventh digit is 0."""
    utc = time if time.tzinfo is UTC else time.astimezone(UTC)
    return f"{utc.replace(tzinfo=None).isoformat(timespec='microseconds')}0Z"


def plain(content: object) -> object:
    """The JSON form of a value of any OPC UA type that we serve."""
    if content is None or isinstance(content, bool | int | str):
        return int(content) if isinstance(content, IntEnum) else content
    if isinstance(content, float):
        return float(content) if math.isfinite(content) else NOT_NUMBERS[str(float(content))]
    if isinstance(content, list | tuple):
        return [plain(each) for each in content]
    if isinstance(content, bytes):
        return base64.b64encode(content).decode()
    if isinstance(content, datetime):
        return instant(content)
    if isinstance(content, ua.NodeId):
        return content.to_string()
    if isinstance(content, ua.StatusCode):
        return content.value
    if isinstance(content, ua.LocalizedText):
        return {"locale": content.Locale, "text": content.Text}
    if is_dataclass(content):
        return {f.name: plain(getattr(content, f.name)) for f in fields(content) if f.name != "Encoding"}
    return str(content)


NOT_NUMBERS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


class Recorder:
    """Keeps lines in memory until the next flush.  Without a file it only counts."""

    def __init__(self, file: BinaryIO | None) -> None:
        self._file = file
        self._lines: list[bytes] = []
        self.keeps = file is not None
        self.written = 0
        """How many values have been written to variables since the servers were built."""

    def add(self, node: str, content: object, source_time: datetime, code: int) -> None:
        line = {"node": node, "value": plain(content), "source_time": instant(source_time), "status": code}
        self._lines.append(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def flush(self) -> None:
        if self._file is not None and self._lines:
            self._file.write(b"".join(self._lines))
            self._file.flush()
            self._lines.clear()


@asynccontextmanager
async def recording(path: Path | None) -> AsyncIterator[Recorder]:
    """A recorder that appends to the file `path`.  At the end everything is in the file."""
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(path.open("ab")) if path else None
        recorder = Recorder(file)
        stack.callback(recorder.flush)
        yield recorder
