"""The desk of a member of a group: requests come to who has the broker, and are performed by who has the source.

    PUBLISH ─ who has the broker ─► box of the source ─► who has the source: as on one machine (`desk.py`) ─┐
    PUBACK when the box has it                                                                              │
    answer ◄─ who has the broker ◄─ box of the broker ◄───────────────────────────────────── mailbox ◄──────┘

A request stays in its box until its record is in the journal, and an answer until the broker has it.  So a member may
end anywhere in between: who comes next finds both, and knows a request that it has seen by its id.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from typing import Any

import msgspec
from msgspec.structs import replace

from gateway.cancellation import unless_asked
from gateway.commands.answers import Mailbox, answer_in
from gateway.commands.arrival import Arrival, read
from gateway.commands.codecs.choose import codec_of
from gateway.commands.desk import Desk
from gateway.commands.entries import Entry
from gateway.commands.group_journal import GroupJournal
from gateway.commands.request import ITSELF
from gateway.commands.ways import Boxes, SourceLog
from gateway.delivery import DELIVERED, Outcome, Packet, SharedSession, Verdict
from gateway.errors import Rejected, Unavailable
from gateway.model import Message
from gateway.operations import Operations

LOOK_EVERY_S = 0.1
"""How soon a source that was claimed is noticed."""
CONNECT_S = 10.0
"""How long requests wait after a take-over until the source is connected."""


NAMES_AGAIN_S = 1200.0
"""How often names are shown again, before the post forgets them."""


class Request(msgspec.Struct, array_like=True):
    """A request on its way to who has its source."""

    broker: str
    received_ns: int
    topic: str
    payload: bytes
    content_type: str
    properties: dict[str, str]
    is_retained: bool
    response_topic: str
    correlation: bytes
    expiry_s: int | None

    @property
    def packet(self) -> Packet:
        return Packet(
            self.topic, self.payload, self.content_type, self.properties, self.is_retained, self.response_topic,
            self.correlation, self.expiry_s,
        )  # fmt: skip


class Reply(msgspec.Struct, array_like=True):
    """An answer on its way to who has its broker."""

    put_ns: int
    message: Message


_REQUEST, _REPLY = msgspec.msgpack.Decoder(Request), msgspec.msgpack.Decoder(Reply)
_NAMES = msgspec.msgpack.Decoder(list[str])
_ENCODER = msgspec.msgpack.Encoder()


class GroupDesk(Desk):
    """Made by `open_desk`.  Its journal is a `GroupJournal`."""

    def __init__(self, boxes: Boxes, logs: Mapping[str, SourceLog], *words: Any) -> None:
        """`logs` are those of the sources that this member has; the rest is as for a `Desk`."""
        self.boxes = boxes
        self.logs = logs
        self._connected = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None
        self._named: dict[str, Sequence[str]] = {}
        """What the rules name on servers that other members are connected to, by source."""
        super().__init__(*words)

    async def run(self) -> None:
        await self.boxes.open()
        async with asyncio.TaskGroup() as self._tasks:
            for mailbox in self._mailboxes.values():
                self._post_from(mailbox)
            self._tasks.create_task(unless_asked(super().run), name="keep the journal of commands")
            followed: dict[str, asyncio.Task[None]] = {}
            adopted: dict[str, tuple[SourceLog, asyncio.Task[None]]] = {}
            while True:
                for source, (log, task) in list(adopted.items()):
                    if self.logs.get(source) is not log or task.done():
                        task.cancel()
                        del adopted[source]
                        self._group_journal.release(source)
                for source, log in list(self.logs.items()):
                    if source not in adopted and not log.is_ending:
                        self._adopt(self._group_journal.adopt(source, log))
                        task = self._tasks.create_task(self._attend(source, log), name=f"requests for {source}")
                        adopted[source] = log, task
                self._follow_named(self._tasks, followed)
                await asyncio.sleep(LOOK_EVERY_S)

    def _known(self) -> Mapping[str, Sequence[str]]:
        return {**self._named, **super()._known()}

    @property
    def _are_names_needed(self) -> bool:
        return any(codec_of(each.format).is_by_name for each in self._config.codecs)

    def _follow_named(self, tasks: asyncio.TaskGroup, followed: dict[str, "asyncio.Task[None]"]) -> None:
        """Read the names of every source of the rules, where requests name variables alone."""
        rules = self._config.rules if self._are_names_needed else ()
        wanted = {rule.source for rule in rules if rule.source is not None}
        for source in followed.keys() - wanted:
            followed.pop(source).cancel()
            self._named.pop(source, None)
        for source in wanted - followed.keys():
            followed[source] = tasks.create_task(self._follow(source), name=f"names of {source}")

    async def _follow(self, source: str) -> None:
        at = 0
        while True:
            at, letter = (await self.boxes.read(f"names/{source}", at))[-1]
            self._named[source] = _NAMES.decode(letter)

    @property
    def _group_journal(self) -> GroupJournal:
        assert isinstance(self.journal, GroupJournal)
        return self.journal

    # -- who has the broker

    async def _serve(self, broker: str, session: SharedSession) -> None:
        await self.boxes.open()
        self._announce(broker)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._receive(broker, session), name=f"requests of {broker}")
            tasks.create_task(self._hand_out(broker, session), name=f"answers to {broker}")

    async def _receive(self, broker: str, session: SharedSession) -> None:
        try:
            async with aclosing(session.arrivals(*self._hall.filters(broker))) as packets:
                async for packet in packets:
                    for each in (packet, *session.arrived()):
                        await self._pass_on(broker, each)
        except Unavailable:
            return
        except Rejected as error:
            self._log.warning("no commands from a broker", broker=broker, reason=str(error))

    async def _pass_on(self, broker: str, packet: Packet) -> None:
        """To whoever has the source.  What is no request is refused here."""
        now_ns, sources = self._now_ns(), dict[str, None]()
        for arrival in read(packet, self._hall, broker, now_ns, self._known):
            source = arrival.asked.source
            if arrival.error is not None or not any((rule.source or ITSELF) == source for rule in self._config.rules):
                await self._take(arrival, now_ns)
            else:
                sources[source] = None
        letter = Request(
            broker, now_ns, packet.topic, packet.payload, packet.content_type, dict(packet.properties),
            packet.is_retained, packet.response_topic, packet.correlation, packet.expiry_s,
        )  # fmt: skip
        for source in sources:  # a message may ask several things of one
            await self.boxes.put(f"ask/{source}", _ENCODER.encode(letter))

    async def _hand_out(self, broker: str, session: SharedSession) -> None:
        """Publish the answers that members have put into the box of this broker, until the session ends."""
        at = 0
        while True:
            letters = await self.boxes.read(f"answer/{broker}", at)
            sending = list[asyncio.Future[Outcome]]()
            for _, letter in letters:
                reply = _REPLY.decode(letter)
                expiry_s = reply.message.expiry_s
                left_s = expiry_s - max(0, self._now_ns() - reply.put_ns) // 10**9
                if expiry_s and left_s <= 0:
                    self._metrics.answers_lost.inc()
                    continue
                sending.append(session.send_aside(replace(reply.message, expiry_s=left_s if expiry_s else 0)))
            try:
                outcomes = await asyncio.gather(*sending)
            except Unavailable:
                return  # the next session, here or elsewhere, finds them again
            refused = [outcome for outcome in outcomes if outcome.verdict is not Verdict.DELIVERED]
            if refused:
                self._metrics.answers_lost.inc(len(refused))
                self._log.warning("the broker refuses an answer", broker=broker, reason=refused[0].detail)
            at = letters[-1][0]
            await self.boxes.remove(f"answer/{broker}", at)

    # -- who has the source

    @asynccontextmanager
    async def attending(self, source: str, server: Operations | None) -> AsyncIterator[None]:
        async with super().attending(source, server):
            self._connected.set()
            yield

    def _adopt(self, entries: list[Entry]) -> None:
        """Go on after another owner: give each open request an outcome, and send the answers that nobody has."""
        for entry in entries:
            if entry.answer is None:
                self._settle_left(entry)
            elif not entry.is_told:
                self._mailbox(entry.broker).put(answer_in(entry))

    async def _attend(self, source: str, log: SourceLog) -> None:
        """Take requests for this source until it is handed over or lost, and show what its rules name."""
        async with asyncio.TaskGroup() as tasks:
            showing = tasks.create_task(self._show_names(source), name=f"show the names of {source}")
            await self._take_from_box(source, log)
            showing.cancel()

    async def _show_names(self, source: str) -> None:
        shown: Sequence[str] = ()
        at_s = time.monotonic()
        while True:
            names = super()._known().get(source, ()) if self._are_names_needed else ()
            if names and (names != shown or time.monotonic() - at_s > NAMES_AGAIN_S):
                box, shown, at_s = f"names/{source}", names, time.monotonic()
                await self.boxes.put(box, _ENCODER.encode(names))
                if former := (await self.boxes.read(box, 0))[:-1]:
                    await self.boxes.remove(box, former[-1][0])
            await asyncio.sleep(LOOK_EVERY_S)

    def _named_by(self, source: str) -> Mapping[str, Sequence[str]]:
        """Who had the broker found that no other source has it."""
        return {source: super()._known().get(source, ())}

    async def _take_from_box(self, source: str, log: SourceLog) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CONNECT_S):
                while source not in self._workers:
                    self._connected.clear()
                    await self._connected.wait()
        at = 0
        while True:
            letters = await self.boxes.read(f"ask/{source}", at)
            if log.is_ending:
                return
            async with asyncio.TaskGroup() as tasks:
                for _, letter in letters:
                    for arrival in self._arrivals_in(_REQUEST.decode(letter), source):
                        tasks.create_task(self._take(arrival, self._now_ns()), name=f"request for {source}")
            at = letters[-1][0]
            await self.boxes.remove(f"ask/{source}", at)

    def _arrivals_in(self, request: Request, source: str) -> list[Arrival]:
        known = partial(self._named_by, source)
        found = read(request.packet, self._hall, request.broker, request.received_ns, known)
        ours = [each for each in found if each.error is None and each.asked.source == source]
        return ours or (found if len(found) == 1 else [])  # its name is gone meanwhile: that is an answer, too

    # -- answers on their way to who has the broker

    def _mailbox(self, broker: str) -> Mailbox:
        is_new = broker not in self._mailboxes
        mailbox = super()._mailbox(broker)
        if is_new and self._tasks is not None:
            self._post_from(mailbox)
        return mailbox

    def _post_from(self, mailbox: Mailbox) -> None:
        assert self._tasks is not None
        way = _Way(self.boxes, mailbox.broker, self._now_ns, self._tasks)
        self._tasks.create_task(unless_asked(partial(mailbox.deliver, way)), name=f"answers for {mailbox.broker}")


class _Way:
    """To the box of a broker: what a mailbox needs of a session."""

    def __init__(self, boxes: Boxes, broker: str, now_ns: Callable[[], int], tasks: asyncio.TaskGroup) -> None:
        self._boxes, self._broker, self._now_ns, self._tasks = boxes, broker, now_ns, tasks

    def send_aside(self, message: Message) -> "asyncio.Future[Outcome]":
        return self._tasks.create_task(self._put(message), name=f"an answer for {self._broker}")

    async def _put(self, message: Message) -> Outcome:
        await self._boxes.put(f"answer/{self._broker}", _ENCODER.encode(Reply(self._now_ns(), message)))
        return DELIVERED
