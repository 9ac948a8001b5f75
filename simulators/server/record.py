"""The ground truth: one JSON line for every value the server was given, in the order in which it was given.

    {"node":"nsu=urn:connected-factory:simulator;s=line-1/press-1/Good","value":17,
     "source_time":"2026-11-21T10:45:00.2500000Z","status":0}

A value that equals the one before it (same value, same status) is not given to the server, so each line is one that a
subscriber is owed.  Lines are in the file before any client gets what they say (a killed simulator leaves a true
record), and are added to what the file holds (so does one that is started again).
"""

import contextlib
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import orjson


def instant(time: datetime) -> str:
    """RFC 3339, UTC, seven digits: OPC UA counts in 100 ns, Python in microseconds, so the seventh is 0."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")


class Recorder:
    """Keeps lines in memory until the next flush; without a file it keeps nothing and only counts."""

    def __init__(self, file: BinaryIO | None) -> None:
        self._file = file
        self._lines: list[bytes] = []
        self.written = 0

    def add(self, node: str, content: object, source_time: datetime, code: int) -> None:
        self.written += 1
        if self._file is None:
            return
        if isinstance(content, float) and not math.isfinite(content):
            content = "NaN" if math.isnan(content) else "Infinity" if content > 0 else "-Infinity"
        line = {"node": node, "value": content, "source_time": instant(source_time), "status": code}
        self._lines.append(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def flush(self) -> None:
        if self._file is not None and self._lines:
            self._file.write(b"".join(self._lines))
            self._file.flush()
            self._lines.clear()


@asynccontextmanager
async def recording(path: Path | None) -> AsyncIterator[Recorder]:
    """A recorder that adds to the file `path`; everything is in the file when it ends."""
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(path.open("ab")) if path else None
        recorder = Recorder(file)
        stack.callback(recorder.flush)
        yield recorder
