"""Fast encoding of data changes (Part 6, 5.2; Part 4, 7.25.2): one precompiled struct per numeric type.

A DataChangeNotification is regular on the wire.  asyncua encodes it field by field, at some 10 µs per value.  Here a
scalar number with both timestamps is one `pack`; all other values are left to asyncua.  A message that waits for its
acknowledgement is kept as these bytes, a fifth of the size of its objects.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from simulators.server.nodes import ObjectIds, numeric

YEAR_ONE = datetime(1601, 1, 1, tzinfo=UTC)
NOTIFICATION_TYPE = numeric(ObjectIds.DataChangeNotification_Encoding_DefaultBinary)
FORMATS: Mapping[ua.VariantType, str] = {
    ua.VariantType.Boolean: "?", ua.VariantType.SByte: "b", ua.VariantType.Byte: "B", ua.VariantType.Int16: "h",
    ua.VariantType.UInt16: "H", ua.VariantType.Int32: "i", ua.VariantType.UInt32: "I", ua.VariantType.Int64: "q",
    ua.VariantType.UInt64: "Q", ua.VariantType.Float: "f", ua.VariantType.Double: "d",
}  # fmt: skip
MASK = 0x01 | 0x02 | 0x04 | 0x08
"""The encoding mask: value, status, source timestamp and server timestamp are present."""
Pack = Callable[..., bytes]
PACKS: Mapping[ua.VariantType, Pack] = {kind: struct.Struct(f"<IBB{form}Iqq").pack for kind, form in FORMATS.items()}
NO_DIAGNOSTICS = struct.pack("<i", 0)
_count = struct.Struct("<i").pack


def ticks(time: datetime) -> int:
    """An aware datetime as an OPC UA DateTime: 100 ns ticks since 1601-01-01 UTC."""
    since = time - YEAR_ONE
    return (since.days * 86_400 + since.seconds) * 10_000_000 + since.microseconds * 10


def encoded(notifications: Sequence[ua.MonitoredItemNotification]) -> ua.ExtensionObject:
    """A DataChangeNotification whose body is already encoded."""
    body = b"".join((_count(len(notifications)), *map(_item, notifications), NO_DIAGNOSTICS))
    return ua.ExtensionObject(NOTIFICATION_TYPE, ua.ByteString(body))


def _item(notification: ua.MonitoredItemNotification) -> bytes:
    value = notification.Value
    variant, source_time, server_time = value.Value, value.SourceTimestamp, value.ServerTimestamp
    if (
        variant is None or variant.is_array or source_time is None or server_time is None or value.StatusCode is None
        or value.SourcePicoseconds is not None or value.ServerPicoseconds is not None
        or source_time.tzinfo is None or server_time.tzinfo is None
        or (pack := PACKS.get(variant.VariantType)) is None
    ):  # fmt: skip
        return struct_to_binary(notification)
    return pack(
        notification.ClientHandle, MASK, variant.VariantType.value, variant.Value, value.StatusCode.value,
        ticks(source_time), ticks(server_time),
    )  # fmt: skip
