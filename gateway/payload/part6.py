"""The JSON DataEncoding of OPC UA Part 6, 5.4 (1.05): the form of fields in `opcua-pubsub` and `cloudevents`.

| encoding | a field is |
| --- | --- |
| `verbose` | a DataValue: UaType, Value, Status with its symbol, timestamps; structures with their nulls |
| `compact` | a DataValue: UaType, Value, Status by number, timestamps; structures without their nulls |
| `raw` | the value alone (RawData, Part 14, 6.2.4.2): no type, status or time; matrices as nested arrays |
| `plain` | `verbose` without UaType and UaTypeId, matrices nested (non-reversible, Annex H): what CloudEvents ask for |

`TimeSource` beside SourceTimestamp is ours (readers skip what they do not know): it says `server` or `receipt` where
the time is not the source's.  Enumerations are numbers in all of them, since a batch does not carry their names.  An
ExtensionObject that could not be decoded keeps its bytes (`UaEncoding` 1, `UaBody`) under the id of its encoding.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gateway.model import IS_ARRAY, IS_MATRIX, Batch
from gateway.payload.forms import Json, json_column, json_of
from gateway.payload.timestamps import TIME_SOURCES, text_of, texts_of
from gateway.values import LocalizedText, QualifiedName, RawStructure, Sampled, Structure, Typed

Encoding = Literal["verbose", "compact", "raw", "plain"]
Field = dict[str, Json]

_FLAGS = IS_ARRAY | IS_MATRIX
STATUS_CODE, QUALIFIED_NAME, LOCALIZED_TEXT, EXTENSION_OBJECT, DATA_VALUE, VARIANT = 19, 20, 21, 22, 23, 24
DIAGNOSTIC_INFO = 25
_OWN = np.array([t & _FLAGS or STATUS_CODE <= t <= DIAGNOSTIC_INFO for t in range(256)], dtype=np.bool_)
"""Types with another form than in `json`."""

SYMBOLS: Mapping[int, str] = {
    0x00300000: "GoodClamped",
    0x00960000: "GoodLocalOverride",
    0x408F0000: "UncertainNoCommunicationLastUsableValue",
    0x40900000: "UncertainLastUsableValue",
    0x40910000: "UncertainSubstituteValue",
    0x40920000: "UncertainInitialValue",
    0x40930000: "UncertainSensorNotAccurate",
    0x40940000: "UncertainEngineeringUnitsExceeded",
    0x40950000: "UncertainSubNormal",
    0x80010000: "BadUnexpectedError",
    0x80020000: "BadInternalError",
    0x80030000: "BadOutOfMemory",
    0x80040000: "BadResourceUnavailable",
    0x80050000: "BadCommunicationError",
    0x80060000: "BadEncodingError",
    0x80070000: "BadDecodingError",
    0x800A0000: "BadTimeout",
    0x801F0000: "BadUserAccessDenied",
    0x80310000: "BadNoCommunication",
    0x80320000: "BadWaitingForInitialData",
    0x80330000: "BadNodeIdInvalid",
    0x80340000: "BadNodeIdUnknown",
    0x803A0000: "BadNotReadable",
    0x803C0000: "BadOutOfRange",
    0x803D0000: "BadNotSupported",
    0x80890000: "BadConfigurationError",
    0x808A0000: "BadNotConnected",
    0x808B0000: "BadDeviceFailure",
    0x808C0000: "BadSensorFailure",
    0x808D0000: "BadOutOfService",
    0x809B0000: "BadNoData",
}
"""Names of the status codes that data carries (Part 6, A.2).  Others have none, which the clause allows."""


def fields_of(batch: Batch, encoding: Encoding, server_time: bool) -> list[Json]:
    """Each row of a batch as a field of a DataSetMessage."""
    values = _column(batch, encoding)
    if encoding == "raw":
        return values
    types = (batch.types & ~np.uint8(_FLAGS)).tolist()
    found: list[Field] = (
        [{"Value": v} for v in values]
        if encoding == "plain"
        else [{"UaType": t, "Value": v} for t, v in zip(types, values, strict=True)]
    )
    for i in np.flatnonzero(batch.types & IS_MATRIX).tolist() if encoding != "plain" else ():
        found[i]["Dimensions"] = dimensions_of(batch.values[i])
    for i in np.flatnonzero(batch.types == 0).tolist():
        del found[i]["Value"]
    for i in np.flatnonzero(batch.statuses).tolist():
        found[i]["Status"] = status_form(int(batch.statuses[i]), encoding)
    _stamp(found, "SourceTimestamp", batch.source_ticks)
    if batch.time_sources is not None:
        for i in np.flatnonzero(batch.time_sources).tolist():
            found[i]["TimeSource"] = TIME_SOURCES[batch.time_sources[i]]
    if server_time:
        _stamp(found, "ServerTimestamp", batch.server_ticks)
    return found  # type: ignore[return-value]  # a list of objects is a list of JSON values


def _stamp(found: list[Field], name: str, ticks: NDArray[np.int64]) -> None:
    for field, tick, text in zip(found, ticks.tolist(), texts_of(ticks), strict=True):
        if tick:
            field[name] = text


def _column(batch: Batch, encoding: Encoding) -> list[Json]:
    if isinstance(batch.values, np.ndarray):
        return json_column(batch.types, batch.values)
    own = np.flatnonzero(_OWN[batch.types]).tolist()
    types = np.where(_OWN[batch.types], 0, batch.types).astype(np.uint8)
    column = json_column(types, batch.values)
    for i in own:
        column[i] = form_of(int(batch.types[i]), batch.values[i], encoding)
    return column


def form_of(type_id: int, value: object, encoding: Encoding) -> Json:
    """The form of one value without its type.  Matrices are flat, row by row, unless `raw` or `plain`."""
    if value is None:
        return None
    if type_id & _FLAGS or isinstance(value, list):
        assert isinstance(value, Sequence)
        if type_id & IS_MATRIX and encoding in ("verbose", "compact"):
            return [form_of(type_id & ~_FLAGS, v, encoding) for v in flat(value)]
        return [form_of(type_id if isinstance(v, list) else type_id & ~_FLAGS, v, encoding) for v in value]
    form = _FORMS.get(type_id)
    return form(value, encoding) if form else json_of(type_id, value)


def flat(value: object) -> list[object]:
    """The elements of a matrix, the last dimension fastest (Part 6, 5.2.2.16)."""
    return [element for row in value for element in flat(row)] if isinstance(value, list) else [value]


def dimensions_of(value: object) -> list[Json]:
    """The lengths of nested lists, outermost first."""
    lengths: list[Json] = []
    while isinstance(value, list):
        lengths.append(len(value))
        value = value[0] if value else None
    return lengths


def status_form(code: int, encoding: Encoding) -> Field:
    """A StatusCode (5.4.2.12).  The symbol ignores the information bits, and is left out in `compact`."""
    if not code:
        return {}
    symbol = SYMBOLS.get(code & 0xFFFF0000) if encoding in ("verbose", "plain") else None
    return {"Code": code, "Symbol": symbol} if symbol else {"Code": code}


def _status(value: object, encoding: Encoding) -> Json:
    assert isinstance(value, int)
    return status_form(value, encoding)


def _qualified_name(value: object, _: Encoding) -> Json:
    assert isinstance(value, QualifiedName)
    if value.namespace in (0, ""):
        return value.name
    return (
        f"{value.namespace}:{value.name}" if isinstance(value.namespace, int) else f"nsu={value.namespace};{value.name}"
    )


def _localized_text(value: object, _: Encoding) -> Json:
    assert isinstance(value, LocalizedText)
    return {k: v for k, v in (("Locale", value.locale), ("Text", value.text)) if v is not None}


def _structure(value: object, encoding: Encoding) -> Json:
    is_typed = encoding in ("verbose", "compact")
    if isinstance(value, RawStructure):
        body = base64.b64encode(value.body).decode("ascii")
        return {"UaTypeId": value.type_id, "UaEncoding": 1, "UaBody": body}
    assert isinstance(value, Structure)
    fields: Field = {"UaTypeId": value.type_id} if is_typed else {}
    for name, field in value.fields.items():
        form = form_of(field.type, field.value, encoding)
        if field.type & IS_MATRIX and form is not None and is_typed:
            form = {"Array": form, "Dimensions": dimensions_of(field.value)}
        if form is not None or encoding != "compact":
            fields[name] = form
    return fields


_DIAGNOSTICS = {
    "symbolic_id": "SymbolicId", "namespace_uri": "NamespaceUri", "locale": "Locale", "localized_text": "LocalizedText",
    "additional_info": "AdditionalInfo", "inner_status": "InnerStatusCode", "inner": "InnerDiagnosticInfo",
}  # fmt: skip


def _diagnostics(value: object, encoding: Encoding) -> Json:
    """A DiagnosticInfo (5.4.2.13), which has no type id."""
    assert isinstance(value, Structure)
    return {_DIAGNOSTICS[name]: form_of(field.type, field.value, encoding) for name, field in value.fields.items()}


def _variant(value: object, encoding: Encoding) -> Json:
    assert isinstance(value, Typed)
    form = form_of(value.type, value.value, encoding)
    if encoding in ("raw", "plain"):
        return form
    body: Field = {"UaType": value.type & ~_FLAGS}
    if form is not None:
        body["Value"] = form
    if value.type & IS_MATRIX:
        body["Dimensions"] = dimensions_of(value.value)
    return body


def _data_value(value: object, encoding: Encoding) -> Json:
    assert isinstance(value, Sampled)
    inner = _variant(value.value, encoding) if value.value else None
    form: Field = {}
    if inner is not None:
        form = inner if isinstance(inner, dict) and encoding in ("verbose", "compact") else {"Value": inner}
    if value.status:
        form["Status"] = status_form(value.status, encoding)
    if value.source_ticks:
        form["SourceTimestamp"] = text_of(value.source_ticks)
    if value.server_ticks:
        form["ServerTimestamp"] = text_of(value.server_ticks)
    return form


_FORMS: Mapping[int, Callable[[object, Encoding], Json]] = {
    STATUS_CODE: _status,
    QUALIFIED_NAME: _qualified_name,
    LOCALIZED_TEXT: _localized_text,
    EXTENSION_OBJECT: _structure,
    DATA_VALUE: _data_value,
    VARIANT: _variant,
    DIAGNOSTIC_INFO: _diagnostics,
}
