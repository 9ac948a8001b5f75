"""A subscriber that checks what it gets: every message kept, repeats and gaps told by `stream` and `seq`.

Reads `json`, and `json-columns` as if it were `json`.
"""

import itertools
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.support.programs import wait_until
from tests.support.subscribed import subscribed


@dataclass
class Subscriber:
    """What arrived, in order; filled by the client's own thread."""

    messages: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    connected: threading.Event = field(default_factory=threading.Event)
    _news: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    _highest: dict[object, int] = field(default_factory=dict)
    _read: int = 0
    _reading: threading.Lock = field(default_factory=threading.Lock)

    @property
    def news(self) -> list[tuple[str, dict[str, object]]]:
        """In order of arrival, repeats left out by the rule `seq` <= the highest seen of a stream."""
        with self._reading:
            for topic, body in itertools.islice(self.messages, self._read, len(self.messages)):
                self._read += 1
                if seq_of(body) > self._highest.get(body["stream"], 0):
                    self._highest[body["stream"]] = seq_of(body)
                    self._news.append((topic, body))
            return list(self._news)

    @property
    def streams(self) -> dict[str, list[dict[str, object]]]:
        """The news by stream."""
        streams: dict[str, list[dict[str, object]]] = defaultdict(list)
        for _, body in self.news:
            streams[str(body["stream"])].append(body)
        return dict(streams)

    @property
    def holes(self) -> list[str]:
        """Every hole in the numbering of a stream, after the first message that was seen of it."""
        return [
            f"{stream}: {seq_of(a)} is followed by {seq_of(b)}"
            for stream, bodies in self.streams.items()
            for a, b in itertools.pairwise(bodies)
            if seq_of(b) != seq_of(a) + 1
        ]

    @property
    def missing(self) -> list[str]:
        """Every hole in the numbering of a stream from 1 on."""
        return self.holes + [
            f"{stream} begins with {seq_of(b[0])}" for stream, b in self.streams.items() if seq_of(b[0]) != 1
        ]

    @property
    def changes(self) -> list[tuple[str, str, object, str]]:
        """(topic, name, value, time) of every value, in order of arrival, repeats left out."""
        return [
            (topic, str(row["name"]), row["value"], str(row["time"]))
            for topic, body in self.news
            for row in rows_of(body)
        ]

    @property
    def gaps(self) -> list[dict[str, object]]:
        """Every discontinuity that was announced."""
        return [gap for bodies in self.streams.values() for body in bodies for gap in _list(body.get("gaps"))]

    def wait_values(self, count: int, within_s: float = 120.0) -> None:
        def enough() -> bool:
            return sum(len(rows_of(body)) for _, body in self.news) >= count

        wait_until(enough, f"{count} values at the subscriber", within_s)


def seq_of(body: dict[str, object]) -> int:
    assert isinstance(body["seq"], int)
    return body["seq"]


def rows_of(body: dict[str, object]) -> list[dict[str, object]]:
    return _list(body.get("values"))


def _list(value: object) -> list[dict[str, object]]:
    return value if isinstance(value, list) else []


def plain(body: dict[str, object], names: dict[tuple[object, int], str]) -> dict[str, object]:
    """A message of `json-columns` as `json` would say it; `names` keeps the lists of tags, by version and number."""
    if "first" in body and isinstance(body["first"], int):
        listed = enumerate(_list(body["tags"]), body["first"])
        names.update({(body["version"], number): str(tag["name"]) for number, tag in listed})
    if "tag" not in body:
        return body
    assert "start" in body or not _list(body["tag"])
    began = datetime.fromisoformat(str(body.get("start", "1970-01-01T00:00:00Z")))
    digit = int(str(body.get("start", "0Z"))[-2])  # the seventh, which a datetime does not hold
    columns = zip(_numbers(body["tag"]), _list(body["value"]), _numbers(body["time"]), strict=True)
    rows = [
        {"name": names[body["tags"], tag], "value": value, "time": _later(began, digit + ticks)}
        for tag, value, ticks in columns
    ]
    return {**body, "values": rows}


def _later(began: datetime, ticks: int) -> str:
    at = began + timedelta(microseconds=ticks // 10)
    return f"{at:%Y-%m-%dT%H:%M:%S.%f}{ticks % 10}Z"


def _numbers(value: object) -> list[int]:
    return value if isinstance(value, list) else []


@contextmanager
def subscriber(url: str, *topics: str, user: tuple[str, str] | None = None, kept_s: int = 0) -> Iterator[Subscriber]:
    """Subscribed when entered; comes back by itself when the broker does.

    For `kept_s` seconds the broker keeps its session, and with it what comes meanwhile.
    """
    found = Subscriber()
    names: dict[tuple[object, int], str] = {}

    def take(topic: str, payload: bytes) -> None:
        found.messages.append((topic, plain(json.loads(payload), names)))

    with subscribed(url, topics or ("factory/#",), take, found.connected, user=user, kept_s=kept_s):
        yield found
