"""The properties at the end of an incoming MQTT 5 packet (2.2.2).

Read here and not by the codec, because the codec's reader panics (a `BaseException`) over text that is not UTF-8, and a
broker must not be able to end the gateway.  Every length is checked against the available bytes.
"""

from collections.abc import Callable, Mapping

RECEIVE_MAXIMUM, MAXIMUM_PACKET_SIZE, MAXIMUM_QOS, RETAIN_AVAILABLE = 0x21, 0x27, 0x24, 0x25
TOPIC_ALIAS_MAXIMUM, SERVER_KEEP_ALIVE, REASON_STRING, SERVER_REFERENCE = 0x22, 0x13, 0x1F, 0x1C

CONTENT_TYPE, RESPONSE_TOPIC, CORRELATION_DATA, USER_PROPERTY = 0x03, 0x08, 0x09, 0x26
MESSAGE_EXPIRY = 0x02

Value = int | str | bytes | tuple[str, str]
Properties = Mapping[int, Value]
_Reader = Callable[[bytes, int], tuple[Value, int]]
_MOST = 1000
"""The largest number of properties in one packet, since reading them blocks all other work."""


def _integer(size: int) -> _Reader:
    def read(data: bytes, at: int) -> tuple[int, int]:
        return int.from_bytes(_slice(data, at, size), "big"), at + size

    return read


def _slice(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise ValueError("a property exceeds its packet")
    return data[at : at + size]


def _octets(data: bytes, at: int) -> tuple[bytes, int]:
    size = int.from_bytes(_slice(data, at, 2), "big")
    return _slice(data, at + 2, size), at + 2 + size


def _text(data: bytes, at: int) -> tuple[str, int]:
    octets, at = _octets(data, at)
    return octets.decode("utf-8"), at


def _pair(data: bytes, at: int) -> tuple[tuple[str, str], int]:
    key, at = _text(data, at)
    value, at = _text(data, at)
    return (key, value), at


def _number(data: bytes, at: int) -> tuple[int, int]:
    return variable_integer(data, at)


_KINDS: Mapping[int, _Reader] = {
    **dict.fromkeys((0x24, 0x25, 0x28, 0x29, 0x2A), _integer(1)),
    **dict.fromkeys((0x13, 0x21, 0x22), _integer(2)),
    **dict.fromkeys((0x11, 0x27), _integer(4)),
    **dict.fromkeys((0x12, 0x15, 0x1A, 0x1C, 0x1F), _text),
    0x16: _octets,
    0x26: _pair,
}
"""The properties of CONNACK, PUBACK, SUBACK, DISCONNECT and AUTH."""
_KINDS_OF_PUBLISH: Mapping[int, _Reader] = {
    0x01: _integer(1),
    MESSAGE_EXPIRY: _integer(4),
    **dict.fromkeys((CONTENT_TYPE, RESPONSE_TOPIC), _text),
    CORRELATION_DATA: _octets,
    0x0B: _number,
    USER_PROPERTY: _pair,
}
"""The properties of PUBLISH, without a topic alias, since we allow none."""
_NOT_ZERO = frozenset((RECEIVE_MAXIMUM, MAXIMUM_PACKET_SIZE))
_AT_MOST_ONE = frozenset((MAXIMUM_QOS, RETAIN_AVAILABLE))


def read_properties(body: bytes, at: int) -> Properties:
    """The properties from `at` to the end of `body`.  Raises `ValueError` for malformed bytes."""
    found, end = _properties(body, at, _KINDS)
    if end != len(body):
        raise ValueError("the length of the properties does not fit the packet")
    return dict(found)


def publish_properties(body: bytes, at: int) -> tuple[Properties, Mapping[str, str], int]:
    """The properties of a PUBLISH, its user properties, and the offset of the payload.  Raises `ValueError`."""
    found, end = _properties(body, at, _KINDS_OF_PUBLISH)
    said = dict(value for name, value in found if name == USER_PROPERTY and isinstance(value, tuple))
    return dict(found), said, end


def _properties(body: bytes, at: int, kinds: Mapping[int, _Reader]) -> tuple[list[tuple[int, Value]], int]:
    length, at = variable_integer(body, at)
    end = at + length
    if end > len(body):
        raise ValueError("the properties exceed their packet")
    found: list[tuple[int, Value]] = []
    while at < end:
        name = body[at]
        read = kinds.get(name)
        if read is None:
            raise ValueError(f"a property 0x{name:02x}")
        if len(found) >= _MOST:
            raise ValueError(f"more than {_MOST} properties in one packet")
        value, at = read(body, at + 1)
        if (name in _NOT_ZERO and value == 0) or (name in _AT_MOST_ONE and value not in (0, 1)):
            raise ValueError(f"a property 0x{name:02x} of {value!r}")
        found.append((name, value))
    if at != end:
        raise ValueError("a property exceeds the length of all properties")
    return found, end


def text_of(body: bytes, at: int, name: int) -> str:
    """One text property.  Empty: missing, or malformed."""
    if len(body) <= at:
        return ""
    try:
        return str(read_properties(body, at).get(name, ""))
    except ValueError:
        return ""


def variable_integer(data: bytes, at: int) -> tuple[int, int]:
    """A Variable Byte Integer (1.5.5) and the offset behind it.  Raises `ValueError`."""
    value = 0
    for shift in (0, 7, 14, 21):
        [byte] = _slice(data, at, 1)
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a length of more than four bytes")
