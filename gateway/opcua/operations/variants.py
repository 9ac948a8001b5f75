"""From values of `gateway/values.py` to those of asyncua, and structures to their bytes (Part 6, 5.2.6 to 5.2.8)."""

import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from asyncua import ua
from asyncua.ua.ua_binary import pack_uatype

from gateway.model import IS_ARRAY, IS_MATRIX
from gateway.opcua.codec.node_ids import node_of
from gateway.operations import FieldForm, Form, Forms
from gateway.values import LocalizedText, Structure, Typed

_START = datetime(1601, 1, 1, tzinfo=UTC)
_FLAGS = IS_ARRAY | IS_MATRIX
_OPTIONAL, _UNION = 1, 2
_U32, _I32 = struct.Struct("<I"), struct.Struct("<i")


class Variants:
    """Makes what is sent to one server, whose data types are `forms`."""

    def __init__(self, uris: Sequence[str], forms: Forms) -> None:
        self._uris = uris
        self._forms = forms

    def data_value(self, value: Typed) -> ua.DataValue:
        """Only the value: many servers refuse a write with a status or timestamps."""
        return ua.DataValue(self.variant(value), StatusCode=None)

    def variant(self, value: Typed) -> ua.Variant:
        kind = ua.VariantType(value.type & ~_FLAGS)
        if not isinstance(value.value, list):
            return ua.Variant(self._element(kind, value.value), kind, is_array=False)
        elements = [self._element(kind, each) for each in _flat(value.value)]
        variant = ua.Variant(elements, kind, is_array=True)
        if value.type & IS_MATRIX:
            variant.Dimensions = [ua.Int32(size) for size in _sizes(value.value)]
        return variant

    def _element(self, kind: ua.VariantType, value: object) -> object:
        if isinstance(value, Structure):
            form = self._forms[value.type_id]
            return ua.ExtensionObject(self._encoding(form), ua.ByteString(self._body(form, value)))
        if isinstance(value, LocalizedText):
            return ua.LocalizedText(Text=value.text, Locale=value.locale)
        if kind is ua.VariantType.DateTime and isinstance(value, int):  # an int in `gateway/values.py`
            return _START + timedelta(microseconds=value // 10)
        return value

    def _encoding(self, form: Form) -> ua.NodeId:
        node = node_of(form.encoding, self._uris)
        assert node is not None, form.encoding  # it was read on this connection
        return node

    def _body(self, form: Form, value: Structure) -> bytes:
        present = [(number, field) for number, field in enumerate(form.fields) if field.name in value.fields]
        body = b"".join(self._field(field, value.fields[field.name]) for _, field in present)
        if form.kind == _UNION:
            return _U32.pack(present[0][0] + 1) + body
        if form.kind == _OPTIONAL:
            optional = [field.name for field in form.fields if field.is_optional]
            return _U32.pack(sum(1 << bit for bit, name in enumerate(optional) if name in value.fields)) + body
        return body

    def _field(self, field: FieldForm, value: Typed) -> bytes:
        one = self._one(self._forms[field.data_type], ua.VariantType(value.type & ~_FLAGS))
        if not isinstance(value.value, list):
            return one(value.value)
        elements = b"".join(map(one, _flat(value.value)))
        sizes = _sizes(value.value)
        if field.dimensions > 1:
            return _I32.pack(len(sizes)) + b"".join(map(_I32.pack, sizes)) + elements
        return _I32.pack(len(value.value)) + elements

    def _one(self, form: Form, kind: ua.VariantType) -> Callable[[object], bytes]:
        """A nested structure has no header of its own."""

        def packed(value: object) -> bytes:
            if isinstance(value, Structure):
                return self._body(form, value)
            return bytes(pack_uatype(kind, self._element(kind, value)))

        return packed


def _flat(value: object) -> list[object]:
    return [one for each in value for one in _flat(each)] if isinstance(value, list) else [value]


def _sizes(value: object) -> list[int]:
    sizes = []
    while isinstance(value, list):
        sizes.append(len(value))
        value = value[0] if value else None
    return sizes
