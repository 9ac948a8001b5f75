"""Short names for OPC UA types: node ids, names, status codes, values with both timestamps."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes

__all__ = [
    "AttributeIds", "ObjectIds", "StatusCodes", "collection_paused",
    "localized", "numeric", "opaque_id", "qualified", "status", "text_id", "value",
]  # fmt: skip


def numeric(identifier: int, namespace: int = 0) -> ua.NodeId:
    return ua.NodeId(ua.Int32(identifier), ua.Int16(namespace))


def text_id(identifier: str, namespace: int) -> ua.NodeId:
    return ua.NodeId(ua.String(identifier), ua.Int16(namespace))


def opaque_id(identifier: bytes) -> ua.NodeId:
    return ua.NodeId(ua.ByteString(identifier), ua.Int16(0))


def qualified(name: str, namespace: int = 0) -> ua.QualifiedName:
    return ua.QualifiedName(ua.String(name), ua.UInt16(namespace))


def localized(text: str) -> ua.LocalizedText:
    return ua.LocalizedText(ua.String(text), ua.String("en"))


def status(code: int) -> ua.StatusCode:
    return ua.StatusCode(ua.UInt32(code))


def value(
    content: object, kind: ua.VariantType, source_time: datetime, server_time: datetime, code: int = 0
) -> ua.DataValue:
    """A DataValue with both timestamps.  A bad status carries no value (Part 4, 7.11.3)."""
    variant = ua.Variant(content, kind) if code < 0x8000_0000 else ua.Variant()
    return ua.DataValue(variant, GOOD if code == 0 else status(code), source_time, server_time)  # type: ignore[arg-type]  # a datetime is what asyncua encodes


GOOD = status(0)


@contextmanager
def collection_paused() -> Iterator[None]:
    """Build an address space without the garbage collector, which would look at each new node a dozen times.

    That would take more than half of the start-up time.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()
