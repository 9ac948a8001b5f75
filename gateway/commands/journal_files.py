"""The files of the journal.  One thread writes them, with blocking calls.

    commands/journal           requests and answers (`records.py`)
    commands/journal.damaged   a copy of the last damaged journal, for people
    commands/audit-*.jsonl     the audit (`audit.py`)

Consequences of damage:

    torn tail               cut off; it was never acknowledged
    damaged line            its content is lost: the file is copied, and all commands are refused (`journal_damaged`)
                            until every earlier deadline has passed, since a request may be a repeat
    missing journal         the same, if its folder exists
    write or sync fails     the written part is removed, the caller gets the error, and nothing is sent to a server
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway.commands.audit import AuditFile
from gateway.commands.entries import Known, Record, known_of
from gateway.commands.records import line_of, read_lines
from gateway.outbox import Files

FOLDER = "commands"
"""A folder inside that of the outbox, whose lock covers it."""


class JournalFiles:
    """Journal and audit.  Every method may raise `OSError`."""

    def __init__(self, files: Files, outbox: Path, audit_bytes: int) -> None:
        self._files = files
        self.folder = outbox / FOLDER
        self._path = self.folder / "journal"
        self.audit = AuditFile(files, self.folder, audit_bytes)
        self._fd = -1
        self.end = 0
        """Size of the journal in bytes."""
        self.audited: Sequence[bytes] = ()
        """The lines of the audit that `write` has just added."""
        self.was_damaged = ""
        """A description of the damage, for people.  Empty: there is none."""

    def open(self, now_ns: int, doubt_ns: int) -> Known:
        """Read the journal.  After damage it is doubtful until `doubt_ns` from now."""
        is_new = FOLDER not in self._names(self.folder.parent) and not self._names(self.folder)
        self._files.make_folder(self.folder)
        self.audit.open()
        if "journal" not in self._names(self.folder):
            self.was_damaged = "" if is_new else f"{self._path} is missing"
            known = Known(doubtful_until_ns=0 if is_new else now_ns + doubt_ns)
            self.rewrite(known, now_ns)
            return known
        self._fd = self._files.open(self._path)
        data = self._files.read(self._fd, self._files.size(self._fd), 0)
        read = read_lines(data)
        known, strange = known_of(read.records)
        if read.damaged or strange:
            self.was_damaged = f"{read.damaged + strange} lines of {self._path} are damaged"
            known.doubtful_until_ns = max(known.doubtful_until_ns, now_ns + doubt_ns)
            self._files.close(self._files.put(self.folder / "journal.damaged", data))
            self.rewrite(known, now_ns)
        elif read.end < len(data):
            self._files.truncate(self._fd, read.end)
            self._files.sync(self._fd)
        self.end = read.end if not self.was_damaged else self.end
        return known

    def _names(self, folder: Path) -> list[str]:
        try:
            return self._files.names(folder)
        except FileNotFoundError:
            return []

    def write(self, records: Sequence[Record], audits: Sequence[Mapping[str, object]]) -> OSError | None:
        """Write and sync the journal, then the audit.  Returns the error of the audit, if that failed.

        If it raises, nothing was written.  Missing lines of the audit are restored from the journal.
        """
        if records:
            data = b"".join(map(line_of, records))
            self._files.append(self._fd, data, self.end)
            self.end += len(data)
        self.audited = ()
        try:
            self.audited = self.audit.append(audits)
        except OSError as error:
            return error
        return None

    def rewrite(self, known: Known, now_ns: int) -> None:
        """Replace the journal by one with exactly this content."""
        records: list[Record] = [record for entry in known.entries.values() for record in entry.records]
        if known.doubtful_until_ns > now_ns:
            records.append({"k": "doubt", "until_ns": known.doubtful_until_ns})
        data = b"".join(map(line_of, records))
        fd = self._files.put(self._path, data)
        if self._fd >= 0:
            self._files.close(self._fd)
        self._fd, self.end = fd, len(data)

    def close(self) -> None:
        self.audit.close()
        if self._fd >= 0:
            self._files.close(self._fd)
            self._fd = -1
