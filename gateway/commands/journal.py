"""The journal: the accepted requests and their answers.  It is durable and bounded, and the only memory of commands.

- When `begin` returns, the request is on disk.  When the future of `end` is done, so is its answer.  The same id
  then gets the same answer, even from a later process.  `executing` is on disk before anything is sent, so that after
  a crash only commands that may really have happened are `unknown`.
- An entry is kept for `keep` seconds after its deadline, or, if room is needed, for `CLOCK_DOUBT_S` seconds.  A
  later repeat is refused because of its own deadline, so it is safe to forget the entry.
- Half of `journal_bytes` is for entries.  The rest is for records of forgotten entries that are still in the file.
  A full journal refuses new requests (`journal_full`); it never drops an accepted one.
- Answers stay here until the broker has them or they are too late (`answers.py`).

Writes that wait at the same moment become one write and one sync, in a thread.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from gateway.commands.entries import Entry, Key, Known, Record
from gateway.commands.journal_files import JournalFiles
from gateway.commands.outcome import Refused
from gateway.commands.records import line_of
from gateway.config import CommandsConfig
from gateway.outbox import Files
from gateway.outbox.work_thread import WorkThread

CLOCK_DOUBT_S = 5.0
"""The largest accepted difference of clocks."""
LARGEST_ANSWER = 128 * 2**10
_RETRY_S = 1.0
_MOST_AUDITS = 1000
"""The largest number of audit lines that wait for a failing disk.  The oldest are dropped first."""


@dataclass(frozen=True, slots=True)
class _Write:
    records: Sequence[Record]
    audits: Sequence[Mapping[str, object]]
    done: "asyncio.Future[None]"
    must: bool
    """Whether the write is retried until it succeeds, since it records a fact.  Otherwise a failure is raised."""


class Journal:
    """Made by `open_journal`."""

    def __init__(self, files: JournalFiles, config: CommandsConfig, known: Known, now_ns: Callable[[], int]) -> None:
        self._files = files
        self._config = config
        self._known = known
        self._now_ns = now_ns
        self._thread = WorkThread("commands")
        self._pending: deque[_Write] = deque()
        self._woken = asyncio.Event()
        self._closing = False
        self._audit_seq = max(files.audit.seq, *(_seq_of(entry) for entry in known.entries.values()), 0)
        self._unaudited: list[Mapping[str, object]] = []
        self.on_audited: Callable[[bytes], None] = lambda line: None
        """Called with each line of the audit that is on the disk."""
        self.trouble = ""
        """Why nothing can be written at present; empty if it can."""
        for entry in known.entries.values():
            entry.size = _size(entry)
        self._bytes = sum(entry.size for entry in known.entries.values())
        self._log = structlog.get_logger("gateway.commands")

    @property
    def entries(self) -> int:
        return len(self._known.entries)

    @property
    def bytes(self) -> int:
        """The part of `capacity` in use."""
        return self._bytes

    @property
    def capacity(self) -> int:
        return self._config.journal_bytes // 2

    @property
    def folder(self) -> Path:
        return self._files.folder

    @property
    def is_doubtful(self) -> bool:
        """After damage: a request may be a repeat of an executed one."""
        return self._now_ns() < self._known.doubtful_until_ns

    def known(self, key: Key) -> Entry | None:
        return self._known.entries.get(key)

    @property
    def untold(self) -> list[Entry]:
        """The requests whose answers no broker has."""
        return [entry for entry in self._known.entries.values() if entry.answer is not None and not entry.is_told]

    @property
    def unfinished(self) -> list[Entry]:
        """The requests that an earlier process left without an outcome."""
        return [entry for entry in self._known.entries.values() if entry.answer is None]

    def next_audit(self) -> int:
        """Take the number of the next line of the audit."""
        self._audit_seq += 1
        return self._audit_seq

    # -- writing

    async def begin(self, entry: Entry) -> None:
        """Add a request.  Returns when it is on disk.  Raises `Refused` if it cannot be written: it is not added."""
        try:
            await self.begin_soon(entry)
        except OSError as error:
            raise Refused("journal_full", f"the journal cannot be written: {error.strerror or error}") from error

    def begin_soon(self, entry: Entry) -> "asyncio.Future[None]":
        """Like `begin`, without waiting.  The future is done when it is on disk, and fails with `OSError`."""
        self._make_room(entry)
        self._add(entry)
        written = self._begin([entry.begun], [], must=False)
        written.add_done_callback(partial(self._drop_unwritten, entry))
        return written

    async def executing(self, entry: Entry) -> None:
        """Record on disk that the command may be sent from now on.  Raises `Refused` if that cannot be written."""
        entry.is_executing = True  # at once: the journal may be rewritten before this write is confirmed
        try:
            await self._write([entry.step("executing")])
        except OSError as error:
            entry.is_executing = False
            raise Refused("journal_full", f"the journal cannot be written: {error.strerror or error}") from error

    def end(
        self, entry: Entry, answer: Mapping[str, object], audit: Mapping[str, object], *, begun: bool = True
    ) -> "asyncio.Future[None]":
        """Set the answer of a request.  The future is done when it is on disk, however long that takes.

        With `begun=False` the request is added as well.  Then the future fails with `OSError` if it cannot be written,
        and `Refused` is raised if the journal has no room.
        """
        entry.answer, entry.audit, entry.ended_ns = answer, audit, self._now_ns()
        if not begun:
            self._make_room(entry)
            self._add(entry)
            written = self._begin([entry.begun, entry.ended], [audit], must=False)
            written.add_done_callback(partial(self._drop_unwritten, entry))
            return self._on_its_way(entry, written)
        self._bytes += (size := _size(entry)) - entry.size
        entry.size = size
        return self._on_its_way(entry, self._begin([entry.ended], [audit], must=True))

    def _on_its_way(self, entry: Entry, written: "asyncio.Future[None]") -> "asyncio.Future[None]":
        def arrived(written: "asyncio.Future[None]") -> None:
            entry.is_on_its_way = written.cancelled() or written.exception() is not None

        entry.is_on_its_way = True
        written.add_done_callback(arrived)
        return written

    def _drop_unwritten(self, entry: Entry, written: "asyncio.Future[None]") -> None:
        if not written.cancelled() and written.exception() is not None:
            self._drop(entry)

    def told(self, entry: Entry) -> None:
        """Record that the broker has the answer, or that it is too late.

        It goes with the next write, or with the next `forget_old`: what a crash loses of it is an answer told twice.
        """
        entry.is_told = True
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append(_Write([entry.step("told")], [], done, must=True))

    def note(self, audit: Mapping[str, object]) -> None:
        """Write a line of the audit for a request without an entry."""
        self._begin([], [audit], must=True)

    async def _write(self, records: Sequence[Record]) -> None:
        await self._begin(records, [], must=False)

    def _begin(
        self, records: Sequence[Record], audits: Sequence[Mapping[str, object]], *, must: bool
    ) -> "asyncio.Future[None]":
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append(_Write(records, audits, done, must))
        self._woken.set()
        return done

    async def run(self) -> None:
        """Write the pending records, until the journal closes."""
        while self._pending or not self._closing:
            if not self._pending:
                self._woken.clear()
                await self._woken.wait()
                continue
            await self._write_group()

    async def _write_group(self) -> None:
        group = list(self._pending)
        self._pending.clear()
        records = [record for write in group for record in write.records]
        audits = [*self._unaudited, *(audit for write in group for audit in write.audits)]
        try:
            failed = await self._thread.begin(partial(self._files.write, records, audits))
        except OSError as error:
            self._tell(error)
            self._refuse(group, error)
            if not self._closing:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_RETRY_S):
                        await self._until_asked()
            return
        self._tell(failed)
        self._unaudited = audits[-_MOST_AUDITS:] if failed is not None else []
        for write in group:
            if not write.done.done():
                write.done.set_result(None)
        for line in self._files.audited:
            self.on_audited(line)
        await self._compact()

    async def _until_asked(self) -> None:
        """Wait for a write whose caller must learn of a failure."""
        while not any(not write.must for write in self._pending) and not self._closing:
            self._woken.clear()
            await self._woken.wait()

    def _refuse(self, group: Sequence[_Write], error: OSError) -> None:
        """Fail the writes whose callers learn of it, and keep the others in order for the next attempt."""
        kept = [write for write in group if write.must]
        if not self._closing:
            self._pending.extendleft(reversed(kept))
        for write in group:
            if not write.done.done() and (not write.must or self._closing):
                write.done.set_exception(error)
                write.done.exception()  # marks it as retrieved, since the caller may be gone

    def _tell(self, error: OSError | None) -> None:
        """Log the beginning and the end of a failure."""
        trouble = str(error.strerror or error) if error is not None else ""
        if trouble and not self.trouble:
            self._log.error(
                "the journal of commands cannot be written", reason=trouble, next="new commands are refused"
            )
        elif self.trouble and not trouble:
            self._log.info("the journal of commands can be written again")
        self.trouble = trouble

    async def _compact(self) -> None:
        """Rewrite the file when most of its records are of forgotten entries."""
        if self._files.end <= self._config.journal_bytes:
            return
        self._forget_old(self._config.keep)
        entries = dict(self._known.entries)
        with suppress(OSError):  # if it persists, the next write reports it
            kept = Known(entries, self._known.doubtful_until_ns)
            await self._thread.begin(partial(self._files.rewrite, kept, self._now_ns()))

    # -- room

    def _make_room(self, entry: Entry) -> None:
        """Raises `Refused` if there is no room for the entry and its largest answer."""
        wanted = _size(entry) + LARGEST_ANSWER
        if self._bytes + wanted > self.capacity:
            self._forget_old(self._config.keep)
        if self._bytes + wanted > self.capacity:
            self._forget_old(CLOCK_DOUBT_S)
        if self._bytes + wanted > self.capacity:
            raise Refused("journal_full", f"it is full: {self.entries} requests whose deadlines have not passed")

    def forget_old(self) -> None:
        """Remove the entries whose time to be kept has passed."""
        self._forget_old(self._config.keep)
        self._woken.set()

    def _forget_old(self, keep_s: float) -> None:
        before_ns = self._now_ns() - int(keep_s * 1e9)
        over = [
            entry
            for entry in self._known.entries.values()
            if entry.deadline_ns < before_ns and entry.answer is not None
        ]
        for entry in over:
            self._drop(entry)

    def _add(self, entry: Entry) -> None:
        entry.size = _size(entry)
        self._known.entries[entry.key] = entry
        self._bytes += entry.size

    def _drop(self, entry: Entry) -> None:
        if self._known.entries.get(entry.key) is entry:
            del self._known.entries[entry.key]
            self._bytes -= entry.size

    def keep_within(self, config: CommandsConfig) -> None:
        self._config = config
        self._files.audit.keep_within(config.audit_bytes)

    def stop(self) -> None:
        """Write the pending records and end."""
        self._closing = True
        self._woken.set()

    def close(self) -> None:
        self._thread.close()
        self._files.close()


def _seq_of(entry: Entry) -> int:
    return int(str(entry.audit["seq"])) if entry.audit is not None else 0


def _size(entry: Entry) -> int:
    return sum(len(line_of(record)) for record in entry.records) + 100


def journal_in(
    outbox: Path, config: CommandsConfig, files: Files | None = None, now_ns: Callable[[], int] = time.time_ns
) -> Journal:
    """Open the journal in the folder of an outbox.  Blocks.  Raises `OSError`."""
    opened = JournalFiles(files or Files(), outbox, config.audit_bytes)
    known = opened.open(now_ns(), int((config.max_deadline + CLOCK_DOUBT_S) * 1e9))
    opened.write([], [entry.audit for entry in _by_seq(known) if entry.audit is not None])
    if opened.was_damaged:
        log = structlog.get_logger("gateway.commands")
        log.error(
            "the journal of commands is damaged", reason=opened.was_damaged,
            next="all commands are refused until every earlier deadline has passed", for_s=config.max_deadline,
        )  # fmt: skip
    return Journal(opened, config, known, now_ns)


def _by_seq(known: Known) -> list[Entry]:
    return sorted(known.entries.values(), key=_seq_of)
