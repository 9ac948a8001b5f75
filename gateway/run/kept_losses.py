"""What was not delivered, in two small files beside the outbox: a restart forgets none of it.

Each line is a row: a gap of a source, a loss of an outbox, or how many values a broker did not get.  A file that is
full becomes the former one, and takes the place of the one before.  Rows are on the disk half a second after they were
noted; what a crash takes is announced in the messages all the same.  A torn or foreign line is left out.

People ask for it; nothing depends on it.  So a disk that refuses costs a line in the log, and no value.
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec
import structlog

from gateway.in_thread import in_thread
from gateway.model import Gap, Loss
from gateway.payload.gaps import loss_row
from gateway.payload.timestamps import text_of
from gateway.pipeline.standing import DAY_S, MOST_GAPS

FOLDER, NAME, FORMER = "run-time", "losses.jsonl", "losses.former.jsonl"
MOST_BYTES = 2**20
"""About the size of one file."""
EVERY_S = 0.5
COUNTED_S = 60.0
"""The shortest time between two rows of one broker and reason."""


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that was not delivered.  The very first row says from when on all is told."""

    at_s: float
    """Unix time at which it was noticed."""
    source: str = ""
    cause: str = ""
    detail: str = ""
    begin: str = ""
    end: str = ""
    values: int | None = None
    tags: tuple[str, ...] = ()
    broker: str = ""
    """The broker that did not get these values, for the reason in `cause`; empty: this is a gap."""
    is_first: bool = False


def row_of_gap(at_s: float, source: str, gap: Gap, names: tuple[str, ...]) -> Row:
    begin, end = (text_of(ticks) if ticks else "" for ticks in (gap.from_ticks, gap.to_ticks))
    return Row(at_s, source, gap.cause, gap.detail, begin, end, gap.count, names)


def row_of_loss(at_s: float, loss: Loss) -> Row:
    """A loss of stored messages, as a gap."""
    told = loss_row(loss)
    source = loss.stream.split("/", 2)[1] if loss.stream.count("/") > 1 else ""
    detail = f"{told['detail']}; for {', '.join(loss.readers)}: {loss.stream}"
    begin, end = str(told.get("from_time", "")), str(told.get("to_time", ""))
    return Row(at_s, source, str(told["cause"]), detail, begin, end, loss.values)


class KeptLosses:
    """The rows of the last day, in memory, and the files that outlive the process."""

    def __init__(self, outbox: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder, self._clock = outbox / FOLDER, clock
        self._is_begun = False
        """Whether a file says from when on all is known."""
        self._gaps: deque[Row] = deque(maxlen=MOST_GAPS)
        self._drops: deque[Row] = deque(maxlen=MOST_GAPS)
        self._new: deque[Row] = deque(maxlen=MOST_GAPS)
        self._counted: dict[tuple[str, str], tuple[float, int]] = {}
        """Of a broker and reason: when a row was made of it, and the count of values then."""
        self._is_refused = False
        self.since_s = clock()
        """From when on all is known."""

    def read(self) -> None:
        """What earlier processes have kept.  Blocks."""
        for row in _read(*self.files()):
            self._is_begun = True
            self.since_s = min(self.since_s, row.at_s)
            if not row.is_first:
                (self._drops if row.broker else self._gaps).append(row)

    def files(self) -> list[Path]:
        """Those that are there, the older one first."""
        return [path for path in (self._folder / FORMER, self._folder / NAME) if path.exists()]

    def note(self, row: Row) -> None:
        self._gaps.append(row)
        self._new.append(row)

    def count(self, dropped: Mapping[str, Mapping[str, int]], *, at_once: bool = False) -> None:
        """Note the values that each broker did not get, by reason, since the start of the process."""
        now_s = self._clock()
        for broker, reasons in dropped.items():
            for reason, values in reasons.items():
                before_s, before = self._counted.get((broker, reason), (0.0, 0))
                if values > before and (at_once or now_s - before_s >= COUNTED_S):
                    row = Row(now_s, cause=reason, values=values - before, broker=broker)
                    self._counted[broker, reason] = now_s, values
                    self._drops.append(row)
                    self._new.append(row)

    def gaps(self) -> list[Row]:
        """Those of the last 24 hours, oldest first."""
        return self._recent(self._gaps)

    def drops(self) -> list[Row]:
        return self._recent(self._drops)

    def _recent(self, rows: Iterable[Row]) -> list[Row]:
        since_s = self._clock() - DAY_S
        return [row for row in rows if row.at_s >= since_s]

    async def keep(self, dropped: Callable[[], Mapping[str, Mapping[str, int]]]) -> None:
        """Write what is new, until cancelled."""
        while True:
            self.count(dropped())
            await self.write()
            await asyncio.sleep(EVERY_S)

    async def write(self) -> None:
        """Bring what is new to the disk."""
        rows = list(self._new)
        self._new.clear()
        if not rows and self._is_begun:
            return
        try:
            await in_thread(partial(self._append, rows), "keep what was lost")
            self._is_begun, self._is_refused = True, False
        except OSError as error:
            if not self._is_refused:
                log = structlog.get_logger("gateway")
                log.warning("what was lost is not kept for after a restart", reason=str(error))
            self._is_refused = True

    def _append(self, rows: list[Row]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / NAME
        is_new = not path.exists()
        if is_new:
            rows = [Row(self.since_s, is_first=True), *rows]
        elif path.stat().st_size > MOST_BYTES:
            path.replace(self._folder / FORMER)
            is_new = True
        with path.open("ab") as file:
            file.write(b"".join(b"\n" + msgspec.json.encode(row) for row in rows))  # apart from a line that is torn
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            number = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(number)
            finally:
                os.close(number)


def _read(*paths: Path) -> list[Row]:
    found = list[Row]()
    for path in paths:
        with suppress(OSError):
            for line in path.read_bytes().splitlines():
                with suppress(msgspec.DecodeError):
                    found.append(msgspec.json.decode(line, type=Row))
    return found
