"""The journal of commands of a member of a group: requests and answers are in the group's log, the audit is here.

A source's requests are among the records of that source.  So each record is conditional on the claim: who has lost the
source cannot begin a command, and whoever takes it over knows what was begun, what may have happened and what was
answered.  The audit is one chain of each member, on its own disk.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import orjson

from gateway.commands.entries import Entry, Known, Record, known_of
from gateway.commands.journal import Journal
from gateway.commands.journal_files import JournalFiles
from gateway.commands.outcome import Refused
from gateway.commands.ways import SourceLog
from gateway.config import CommandsConfig
from gateway.errors import Unavailable
from gateway.outbox import Files

FRESH_S = 2.0
"""So soon after it was asked, an answer of the log says that the claim is still ours: shorter than any presence."""


class GroupJournal(Journal):
    """Created by `group_journal_in`.  It has the requests of the sources that were adopted."""

    def __init__(self, files: JournalFiles, config: CommandsConfig, known: Known, now_ns: Callable[[], int]) -> None:
        super().__init__(files, config, known, now_ns)
        self._logs: dict[str, SourceLog] = {}

    def adopt(self, source: str, log: SourceLog) -> list[Entry]:
        """Take over the journal of a source that was claimed.  Returns its requests."""
        known, strange = known_of(map(orjson.loads, log.journal()))
        if strange:
            self._log.error("records of commands in the log are not understood", source=source, records=strange)
        found = [entry for key, entry in known.entries.items() if key not in self._known.entries]
        for entry in found:
            self._add(entry)
        self._logs[source] = log
        log.journal = partial(self._records_of, source)
        return found

    def release(self, source: str) -> None:
        """Forget a source that another member has."""
        self._logs.pop(source, None)
        for entry in [each for each in self._known.entries.values() if each.source == source]:
            self._drop(entry)

    def _records_of(self, source: str) -> list[bytes]:
        entries = [entry for entry in self._known.entries.values() if entry.source == source]
        return [orjson.dumps(record) for entry in entries for record in entry.records]

    # -- writing

    def begin_soon(self, entry: Entry) -> "asyncio.Future[None]":
        self._check(entry)
        return super().begin_soon(entry)

    async def executing(self, entry: Entry) -> None:
        """The fence: returns only while the claim is ours, as the log said a moment ago.  Raises `Refused`."""
        self._check(entry)
        log, asked_s = self._logs[entry.source], time.monotonic()
        entry.is_executing = True
        await log.begin_records([orjson.dumps(entry.step("executing"))])
        while time.monotonic() - asked_s > FRESH_S:  # it was stopped meanwhile, or nobody answered
            asked_s = time.monotonic()
            try:
                await log.confirm()
            except Unavailable as error:
                raise Refused("source_away", str(error)) from error

    def end(
        self, entry: Entry, answer: Mapping[str, object], audit: Mapping[str, object], *, begun: bool = True
    ) -> "asyncio.Future[None]":
        if not begun:
            self._check(entry)
        return super().end(entry, answer, audit, begun=begun)

    def told(self, entry: Entry) -> None:
        entry.is_told = True
        self._begin([entry.step("told")], [], must=False)

    def _check(self, entry: Entry) -> None:
        log = self._logs.get(entry.source)
        if log is None or log.is_ending:
            raise Refused("source_away", "it belongs to another member of the group")

    def _begin(
        self, records: Sequence[Record], audits: Sequence[Mapping[str, object]], *, must: bool
    ) -> "asyncio.Future[None]":
        if audits or not records:
            done = super()._begin([], audits, must=True)
        if not records:
            return done
        entry = self._known.entries.get((str(records[0]["requester"]), str(records[0]["id"])))
        log = self._logs.get(entry.source) if entry is not None else None
        if log is None:  # whoever has the source now says what became of it
            return asyncio.get_running_loop().create_future()
        return log.begin_records([orjson.dumps(record) for record in records])


def group_journal_in(outbox: Path, config: CommandsConfig, now_ns: Callable[[], int] = time.time_ns) -> GroupJournal:
    """Opens the audit in the folder of a member.  Blocks.  Raises `OSError`."""
    files = JournalFiles(Files(), outbox, config.audit_bytes)
    files.open(now_ns(), 0)
    return GroupJournal(files, config, Known(), now_ns)
