"""Aggregates of history (OPC UA Part 13): Interpolative, Average, Minimum, Maximum, Count, Range, Start, End.

Values are interpolated between good neighbours: by a straight line for numbers that were sampled, and stepped for all
else.  A value computed from others has the status GoodCalculated (historian bits of Part 11),
interpolated ones Interpolated.  An interval without good values is Bad_NoData.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from asyncua import ua

from simulators.server.nodes import ObjectIds, StatusCodes, status
from simulators.server.nodes import value as data_value

CALCULATED, INTERPOLATED = 0x401, 0x402
"""InfoType DataValue with the historian bits of Part 11, 5.2.3.3."""
Values = list[ua.DataValue]
Number = int | float


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`compute` gets the good values of an interval, which are never none unless `empty` says what none gives."""

    name: str
    compute: Callable[[Sequence[Number]], Number]
    kind: ua.VariantType | None = None
    """None: that of the variable."""
    empty: Number | None = None


DOUBLE, COUNT = ua.VariantType.Double, ua.VariantType.Int32
AGGREGATES: Mapping[int, Aggregate] = {
    ObjectIds.AggregateFunction_Interpolative: Aggregate("Interpolative", lambda values: values[0]),
    ObjectIds.AggregateFunction_Average: Aggregate("Average", lambda values: sum(values) / len(values), DOUBLE),
    ObjectIds.AggregateFunction_Minimum: Aggregate("Minimum", min),
    ObjectIds.AggregateFunction_Maximum: Aggregate("Maximum", max),
    ObjectIds.AggregateFunction_Range: Aggregate("Range", lambda values: max(values) - min(values)),
    ObjectIds.AggregateFunction_Count: Aggregate("Count", len, COUNT, empty=0),
    ObjectIds.AggregateFunction_Start: Aggregate("Start", lambda values: values[0]),
    ObjectIds.AggregateFunction_End: Aggregate("End", lambda values: values[-1]),
}


def good(value: ua.DataValue) -> bool:
    return value.StatusCode is None or value.StatusCode.value < 0x4000_0000


def time_of(value: ua.DataValue) -> datetime:
    return value.SourceTimestamp.astimezone(UTC) if value.SourceTimestamp else datetime.min.replace(tzinfo=UTC)


def interpolated(past: Sequence[ua.DataValue], at: datetime) -> ua.DataValue:
    """The value at an instant: the recorded one, or one between its good neighbours; Bad_NoData before the first."""
    usable = [value for value in past if good(value)]
    times = [time_of(value) for value in usable]
    place = bisect_right(times, at)
    if place == 0:
        return no_data(at)
    before = usable[place - 1]
    if times[place - 1] == at:
        return before
    kind = before.Value.VariantType if before.Value else ua.VariantType.Null
    content = before.Value.Value if before.Value else None
    if place < len(usable) and kind in (ua.VariantType.Double, ua.VariantType.Float):
        later = usable[place].Value
        after = later.Value if later else None
        if isinstance(content, float) and isinstance(after, float):
            share = (at - times[place - 1]) / (times[place] - times[place - 1])
            return data_value(content + (after - content) * share, kind, at, at, INTERPOLATED)
    uncertain = StatusCodes.UncertainDataSubNormal if place == len(usable) else 0
    return data_value(content, kind, at, at, INTERPOLATED | uncertain)


def no_data(at: datetime) -> ua.DataValue:
    return ua.DataValue(ua.Variant(), status(StatusCodes.BadNoData), at, at)  # type: ignore[arg-type]  # a datetime is what asyncua encodes


def processed(
    aggregate: Aggregate, past: Sequence[ua.DataValue], start: datetime, end: datetime, width: timedelta
) -> Values:
    """The aggregate of each interval, from `start` towards `end`, with the timestamp of its first instant."""
    step = width if end > start else -width
    found, at = [], start
    times = [time_of(value) for value in past]
    while (at < end) if end > start else (at > end):
        until = min(at + step, end) if end > start else max(at + step, end)
        found.append(_interval(aggregate, past, times, at, until))
        at += step
    return found


def _interval(
    aggregate: Aggregate, past: Sequence[ua.DataValue], times: Sequence[datetime], at: datetime, until: datetime
) -> ua.DataValue:
    if aggregate.name == "Interpolative":
        return interpolated(past, at)
    if until > at:
        inside = past[bisect_left(times, at) : bisect_left(times, until)]
    else:  # backward: the late end belongs to the interval
        inside = past[bisect_right(times, until) : bisect_right(times, at)]
    usable = [value for value in inside if good(value)]
    numbers = [value.Value.Value for value in usable if value.Value and isinstance(value.Value.Value, int | float)]
    if aggregate.name == "Count":  # of anything, also of texts
        return data_value(len(usable), COUNT, at, at, CALCULATED)
    if not numbers:
        return no_data(at)
    kind = aggregate.kind or next(value.Value.VariantType for value in usable if value.Value)
    partial = 0 if len(usable) == len(inside) else StatusCodes.UncertainDataSubNormal
    return data_value(aggregate.compute(numbers), kind, at, at, CALCULATED | partial)
