"""Answers on their way to a broker: kept in the journal, sent beside the values, and dropped when they are too late.

Answers do not use the outbox.  The outbox gives a message to every broker of a route, but an answer is for one
requester at one broker.  The journal, which is bounded, already has the answers on disk.  So they survive a restart
and an outage of the broker, until `LATEST_S` after their deadline.  What is not in the journal (answers to invalid
requests, `accepted`, announcements, lines of the audit) is kept in memory, up to a fixed number of each kind.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import orjson
import structlog

from gateway.commands.codec import Context
from gateway.commands.codecs.choose import codec_of
from gateway.commands.entries import Entry
from gateway.commands.journal import Journal
from gateway.delivery import Outcome, Verdict
from gateway.errors import Unavailable
from gateway.model import Message, Priority

SHARE = 8
"""The largest number of answers that wait for their PUBACK."""
LATEST_S = 10.0
"""How long an answer is still sent after the deadline, or after the outcome if that came later."""
_MOST_PASSING = 200


class Way(Protocol):
    """What answers are sent on: a session, or the way to who has one."""

    def send_aside(self, message: Message) -> "asyncio.Future[Outcome]":
        """The verdict, or `Unavailable`."""


class Mail(Protocol):
    """What a mailbox sends."""

    @property
    def topic(self) -> str: ...

    @property
    def until_ns(self) -> int:
        """After this time nobody waits for it."""

    @property
    def entry(self) -> Entry | None:
        """Its entry in the journal; None: only memory has it."""

    def message(self, now_ns: int) -> Message: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request."""

    topic: str
    correlation: bytes
    body: Mapping[str, object]
    """In the form of `schema.py`, which the codec converts."""
    until_ns: int
    entry: Entry | None = None
    codec: str = "native"
    context: Context = field(default_factory=dict)

    def message(self, now_ns: int) -> Message:
        left_s = max(1, -(-(self.until_ns - now_ns) // 1_000_000_000))
        told = codec_of(self.codec).encode(self.body, self.context)
        topic = f"{self.topic}/{told.below}" if told.below else self.topic
        return Message(
            topic, orjson.dumps(told.body), stream="", seq=0, values=0, priority=Priority.EVENT,
            properties=told.properties, expiry_s=left_s, correlation=self.correlation,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a codec tells everybody, retained."""

    topic: str
    body: Mapping[str, object]
    until_ns: int
    entry: None = None

    def message(self, now_ns: int) -> Message:
        return Message(self.topic, orjson.dumps(self.body), "", 0, 0, priority=Priority.EVENT, retain=True)


@dataclass(frozen=True, slots=True)
class Question:
    """What a codec asks a cloud for."""

    topic: str
    payload: bytes
    until_ns: int
    entry: None = None

    def message(self, now_ns: int) -> Message:
        return Message(self.topic, self.payload, "", 0, 0, priority=Priority.EVENT)


@dataclass(frozen=True, slots=True)
class AuditLine:
    """A line of the audit, as it stands in its file."""

    topic: str
    line: bytes
    until_ns: int
    entry: None = None

    def message(self, now_ns: int) -> Message:
        return Message(self.topic, self.line.rstrip(b"\n"), "", 0, 0, priority=Priority.EVENT)


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
        self.broker = broker
        self._journal = journal
        self._on_lost = on_lost
        self._now_ns = now_ns
        self._waiting: deque[Mail] = deque()
        self._came = asyncio.Event()
        self._log = structlog.get_logger("gateway.commands").bind(broker=broker)
        self._has_told = False

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, mail: Mail) -> None:
        if mail.entry is None and self._alike(mail) >= _MOST_PASSING:
            self._on_lost()
            return
        self._waiting.append(mail)
        self._came.set()

    def _alike(self, mail: Mail) -> int:
        """How many of this kind wait that only memory has; each kind has a bound of its own."""
        return sum(each.entry is None and type(each) is type(mail) for each in self._waiting)

    async def deliver(self, session: Way) -> None:
        """Send waiting answers until the session ends.  Those without a verdict are sent again in the next session."""
        slots, broken = asyncio.Semaphore(SHARE), asyncio.Event()
        while not broken.is_set():
            while not self._waiting:
                self._came.clear()
                await self._came.wait()
            await slots.acquire()
            if broken.is_set():
                return
            mail = self._waiting.popleft()
            if self._now_ns() >= mail.until_ns:
                self._over(mail)
                slots.release()
                continue
            sending = session.send_aside(mail.message(self._now_ns()))
            sending.add_done_callback(partial(self._settle, mail, slots, broken))

    def _settle(
        self, mail: Mail, slots: asyncio.Semaphore, broken: asyncio.Event, sent: "asyncio.Future[Outcome]"
    ) -> None:
        slots.release()
        try:
            outcome = sent.result()
        except (Unavailable, asyncio.CancelledError):
            self._waiting.appendleft(mail)
            broken.set()  # the next session sends it first
            self._came.set()
            return
        if outcome.verdict is not Verdict.DELIVERED:
            self._on_lost()
            if not self._has_told:
                self._log.warning("the broker refuses an answer", topic=mail.topic, reason=outcome.detail)
            self._has_told = True
        self._done(mail)

    def _over(self, mail: Mail) -> None:
        """The requester no longer waits for it.  A repeat of the request gets it from the journal."""
        self._on_lost()
        self._done(mail)

    def _done(self, mail: Mail) -> None:
        if mail.entry is not None and not mail.entry.is_told:
            self._journal.told(mail.entry)
