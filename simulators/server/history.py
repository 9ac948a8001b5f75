"""History of variables, in memory, bounded: HistoryRead (OPC UA Part 11, 6.4) of raw values, at times, and processed.

Changes (states, counters) are kept as they are, the last `KEPT` of each variable; samples of signals in arrays, the
last `KEPT_SAMPLES`, at 20 bytes each.  Reads go forward or backward, honour NumValuesPerNode, and return bounding
values on request.  What follows on further pages is set aside with the first, so pages fit together while the history
grows.  Modified values and updates are refused with Bad_HistoryOperationUnsupported.
"""

import os
from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from asyncua import ua
from asyncua.server.address_space import AttributeValue

from simulators.server.aggregates import AGGREGATES, interpolated, processed
from simulators.server.encode import YEAR_ONE, ticks
from simulators.server.limits import MOST_POINTS
from simulators.server.nodes import AttributeIds, StatusCodes, status
from simulators.server.nodes import value as data_value
from simulators.server.ranges import NumericRange
from simulators.server.reading import as_asked
from simulators.server.space import HISTORY_READ, READ, Space, Variable

KEPT = 10_000
KEPT_SAMPLES = 3_600
MOST = 5_000
"""The largest number of values in one answer.  The rest follows by continuation point."""
MOST_INTERVALS = 100_000
MICROSECOND = timedelta(microseconds=1)
Values = list[ua.DataValue]


class Points:
    """The continuation points of one session: what follows on the next pages."""

    def __init__(self) -> None:
        self._rest: dict[bytes, tuple[ua.NodeId, Values, int]] = {}

    def page(self, node_id: ua.NodeId, values: Values, most: int) -> ua.HistoryReadResult:
        """The first page of some values."""
        result = ua.HistoryReadResult()
        if len(values) > most:
            if len(self._rest) >= MOST_POINTS:
                return ua.HistoryReadResult(status(StatusCodes.BadNoContinuationPoints))
            point = os.urandom(8)
            self._rest[point] = node_id, values[most:], most
            result.ContinuationPoint = ua.ByteString(point)
        result.HistoryData = ua.HistoryData(DataValues=values[:most])
        if not values:
            result.StatusCode = status(StatusCodes.GoodNoData)
        return result

    def next(self, node_id: ua.NodeId, point: bytes, release: bool) -> ua.HistoryReadResult:
        known, values, most = self._rest.pop(point, (None, [], 1))
        if known != node_id:
            return ua.HistoryReadResult(status(StatusCodes.BadContinuationPointInvalid))
        return ua.HistoryReadResult() if release else self.page(node_id, values, most)


class Past(Protocol):
    """What is remembered of one variable, oldest first."""

    def append(self, value: ua.DataValue) -> None: ...

    def values(self) -> Values: ...


class Changes:
    """Values as they were written."""

    def __init__(self) -> None:
        self._kept: deque[ua.DataValue] = deque(maxlen=KEPT)

    def append(self, value: ua.DataValue) -> None:
        self._kept.append(value)

    def values(self) -> Values:
        return list(self._kept)


class Samples:
    """Numbers with status and source time; the server's time was the same."""

    def __init__(self, kind: ua.VariantType) -> None:
        self._kind = kind
        self._times, self._numbers, self._codes = array("q"), array("d"), array("L")

    def append(self, value: ua.DataValue) -> None:
        number = value.Value.Value if value.Value else None
        time, code = value.SourceTimestamp, value.StatusCode
        if time is None:
            return
        self._times.append(ticks(time.astimezone(UTC)) // 10)
        self._numbers.append(float(number) if isinstance(number, int | float) else float("nan"))
        self._codes.append(code.value if code else 0)
        if len(self._times) > KEPT_SAMPLES * 5 // 4:
            for column in (self._times, self._numbers, self._codes):
                del column[: len(column) - KEPT_SAMPLES]

    def values(self) -> Values:
        found = []
        for at, number, code in zip(self._times, self._numbers, self._codes, strict=True):
            time = YEAR_ONE + at * MICROSECOND
            found.append(data_value(number, self._kind, time, time, code))
        return found


class History:
    """The recorded values of one server's variables."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._past: dict[ua.NodeId, Past] = {}
        self._by_slot: dict[AttributeValue, Past] = {}
        """The same by slot: a node id's hash and equality are calls, and each written value asks here."""

    def keep(self, variable: Variable, *, sampled: bool = False) -> None:
        """Record what is written to a variable from now on, and show that in its attributes."""
        past = Samples(variable.kind) if sampled else Changes()
        self._past[variable.node_id] = self._by_slot[variable.slot] = past
        node = self._space.store[variable.node_id]
        held = node.attributes[AttributeIds.AccessLevel].value
        access = held.Value.Value if held and held.Value else READ
        for attribute, content, kind in (
            (AttributeIds.Historizing, True, ua.VariantType.Boolean),
            (AttributeIds.AccessLevel, access | HISTORY_READ, ua.VariantType.Byte),
            (AttributeIds.UserAccessLevel, access | HISTORY_READ, ua.VariantType.Byte),
        ):
            node.attributes[attribute].value = ua.DataValue(ua.Variant(content, kind))

    def add(self, variable: Variable, value: ua.DataValue) -> None:
        past = self._by_slot.get(variable.slot)
        if past is not None:
            past.append(value)

    def read(self, params: ua.HistoryReadParameters, points: Points) -> list[ua.HistoryReadResult]:
        return [self._read_one(params, number, points) for number in range(len(params.NodesToRead))]

    def _read_one(self, params: ua.HistoryReadParameters, number: int, points: Points) -> ua.HistoryReadResult:
        node, details = params.NodesToRead[number], params.HistoryReadDetails
        if node.ContinuationPoint or params.ReleaseContinuationPoints:
            return points.next(node.NodeId, node.ContinuationPoint or b"", bool(params.ReleaseContinuationPoints))
        past = self._past.get(node.NodeId)
        if past is None:
            known = node.NodeId in self._space.store
            return _refused(StatusCodes.BadHistoryOperationUnsupported if known else StatusCodes.BadNodeIdUnknown)
        if node.IndexRange and NumericRange.read(node.IndexRange) is None:
            return _refused(StatusCodes.BadIndexRangeInvalid)
        most = MOST
        if isinstance(details, ua.ReadRawModifiedDetails) and not details.IsReadModified:
            found = raw(details, past.values())
            most = min(details.NumValuesPerNode or MOST, MOST)
        elif isinstance(details, ua.ReadAtTimeDetails):
            found = at_times(details, past.values())
        elif isinstance(details, ua.ReadProcessedDetails):
            found = in_intervals(details, past.values(), number)
        else:
            found = StatusCodes.BadHistoryOperationUnsupported
        if isinstance(found, int):
            return _refused(found)
        read = ua.ReadValueId(node.NodeId, AttributeIds.Value, node.IndexRange, node.DataEncoding)
        return points.page(node.NodeId, [as_asked(read, value, params.TimestampsToReturn) for value in found], most)


def _refused(code: int) -> ua.HistoryReadResult:
    return ua.HistoryReadResult(status(code))


def raw(details: ua.ReadRawModifiedDetails, past: Values) -> Values | int:
    """Raw values (Part 11, 6.4.3).  Without both ends, NumValuesPerNode is all that is asked for."""
    start, end = instant(details.StartTime), instant(details.EndTime)
    if (start is None) + (end is None) + (not details.NumValuesPerNode) > 1:
        return StatusCodes.BadInvalidTimestampArgument
    chosen = select(past, start, end, bool(details.ReturnBounds))
    return chosen if start is not None and end is not None else chosen[: details.NumValuesPerNode or None]


def at_times(details: ua.ReadAtTimeDetails, past: Values) -> Values | int:
    """The value at each of some times, interpolated where there is none (Part 11, 6.4.5)."""
    times = [instant(time) for time in details.ReqTimes or ()]
    if not times or len(times) > MOST_INTERVALS or None in times:
        return StatusCodes.BadInvalidTimestampArgument
    return [interpolated(past, time) for time in times if time is not None]


def in_intervals(details: ua.ReadProcessedDetails, past: Values, number: int) -> Values | int:
    """One aggregate for each interval (Part 11, 6.4.4)."""
    kinds = details.AggregateType
    kind = kinds[number].Identifier if number < len(kinds) else None
    start, end = instant(details.StartTime), instant(details.EndTime)
    if not isinstance(kind, int) or kind not in AGGREGATES:
        return StatusCodes.BadAggregateNotSupported
    if start is None or end is None or start == end or details.ProcessingInterval < 0:
        return StatusCodes.BadInvalidTimestampArgument
    width = timedelta(milliseconds=details.ProcessingInterval) or abs(end - start)
    if abs(end - start) / width > MOST_INTERVALS:
        return StatusCodes.BadTooManyOperations
    return processed(AGGREGATES[kind], past, start, end, width)


def select(past: Sequence[ua.DataValue], start: datetime | None, end: datetime | None, bounds: bool) -> Values:
    """The values from `start` up to, not including, `end`.  Newest first when `start` is later or missing."""
    backward = start is None or (end is not None and end < start)
    low, high = (end, start) if backward else (start, end)
    times = [value.SourceTimestamp.astimezone(UTC) for value in past if value.SourceTimestamp]
    first = 0 if low is None else (bisect_right(times, low) if backward else bisect_left(times, low))
    last = len(times) if high is None else (bisect_right(times, high) if backward else bisect_left(times, high))
    if bounds:
        first, last = max(0, first - 1), min(len(times), last + 1)
    chosen = list(past[first:last])
    return chosen[::-1] if backward else chosen


def instant(time: datetime | None) -> datetime | None:
    if time is None:
        return None
    aware = time.replace(tzinfo=UTC) if time.tzinfo is None else time
    return aware if aware > YEAR_ONE else None
