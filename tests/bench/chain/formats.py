"""What the contestants write, read back: a reader for each format gives the values of a message, by the tag's name.

The formats of the gateway are read as any consumer would, with their own numbering checked on the way.  The scripts'
formats are those a person would choose: one object per value, or a list of them.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from tests.bench.chain.wire import UNIX_EPOCH_TICKS


@dataclass(frozen=True, slots=True)
class Values:
    """The values of one message, and the source times of some of them."""

    names: list[str]
    values: list[float]
    ticks: tuple[int, ...]
    """Of the first and the last value, 100 ns since 1601; of one where it is alone."""


@dataclass
class Stream:
    """Which sequence numbers of a stream have come."""

    last: int
    skipped: set[int] = field(default_factory=set)


@dataclass
class Reading:
    """What a reader remembers from message to message."""

    found: Counter[str] = field(default_factory=Counter)
    streams: dict[str, Stream] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def number(self, body: dict[str, Any]) -> None:
        """Each number of a stream comes once (in which order, the values say), and no gap is announced."""
        name, seq = body["stream"], body["seq"]
        stream = self.streams.setdefault(name, Stream(seq - 1))
        if seq > stream.last:
            stream.skipped.update(range(stream.last + 1, seq))
            stream.last = seq
        elif seq in stream.skipped:
            stream.skipped.remove(seq)
        else:
            self.found["numbers of a stream that came twice"] += 1
        for gap in body.get("gaps", ()):
            self.found[f"a gap announced: {gap.get('cause')}"] += 1

    @property
    def problems(self) -> Counter[str]:
        skipped = sum(len(stream.skipped) for stream in self.streams.values())
        return +(self.found + Counter({"numbers of a stream that did not come": skipped}))


Reader = Callable[[Reading, str, bytes | memoryview], Iterator[Values]]


def ticks_of(text: str) -> int:
    """RFC 3339 with up to seven digits of a second, as 100 ns since 1601."""
    whole, _, part = text.removesuffix("Z").removesuffix("+00:00").partition(".")
    seconds = int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp())
    return seconds * 10_000_000 + int(part.ljust(7, "0")[:7]) + UNIX_EPOCH_TICKS


def _objects(rows: list[dict[str, Any]]) -> Iterator[Values]:
    """Objects with `name`, `value` and `time`."""
    if rows:
        ticks = tuple(ticks_of(row["time"]) for row in (rows[0], rows[-1])[: len(rows)])
        yield Values([row["name"] for row in rows], [row["value"] for row in rows], ticks)


def read_json(reading: Reading, topic: str, payload: bytes | memoryview) -> Iterator[Values]:
    """The gateway's `json`."""
    if not topic.startswith("gateways/"):
        body = orjson.loads(payload)
        reading.number(body)
        yield from _objects(body["values"])


def read_columns(reading: Reading, topic: str, payload: bytes | memoryview) -> Iterator[Values]:
    """The gateway's `json-columns`: a list of tags when it changes, and columns that point into it."""
    if topic.startswith("gateways/"):
        return
    body = orjson.loads(payload)
    reading.number(body)
    if "version" in body:
        known = reading.lists[body["version"]]
        known[body["first"] :] = [tag["name"] for tag in body["tags"]]
    elif body.get("tag"):
        names, start, times = reading.lists[body["tags"]], ticks_of(body["start"]), body["time"]
        ticks = tuple(start + time for time in (times[0], times[-1])[: len(times)])
        yield Values([names[index] for index in body["tag"]], body["value"], ticks)


def read_list(reading: Reading, topic: str, payload: bytes | memoryview) -> Iterator[Values]:
    """A script's message per response: {"values": [{"name", "value", "time"} …]}."""
    yield from _objects(orjson.loads(payload)["values"])


def read_one(reading: Reading, topic: str, payload: bytes | memoryview) -> Iterator[Values]:
    """A script's message per value: {"name", "value", "time"}."""
    yield from _objects([orjson.loads(payload)])


def read_thingsboard(reading: Reading, topic: str, payload: bytes | memoryview) -> Iterator[Values]:
    """ThingsBoard's gateway API: {device: [{"ts": ms, "values": {name: value}} …]}."""
    if topic != "v1/gateway/telemetry":
        return
    for rows in orjson.loads(payload).values():
        for row in rows:
            ticks = (int(row["ts"]) * 10_000 + UNIX_EPOCH_TICKS,)
            yield Values(list(row["values"]), [float(value) for value in row["values"].values()], ticks)


READERS: dict[str, Reader] = {
    "json": read_json,
    "columns": read_columns,
    "list": read_list,
    "one": read_one,
    "thingsboard": read_thingsboard,
}
