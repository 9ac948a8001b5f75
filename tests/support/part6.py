"""A reader of OPC UA JSON (Part 6, 5.4, and Part 14, 7.2.5), written from the specification.

It knows a built-in type from `UaType`, or is told it, as a subscriber knows it from the metadata.
"""

import base64
import uuid

import numpy as np

from gateway.model import IS_ARRAY, IS_MATRIX
from gateway.values import LocalizedText, QualifiedName, Structure
from tests.support.payloads import plain, read_instant

Json = dict[str, object]


def scalar(kind: int, form: object) -> object:
    """5.4.2.1 to 5.4.2.16."""
    if kind in (8, 9):
        assert isinstance(form, str)
        return int(form)
    if kind in (10, 11):
        number = float(str(form))  # a number, or one of the three texts of 5.4.2.4
        return plain(float(np.float32(number)) if kind == 10 else number)
    if kind == 13:
        return read_instant(str(form))
    if kind == 14:
        return uuid.UUID(str(form))
    if kind == 15:
        return base64.b64decode(str(form), validate=True)
    return form


def value(kind: int, form: object, dimensions: list[int] | None = None) -> object:
    """5.4.2.17 and 5.4.5: a scalar, an array, or a matrix as a flat array with its dimensions."""
    if form is None:
        return None
    if kind == 22 and isinstance(form, dict):
        return structure(form)
    if not isinstance(form, list):
        return scalar(kind, form)
    elements = [value(kind, each) for each in form]
    for length in reversed((dimensions or [])[1:]):
        elements = [elements[start : start + length] for start in range(0, len(elements), length)]
    return elements


def structure(form: Json) -> Json:
    """5.4.6, of the one structure that the tests have: x is UInt64, y Double."""
    return {"x": scalar(9, form["x"]), "y": scalar(11, form["y"])}


def status(form: object) -> int:
    """5.4.2.12: no Code means Good."""
    assert isinstance(form, dict)
    return int(form.get("Code", 0))


def data_value(form: Json, known: int = 0) -> tuple[object, int, int]:
    """5.4.2.18: value, status, source ticks."""
    kind = form.get("UaType", known)
    assert isinstance(kind, int)
    dimensions = form.get("Dimensions")
    assert dimensions is None or isinstance(dimensions, list)
    stamp = form.get("SourceTimestamp")
    ticks = 0 if stamp is None else read_instant(str(stamp))
    return value(kind, form.get("Value"), dimensions), status(form.get("Status", {})), ticks


def as_read(original: object, kind: int) -> object:
    """A value of a batch as this reader gives it."""
    if isinstance(original, list):
        return [as_read(each, kind & ~(IS_ARRAY | IS_MATRIX)) for each in original]
    if isinstance(original, QualifiedName):
        return f"nsu={original.namespace};{original.name}"
    if isinstance(original, LocalizedText):
        return {k: v for k, v in (("Locale", original.locale), ("Text", original.text)) if v is not None}
    if isinstance(original, Structure):
        return {name: plain(field.value) for name, field in original.fields.items()}
    return plain(original)
