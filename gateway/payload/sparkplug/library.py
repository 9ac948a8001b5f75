"""The tables that rows on the disk may refer to, and the number of the latest birth, in one small file for each.

{outbox}/sparkplug/{broker}/{device}.tables    the latest tables of a device, the newest first
{outbox}/sparkplug/{broker}/bdseq
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import structlog

from gateway.payload.sparkplug.table import Table

MOST_KEPT = 4
"""Tables of a device.  Rows of older ones have gone before the latest is here, since all of them are one stream."""
BD_SEQS = 256


class Library:
    """The files for one broker."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: dict[str, list[Table]] = {}
        self._log = structlog.get_logger("gateway.sparkplug")

    def load(self) -> Iterator[Table]:
        """All tables, of each device the oldest first.  What cannot be read is left out.  Blocks."""
        for path in sorted(self._folder.glob("*.tables")):
            try:
                tables = msgspec.msgpack.decode(path.read_bytes(), type=list[Table])
            except (OSError, msgspec.MsgspecError) as error:
                self._log.warning("a table of metrics cannot be read", file=str(path), reason=str(error))
                continue
            if tables:
                self._kept[tables[0].device] = tables
                yield from reversed(tables)

    def has(self, table: Table) -> bool:
        """Whether it is the newest of its device here."""
        kept = self._kept.get(table.device)
        return kept is not None and kept[0].version == table.version

    def save(self, table: Table) -> None:
        """Make a table durable.  Blocks; raises `OSError`."""
        others = [each for each in self._kept.get(table.device, []) if each.version != table.version]
        tables = [table, *others][:MOST_KEPT]
        name = hashlib.blake2b(table.device.encode(), digest_size=8).hexdigest()
        _write(self._folder / f"{name}.tables", msgspec.msgpack.encode(tables))
        self._kept[table.device] = tables

    def next_bd_seq(self) -> int:
        """The number of the next CONNECT: 0 at first, then one more than the latest, also of an earlier process."""
        path = self._folder / "bdseq"
        try:
            number = (int(path.read_text("ascii")) + 1) % BD_SEQS
        except (OSError, ValueError):
            number = 0
        try:
            _write(path, str(number).encode(), durable=False)
        except OSError as error:
            self._log.warning("the number of the birth cannot be kept", file=str(path), reason=str(error))
        return number


class LibraryOfLog(Library):
    """In a group the log has the tables, and the number of births."""

    def __init__(self) -> None:
        super().__init__(Path())

    def load(self) -> Iterator[Table]:
        return iter(())

    def has(self, table: Table) -> bool:
        return True


def _write(path: Path, content: bytes, *, durable: bool = True) -> None:
    """All or nothing.  What is not durable may be the former content after a loss of power."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    os.replace(draft, path)
