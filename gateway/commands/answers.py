"""Answers on their way to a broker: kept in the journal, sent beside the values, and dropped when they are too late.

Answers do not use the outbox.  The outbox gives a message to every broker of a route, but an answer is for one
requester at one broker.  The journal, which is bounded, already has the answers on disk.  So they survive a restart
and an outage of the broker, until `LATEST_S` after their deadline.  Answers that are not in the journal (those to
invalid requests, and `accepted`) are kept in memory, up to a fixed number.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import orjson
import structlog

from gateway.commands.codec import Context
from gateway.commands.codecs.choose import codec_of
from gateway.commands.entries import Entry
from gateway.commands.journal import Journal
from gateway.delivery import Outcome, SharedSession, Verdict
from gateway.errors import Unavailable
from gateway.model import Message, Priority

SHARE = 8
"""The largest number of answers that wait for their PUBACK."""
LATEST_S = 10.0
"""How long an answer is still sent after the deadline, or after the outcome if that came later."""
_MOST_PASSING = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer and its topic."""

    topic: str
    correlation: bytes
    body: Mapping[str, object]
    """In the form of `schema.py`, which the codec converts."""
    until_ns: int
    entry: Entry | None = None
    """Its entry in the journal; None: it is not in the journal."""
    codec: str = "native"
    context: Context = field(default_factory=dict)
    retain: bool = False
    line: bytes = b""
    """What is sent instead of a body: a line of the audit."""

    def message(self, now_ns: int) -> Message:
        left_s = max(1, -(-(self.until_ns - now_ns) // 1_000_000_000))
        if self.retain or self.line:
            payload = self.line.rstrip(b"\n") or orjson.dumps(self.body)
            return Message(self.topic, payload, "", 0, 0, priority=Priority.EVENT, retain=self.retain)
        told = codec_of(self.codec).encode(self.body, self.context)
        topic = f"{self.topic}/{told.below}" if told.below else self.topic
        return Message(
            topic, orjson.dumps(told.body), stream="", seq=0, values=0, priority=Priority.EVENT,
            properties=told.properties, expiry_s=left_s, correlation=self.correlation,
        )  # fmt: skip


def answer_in(entry: Entry) -> Answer:
    """The answer to a request from its journal entry."""
    until_ns = max(entry.deadline_ns, entry.ended_ns) + int(LATEST_S * 1e9)
    return Answer(
        entry.topic, entry.correlation, entry.answer or {}, until_ns, entry, entry.codec, entry.context
    )  # fmt: skip


class Mailbox:
    """The answers that one broker has not received yet."""

    def __init__(
        self, broker: str, journal: Journal, on_lost: Callable[[], None], now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._journal = journal
        self._on_lost = on_lost
        self._now_ns = now_ns
        self._waiting: deque[Answer] = deque()
        self._came = asyncio.Event()
        self._log = structlog.get_logger("gateway.commands").bind(broker=broker)
        self._has_told = False

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, answer: Answer) -> None:
        if answer.entry is None and self._alike(answer) >= _MOST_PASSING:
            self._on_lost()
            return
        self._waiting.append(answer)
        self._came.set()

    def _alike(self, answer: Answer) -> int:
        """How many wait that only memory has: answers, or lines of the audit, each with a bound of its own."""
        return sum(each.entry is None and bool(each.line) == bool(answer.line) for each in self._waiting)

    async def deliver(self, session: SharedSession) -> None:
        """Send waiting answers until the session ends.  Those without a verdict are sent again in the next session."""
        slots, broken = asyncio.Semaphore(SHARE), asyncio.Event()
        while not broken.is_set():
            while not self._waiting:
                self._came.clear()
                await self._came.wait()
            await slots.acquire()
            if broken.is_set():
                return
            answer = self._waiting.popleft()
            if self._now_ns() >= answer.until_ns:
                self._over(answer)
                slots.release()
                continue
            sending = session.send_aside(answer.message(self._now_ns()))
            sending.add_done_callback(partial(self._settle, answer, slots, broken))

    def _settle(
        self, answer: Answer, slots: asyncio.Semaphore, broken: asyncio.Event, sent: "asyncio.Future[Outcome]"
    ) -> None:
        slots.release()
        try:
            outcome = sent.result()
        except (Unavailable, asyncio.CancelledError):
            self._waiting.appendleft(answer)
            broken.set()  # the next session sends it first
            self._came.set()
            return
        if outcome.verdict is not Verdict.DELIVERED:
            self._on_lost()
            if not self._has_told:
                self._log.warning("the broker refuses an answer", topic=answer.topic, reason=outcome.detail)
            self._has_told = True
        self._done(answer)

    def _over(self, answer: Answer) -> None:
        """The requester no longer waits for it.  A repeat of the request gets it from the journal."""
        self._on_lost()
        self._done(answer)

    def _done(self, answer: Answer) -> None:
        if answer.entry is not None and not answer.entry.is_told:
            self._journal.told(answer.entry)
