"""A subscriber that checks 20 000 values per second and more: numbering, order, gaps, values, delay.

It knows the values of `tests/support/load_server.py`: in tick *t* the value of tag *n* is `t * tags + n`.  So every
value shows its tag and tick, and only the last tick of each tag must be kept.  `stream` and `seq` alone identify
repeats, as for any consumer.  Reads `json-columns`.
"""

import threading
import time
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import orjson
from numpy.typing import NDArray

from tests.support.subscribed import subscribed

Ints = NDArray[np.int64]
NEVER = -1


@dataclass(frozen=True)
class Skipped:
    """Missing sequence numbers of one stream: the first and the last."""

    stream: str
    first_seq: int
    last_seq: int


@dataclass(frozen=True)
class Hole:
    """Missing values of one topic, between two ticks."""

    stream: str
    first_tick: int
    last_tick: int
    values: int
    skipped: Skipped | None
    """The numbers missing before the message that shows the hole."""


@dataclass(frozen=True)
class Announced:
    """A gap, as announced in a stream."""

    stream: str
    cause: str
    since_s: float
    until_s: float
    count: int | None
    seqs: range
    """The missing numbers, if it names them."""


@dataclass
class LoadChecker:
    """The arrived values, and the problems found.  Filled by the thread of the MQTT client."""

    tags: int
    began_s: float
    """When tick 0 was, Unix time."""
    period_s: float
    values: int = 0
    """Values that arrived, without repeats."""
    messages: int = 0
    repeated_messages: int = 0
    repeated_values: int = 0
    disordered: int = 0
    """Values that came after a later one of their tag, or a second time under another number."""
    overflowed: int = 0
    """Values whose status is not Good."""
    holes: list[Hole] = field(default_factory=list)
    gaps: list[Announced] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)
    first: Ints = field(init=False)
    last: Ints = field(init=False)
    """By tag: the first and the last tick that arrived."""
    delays_s: "array[float]" = field(default_factory=lambda: array("f"))
    """By message, while `quiet`: the delay from the source timestamp of its newest value."""
    quiet: bool = False
    arrived_at_s: float = 0.0
    """When the last message came (monotonic)."""
    connected: threading.Event = field(default_factory=threading.Event)
    _seqs: dict[str, int] = field(default_factory=dict)
    _lists: dict[str, Ints] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._before: dict[str, Skipped] = {}
        """By stream: numbers skipped by a message without values, whose hole shows with the next values."""
        self.first, self.last = np.full((2, self.tags), NEVER, np.int64)

    # -- what a test asks

    @property
    def lag_s(self) -> float:
        """The age of the newest value of the tag with the largest delay."""
        newest = int(self.last.min())
        return time.time() - self.began_s - newest * self.period_s if newest != NEVER else float("inf")

    @property
    def owed(self) -> int:
        """Values between the first and the last tick of every tag, arrived or missing."""
        seen = self.last != NEVER
        return int((self.last[seen] - self.first[seen] + 1).sum())

    @property
    def missing(self) -> int:
        return sum(hole.values for hole in self.holes)

    @property
    def unexplained(self) -> list[Hole]:
        """Holes that no announced gap of their stream covers, by numbers or times."""
        told = self._numbers_told()
        return [
            hole
            for hole in self.holes
            if not _is_told(hole.skipped, told) and not any(self._covers(gap, hole) for gap in self.gaps)
        ]

    @property
    def numbers_missing(self) -> list[str]:
        """Gaps in the numbering of streams that no announced gap names."""
        told = self._numbers_told()
        return [
            f"{each.stream}: {each.first_seq - 1} is followed by {each.last_seq + 1}"
            for each in self.skipped
            if not _is_told(each, told)
        ]

    def _numbers_told(self) -> dict[str, set[int]]:
        told: dict[str, set[int]] = defaultdict(set)
        for gap in self.gaps:
            told[gap.stream].update(gap.seqs)
        return told

    def _covers(self, gap: Announced, hole: Hole) -> bool:
        if gap.seqs:
            return False
        since, until = (self.began_s + tick * self.period_s for tick in (hole.first_tick, hole.last_tick))
        return gap.stream == hole.stream and gap.since_s <= since + 1e-6 and until <= gap.until_s + 1e-6

    # -- what arrives

    def take(self, payload: bytes) -> None:
        """One message."""
        now_s = time.time()
        self.arrived_at_s = time.monotonic()
        body = orjson.loads(payload)
        stream, seq, rows = body["stream"], body["seq"], len(body.get("tag", ()))
        self.messages += 1
        last = self._seqs.get(stream, 0)
        if seq <= last:
            self.repeated_messages += 1
            self.repeated_values += rows
            return
        skipped = Skipped(stream, last + 1, seq - 1) if seq != last + 1 else None
        self.skipped += [skipped] if skipped else []
        self._seqs[stream] = seq
        self.gaps += [_announced(stream, gap) for gap in body.get("gaps", ())]
        if "version" in body:
            numbers = np.array([int(tag["node_id"].rpartition("=")[2]) for tag in body["tags"]])
            known = self._lists.get(body["version"], np.zeros(0, np.int64))
            self._lists[body["version"]] = np.concatenate((known[: body["first"]], numbers))
        elif rows:
            self._check(stream, body, now_s, skipped or self._before.pop(stream, None))
        if skipped and not rows:
            self._before[stream] = skipped

    def _check(self, stream: str, body: dict[str, list[int]], now_s: float, skipped: Skipped | None) -> None:
        tags = self._lists[str(body["tags"])][np.array(body["tag"])]
        ticks, owners = np.divmod(np.array(body["value"], np.int64), self.tags)
        times = np.array(body["time"], np.int64)
        self.problems["values of another tag"] += int((owners != tags).sum())
        drift = times - times[0] - ((ticks - ticks[0]) * round(self.period_s * 1e7))
        self.problems["wrong source times"] += int((drift != 0).sum())
        start_s = datetime.fromisoformat(str(body["start"])).timestamp()
        early_s = self.began_s + int(ticks.min()) * self.period_s
        self.problems["wrong source times"] += abs(start_s - early_s) > 2e-6
        self.overflowed += int(np.count_nonzero(body.get("status", ())))
        self.values += len(ticks)
        self._follow(stream, tags, ticks, skipped)
        if self.quiet:
            self.delays_s.append(now_s - self.began_s - int(ticks.max()) * self.period_s)

    def _follow(self, stream: str, tags: Ints, ticks: Ints, skipped: Skipped | None) -> None:
        """Each value must be the successor of the one before of its tag."""
        order = np.argsort(tags, kind="stable")
        tags, ticks = tags[order], ticks[order]
        begins = np.append(True, tags[1:] != tags[:-1])
        before = np.where(begins, self.last[tags], np.roll(ticks, 1))
        fresh = begins & (before == NEVER)
        self.first[tags[fresh]] = ticks[fresh]
        step = np.where(fresh, 1, ticks - before)
        ends = np.append(begins[1:], True)
        self.last[tags[ends]] = np.maximum(self.last[tags[ends]], ticks[ends])
        self.disordered += int((step < 1).sum())
        late = step > 1
        if late.any():
            first, last, values = (before[late] + 1).min(), (ticks[late] - 1).max(), (step[late] - 1).sum()
            self.holes.append(Hole(stream, int(first), int(last), int(values), skipped))


def _announced(stream: str, gap: dict[str, str | int]) -> Announced:
    since, until, count = gap.get("from_time"), gap.get("to_time"), gap.get("count")
    return Announced(
        stream, str(gap["cause"]), _instant_s(since, 0.0), _instant_s(until, float("inf")),
        count if isinstance(count, int) else None, range(int(gap.get("from_seq", 0)), int(gap.get("to_seq", -1)) + 1),
    )  # fmt: skip


def _is_told(skipped: Skipped | None, told: dict[str, set[int]]) -> bool:
    """Whether announced gaps name all of these numbers.  Gaps without numbers do not count."""
    if skipped is None:
        return False
    return told[skipped.stream].issuperset(range(skipped.first_seq, skipped.last_seq + 1))


def _instant_s(text: str | int | None, otherwise: float) -> float:
    return datetime.fromisoformat(str(text)).timestamp() if text else otherwise


@contextmanager
def load_checker(
    url: str, topic: str, tags: int, began_s: float, period_s: float, client_id: str = "checker"
) -> Iterator[LoadChecker]:
    """Subscribed when entered.  Reconnects by itself when the broker is back."""
    checker = LoadChecker(tags, began_s, period_s)

    def take(_: str, payload: bytes) -> None:
        try:
            checker.take(payload)
        except (ValueError, KeyError, IndexError, TypeError) as error:  # the client would swallow it
            checker.problems[f"unreadable: {error!r}"] += 1

    with subscribed(url, (topic,), take, checker.connected, client_id=client_id):
        yield checker
