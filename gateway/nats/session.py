"""One session with a NATS server: every publish asks for JetStream's acknowledgement.

A publish names a subject of ours for its answer, and the last token of that is its number.  What nobody takes is
answered at once with 503 (no responders); what we may not publish with an `-ERR` that names the subject, in the order
of publishes.

**Order.**  Servers alone (not in a cluster) take what comes on one connection in its order, so a window of messages is
under way.  In a cluster a message may be lost on its way to the stream's leader while a later one reaches the next
leader.  So there each of our streams has one message under way, and others follow when it is acknowledged; many streams
share the window.  One that is not acknowledged soon is sent again with its id, by which JetStream knows it.
"""

import asyncio
import json
import math
import re
import secrets
import socket
import ssl
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import gateway.nats.verdicts as verdicts
import gateway.nats.wire as wire
from gateway.delivery import LateStage, Outcome, Packet
from gateway.delivery.inflight import InFlight, unsent_bytes
from gateway.delivery.line_rate import LineRate
from gateway.delivery.passing import fail, hand_on
from gateway.errors import Rejected, Unavailable
from gateway.model import Message
from gateway.nats.subjects import subject_of
from gateway.tcp import explain
from gateway.tls import shown_expires_s
from gateway.urls import Url

AGAIN_S = 0.25
"""After how long a message is sent again that found no leader."""
SILENT_S = 5.0
"""After how long one is sent again, in a cluster, that got no answer."""
SHARE_OF_TIMEOUT = 0.6
"""A message that finds no leader for this share of `ack_timeout` is refused for now."""
_STREAMS = "$JS.API.STREAM.NAMES"
_DENIED = re.compile(r"Permissions Violation for (Publish|Subscription) to \"([^\"]*)\"", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Settings:
    """Of one session."""

    window: int
    ack_timeout_s: float
    keep_alive_s: float
    inbox: str = "_INBOX"
    stream: str | None = None
    """The JetStream stream that must take the messages."""
    maximum_bytes: int | None = None
    """The longest message to send, if it is less than the server announces."""
    late: Callable[[], LateStage] | None = None
    line: LineRate | None = None


@dataclass(slots=True)
class _Sent:
    """A message under way."""

    number: int
    stream: str
    subject: str
    frame: bytes
    """To send it again, in a cluster; else empty once it is sent."""
    first_s: float = 0.0
    last_s: float = 0.0


class NatsSession(asyncio.Protocol):
    """A connection, and the contract of `gateway/delivery`.  Made by `gateway/nats/connect.py`."""

    def __init__(self, url: Url, sock: socket.socket, settings: Settings) -> None:
        self._loop = asyncio.get_running_loop()
        self._url, self._sock, self._settings = url, sock, settings
        self.address = str(url)
        self.window = settings.window
        self.has_forgotten = False
        self.certificate_ends_s = math.nan
        self.info: Mapping[str, object] = {}
        self.informed: asyncio.Future[None] = self._loop.create_future()
        self.accepted: asyncio.Future[None] = self._loop.create_future()
        self.lost: asyncio.Future[None] = self._loop.create_future()
        for future in (self.informed, self.accepted):
            future.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be waiting
        self.in_flight = InFlight(
            self.address, settings.ack_timeout_s, self._hang_up, self._unsent, settings.line or LineRate()
        )
        self._late = settings.late() if settings.late is not None else None
        self._parser = wire.Parser()
        self._transport: asyncio.Transport | None = None
        self._outgoing: list[bytes] = []
        self._inbox = f"{settings.inbox}.{secrets.token_hex(8)}"
        self._last_id = 0
        self._sent: dict[int, _Sent] = {}
        self._busy: dict[str, deque[tuple[_Sent, asyncio.Future[Outcome]]]] = {}
        """In a cluster: what waits, by stream, behind the one that is under way."""
        self._queued = 0
        self._asked: dict[str, list[int]] = {}
        """By subject: the messages that wait for who takes it."""
        self._questions: dict[int, str] = {}
        self._heard_s = self._loop.time()
        self._timers: set[asyncio.TimerHandle] = set()

    # What the session is asked for.

    @property
    def is_clustered(self) -> bool:
        return bool(self.info.get("cluster"))

    @property
    def _most(self) -> int:
        announced = self.info.get("max_payload")
        most = announced if isinstance(announced, int) and announced > 0 else 2**20
        return min(most, self._settings.maximum_bytes or most)

    @property
    def most_bytes(self) -> int:
        return self.in_flight.most_bytes(self._most)

    def send(self, message: Message) -> asyncio.Future[Outcome]:
        if self.in_flight.is_broken:
            return self.in_flight.failed()
        if self._late is not None:
            message = self._late.dress(message)
        framed = self._framed(message)
        if isinstance(framed, Outcome):
            return self.in_flight.settled(framed)
        if len(self.in_flight.open) + self._queued >= self.window:
            raise RuntimeError(f"more than {self.window} messages are open")
        if self._late is not None:
            self._late.sent(message)
        subject, headers = framed
        self._last_id += 1
        reply = f"{self._inbox}.{self._last_id}".encode()
        frame = wire.publish(subject.encode(), message.payload, reply, headers)
        sent = _Sent(self._last_id, message.stream, subject, frame)
        if not self.is_clustered or not message.stream:
            return self._begin(sent)
        if (waiting := self._busy.get(message.stream)) is not None:
            future: asyncio.Future[Outcome] = self._loop.create_future()
            waiting.append((sent, future))
            self._queued += 1
            return future
        self._busy[message.stream] = deque()
        return self._begin(sent)

    def tell(self, message: Message) -> Outcome | None:
        if self.in_flight.is_broken:
            return None
        if self._late is not None:
            message = self._late.dress(message)
        framed = self._framed(message)
        if isinstance(framed, Outcome):
            return framed
        if self._late is not None:
            self._late.sent(message)
        subject, headers = framed
        self._write(wire.publish(subject.encode(), message.payload, b"", headers))
        return None

    async def arrivals(self, *topics: str) -> AsyncGenerator[Packet, None]:
        """Commands do not come by NATS; `gateway validate` says so."""
        raise Rejected("subscription_refused", "commands are not taken from NATS")
        yield Packet("", b"")  # makes it a generator

    def arrived(self) -> Sequence[Packet]:
        return ()

    async def wait_closed(self) -> None:
        await self.in_flight.wait_broken()

    def log_in(self, said: Mapping[str, object]) -> None:
        """Send CONNECT, subscribe to acknowledgements, and ask for a sign that both are accepted (`accepted`)."""
        self._write(b"CONNECT " + json.dumps(said).encode() + b"\r\n")
        self._write(wire.subscribe(f"{self._inbox}.*".encode(), 1))
        self._write(wire.PING)

    def say_goodbye(self) -> None:
        """Close when all is sent."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    # Messages and their answers.

    def _framed(self, message: Message) -> tuple[str, bytes] | Outcome:
        """Subject and headers; or why it is not sent."""
        try:
            subject = subject_of(message.topic)
        except ValueError as error:
            return verdicts.invalid(str(error))
        pairs = [("Nats-Msg-Id", f"{message.stream}:{message.seq}")] if message.stream else []
        if message.content_type:
            pairs.append(("Content-Type", message.content_type))
        if message.expiry_s:
            pairs.append(("Nats-TTL", f"{message.expiry_s}s"))
        if self._settings.stream is not None:
            pairs.append(("Nats-Expected-Stream", self._settings.stream))
        headers = wire.headers_of([*pairs, *message.properties])
        if (size := len(headers) + len(message.payload)) > self._most:
            return verdicts.too_large(size, self._most)
        return subject, headers

    def _begin(self, sent: _Sent) -> asyncio.Future[Outcome]:
        sent.first_s = sent.last_s = self._loop.time()
        self._sent[sent.number] = sent
        self._write(sent.frame)
        future = self.in_flight.add(sent.number, len(sent.frame))
        if not self.is_clustered:
            sent.frame = b""
        if sent.stream in self._busy:
            future.add_done_callback(lambda _: self._next_of(sent.stream))
        return future

    def _next_of(self, stream: str) -> None:
        """In a cluster: the next message of a stream, now that the one before has its verdict."""
        if self.in_flight.is_broken or (waiting := self._busy.get(stream)) is None:
            return
        if not waiting:
            del self._busy[stream]
            return
        sent, future = waiting.popleft()
        self._queued -= 1
        self._begin(sent).add_done_callback(lambda done: hand_on(future, done))

    def _settle(self, number: int, outcome: Outcome) -> None:
        self._sent.pop(number, None)
        self.in_flight.settle(number, outcome)

    def _answered(self, arrived: wire.Arrived) -> None:
        last = arrived.subject.rpartition(".")[2]
        number = int(last) if last.isdigit() else 0
        if number in self._questions:
            self._learnt(number, arrived)
        elif (sent := self._sent.get(number)) is None:
            self.in_flight.stray("acknowledgements")  # of one that was sent twice
        elif arrived.status == verdicts.NO_RESPONDERS:
            self._ask_who_takes(sent.subject, number)
        else:
            outcome = verdicts.outcome_of(arrived.payload)
            if outcome.code in verdicts.WITHOUT_LEADER:
                self._without_leader(number)
            else:
                self._settle(number, outcome)

    def _ask_who_takes(self, subject: str, number: int) -> None:
        """Whether there is a stream for a subject that nobody answers for."""
        waiting = self._asked.setdefault(subject, [])
        waiting.append(number)
        if len(waiting) > 1:
            return
        self._last_id += 1
        self._questions[self._last_id] = subject
        question = json.dumps({"subject": subject}).encode()
        self._write(wire.publish(_STREAMS.encode(), question, f"{self._inbox}.{self._last_id}".encode()))

    def _learnt(self, number: int, arrived: wire.Arrived) -> None:
        subject = self._questions.pop(number)
        waiting = self._asked.pop(subject, [])
        answer = json.loads(arrived.payload) if arrived.payload else {}
        is_answer = isinstance(answer, dict) and "error" not in answer and not arrived.status
        for each in waiting:
            if is_answer and not answer.get("streams"):
                self._settle(each, verdicts.no_stream(subject, is_certain=True))
            else:
                self._without_leader(each)

    def _without_leader(self, number: int) -> None:
        """A message that nobody can take now.  In a cluster it is sent again; else another session must."""
        if (sent := self._sent.get(number)) is None:
            return
        if not self.is_clustered:
            self.in_flight.break_off(
                f"{self.address} has no JetStream that answers: is it enabled for this account?", cause="answer"
            )
        elif self._loop.time() - sent.first_s > SHARE_OF_TIMEOUT * self._settings.ack_timeout_s:
            self._settle(number, verdicts.no_leader())
        else:
            self._later(AGAIN_S, lambda: self._again(number))

    def _again(self, number: int) -> None:
        if (sent := self._sent.get(number)) is not None and not self.in_flight.is_broken:
            sent.last_s = self._loop.time()
            self._write(sent.frame)

    def _refused(self, text: str) -> None:
        """An `-ERR`.  All but a missing permission end the session."""
        denied = _DENIED.search(text)
        if denied is None:
            self._give_up(f"{self.address} ends the session: {text}")
        elif denied[1].lower() == "subscription":
            self._give_up(
                f"{self.address} does not let this login subscribe to {denied[2]}, where acknowledgements arrive"
            )
        elif denied[2].startswith("$JS.API."):
            for subject in list(self._asked):
                for number in self._asked.pop(subject):
                    self._settle(number, verdicts.no_stream(subject, is_certain=False))
        else:
            first = next((number for number, sent in self._sent.items() if sent.subject == denied[2]), None)
            if first is not None:
                self._settle(first, verdicts.not_authorized(denied[2]))

    def _give_up(self, why: str) -> None:
        if not self.accepted.done():
            self.accepted.set_exception(Unavailable(why))
        self.in_flight.break_off(why)

    # The connection.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # that of uvloop is none by name
        shown: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        if shown is not None:
            self.certificate_ends_s = shown_expires_s(shown.getpeercert())
        self._beat()

    def data_received(self, data: bytes) -> None:
        self._heard_s = self._loop.time()
        try:
            for each in self._parser.feed(data):
                if isinstance(each, wire.Arrived):
                    self._answered(each)
                else:
                    self._said(each)
                if self.in_flight.is_broken:
                    return
        except ValueError as error:
            self._give_up(f"{self.address} sent what is not NATS: {error}")

    def _said(self, line: wire.Said) -> None:
        if line.word == "PING":
            self._write(wire.PONG)
        elif line.word == "PONG":
            if not self.accepted.done():
                self.accepted.set_result(None)
        elif line.word == "-ERR":
            self._refused(line.rest.strip("'"))
        elif line.word == "INFO":
            self.inform(line.rest)

    def inform(self, text: str) -> None:
        """Take an INFO.  Raises `ValueError`."""
        info = json.loads(text)
        if not isinstance(info, dict):
            raise ValueError("an INFO that says nothing")  # noqa: TRY004 - the peer's mistake
        self.info = info
        if not self.informed.done():
            self.informed.set_result(None)
        if info.get("ldm"):
            self.in_flight.break_off(f"{self.address} is about to end (lame duck mode)")

    def connection_lost(self, exc: Exception | None) -> None:
        why = f"{self.address} {explain(exc, self._url)}" if exc else f"{self.address} cut the connection"
        for future in (self.informed, self.accepted):
            if not future.done():
                future.set_exception(Unavailable(why, "cut"))
        self.in_flight.break_off(why, was_cut=True, cause="cut")
        if not self.lost.done():
            self.lost.set_result(None)

    def _write(self, data: bytes) -> None:
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(data)

    def _flush(self) -> None:
        if self._outgoing and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._outgoing))
        self._outgoing = []

    def _unsent(self) -> int:
        if self._transport is None:
            return 0
        waiting = self._transport.get_write_buffer_size() + sum(map(len, self._outgoing))
        return waiting + unsent_bytes(self._sock)

    def _later(self, wait_s: float, then: Callable[[], None]) -> None:
        def run() -> None:
            self._timers.discard(timer)
            then()

        timer = self._loop.call_later(wait_s, run)
        self._timers.add(timer)

    def _beat(self) -> None:
        """Keep-alive, and what in a cluster is silent for long."""
        now_s, keep_s = self._loop.time(), self._settings.keep_alive_s
        if now_s - self._heard_s >= 1.5 * keep_s and not self.in_flight.is_slow:
            self._give_up(f"{self.address} is silent for {now_s - self._heard_s:.1f} s, more than the keep-alive")
            return
        if now_s - self._heard_s >= 0.7 * keep_s:
            self._write(wire.PING)
        if self.is_clustered and not self._unsent():
            for number, sent in self._sent.items():
                if now_s - sent.last_s >= SILENT_S:
                    self._again(number)
        self._later(min(1.0, keep_s / 5), self._beat)

    def _hang_up(self) -> None:
        for timer in self._timers:
            timer.cancel()
        why = Unavailable(f"the session with {self.address} is over", "cut")
        for waiting in self._busy.values():
            for _, future in waiting:
                fail(future, why)
        self._busy, self._sent, self._queued = {}, {}, 0
        if self._transport is not None and not self._transport.is_closing():
            self._transport.abort()
