"""A fault of encoding that devices in the field have: extensions that say `critical: FALSE` (X.690, 11.5).

DER leaves a default value out, so strict readers refuse the whole certificate (EncodedDefault).  Without these three
bytes in each extension it can be read.  Its signature covers what was shown, not what is read here.
"""

from collections.abc import Iterator

_SEQUENCE, _EXTENSIONS, _FALSE = 0x30, 0xA3, b"\x01\x01\x00"
_SHORT, _MOST_LENGTH_BYTES = 0x80, 4


def without_defaults(der: bytes) -> bytes:
    """The certificate without the values that its extensions should have left out.  Unchanged where there are none.

    Raises `ValueError` when the parts of the certificate cannot be found.
    """
    signed, *rest = _parts(_content(der))
    fields = [_without(field) if field[0] == _EXTENSIONS else field for field in _parts(_content(signed))]
    return _joined(_SEQUENCE, [_joined(_SEQUENCE, fields), *rest])


def _without(extensions: bytes) -> bytes:
    one_by_one = [
        _joined(_SEQUENCE, _plain(list(_parts(_content(each))))) for each in _parts(_content(_inner(extensions)))
    ]
    return _joined(_EXTENSIONS, [_joined(_SEQUENCE, one_by_one)])


def _plain(parts: list[bytes]) -> list[bytes]:
    """An extension is an identifier, perhaps a Boolean, and octets."""
    return [parts[0], *parts[2:]] if len(parts) == 3 and parts[1] == _FALSE else parts


def _inner(part: bytes) -> bytes:
    return next(_parts(_content(part)), b"")


def _content(part: bytes) -> bytes:
    start, end = _span(part, 0)
    return part[start:end]


def _parts(content: bytes) -> Iterator[bytes]:
    place = 0
    while place < len(content):
        _, end = _span(content, place)
        yield content[place:end]
        place = end


def _span(data: bytes, place: int) -> tuple[int, int]:
    """Where the content of the part at `place` begins and ends."""
    length, start = data[place + 1] if place + 1 < len(data) else -1, place + 2
    if length >= _SHORT:
        count = length - _SHORT
        if not 1 <= count <= _MOST_LENGTH_BYTES:
            raise ValueError("a length without end")
        length = int.from_bytes(data[start : start + count], "big")
        start += count
    if length < 0 or start + length > len(data):
        raise ValueError("more bytes wanted than there are")
    return start, start + length


def _joined(tag: int, parts: list[bytes]) -> bytes:
    content = b"".join(parts)
    if len(content) < _SHORT:
        return bytes((tag, len(content))) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes((tag, _SHORT + len(length))) + length + content
