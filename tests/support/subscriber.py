"""A subscriber that checks what it gets: every message kept, repeats and gaps told by `stream` and `seq`."""

import itertools
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.programs import wait_until
from tests.support.subscribed import subscribed


@dataclass
class Subscriber:
    """What arrived, in order; filled by the client's own thread."""

    messages: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    connected: threading.Event = field(default_factory=threading.Event)

    @property
    def streams(self) -> dict[str, list[dict[str, object]]]:
        """By stream: the bodies in order of arrival, repeats left out by the rule `seq` <= the highest seen."""
        streams: dict[str, list[dict[str, object]]] = defaultdict(list)
        for _, body in list(self.messages):
            kept = streams[str(body["stream"])]
            if not kept or seq_of(body) > seq_of(kept[-1]):
                kept.append(body)
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
        """(topic, name, value, time) of every value, repeats left out, per stream in order."""
        topics = {str(body["stream"]): topic for topic, body in list(self.messages)}
        return [
            (topics[stream], str(row["name"]), row["value"], str(row["time"]))
            for stream, bodies in self.streams.items()
            for body in bodies
            for row in rows_of(body)
        ]

    @property
    def gaps(self) -> list[dict[str, object]]:
        """Every discontinuity that was announced."""
        return [gap for bodies in self.streams.values() for body in bodies for gap in _list(body.get("gaps"))]

    def wait_values(self, count: int, within_s: float = 120.0) -> None:
        wait_until(lambda: len(self.changes) >= count, f"{count} values at the subscriber", within_s)


def seq_of(body: dict[str, object]) -> int:
    assert isinstance(body["seq"], int)
    return body["seq"]


def rows_of(body: dict[str, object]) -> list[dict[str, object]]:
    return _list(body["values"])


def _list(value: object) -> list[dict[str, object]]:
    return value if isinstance(value, list) else []


@contextmanager
def subscriber(url: str, *topics: str, user: tuple[str, str] | None = None, kept_s: int = 0) -> Iterator[Subscriber]:
    """Subscribed when entered; comes back by itself when the broker does.

    For `kept_s` seconds the broker keeps its session, and with it what comes meanwhile.
    """
    found = Subscriber()

    def take(topic: str, payload: bytes) -> None:
        found.messages.append((topic, json.loads(payload)))

    with subscribed(url, topics or ("factory/#",), take, found.connected, user=user, kept_s=kept_s):
        yield found
