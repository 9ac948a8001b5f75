"""History of selected variables, in memory, bounded: HistoryRead of raw values (Part 11, 6.4.3).

The last `KEPT` values of each variable are kept with status and both timestamps.  Reads go forward or backward, honour
NumValuesPerNode, return bounding values on request, and continue from a continuation point.  Modified values,
aggregates and updates are refused with Bad_HistoryOperationUnsupported.
"""

import struct
from bisect import bisect_left, bisect_right
from collections import deque
from datetime import UTC, datetime

from asyncua import ua

from simulators.server.nodes import AttributeIds, StatusCodes, status
from simulators.server.space import HISTORY_READ, READ, Space, Variable

KEPT = 10_000
MOST = 5_000
"""The largest number of values in one answer.  The rest follows by continuation point."""
YEAR_ONE = datetime(1601, 1, 1, tzinfo=UTC)


class History:
    """The recorded values of one server's variables."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._past: dict[ua.NodeId, deque[ua.DataValue]] = {}

    def keep(self, variable: Variable) -> None:
        """Record what is written to a variable from now on, and show that in its attributes."""
        self._past[variable.node_id] = deque(maxlen=KEPT)
        node = self._space.store[variable.node_id]
        for attribute, content, kind in (
            (AttributeIds.Historizing, True, ua.VariantType.Boolean),
            (AttributeIds.AccessLevel, READ | HISTORY_READ, ua.VariantType.Byte),
            (AttributeIds.UserAccessLevel, READ | HISTORY_READ, ua.VariantType.Byte),
        ):
            node.attributes[attribute].value = ua.DataValue(ua.Variant(content, kind))

    def add(self, variable: Variable, value: ua.DataValue) -> None:
        past = self._past.get(variable.node_id)
        if past is not None:
            past.append(value)

    def read(self, params: ua.HistoryReadParameters) -> list[ua.HistoryReadResult]:
        details = params.HistoryReadDetails
        if not isinstance(details, ua.ReadRawModifiedDetails) or details.IsReadModified:
            refused = ua.HistoryReadResult(status(StatusCodes.BadHistoryOperationUnsupported))
            return [refused for _ in params.NodesToRead]
        return [self._read_one(details, node) for node in params.NodesToRead]

    def _read_one(self, details: ua.ReadRawModifiedDetails, node: ua.HistoryReadValueId) -> ua.HistoryReadResult:
        past = self._past.get(node.NodeId)
        if past is None:
            known = node.NodeId in self._space.store
            code = StatusCodes.BadHistoryOperationUnsupported if known else StatusCodes.BadNodeIdUnknown
            return ua.HistoryReadResult(status(code))
        start, end = _instant(details.StartTime), _instant(details.EndTime)
        if (start is None) + (end is None) + (not details.NumValuesPerNode) > 1:
            return ua.HistoryReadResult(status(StatusCodes.BadInvalidTimestampArgument))
        chosen = select(list(past), start, end, bool(details.ReturnBounds))
        skip = struct.unpack("<I", node.ContinuationPoint)[0] if len(node.ContinuationPoint or b"") == 4 else 0
        most = min(details.NumValuesPerNode or MOST, MOST)
        page = chosen[skip : skip + most]
        result = ua.HistoryReadResult()
        result.HistoryData = ua.HistoryData(DataValues=page)
        unlimited = not details.NumValuesPerNode or (start is not None and end is not None)
        if unlimited and skip + most < len(chosen):
            result.ContinuationPoint = ua.ByteString(struct.pack("<I", skip + most))
        if not chosen:
            result.StatusCode = status(StatusCodes.GoodNoData)
        return result


def select(past: list[ua.DataValue], start: datetime | None, end: datetime | None, bounds: bool) -> list[ua.DataValue]:
    """The values from `start` up to, not including, `end`.  Newest first when `start` is later or missing."""
    backward = start is None or (end is not None and end < start)
    low, high = (end, start) if backward else (start, end)
    times = [value.SourceTimestamp.astimezone(UTC) for value in past if value.SourceTimestamp]
    first = 0 if low is None else (bisect_right(times, low) if backward else bisect_left(times, low))
    last = len(times) if high is None else (bisect_right(times, high) if backward else bisect_left(times, high))
    if bounds:
        first, last = max(0, first - 1), min(len(times), last + 1)
    chosen = past[first:last]
    return chosen[::-1] if backward else chosen


def _instant(time: datetime | None) -> datetime | None:
    if time is None:
        return None
    aware = time.replace(tzinfo=UTC) if time.tzinfo is None else time
    return aware if aware > YEAR_ONE else None
