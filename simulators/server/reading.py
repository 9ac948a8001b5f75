"""What a Read asks for beside node and attribute (OPC UA Part 4, 5.10.2): index range, encoding, timestamps."""

from dataclasses import replace

from asyncua import ua
from asyncua.common.utils import ServiceError

from simulators.server.limits import bounded
from simulators.server.nodes import AttributeIds, StatusCodes, status
from simulators.server.ranges import NumericRange

WANTED = ua.TimestampsToReturn


def check_read(params: ua.ReadParameters) -> None:
    """Refuse a request as a whole."""
    bounded(params.NodesToRead)
    if params.MaxAge < 0:
        raise ServiceError(StatusCodes.BadMaxAgeInvalid)
    if params.TimestampsToReturn not in (WANTED.Source, WANTED.Server, WANTED.Both, WANTED.Neither):
        raise ServiceError(StatusCodes.BadTimestampsToReturnInvalid)


def as_asked(read: ua.ReadValueId, value: ua.DataValue, wanted: ua.TimestampsToReturn) -> ua.DataValue:
    """The value in the form that the client asked for, or a refusal."""
    encoding = read.DataEncoding.Name if read.DataEncoding else None
    if encoding:
        if read.AttributeId != AttributeIds.Value:
            return ua.DataValue(StatusCode=status(StatusCodes.BadDataEncodingInvalid))
        if encoding != "Default Binary":
            return ua.DataValue(StatusCode=status(StatusCodes.BadDataEncodingUnsupported))
    if read.IndexRange:
        value = part_of(value, read.IndexRange)
    if wanted in (WANTED.Server, WANTED.Neither) and value.SourceTimestamp is not None:
        value = replace(value, SourceTimestamp=None, SourcePicoseconds=None)
    if wanted in (WANTED.Source, WANTED.Neither) and value.ServerTimestamp is not None:
        value = replace(value, ServerTimestamp=None, ServerPicoseconds=None)
    return value


def part_of(value: ua.DataValue, index_range: str) -> ua.DataValue:
    """The part of a value (Part 4, 7.27)."""
    found = NumericRange.read(index_range)
    if found is None:
        return ua.DataValue(StatusCode=status(StatusCodes.BadIndexRangeInvalid))
    if value.StatusCode is not None and value.StatusCode.is_bad():
        return value
    variant = value.Value
    cut = found.of(variant.Value) if variant is not None else None
    if variant is None or cut is None:
        return replace(value, Value=ua.Variant(), StatusCode=status(StatusCodes.BadIndexRangeNoData))
    return replace(value, Value=ua.Variant(cut, variant.VariantType, is_array=isinstance(cut, list)))
