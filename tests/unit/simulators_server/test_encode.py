"""Data changes are encoded as asyncua would, byte by byte."""

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary, to_binary

from simulators.server.encode import encoded, ticks
from simulators.server.nodes import value

NOW = datetime(2026, 11, 21, 10, 45, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(microseconds=789)
VALUES = [
    (True, ua.VariantType.Boolean), (-1, ua.VariantType.SByte), (255, ua.VariantType.Byte),
    (-(2**15), ua.VariantType.Int16), (2**16 - 1, ua.VariantType.UInt16), (-(2**31), ua.VariantType.Int32),
    (2**32 - 1, ua.VariantType.UInt32), (-(2**63), ua.VariantType.Int64), (2**64 - 1, ua.VariantType.UInt64),
    (1.5, ua.VariantType.Float), (math.pi, ua.VariantType.Double), (-math.inf, ua.VariantType.Double),
    ("Größe", ua.VariantType.String), (None, ua.VariantType.String), ([1.0, 2.0], ua.VariantType.Double),
    (b"\x00", ua.VariantType.ByteString), (NOW, ua.VariantType.DateTime),
]  # fmt: skip


def official(notifications: list[ua.MonitoredItemNotification]) -> bytes:
    return struct_to_binary(ua.DataChangeNotification(MonitoredItems=notifications))


@pytest.mark.parametrize(("content", "kind"), VALUES, ids=lambda v: str(v)[:20])
@pytest.mark.parametrize("code", [0, 0x4086_0000, 0x480])
def test_one_value_is_encoded_as_by_asyncua(content: object, kind: ua.VariantType, code: int) -> None:
    notification = ua.MonitoredItemNotification(ua.UInt32(7), value(content, kind, NOW, LATER, code))
    assert encoded([notification]).Body == official([notification])


def test_bad_values_and_missing_times_are_left_to_asyncua() -> None:
    odd = [
        ua.MonitoredItemNotification(ua.UInt32(1), value(1.0, ua.VariantType.Double, NOW, LATER, 0x8000_0000)),
        ua.MonitoredItemNotification(ua.UInt32(2), ua.DataValue(ua.Variant(1.0, ua.VariantType.Double))),
        ua.MonitoredItemNotification(ua.UInt32(3), value(2.0, ua.VariantType.Double, NOW, LATER)),
    ]
    assert encoded(odd).Body == official(odd)


def test_a_whole_notification_is_encoded_as_by_asyncua() -> None:
    notification = ua.MonitoredItemNotification(ua.UInt32(7), value(1.0, ua.VariantType.Double, NOW, LATER))
    plain = ua.DataChangeNotification(MonitoredItems=[notification])
    assert to_binary(ua.ExtensionObject, encoded([notification])) == to_binary(ua.ExtensionObject, plain)


def test_ticks_count_from_1601_in_any_zone() -> None:
    assert ticks(datetime(1970, 1, 1, tzinfo=UTC)) == 116_444_736_000_000_000
    assert ticks(NOW.astimezone(timezone(timedelta(hours=5)))) == ticks(NOW)
