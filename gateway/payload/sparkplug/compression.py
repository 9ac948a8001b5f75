"""Compressed payloads, in the form of Eclipse Tahu and its clients.  Pure.

A payload in another one: `uuid` is `SPBV1.0_COMPRESSED`, the metric `algorithm` is `DEFLATE` (RFC 1950) or `GZIP`
(RFC 1952), and `body` is what was compressed.  Both have `seq` and the time of sending: the specification demands them
of every message, and readers take them from either.
"""

import gzip
import zlib

from gateway.payload.sparkplug.datatypes import Datatype
from gateway.payload.sparkplug.wire import MalformedError, Value, field, fields_in, number_field

COMPRESSED = b"SPBV1.0_COMPRESSED"
ALGORITHM = "algorithm"
DEFLATE, GZIP = "DEFLATE", "GZIP"
LEAST_BYTES = 512
"""Shorter payloads become no shorter."""
MOST_BYTES = 64 * 2**20
"""The longest payload that a compressed one may hold."""
_LEVEL = 1
_METRIC, _UUID, _BODY = 2, 4, 5
_HEADS = {
    name: field(2, field(1, ALGORITHM.encode()) + number_field(4, Datatype.STRING) + field(15, name.encode()))
    + field(4, COMPRESSED)
    for name in (DEFLATE, GZIP)
}


def compressed(payload: bytes, algorithm: str) -> bytes:
    """The payload around a compressed one."""
    body = gzip.compress(payload, _LEVEL, mtime=0) if algorithm == GZIP else zlib.compress(payload, _LEVEL)
    return _HEADS[algorithm] + field(5, body)


def opened(payload: bytes) -> tuple[bytes, str]:
    """The payload within a compressed one, and the algorithm; for any other itself, and nothing.

    Raises `MalformedError`.
    """
    uuid, body, algorithm = b"", b"", DEFLATE
    if COMPRESSED not in payload:
        return payload, ""
    for number, _, value in fields_in(payload):
        if number == _METRIC and isinstance(value, bytes):
            algorithm = _algorithm(value) or algorithm
        elif isinstance(value, bytes):
            uuid, body = (value, body) if number == _UUID else (uuid, value) if number == _BODY else (uuid, body)
    return (_inflated(body, algorithm), algorithm) if uuid == COMPRESSED else (payload, "")


def _algorithm(metric: bytes) -> str:
    told: dict[int, Value] = {number: value for number, _, value in fields_in(metric)}
    name, value = told.get(1), told.get(15)
    return value.decode(errors="replace").upper() if name == ALGORITHM.encode() and isinstance(value, bytes) else ""


def _inflated(body: bytes, algorithm: str) -> bytes:
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16 if algorithm == GZIP else zlib.MAX_WBITS)
    try:
        inner = inflater.decompress(body, MOST_BYTES)
    except zlib.error as error:
        raise MalformedError(f"the compressed payload cannot be read: {error}") from None
    if not inflater.eof:
        raise MalformedError(f"the compressed payload is cut off, or longer than {MOST_BYTES} bytes")
    return inner
