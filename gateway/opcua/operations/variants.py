"""From values of `gateway/values.py` to those of asyncua."""

from datetime import UTC, datetime, timedelta

from asyncua import ua

from gateway.model import IS_ARRAY
from gateway.values import LocalizedText, Typed

_START = datetime(1601, 1, 1, tzinfo=UTC)


def data_value_of(value: Typed) -> ua.DataValue:
    """Only the value: many servers refuse a write with a status or timestamps."""
    return ua.DataValue(variant_of(value), StatusCode=None)


def variant_of(value: Typed) -> ua.Variant:
    kind = ua.VariantType(value.type & ~IS_ARRAY)
    if isinstance(value.value, list):
        return ua.Variant([_element(each) for each in value.value], kind, is_array=True)
    # a DateTime is an int in `gateway/values.py`
    return ua.Variant(_element(value.value, is_instant=kind is ua.VariantType.DateTime), kind, is_array=False)


def _element(value: object, *, is_instant: bool = False) -> object:
    if isinstance(value, LocalizedText):
        return ua.LocalizedText(Text=value.text, Locale=value.locale)
    if is_instant and isinstance(value, int):
        return _START + timedelta(microseconds=value // 10)
    return value
