"""Payloads of births and deaths, and of single metrics with their properties.  Pure.

They have neither `seq` nor the time of sending: `numbers.py` adds them.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

from gateway.payload.sparkplug.datatypes import Datatype, datatype_of, ms_of, value_field
from gateway.payload.sparkplug.latest import Row
from gateway.payload.sparkplug.table import Definition, Table
from gateway.payload.sparkplug.templates import Template, definition, instance, takes
from gateway.payload.sparkplug.wire import METRIC, NULL, double_field, field, number_field, varint
from gateway.payload.sparkplug.wire_latest import WireRow
from gateway.payload.timestamps import text_of
from gateway.values import Structure

REBIRTH = "Node Control/Rebirth"
BD_SEQ = "bdSeq"
BD_SEQ_ALIAS = 1
FIRST_ALIAS = 128
"""Smaller ones are for the edge node itself, and all below 16 384 have the same length on the wire."""
LONG_VALUE = 11
"""The field of 64-bit integers."""
GOOD, STALE, BAD = 192, 500, 0
_NEVER = Row(0, None, 0, 0)
_SEVERITY = 0xC000_0000
_UNCERTAIN = 0x4000_0000


def nbirth(
    bd_seq: int, now_ms: int, own: Sequence[tuple[str, str | int]] = (), templates: Sequence[Template] = ()
) -> bytes:
    """The birth of the edge node.  `own` are its other metrics, texts and numbers; `templates` are all definitions."""
    found = _metric(BD_SEQ, BD_SEQ_ALIAS, Datatype.INT64, now_ms, number_field(11, bd_seq))
    found += _metric(REBIRTH, None, Datatype.BOOLEAN, now_ms, number_field(14, 0))
    for number, (name, value) in enumerate(own, BD_SEQ_ALIAS + 1):
        if isinstance(value, str):
            found += _metric(name, number, Datatype.STRING, now_ms, field(15, value.encode()))
        else:
            found += _metric(name, number, Datatype.INT64, now_ms, number_field(LONG_VALUE, value))
    known = {template.name: template for template in templates}
    for each in templates:
        found += _metric(each.name, each.alias, Datatype.TEMPLATE, now_ms, definition(each, now_ms, known))
    return found


def ndeath(bd_seq: int, now_ms: int) -> bytes:
    """The only metric of a death: the number of the birth that it ends."""
    return number_field(1, now_ms) + _metric(BD_SEQ, None, Datatype.INT64, now_ms, number_field(11, bd_seq))


def dbirth(
    table: Table,
    latest: Callable[[int], Row | WireRow | None],
    now_ms: int,
    *,
    is_stale: bool = False,
    source_time: bool = False,
) -> bytes:
    """All metrics of a device with their latest values, the oldest first.

    A metric without a value in this process is null.  `is_stale`: the server is away, so all of it is.
    """
    rows = [
        (row.ms if isinstance(row, WireRow) else ms_of(row.ticks) if row.ticks else now_ms, number, row)
        for number, metric in enumerate(table.metrics)
        for row in (latest(metric.alias) or _NEVER,)
    ]
    rows.sort(key=lambda each: each[0])
    heads, metrics, found = table.heads, table.metrics, bytearray()
    for ms, number, row in rows:
        metric = metrics[number]
        told = _fixed(metric.unit, metric.low, metric.high)
        if isinstance(row, WireRow):
            value, told = row.content(table, metric, ms), row.told(told, STALE if is_stale else None)
        else:
            value = _content(table, metric, row, ms)
        if not isinstance(row, WireRow) and (is_stale or row.status or source_time):
            quality = STALE if is_stale else quality_of(row.status) if row.status else None
            of_row = metric.unit, row.ticks if source_time else 0, metric.low, metric.high
            told = properties(quality, row.status, *of_row)
        body = heads[number] + b"\x18" + varint(ms) + told + value
        found += METRIC
        found += varint(len(body))
        found += body
    return bytes(found)


def _content(table: Table, metric: Definition, row: Row, ms: int) -> bytes:
    if metric.datatype == Datatype.TEMPLATE:
        template, value = table.by_template[metric.template], row.value
        fits = isinstance(value, Structure) and takes(template, value, table.by_template)
        return instance(template, value if isinstance(value, Structure) and fits else None, ms, table.by_template)
    if row.kind and may_be(metric.datatype, row.kind):
        return value_field(metric.datatype, row.kind, row.value)
    return NULL


def may_be(datatype: int, kind: int) -> bool:
    """Whether a value of this built-in type can be told in this datatype: as itself, or as text."""
    return datatype == Datatype.STRING or datatype_of(kind) == datatype


def quality_of(status: int) -> int:
    """What the specification has for a StatusCode: good, stale (uncertain) or bad."""
    severity = status & _SEVERITY
    return GOOD if not severity else STALE if severity == _UNCERTAIN else BAD


def properties(
    quality: int | None, status: int, unit: str | None = None, ticks: int = 0, low: float | None = None,
    high: float | None = None,
) -> bytes:  # fmt: skip
    """The property set of a metric; empty where it has none."""
    keys, values = b"", b""
    for name, told in (
        ("Quality", _int_property(quality) if quality is not None else b""),
        ("StatusCode", _long_property(status) if status else b""),
        ("engUnit", _text_property(unit) if unit else b""),
        ("engLow", _double_property(low) if low is not None else b""),
        ("engHigh", _double_property(high) if high is not None else b""),
        ("sourceTime", _text_property(text_of(ticks)) if ticks else b""),
    ):
        if told:
            keys += field(1, name.encode())
            values += field(2, told)
    return field(9, keys + values) if keys else b""


@lru_cache(1024)
def _fixed(unit: str | None, low: float | None, high: float | None) -> bytes:
    return properties(None, 0, unit, 0, low, high)


def _int_property(value: int) -> bytes:
    return number_field(1, Datatype.INT32) + number_field(3, value)


def _long_property(value: int) -> bytes:
    return number_field(1, Datatype.UINT32) + number_field(4, value)


def _double_property(value: float) -> bytes:
    return number_field(1, Datatype.DOUBLE) + double_field(6, value)


def _text_property(value: str) -> bytes:
    return number_field(1, Datatype.STRING) + field(8, value.encode(errors="replace"))


def gap_metric(alias: int, ms: int, text: str) -> bytes:
    """A metric that tells of gaps."""
    body = b"\x28\x00" + number_field(2, alias) + number_field(3, ms) + field(15, text.encode())
    return METRIC + varint(len(body)) + body


def _metric(name: str, alias: int | None, datatype: int, ms: int, rest: bytes) -> bytes:
    body = field(1, name.encode(errors="replace"))
    if alias is not None:
        body += number_field(2, alias)
    return field(2, body + number_field(3, ms) + number_field(4, datatype) + rest)
