"""The desk receives all requests and sends all answers.  There is one in the process.

    PUBLISH ─ arrival ─► known? ─► refused? ─► journal (synced) ─► worker of the source ─► outcome ─► journal (synced)
                │                                    │                                                    │
                │                                    └─► PUBACK, with the request for the next packet     ▼
                └── a repeat gets the answer of the first                                  mailbox of the broker

Invariants:

- A command starts only when its id is on disk.  It is sent to the server only when `executing` is on disk.
- A request has one final outcome: from this process, or after a crash from the next one.
- A request that cannot be executed now (journal full, server not connected) is refused and not queued: a command
  executed later than expected is a different command.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import replace
from functools import partial

import structlog

from gateway.cancellation import unless_asked
from gateway.commands.answers import SHARE, Announcement, Answer, AuditLine, Mailbox, Question, answer_in
from gateway.commands.arrival import Arrival, Things, check_time, expand_of_clouds, hall_of, read, shown
from gateway.commands.codecs.choose import codec_of
from gateway.commands.entries import Entry
from gateway.commands.forms import Asked, Told, answer_of, audit_of
from gateway.commands.itself import Itself, Nobody
from gateway.commands.journal import Journal
from gateway.commands.outcome import FINAL, REASONS, Refused
from gateway.commands.rate import Buckets
from gateway.commands.request import ITSELF, OPERATIONS, digest_of
from gateway.commands.worker import Case, Worker
from gateway.config import CommandsConfig
from gateway.delivery import Packet, Session, SharedSession
from gateway.errors import Rejected, Unavailable
from gateway.in_thread import in_thread
from gateway.logs import Sparing
from gateway.metrics import CommandMetrics
from gateway.operations import Operations
from gateway.topics import expand

Endpoints = Mapping[str, Sequence[str]]
"""The sources by `endpoint_key` of their addresses and names."""
_KEPT_AUDIT_NS = 3600 * 10**9
"""How long a line of the audit waits for a broker; it is on the disk anyway."""
_KEEP_ORDER_S = 10.0
_RESTARTED = Told("refused", "restarted", REASONS["restarted"])
_LEFT_OPEN = Told("unknown", detail="the gateway ended before the server's answer was on its disk")


class Desk:
    """Made by `open_desk`."""

    def __init__(
        self,
        gateway: str,
        config: CommandsConfig,
        journal: Journal,
        metrics: CommandMetrics,
        latest_ns: Callable[[], int],
        now_ns: Callable[[], int] = time.time_ns,
        itself: Itself | None = None,
        endpoints: Endpoints | None = None,
        things: Things | None = None,
    ) -> None:
        """`latest_ns` returns the latest time that the wall clock has ever shown."""
        self._gateway = gateway
        self._config = config
        self._hall = hall_of(gateway, config, endpoints, things)
        self._is_open = True
        self.journal = journal
        self._metrics = metrics
        self._latest_ns = latest_ns
        self._now_ns = now_ns
        self._itself = itself or Nobody()
        self._workers: dict[str, Worker] = {}
        self._mailboxes: dict[str, Mailbox] = {}
        self._buckets = Buckets()
        self._sparing = Sparing()
        self._log = structlog.get_logger("gateway.commands")
        journal.on_audited = self._publish_audit
        metrics.bind((*OPERATIONS, "none"), FINAL, REASONS)
        metrics.show_journal(lambda: journal.bytes, lambda: journal.capacity)
        metrics.waiting.set_function(lambda: sum(worker.waiting for worker in self._workers.values()))
        metrics.journal_ok.set_function(lambda: not journal.trouble and not journal.is_doubtful)
        self._take_over()

    def _take_over(self) -> None:
        """Continue after an earlier process: give each open request an outcome, and send the unsent answers."""
        for entry in self.journal.untold:
            self._mailbox(entry.broker).put(answer_in(entry))
        for entry in self.journal.unfinished:
            self._settle_left(entry)

    def _settle_left(self, entry: Entry) -> None:
        """Give a request an outcome that an earlier process left open."""
        asked = Asked(
            entry.broker, entry.key[0], entry.source, entry.key[1], entry.topic, entry.correlation,
            entry.received_ns, entry.deadline_ns, None, entry.codec, entry.context,
        )  # fmt: skip
        self._settle(asked, entry, _LEFT_OPEN if entry.is_executing else _RESTARTED, entry.operation)

    def configure(
        self, config: CommandsConfig | None, endpoints: Endpoints | None = None, things: Things | None = None
    ) -> None:
        """Use this configuration from the next request on.  None: refuse all requests.

        `endpoints` are the sources by address and name, and `things` the names of the gateway, if they have changed.
        The topics of new codecs are subscribed to in the next session.
        """
        self._is_open = config is not None
        if config is None:
            return
        self._config = config
        former = self._hall
        self._hall = hall_of(
            self._gateway, config, former.endpoints if endpoints is None else endpoints,
            former.things if things is None else things,
        )  # fmt: skip
        self.journal.keep_within(config)
        for worker in self._workers.values():
            worker.configure(config)

    def filters(self, broker: str) -> Sequence[str]:
        """The topic filters on which commands of this broker come."""
        return self._hall.filters(broker)

    def is_taken_from(self, broker: str) -> bool:
        """Whether commands of this broker are accepted."""
        return self._is_open and (self._config.brokers is None or broker in self._config.brokers)

    async def run(self) -> None:
        """Remove old entries from the journal at intervals, until cancelled."""
        while True:
            await asyncio.sleep(_KEEP_ORDER_S)
            self.journal.forget_old()

    # -- sources

    def attending_itself(self) -> AbstractAsyncContextManager[None]:
        """What the gateway itself is asked for is taken while the body runs."""
        return self.attending(ITSELF, None)

    @asynccontextmanager
    async def attending(self, source: str, server: Operations | None) -> AsyncIterator[None]:
        """Accept commands for this source while the body runs.  The source must be connected and reading."""
        worker = Worker(source, server, self, self._buckets, self._config, self._now_ns, self._itself)
        task = asyncio.create_task(unless_asked(worker.run), name=f"commands to {source}")
        task.add_done_callback(self._worker_ended)
        self._workers[source] = worker
        try:
            yield
        finally:
            if self._workers.get(source) is worker:
                del self._workers[source]
            task.cancel()
            await asyncio.wait([task])

    @property
    def names(self) -> Mapping[str, Mapping[str, Sequence[str]]]:
        """What the rules name on the servers that are connected, by source and kind."""
        return {name: names for name, worker in sorted(self._workers.items()) if (names := worker.names)}

    def _known(self) -> Mapping[str, Sequence[str]]:
        return {source: names.get("variable", ()) for source, names in self.names.items()}

    def attends(self, server: Operations) -> bool:
        """Whether commands for this connected source are accepted."""
        return any(worker.server is server for worker in self._workers.values())

    def _worker_ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("a fault of the gateway itself: this source accepts no more commands", exc_info=error)

    # -- brokers

    @asynccontextmanager
    async def serving(self, broker: str, session: Session) -> AsyncIterator[Session]:
        """Accept and answer commands on a session.  Yields the session for the use of others."""
        shared = SharedSession(session, SHARE)
        task = asyncio.create_task(unless_asked(partial(self._serve, broker, shared)), name=f"commands of {broker}")
        task.add_done_callback(partial(_tell_fault, shared))
        try:
            yield shared
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _serve(self, broker: str, session: SharedSession) -> None:
        """Serve until the session ends.  The pipeline reports its loss."""
        self._announce(broker)
        async with asyncio.TaskGroup() as tasks:  # it subscribes first, then it asks
            tasks.create_task(self._receive(broker, session), name=f"requests of {broker}")
            tasks.create_task(self._mailbox(broker).deliver(session), name=f"answers to {broker}")

    def _announce(self, broker: str) -> None:
        """What codecs tell everybody at the beginning of a session."""
        until_ns = self._now_ns() + int(60e9)
        sources = sorted({rule.source for rule in self._config.rules if rule.source})
        names = self._hall.names_at(broker)
        for listening in self._hall.listenings:
            for template, payload in listening.codec.asks:
                topic = expand_of_clouds(template, {"thing": self._gateway, "product": "_", **names})
                self._mailbox(broker).put(Question(topic, payload, until_ns))
            if listening.codec.announce is not None:
                for topic, body in listening.codec.announce(self._gateway, sources):
                    self._mailbox(broker).put(Announcement(topic, body, until_ns))

    def _publish_audit(self, line: bytes) -> None:
        """Where it is wanted, by every broker that commands are taken from."""
        if self._config.audit_topic is None:
            return
        topic, until_ns = expand(self._config.audit_topic, {"gateway": self._gateway}), self._now_ns() + _KEPT_AUDIT_NS
        for broker, mailbox in self._mailboxes.items():
            if self.is_taken_from(broker):
                mailbox.put(AuditLine(topic, line, until_ns))

    async def _receive(self, broker: str, session: SharedSession) -> None:
        try:
            async with aclosing(session.arrivals(*self._hall.filters(broker))) as packets:
                async for packet in packets:
                    await self.take(broker, packet, *session.arrived())
        except Unavailable:
            return
        except Rejected as error:
            self._log.warning("no commands from a broker", broker=broker, reason=str(error))

    def _mailbox(self, broker: str) -> Mailbox:
        found = self._mailboxes.get(broker)
        if found is None:
            found = Mailbox(broker, self.journal, self._metrics.answers_lost.inc, self._now_ns)
            self._mailboxes[broker] = found
        return found

    # -- requests

    async def take(self, broker: str, *packets: Packet) -> None:
        """Take requests.  Returns when their records are on disk, so that the packets may be acknowledged.

        Their records are written together.
        """
        now_ns = self._now_ns()
        arrivals = [arrival for packet in packets for arrival in read(packet, self._hall, broker, now_ns, self._known)]
        if len(arrivals) == 1:
            await self._take(arrivals[0], now_ns)
            return
        async with asyncio.TaskGroup() as tasks:
            for number, arrival in enumerate(arrivals, 1):
                tasks.create_task(self._take(arrival, now_ns), name=f"request {number} of {broker}")

    async def _take(self, arrival: Arrival, now_ns: int) -> None:
        asked, broker = arrival.asked, arrival.asked.broker
        if arrival.error is not None or asked.request is None:
            self._refuse_unkept(asked, arrival.error or Refused("invalid"))
            return
        digest = digest_of(asked.source, asked.request)
        earlier = self.journal.known((asked.requester, asked.id))
        if earlier is not None:
            self._repeat(asked, earlier, digest)
            return
        within_ns = now_ns + int(self._config.max_deadline * 1e9)
        entry = Entry(
            (asked.requester, asked.id), digest, broker, asked.topic, asked.correlation, asked.source,
            asked.operation, now_ns, min(asked.deadline_ns, within_ns), asked.codec, asked.context,
        )  # fmt: skip
        try:
            worker = self._worker_for(asked, now_ns)
        except Refused as error:
            await self._refuse(asked, entry, error)
            return
        try:
            written = self.journal.begin_soon(entry)
        except Refused as error:
            self._refuse_unkept(asked, error)
            return
        worker.coming += 1
        written.add_done_callback(partial(self._begun, Case(asked, entry), worker))
        await asyncio.wait([written])  # its session may end here; the command goes on

    def _begun(self, case: Case, worker: Worker, written: "asyncio.Future[None]") -> None:
        """Hand a request over that is on the disk now, whether its session is still there or not."""
        worker.coming -= 1
        error = written.exception() if not written.cancelled() else OSError("the journal is closed")
        if error is not None:
            why = error.strerror if isinstance(error, OSError) else ""
            self._refuse_unkept(case.asked, Refused("journal_full", f"the journal cannot be written: {why or error}"))
        elif self._workers.get(case.asked.source) is worker:
            worker.put(case)
        else:
            self.settle(case, Told("refused", "source_away", REASONS["source_away"]))

    def _worker_for(self, asked: Asked, now_ns: int) -> Worker:
        """The worker for a request.  Raises `Refused` if there is none."""
        if not self.is_taken_from(asked.broker):
            raise Refused("stopped")
        if self.journal.is_doubtful:
            raise Refused("journal_damaged")
        check_time(asked, self._config, now_ns, self._latest_ns())
        if not any((rule.source or ITSELF) == asked.source for rule in self._config.rules):
            raise Refused("source_unknown")
        worker = self._workers.get(asked.source)
        if worker is None:
            raise Refused("source_away")
        if worker.waiting >= self._config.waiting:
            raise Refused("busy")
        return worker

    def _repeat(self, asked: Asked, earlier: Entry, digest: str) -> None:
        """Send the answer of the first request to the topic of this repeat."""
        if earlier.digest != digest:
            self._refuse_unkept(asked, Refused("id_reused"))
            return
        earlier.broker, earlier.topic, earlier.correlation = asked.broker, asked.topic, asked.correlation
        earlier.codec, earlier.context = asked.codec, asked.context
        if earlier.answer is not None and not earlier.is_on_its_way:  # else it is sent here once it is on the disk
            until_ns = max(answer_in(earlier).until_ns, self._now_ns() + int(1e9))
            again = replace(answer_in(earlier), until_ns=until_ns)
            self._mailbox(asked.broker).put(again)

    async def _refuse(self, asked: Asked, entry: Entry, error: Refused) -> None:
        """Refuse a request and keep that in the journal, if it has room, so that a repeat gets the same answer."""
        told = Told("refused", error.reason, str(error))
        try:
            await self._write_end(asked, entry, told, asked.operation, begun=False)
        except (Refused, OSError):
            self._refuse_unkept(asked, error)
            return
        self._ended(asked, told, asked.operation, entry.ended_ns)
        self._mailbox(entry.broker).put(answer_in(entry))

    def _refuse_unkept(self, asked: Asked, error: Refused) -> None:
        """Refuse a request without an entry in the journal."""
        told = Told("refused", error.reason, str(error))
        now_ns = self._now_ns()
        self._ended(asked, told, asked.operation, now_ns)
        self.journal.note(audit_of(asked, self._gateway, told, now_ns, self.journal.next_audit()))
        body = answer_of(asked, self._gateway, told, now_ns)
        until_ns = max(asked.deadline_ns, now_ns + int(10e9))
        self._mailbox(asked.broker).put(
            Answer(asked.topic, asked.correlation, body, until_ns, None, asked.codec, asked.context)
        )

    # -- for the workers

    async def executing(self, case: Case) -> None:
        await self.journal.executing(case.entry)

    def tell_accepted(self, case: Case) -> None:
        entry = case.entry
        if not codec_of(entry.codec).tells_accepted:
            return
        body = answer_of(case.asked, self._gateway, Told("accepted"), self._now_ns())
        self._mailbox(entry.broker).put(
            Answer(entry.topic, entry.correlation, body, entry.deadline_ns, None, entry.codec, entry.context)
        )

    def settle(self, case: Case, told: Told) -> None:
        if case.entry.answer is None:
            self._settle(case.asked, case.entry, told, case.asked.operation)

    def _settle(self, asked: Asked, entry: Entry, told: Told, operation: str) -> None:
        written = self._write_end(asked, entry, told, operation)
        written.add_done_callback(partial(self._answer, entry))
        self._ended(asked, told, operation, entry.ended_ns)

    def _write_end(
        self, asked: Asked, entry: Entry, told: Told, operation: str, *, begun: bool = True
    ) -> "asyncio.Future[None]":
        now_ns = self._now_ns()
        answer: Mapping[str, object] = {**answer_of(asked, self._gateway, told, now_ns), "operation": operation}
        audit = {**audit_of(asked, self._gateway, told, now_ns, self.journal.next_audit()), "operation": operation}
        return self.journal.end(entry, answer, audit, begun=begun)

    def _answer(self, entry: Entry, written: "asyncio.Future[None]") -> None:
        """Send the answer, now that it is on disk."""
        if not written.cancelled() and written.exception() is None:
            self._mailbox(entry.broker).put(answer_in(entry))

    def _ended(self, asked: Asked, told: Told, operation: str, now_ns: int) -> None:
        self._metrics.ended(operation, told.outcome, told.reason, (now_ns - asked.received_ns) / 1e9)
        if told.outcome in ("unknown", "refused"):
            more = self._sparing.line(f"{told.outcome}: {told.reason}")
            if more is not None:
                self._log.warning(
                    f"a command is {told.outcome}", requester=shown(asked.requester), source=shown(asked.source),
                    operation=operation, reason=told.reason or None, detail=told.detail, **more,
                )  # fmt: skip


def _tell_fault(session: SharedSession, task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        session.fail(error)


Attending = AbstractAsyncContextManager[None]


@asynccontextmanager
async def open_desk(
    gateway: str,
    config: CommandsConfig,
    journal: Journal,
    metrics: CommandMetrics,
    latest_ns: Callable[[], int],
    now_ns: Callable[[], int] = time.time_ns,
    itself: Itself | None = None,
    endpoints: Endpoints | None = None,
    things: Things | None = None,
    made: Callable[..., Desk] = Desk,
) -> AsyncIterator[Desk]:
    """Open a desk with this journal.  At the end everything is written and the journal closed."""
    try:
        async with asyncio.TaskGroup() as tasks:
            desk = made(gateway, config, journal, metrics, latest_ns, now_ns, itself, endpoints, things)
            tasks.create_task(unless_asked(journal.run), name="journal of commands")
            keeping = tasks.create_task(unless_asked(desk.run), name="keep the journal of commands")
            try:
                async with desk.attending_itself():
                    yield desk
            finally:
                keeping.cancel()
                journal.stop()
    finally:
        await in_thread(journal.close, "close the journal of commands")
