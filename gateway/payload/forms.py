"""The JSON form of every OPC UA type: Part 6, 5.4.2 (1.05), in the plain shape that consumers expect.

| type | JSON |
| --- | --- |
| Boolean, integers up to 32 bits, String, XmlElement | boolean, number, string |
| Int64, UInt64 | string of decimal digits: a JSON number loses digits above 2^53 in most readers |
| Float, Double | number; `"NaN"`, `"Infinity"`, `"-Infinity"` as strings |
| DateTime | RFC 3339 UTC string with seven digits |
| Guid, NodeId, ExpandedNodeId | string |
| ByteString | base64 string |
| StatusCode | number |
| QualifiedName | string, `namespace:name` (the name alone in namespace 0) |
| LocalizedText | `{"locale": …, "text": …}`, missing parts left out |
| ExtensionObject | object of its fields; undecoded `{"type_id": …, "body": base64}` |
| Decimal | `{"Scale": …, "Value": "digits"}`: the value is the digits times ten to the minus scale |
| DiagnosticInfo | object of the fields that are present |
| DataValue | `{"value", "status", "time", "server_time"}`, missing parts left out |
| arrays, matrices | arrays, nested row by row |
| null | null |
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from math import isfinite, isnan
from operator import itemgetter

import numpy as np
import orjson
from numpy.typing import NDArray

from gateway.model import IS_ARRAY, IS_MATRIX
from gateway.payload.timestamps import text_of
from gateway.values import LocalizedText, QualifiedName, RawStructure, Sampled, Structure, Typed

Json = bool | int | float | str | list["Json"] | dict[str, "Json"] | None

FLOAT, DOUBLE = 10, 11
_FLAGS = IS_ARRAY | IS_MATRIX
_PLAIN = frozenset((0, 1, 2, 3, 4, 5, 6, 7, 12, 16, 19))
"""Built-in types whose Python value already has the JSON form."""
IS_PLAIN = np.array([t in _PLAIN or t in (FLOAT, DOUBLE) for t in range(256)])
"""Types that need no conversion, or only for some values (floating point, checked separately)."""


def json_of(type_id: int, value: object) -> Json:
    """The JSON form of one value of a built-in type (`type_id` may carry the array flags)."""
    if value is None:
        return None
    if type_id & _FLAGS or isinstance(value, list):
        assert isinstance(value, Sequence)
        return [json_of(type_id if isinstance(v, list) else type_id & ~_FLAGS, v) for v in value]
    form = _FORMS.get(type_id)
    return form(value) if form else value  # type: ignore[return-value]  # plain types are their own form


def json_column(types: NDArray[np.uint8], values: Sequence[object] | NDArray[np.generic]) -> list[Json]:
    """The JSON forms of a column.  Plain values are passed at full speed, floating point numbers nearly so."""
    if isinstance(values, np.ndarray):
        return _numeric_column(int(types[0]) if len(types) else 0, values)
    column: list[Json] = list(values)  # type: ignore[arg-type]  # the others are replaced below
    for row in _rows(~IS_PLAIN[types]):
        column[row] = json_of(int(types[row]), values[row])
    doubles = types == DOUBLE
    if not isfinite(sum(compress(values, doubles.tobytes()))):  # type: ignore[arg-type]  # all are floats
        for row in _rows(doubles):
            column[row] = _float(values[row])
    singles = _rows(types == FLOAT)
    if singles:
        numbers = np.array(itemgetter(*singles, 0)(values)[:-1], dtype=np.float64)
        for row, form in zip(singles, _numeric_column(FLOAT, numbers), strict=True):
            column[row] = form
    return column


def json_texts(types: NDArray[np.uint8], values: Sequence[object] | NDArray[np.generic]) -> list[bytes]:
    """The JSON texts of a column.  Numbers of one type are encoded at once and split at the commas."""
    if isinstance(values, np.ndarray) and len(values):
        type_id = int(types[0])
        numbers = values.astype(np.float32, copy=False) if type_id == FLOAT else values
        if type_id in _PLAIN or (type_id in (FLOAT, DOUBLE) and is_finite(numbers)):
            text = orjson.dumps(np.ascontiguousarray(numbers), option=orjson.OPT_SERIALIZE_NUMPY)
            return text[1:-1].split(b",")
    return [orjson.dumps(value) for value in json_column(types, values)]


def is_finite(numbers: NDArray[np.generic]) -> bool:
    """Whether none of them is NaN or infinite."""
    return int(np.count_nonzero(np.isfinite(numbers))) == len(numbers)


def _rows(chosen: NDArray[np.bool_]) -> list[int]:
    return chosen.nonzero()[0].tolist()


def _numeric_column(type_id: int, values: NDArray[np.generic]) -> list[Json]:
    if type_id in _PLAIN:
        return values.tolist()  # type: ignore[no-any-return]  # a list of bools or ints
    if type_id == DOUBLE and is_finite(values):
        return values.tolist()  # type: ignore[no-any-return]  # a list of floats
    if type_id == FLOAT and is_finite(values):
        return _singles(values.astype(np.float32, copy=False))
    return [json_of(type_id, v) for v in values.tolist()]


def _singles(values: NDArray[np.float32]) -> list[Json]:
    """The shortest decimals for 32-bit numbers.  The JSON encoder finds them for a whole column."""
    decimals: list[Json] = orjson.loads(orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY))
    return decimals


def _float(value: object) -> Json:
    assert isinstance(value, float | int)
    if isfinite(value):
        return value
    return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _single(value: object) -> Json:
    """The shortest decimal for a 32-bit number, not the longer one of its 64-bit copy."""
    assert isinstance(value, float | int)
    return float(str(np.float32(value))) if isfinite(value) else _float(value)


def _bytes(value: object) -> Json:
    assert isinstance(value, bytes)
    return base64.b64encode(value).decode("ascii")


def _instant(value: object) -> Json:
    assert isinstance(value, int)
    return text_of(value)


def _qualified_name(value: object) -> Json:
    assert isinstance(value, QualifiedName)
    return value.name if value.namespace in (0, "") else f"{value.namespace}:{value.name}"


def _localized_text(value: object) -> Json:
    assert isinstance(value, LocalizedText)
    return {k: v for k, v in (("locale", value.locale), ("text", value.text)) if v is not None}


def _typed(value: object) -> Json:
    assert isinstance(value, Typed)
    return json_of(value.type, value.value)


def _structure(value: object) -> Json:
    if isinstance(value, RawStructure):
        return {"type_id": value.type_id, "body": _bytes(value.body)}
    assert isinstance(value, Structure)
    fields: Mapping[str, Typed] = value.fields
    return {name: _typed(field) for name, field in fields.items()}


def _sampled(value: object) -> Json:
    assert isinstance(value, Sampled)
    form: dict[str, Json] = {"value": _typed(value.value) if value.value else None}
    if value.status:
        form["status"] = value.status
    if value.source_ticks:
        form["time"] = text_of(value.source_ticks)
    if value.server_ticks:
        form["server_time"] = text_of(value.server_ticks)
    return form


_FORMS: Mapping[int, Callable[[object], Json]] = {
    8: str,
    9: str,
    FLOAT: _single,
    DOUBLE: _float,
    13: _instant,
    14: str,
    15: _bytes,
    17: str,
    18: str,
    20: _qualified_name,
    21: _localized_text,
    22: _structure,
    23: _sampled,
    24: _typed,
    25: _structure,
}
