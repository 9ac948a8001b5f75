"""Decodes one value.  A wrong value does not affect others, as long as its end can be found.

- A value with a mistake inside (text that is not UTF-8, dimensions that do not fit) keeps its bytes, as a ByteString.
- A value that is too large becomes null, and its end is found without building anything.

Both come with a description of the problem.  `Malformed` is raised only if the end cannot be found.
"""

from collections.abc import Callable, Mapping

from gateway.opcua.codec.wire import (
    BYTE_STRING,
    NUMBER_SIZES,
    SCALARS,
    Malformed,
    Reader,
    TooLarge,
    read_variant,
)

BAD_DECODING_ERROR, BAD_ENCODING_LIMITS_EXCEEDED = 0x8007_0000, 0x8008_0000
_BAD_OR_UNCERTAIN = 0xC000_0000
MAX_SKIPPED = 1 << 22
"""The most elements that are skipped one by one in one message, to limit the time."""


def read_value(r: Reader) -> tuple[int, object, int, str]:
    """Read a Variant: type, value, status for the problem (0: none), and what is wrong.

    Raises `Malformed` when its end cannot be found.
    """
    r.depth, r.spoiled = 0, ""
    start, elements = r.pos, r.elements
    try:
        kind, value = read_variant(r)
    except TooLarge as error:
        r.pos, r.depth, r.elements = start, 0, elements
        skip_variant(r)
        return 0, None, BAD_ENCODING_LIMITS_EXCEEDED, str(error)
    if r.spoiled:
        return BYTE_STRING, r.data[start : r.pos], BAD_DECODING_ERROR, r.spoiled
    return kind, value, 0, ""


def status_with(status: int, own: int) -> int:
    """The status of a value with the server's `status` and the status `own` of a problem with it."""
    return status if not own or status & _BAD_OR_UNCERTAIN else own


def skip_variant(r: Reader) -> None:
    """Skip a Variant (Part 6, 5.2.2.16).  Raises `Malformed`."""
    r.deeper()
    encoding = r.u8()
    kind = encoding & 0x3F
    length = max(0, r.i32()) if encoding & 0x80 else 1
    size = NUMBER_SIZES.get(kind)
    if size is not None:
        r.step(length * size)
    elif kind and kind < 32:
        _skip_each(r, _SKIPS.get(kind, _skip_octets), length)
    elif kind or length > 1:
        raise Malformed(f"{length} of built-in type {kind}")
    if encoding & 0x40:
        r.step(4 * max(0, r.i32()))
    r.depth -= 1


def _skip_each(r: Reader, skip: Callable[[Reader], object], length: int) -> None:
    r.fit(length, 1)
    r.skipped += length
    if r.skipped > MAX_SKIPPED:
        raise Malformed(f"more than {MAX_SKIPPED} elements to skip")
    for _ in range(length):
        skip(r)


def _skip_octets(r: Reader) -> None:
    r.step(max(0, r.i32()))


def _skip_node_id(r: Reader) -> None:
    encoding = r.u8()
    form = encoding & 0x3F
    if form in _NODE_ID_SIZES:
        r.step(_NODE_ID_SIZES[form])
    elif form in (3, 5):
        r.step(2)
        _skip_octets(r)
    else:
        raise Malformed("a node id of unknown encoding")
    if encoding & 0x80:
        _skip_octets(r)
    r.step(4 if encoding & 0x40 else 0)


_NODE_ID_SIZES = {0: 1, 1: 3, 2: 6, 4: 18}


def _skip_qualified_name(r: Reader) -> None:
    r.step(2)
    _skip_octets(r)


def _skip_localized_text(r: Reader) -> None:
    mask = r.u8()
    for bit in (1, 2):
        if mask & bit:
            _skip_octets(r)


def _skip_structure(r: Reader) -> None:
    _skip_node_id(r)
    if r.u8() in (1, 2):
        _skip_octets(r)


def _skip_sampled(r: Reader) -> None:
    mask = r.u8()
    if mask & 1:
        skip_variant(r)
    r.step(sum(size for bit, size in ((2, 4), (4, 8), (16, 2), (8, 8), (32, 2)) if mask & bit))


_SKIPS: Mapping[int, Callable[[Reader], object]] = {
    14: lambda r: r.step(16),
    17: _skip_node_id,
    18: _skip_node_id,
    20: _skip_qualified_name,
    21: _skip_localized_text,
    22: _skip_structure,
    23: _skip_sampled,
    24: skip_variant,
    25: SCALARS[25],
}
"""All other types begin with their length."""
