"""The metrics of many rows at once.  Pure.

    0x12 length 0x28 historical 0x10 alias 0x18 │ timestamp │ tag │ value
    ────────────── head: of each tag ────────────┴─ of all ──┴─────┴ by type

The bytes of all rows are one table: heads are made once for each tag, the upper bytes of times are mostly the same in
all rows, and values are columns of numpy by their form.  Where lengths differ, a mask cuts the table.  So a value costs
some tens of nanoseconds, whatever types are mixed.

What does not fit that is left to the caller, row by row: texts of more than `MOST_TEXT` bytes, other types, and times
that have not six bytes (before 1971 and after 2109).
"""

from array import array
from collections.abc import Iterable, Sequence
from functools import lru_cache
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from gateway.payload.sparkplug.datatypes import COLUMNS, Datatype, column_of
from gateway.payload.sparkplug.wire import HISTORICAL, METRIC, varint

Bytes = NDArray[np.uint8]
Rows = NDArray[np.intp]
Values = Sequence[object] | NDArray[np.generic]

MOST_TEXT = 64
_TIME_BYTES = 6
_EARLIEST, _LATEST = 1 << 7 * (_TIME_BYTES - 1), 1 << 7 * _TIME_BYTES
_HALF = 14
"""Bits of two bytes of a varint."""
_PAIRS: NDArray[np.uint16] = np.array([n & 0x7F | 0x80 | (n >> 7 | 0x80) << 8 for n in range(1 << _HALF)], "<u2")
"""Two bytes of a varint that goes on after them."""
_LAST_PAIRS: NDArray[np.uint16] = _PAIRS & np.uint16(0x7FFF)
_KINDS = 64
_TAGS = np.array([COLUMNS[kind][0] if kind in COLUMNS else 0x7A for kind in range(_KINDS)], np.uint8)
_PLAIN = ("f4", "f8", "b")
"""Forms whose values are bytes as they are."""
_PLAIN_KINDS = frozenset(kind for kind, (_, form) in COLUMNS.items() if form in _PLAIN)
_CODES = {"f4": "f", "f8": "d", "u4": "q", "i8": "q", "u8": "Q", "t": "q"}
_PLACES = np.arange(256, dtype=np.uint8)
_SMALL_KINDS = frozenset(kind for kind, (_, form) in COLUMNS.items() if form == "u4" or kind == Datatype.UINT32)
"""Integers of up to 32 bits, which have one form on the wire: the lower 32 bits."""


class Heads:
    """What the metric of each tag begins with, up to its time.  Shorter ones begin further to the right."""

    def __init__(self, aliases: Iterable[int]) -> None:
        heads = [METRIC + b"\0\x28\0\x10" + varint(alias) + b"\x18" for alias in aliases]
        self.width = max(map(len, heads), default=1)
        form = "<u8" if self.width == 8 else f"V{self.width}"
        self.table = np.frombuffer(b"".join(head.rjust(self.width, b"\0") for head in heads), form)
        self.skipped: NDArray[np.uint8] = np.array([self.width - len(head) for head in heads], np.uint8)
        self.are_even = not self.skipped.any()


@lru_cache(64)
def _form(head_width: int, value: str) -> np.dtype[np.void]:
    """One row of the table."""
    head = "<u8" if head_width == 8 else f"V{head_width}"
    times = [("t0", "<u2"), ("t1", "<u2"), ("t2", "<u2")]
    return np.dtype([("head", head), *times, ("tag", "u1"), ("value", value)])


class _Part:
    """The values of some rows: their bytes, and how many of them count."""

    __slots__ = ("lengths", "places", "table")

    def __init__(self, places: Rows, table: NDArray[np.generic], lengths: NDArray[np.uint8] | None) -> None:
        """`lengths` None: all bytes."""
        self.places, self.table, self.lengths = places, table, lengths


def metrics_of(
    heads: Heads, handles: NDArray[np.uint32], kinds: NDArray[np.uint8], ms: NDArray[np.uint64], values: Values,
    rows: Rows | None, historical: bool,
) -> tuple[bytes, NDArray[np.uint8] | None]:  # fmt: skip
    """The metrics of rows, one after another, and the length of each: 0 where the caller has to make it; None: nowhere.

    `kinds` are their datatypes, 0 for rows that the caller makes.  `values` are those of a batch, and `rows` the places
    of these rows in it; None: all of them.
    """
    first, last = int(ms.min()), int(ms.max())
    if first < _EARLIEST or last >= _LATEST:
        kinds = np.where((ms < _EARLIEST) | (ms >= _LATEST), np.uint8(0), kinds)
    kind = int(kinds[0])
    if kind in _PLAIN_KINDS and (kinds == kind).all():
        column = _column(COLUMNS[kind][1], _taken(values, rows))
        table = np.empty(len(kinds), _form(heads.width, column.dtype.str))
        table["value"] = column
        ends: NDArray[np.uint8] | int = table.itemsize
        table["tag"] = _TAGS[kind]
    else:
        parts = _parts(kinds, values, rows)
        width = max((part.table.itemsize for part in parts), default=1)
        table = np.empty(len(kinds), _form(heads.width, f"V{width}"))
        table["tag"] = _TAGS.take(kinds)
        ends = _put_values(table, parts, heads.width + _TIME_BYTES + 1)
    table["head"] = heads.table.take(handles)
    _put_times(table, ms, first, last)
    flat = table.view(np.uint8).reshape(len(table), table.itemsize)
    return _cut(flat, ends, heads, handles, historical)


def _parts(kinds: NDArray[np.uint8], values: Values, rows: Rows | None) -> list[_Part]:
    """The values by form."""
    order = kinds.argsort(kind="stable")
    ordered = _taken(values, order if rows is None else rows[order])
    counts = np.bincount(kinds, minlength=_KINDS)
    ends = counts.cumsum().tolist()
    parts: list[_Part] = []
    small: list[slice] = []
    for kind in counts.nonzero()[0].tolist():
        run = slice(ends[kind - 1] if kind else 0, ends[kind])
        if kind in _SMALL_KINDS:
            small.append(run)
        elif kind == Datatype.STRING:
            parts.append(_texts(order[run], ordered[run]))
        elif kind in COLUMNS:
            form = COLUMNS[kind][1]
            column = _column(form, ordered[run])
            parts.append(_Part(order[run], column, None) if form in _PLAIN else _varints(order[run], column))
    if small:  # all of them at once
        where = [order[run] for run in small]
        parts.append(_varints(np.concatenate(where), np.concatenate([_column("u4", ordered[run]) for run in small])))
    return parts


def _column(form: str, values: Values) -> NDArray[np.generic]:
    """As `column_of`; plain numbers go through an `array`, which takes a third of the time."""
    if isinstance(values, np.ndarray):
        return column_of(form, values)
    try:
        if form == "b":
            return np.frombuffer(bytes(values), np.uint8)  # type: ignore[arg-type]  # others raise
        told: array[float] = array(_CODES[form], values)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return column_of(form, values)
    return column_of(form, np.frombuffer(told, np.dtype(_CODES[form])))


def _taken(values: Values, chosen: Rows | None) -> Values:
    """The values at some places; None: all."""
    if chosen is None:
        return values
    if isinstance(values, np.ndarray):
        return values.take(chosen)
    if len(chosen) == 1:
        return (values[int(chosen[0])],)
    found: Sequence[object] = itemgetter(*chosen.tolist())(values)
    return found


def _texts(places: Rows, texts: Values) -> _Part:
    """Texts with their length before them; 0 bytes where a text is too long, or none."""
    try:
        is_short = max(map(len, texts)) <= MOST_TEXT // 4
        found = list(map(_text, texts)) if is_short else [_text_of(text) for text in texts]
    except TypeError:
        found = [_text_of(text) for text in texts]
    table = np.array(found)
    flat = table.view(np.uint8).reshape(len(found), table.itemsize)
    lengths = flat[:, 0] + np.uint8(1)
    return _Part(places, table, lengths)


def _text_of(text: object) -> bytes:
    """A text behind its length; what is too long, or no text, has 255 as its length, one less than 0."""
    encoded = text.encode(errors="replace") if isinstance(text, str) else None
    return b"\xff" if encoded is None or len(encoded) > MOST_TEXT else bytes((len(encoded),)) + encoded


_text = lru_cache(4096)(_text_of)
"""The texts of states are few, and short."""


def _varints(places: Rows, column: NDArray[np.generic]) -> _Part:
    numbers = column.view(np.int64)
    low, high = int(numbers.min()), int(numbers.max())
    if low >= 0 and high < 0x80:
        return _Part(places, numbers.astype(np.uint8), None)
    if low < 0 or high >= 1 << 2 * _HALF:
        return _long_varints(places, column.view(np.uint64))
    lengths = _BOUNDS.searchsorted(numbers, "right")
    packed = _PAIRS.take(numbers & 0x3FFF).astype(np.uint32)
    if high >= 1 << _HALF:
        packed |= _PAIRS.take(numbers >> _HALF).astype(np.uint32) << np.uint32(16)
    packed &= _CONTINUED.take(lengths)
    return _Part(places, packed, (lengths + 1).astype(np.uint8))


_BOUNDS = np.array([1 << 7, 1 << 14, 1 << 21], np.int64)
_CONTINUED = np.array([0x7F, 0x7FFF, 0x7FFFFF, 0x7FFFFFFF], "<u4")
"""By how many bytes go on: the bits of a varint of four bytes, the last of which does not."""


def _long_varints(places: Rows, numbers: NDArray[np.uint64]) -> _Part:
    width = len(varint(int(numbers.max())))
    table = np.empty((len(numbers), width), np.uint8)
    lengths = np.ones(len(numbers), np.uint8)
    for place in range(width):
        table[:, place] = (numbers >> np.uint64(7 * place)).astype(np.uint8) | np.uint8(0x80)
        if place:
            lengths += numbers >= np.uint64(1 << 7 * place)
    table[np.arange(len(numbers)), lengths - np.uint8(1)] &= 0x7F
    return _Part(places, _as_rows(table), lengths)


def _as_rows(table: Bytes) -> NDArray[np.generic]:
    """Each row as one element, which numpy copies at once."""
    return table.view(f"V{table.shape[1]}").ravel()


def _put_times(table: NDArray[np.void], ms: NDArray[np.uint64], first: int, last: int) -> None:
    """The varints of times, two bytes at a time.  What is the same in all rows is put there once."""
    numbers = ms.view(np.int64)
    for number, name in enumerate(("t0", "t1", "t2")):
        shift, pairs = _HALF * number, _PAIRS if number < 2 else _LAST_PAIRS
        if first >> shift == last >> shift:
            table[name] = pairs[first >> shift & 0x3FFF]
        else:
            table[name] = pairs.take((numbers >> shift if shift else numbers) & 0x3FFF)


def _put_values(table: NDArray[np.void], parts: list[_Part], begin: int) -> NDArray[np.uint8]:
    """Where the rows end: 0 for those without a value here."""
    flat = table.view(np.uint8).reshape(len(table), table.itemsize)
    ends = np.zeros(len(table), np.uint8)
    for part in parts:
        width = part.table.itemsize
        column = np.ndarray(len(table), part.table.dtype, flat, begin, (table.itemsize,))
        end = begin + width if part.lengths is None else _ends(begin, part.lengths)
        column[part.places] = part.table
        ends[part.places] = end
    return ends


def _ends(begin: int, lengths: NDArray[np.uint8]) -> NDArray[np.uint8]:
    ends = lengths + np.uint8(begin)
    return ends if lengths.all() else np.where(lengths == 0, np.uint8(0), ends)


def _cut(
    table: Bytes, ends: NDArray[np.uint8] | int, heads: Heads, handles: NDArray[np.uint32], historical: bool
) -> tuple[bytes, NDArray[np.uint8] | None]:
    """The bytes of all rows, with their lengths and whether they are historical."""
    rows, width = table.shape
    if heads.are_even:
        if historical:
            table[:, 3] = HISTORICAL[1]
        if isinstance(ends, int):
            table[:, 1] = ends - 2
            return table.tobytes(), None
        table[:, 1] = ends - np.uint8(2)
        return table[_PLACES[:width] < ends[:, None]].tobytes(), None if ends.all() else ends
    skipped, every = heads.skipped.take(handles), np.arange(rows)
    until = np.full(rows, ends, np.uint8) if isinstance(ends, int) else ends
    lengths = np.where(until == 0, np.uint8(0), until - skipped)
    table[every, skipped + np.uint8(1)] = lengths - np.uint8(2)
    table[every, skipped + np.uint8(3)] = HISTORICAL[1] if historical else 0
    kept = (_PLACES[:width] < until[:, None]) & (_PLACES[:width] >= skipped[:, None])
    return table[kept].tobytes(), lengths
