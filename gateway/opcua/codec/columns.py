"""Decodes data changes into columns: fast for regular data, safe for all other.

Data changes repeat one layout: handle, mask, type, value, times.  If all items have the same layout, they are read as
numpy records directly from the bytes; so is a run of equal items among others.  Scattered items of fixed size are
gathered layout by layout.  Only items without a fixed size are read one by one (`value.py`).

A value that cannot be decoded keeps its bytes and gets the status BadDecodingError.  A value that is too large becomes
null with BadEncodingLimitsExceeded (`value.py`).  If the end of a value cannot be found, the items after it are lost
and counted.  The time is linear in the size of the body.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gateway.opcua.codec.decode import DATA_CHANGE, Notification, Published
from gateway.opcua.codec.value import read_value, status_with
from gateway.opcua.codec.wire import NUMBER_CODES, Dialect, Malformed, Reader, read_stamps

RUN = 8
"""From this number of equal layouts in a row, a numpy view is faster."""
BOOLEAN = 1
"""Id of the built-in type."""


class Changes(Struct, frozen=True):
    """The columns of one message; see `model.Batch`."""

    handles: NDArray[np.uint32]
    types: NDArray[np.uint8]
    values: Sequence[object] | NDArray[np.generic]
    statuses: NDArray[np.uint32]
    source_ticks: NDArray[np.int64]
    server_ticks: NDArray[np.int64]
    spoiled: int = 0
    """Values that could not be decoded; `values` has their bytes, or null if they were too large."""
    lost: int = 0
    """Values behind the point where decoding had to stop."""
    problem: str = ""
    """The first problem."""
    culprits: tuple[int, ...] = ()
    """The handles of these values, and of the value whose end was not found."""
    time_sources: NDArray[np.uint8] | None = None
    """See `model.Batch`."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """The layout of items with one mask and one type of fixed size."""

    size: int
    kind: int
    """Id of the built-in type; 0: no value."""
    dtype: "np.dtype[np.void]"
    stamps: tuple[bool, bool, bool]
    """Whether the items have a status, a source and a server timestamp."""


_STAMPS = ((0x02, "status", "<u4"), (0x04, "source", "<i8"), (0x10, "source_pico", "<u2"),
           (0x08, "server", "<i8"), (0x20, "server_pico", "<u2"))  # fmt: skip


@cache
def _layout(mask: int, kind: int) -> _Layout | None:
    """The layout of items with this mask and type byte.  None: they have no fixed size.

    There are at most 64 x 256 layouts, so the cache is bounded.
    """
    if mask > 0x3F or (mask & 1 and kind not in NUMBER_CODES):
        return None
    fields = [("handle", "<u4"), ("mask", "u1")]
    if mask & 1:
        code = "u1" if kind == BOOLEAN else "<" + np.dtype(NUMBER_CODES[kind]).str[1:]
        fields += [("kind", "u1"), ("value", code)]
    fields += [(name, code) for bit, name, code in _STAMPS if mask & bit]
    dtype = np.dtype(fields)
    return _Layout(dtype.itemsize, kind if mask & 1 else 0, dtype, (mask & 2 > 0, mask & 4 > 0, mask & 8 > 0))


def read_item(r: Reader) -> tuple[int, object, int, int, int, str]:
    """Read a DataValue: type, value, status, source and server ticks, and what is wrong with it.

    Raises `Malformed` when its end cannot be found.
    """
    mask = r.u8()
    kind, value, own_status, problem = read_value(r) if mask & 1 else (0, None, 0, "")
    status, source_ticks, server_ticks = read_stamps(r, mask)
    if own_status:
        status = status_with(status, own_status)
    return kind, value, status, source_ticks, server_ticks, problem


class _Sheet:
    """Columns that are being filled."""

    def __init__(self, rows: int) -> None:
        self.handles = np.zeros(rows, np.uint32)
        self.types = np.zeros(rows, np.uint8)
        self.statuses = np.zeros(rows, np.uint32)
        self.source_ticks = np.zeros(rows, np.int64)
        self.server_ticks = np.zeros(rows, np.int64)
        self.numbers: list[tuple[slice | NDArray[np.intp], NDArray[np.generic]]] = []
        self.others: list[tuple[int, int, int, int, int, int, object]] = []
        """Row, handle, type, status, source ticks, server ticks and value of items that are read one by one."""
        self.spoiled = 0
        self.problem = ""
        self.culprits: list[int] = []

    def put(self, rows: slice | NDArray[np.intp], layout: _Layout, records: NDArray[np.void]) -> None:
        names = records.dtype.names or ()
        self.handles[rows] = records["handle"]
        self.types[rows] = layout.kind
        for name, column in (
            ("status", self.statuses), ("source", self.source_ticks), ("server", self.server_ticks),
        ):  # fmt: skip
            if name in names:
                column[rows] = records[name]
        if "value" in names:
            numbers = records["value"]
            self.numbers.append((rows, numbers != 0 if layout.kind == BOOLEAN else numbers.copy()))

    def put_other(self, row: int, r: Reader) -> None:
        """Read one item of any layout.  Raises `Malformed` when its end cannot be found."""
        handle = r.u32()
        try:
            kind, value, status, source_ticks, server_ticks, problem = read_item(r)
        except Malformed:
            self.culprits.append(handle)
            raise
        if problem:
            self.spoiled += 1
            self.problem = self.problem or problem
            self.culprits.append(handle)
        self.others.append((row, handle, kind, status, source_ticks, server_ticks, value))

    def changes(self, rows: int, lost: int, problem: str) -> Changes:
        self._put_others()
        return Changes(
            self.handles[:rows],
            self.types[:rows],
            self._values(rows),
            self.statuses[:rows],
            self.source_ticks[:rows],
            self.server_ticks[:rows],
            self.spoiled,
            lost,
            self.problem or problem,
            tuple(self.culprits),
        )

    def _put_others(self) -> None:
        if self.others:
            rows, handles, kinds, statuses, source_ticks, server_ticks, _ = zip(*self.others, strict=True)
            where = np.array(rows)
            self.handles[where], self.types[where], self.statuses[where] = handles, kinds, statuses
            self.source_ticks[where], self.server_ticks[where] = source_ticks, server_ticks

    def _values(self, rows: int) -> Sequence[object] | NDArray[np.generic]:
        """One array if all values are numbers of one type, otherwise a list of Python values."""
        if len(self.numbers) == 1 and len(self.numbers[0][1]) == rows:
            return self.numbers[0][1]
        types = self.types[:rows]
        if rows and not self.others and types[0] and (types == types[0]).all():
            numbers = np.zeros(rows, self.numbers[0][1].dtype)
            for where, some in self.numbers:
                numbers[where] = some
            return numbers
        mixed = np.empty(rows, object)
        for where, some in self.numbers:
            mixed[where] = some
        values: list[object] = mixed.tolist()
        for row, *_, value in self.others:
            values[row] = value
        return values


def read_changes(published: Published, part: Notification, dialect: Dialect) -> Changes:
    """The columns of a DataChangeNotification.  Never raises: unreadable values are counted."""
    r = Reader(published.body, part.start, part.end, dialect)
    try:
        total = r.fit(max(0, r.i32()), 5)
    except Malformed as error:
        return _Sheet(0).changes(0, 0, str(error) or "malformed")
    return _read_items(r, total)


def read_together(messages: Sequence[tuple[Published, Notification]], dialect: Dialect) -> Changes | None:
    """The columns of several DataChangeNotifications at once, as if they were one.

    None: one of them is of another kind or malformed.  Then each must be read alone, to know which one and why.
    """
    total, pieces = 0, [b"\0\0\0\0"]
    for published, part in messages:
        body, start, end = published.body, part.start, part.end
        count = int.from_bytes(body[start : start + 4], "little", signed=True)
        if part.kind != DATA_CHANGE or count < 0 or end - start < 8 or body[end - 4 : end] not in _NO_DIAGNOSTICS:
            return None
        total += count
        pieces.append(body[start + 4 : end - 4])
    data = b"".join(pieces)
    r = Reader(data, 4, len(data), dialect)
    changes = _read_items(r, total) if 5 * total <= len(data) else None
    if changes is None or changes.problem or r.pos != r.end:
        return None
    return changes


_NO_DIAGNOSTICS = (b"\xff\xff\xff\xff", b"\0\0\0\0")


def _read_items(r: Reader, total: int) -> Changes:
    r.elements = 0
    return _read_equal(r, total) or _read_mixed(r, total)


def _read_equal(r: Reader, total: int) -> Changes | None:
    """The columns if all items have one layout with a value, as usual.  None: they do not."""
    data, pos = r.data, r.pos
    layout = _layout(data[pos + 4], data[pos + 5]) if total and pos + 6 <= r.end else None
    if layout is None or not layout.kind or total * layout.size > r.end - pos:
        return None
    size, end = layout.size, pos + total * layout.size
    masks, kinds = data[pos + 4 : end : size], data[pos + 5 : end : size]
    if masks != masks[:1] * total or kinds != kinds[:1] * total:
        return None
    r.pos = end
    records = np.frombuffer(data, layout.dtype, total, pos)
    numbers, (has_status, has_source, has_server) = records["value"], layout.stamps
    return Changes(
        records["handle"].astype(np.uint32),
        np.frombuffer(kinds, np.uint8),
        numbers != 0 if layout.kind == BOOLEAN else numbers.copy(),
        records["status"].astype(np.uint32) if has_status else np.zeros(total, np.uint32),
        records["source"].astype(np.int64) if has_source else np.zeros(total, np.int64),
        records["server"].astype(np.int64) if has_server else np.zeros(total, np.int64),
    )


def _read_mixed(r: Reader, total: int) -> Changes:
    sheet = _Sheet(total)
    scattered: dict[bytes, _Scattered] = {}
    row, problem = 0, ""
    try:
        while row < total:
            row = _scan(r, scattered, row, total)
            if row < total:
                row = _take(r, sheet, scattered, row, total)
    except Malformed as error:
        problem = str(error)
    for sign, some in scattered.items():
        if some.rows:
            _gather(r.data, sheet, sign, some)
    return sheet.changes(row, total - row, problem)


@dataclass(frozen=True, slots=True)
class _Scattered:
    """Items of one layout among others: their rows and positions."""

    size: int
    """0 for a layout without a fixed size."""
    rows: list[int]
    places: list[int]


def _scan(r: Reader, scattered: dict[bytes, _Scattered], row: int, total: int) -> int:
    """Skip items of fixed size that are followed by another layout, and note their positions.  Returns the next row.

    Stops before a run, an item without a fixed size, and the end.
    """
    data, pos, end = r.data, r.pos, r.end
    sign = data[pos + 4 : pos + 6]
    while row < total and pos <= end - 6:
        some = scattered.get(sign)
        if some is None:
            layout = _layout(*sign)
            some = scattered[sign] = _Scattered(layout.size if layout else 0, [], [])
        following = pos + some.size
        next_sign = data[following + 4 : following + 6]
        if next_sign == sign or not some.size or following > end:
            break
        some.rows.append(row)
        some.places.append(pos)
        pos, row, sign = following, row + 1, next_sign
    r.pos = pos
    return row


def _take(r: Reader, sheet: _Sheet, scattered: dict[bytes, _Scattered], row: int, total: int) -> int:
    """Read the item at `row` and the run that it begins.  Returns the next row."""
    data, pos = r.data, r.pos
    some = scattered.get(data[pos + 4 : pos + 6]) if pos + 6 <= r.end else None
    if some is None or not some.size:
        sheet.put_other(row, r)
        return row + 1
    layout = _layout(data[pos + 4], data[pos + 5])
    assert layout is not None
    run = _run_length(data, pos, layout, min(total - row, (r.end - pos) // layout.size))
    r.step(layout.size * run)
    if run < RUN:
        some.rows.extend(range(row, row + run))
        some.places.extend(range(pos, pos + run * layout.size, layout.size))
    else:
        sheet.put(slice(row, row + run), layout, np.frombuffer(data, layout.dtype, run, pos))
    return row + run


def _run_length(data: bytes, pos: int, layout: _Layout, fit: int) -> int:
    """How many items of this layout follow each other.  Looks ahead in growing windows, so the time is linear."""
    size, sign = layout.size, 2 if layout.kind else 1
    first = data[pos + 4 : pos + 4 + sign]
    run, window = 1, 64
    while run < min(fit, RUN):
        at = pos + run * size + 4
        if data[at : at + sign] != first:
            return run
        run += 1
    while run < fit:
        window = min(window, fit - run)
        records = np.frombuffer(data, layout.dtype, window, pos + run * size)
        same = records["mask"] == first[0]
        if layout.kind:
            same &= records["kind"] == first[1]
        if not same.all():
            return run + int(same.argmin())
        run += window
        window *= 4
    return run


def _gather(data: bytes, sheet: _Sheet, sign: bytes, some: _Scattered) -> None:
    """Copy scattered items of one layout out of an array that has a record at every byte."""
    layout = _layout(*sign)
    assert layout is not None
    anywhere = np.ndarray((len(data) - layout.size + 1,), f"V{layout.size}", data, strides=(1,))
    sheet.put(np.array(some.rows), layout, anywhere[some.places].view(layout.dtype))
