"""Turns ReadResponses into columns and finds the changes in them, as a subscription does on the server.

A row is reported by the rules of Part 4, 7.22.2.  The trigger says what counts as a change (status, value, source
timestamp), a dead-band how far a number must differ from the last reported one.  The first row of a variable is always
reported.
"""

import math
from collections.abc import Sequence

import numpy as np
from asyncua import ua

from gateway.opcua.codec.columns import Changes, read_item
from gateway.opcua.codec.decode import skip_response_header
from gateway.opcua.codec.wire import Dialect, Malformed, Reader
from gateway.opcua.space.selection import Asked, Item
from gateway.values import Structure, Typed

STATUS_ONLY, TIMESTAMP = 0, 2
"""DataChangeTrigger (Part 4, 7.22.2)."""
PERCENT = 2
"""DeadbandType (Part 8, 7.2)."""
_Row = tuple[int, object, int, int, int]
"""Type, value, status, source ticks, server ticks."""


def read_request(nodes: Sequence[ua.NodeId]) -> ua.ReadRequest:
    """A request for the Value of each node, as new as the server has it, with both timestamps."""
    request = ua.ReadRequest()
    request.Parameters.MaxAge = 0
    request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
    for node in nodes:
        wanted = ua.ReadValueId()
        wanted.NodeId, wanted.AttributeId = node, ua.AttributeIds.Value
        request.Parameters.NodesToRead.append(wanted)
    return request


def read_results(body: bytes, handles: Sequence[int], dialect: Dialect) -> tuple[Changes, int]:
    """The results of a ReadResponse, one per handle, and the server's clock in ticks.

    Raises `Malformed` when their number is wrong.  A value that cannot be decoded keeps its bytes.  Values behind one
    without an end are counted as lost.
    """
    r = Reader(body, 0, len(body), dialect)
    ticks = skip_response_header(r)
    if r.count(1) != len(handles):
        raise Malformed("the number of results is not that of variables")
    rows: list[_Row] = []
    spoiled, problem, culprits = 0, "", []
    for handle in handles:
        try:
            kind, value, status, source_ticks, server_ticks, what = read_item(r)
        except Malformed as error:
            problem = problem or str(error)
            culprits.append(handle)
            break
        if what:
            spoiled, problem = spoiled + 1, problem or what
            culprits.append(handle)
        rows.append((kind, value, status, source_ticks, server_ticks))
    lost = len(handles) - len(rows)
    return columns(handles[: len(rows)], rows, spoiled=spoiled, lost=lost, problem=problem, culprits=culprits), ticks


def columns(
    handles: Sequence[int],
    rows: Sequence[_Row],
    *,
    spoiled: int = 0,
    lost: int = 0,
    problem: str = "",
    culprits: Sequence[int] = (),
) -> Changes:
    """Rows as columns."""
    kinds, values, statuses, source_ticks, server_ticks = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    return Changes(
        np.array(handles, np.uint32),
        np.array(kinds, np.uint8),
        list(values),
        np.array(statuses, np.uint32),
        np.array(source_ticks, np.int64),
        np.array(server_ticks, np.int64),
        spoiled,
        lost,
        problem,
        tuple(culprits),
    )


class ChangeFilter:
    """Finds the rows that differ enough from those reported before."""

    def __init__(self) -> None:
        self._last: dict[int, _Row] = {}
        self.spans: dict[int, float] = {}
        """EURange (high minus low) by handle, for dead-bands in percent."""

    def changed(self, read: Changes, items: Sequence[Item]) -> Changes:
        """The rows to report.  They count as reported from now on."""
        handles, kept = [], []
        rows = zip(
            read.types.tolist(), read.values, read.statuses.tolist(), read.source_ticks.tolist(),
            read.server_ticks.tolist(), strict=True,
        )  # fmt: skip
        for handle, row in zip(read.handles.tolist(), rows, strict=True):
            last = self._last.get(handle)
            if last is None or self._differs(handle, items[handle].asked, last, row):
                self._last[handle] = row
                handles.append(handle)
                kept.append(row)
        return columns(
            handles, kept, spoiled=read.spoiled, lost=read.lost, problem=read.problem, culprits=read.culprits
        )

    def _differs(self, handle: int, asked: Asked, last: _Row, row: _Row) -> bool:
        if row[2] != last[2]:
            return True
        if asked.trigger == TIMESTAMP and row[3] != last[3]:
            return True
        return asked.trigger != STATUS_ONLY and (
            row[0] != last[0] or differs(last[1], row[1], self._band(handle, asked))
        )

    def _band(self, handle: int, asked: Asked) -> float:
        return asked.deadband * (self.spans.get(handle, 0.0) / 100.0 if asked.deadband_kind == PERCENT else 1.0)


def differs(last: object, now: object, band: float) -> bool:
    """Whether two values differ: numbers, also in arrays, by more than `band`."""
    if isinstance(last, float) and isinstance(now, float) and (math.isnan(last) or math.isnan(now)):
        return not (math.isnan(last) and math.isnan(now))
    if band and not isinstance(now, bool) and isinstance(last, int | float) and isinstance(now, int | float):
        return abs(now - last) > band
    if isinstance(last, list) and isinstance(now, list):
        return len(last) != len(now) or any(differs(a, b, band) for a, b in zip(last, now, strict=True))
    if isinstance(last, Typed) and isinstance(now, Typed):
        return last.type != now.type or differs(last.value, now.value, 0.0)
    if isinstance(last, Structure) and isinstance(now, Structure):
        fields = (last.fields, now.fields)
        return fields[0].keys() != fields[1].keys() or any(differs(f, fields[1][n], 0.0) for n, f in fields[0].items())
    return last != now
