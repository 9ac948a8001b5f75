"""gzip (RFC 1952) or Zstandard (RFC 8878) around the payload of any format.

The content type stays that of the payload; the user property `content-encoding` is `gzip` or `zstd`.  MQTT 3.1.1 has
neither; readers recognise the first bytes, `1f 8b` or `28 b5 2f fd`.  Both use level 1: a higher level costs several
times the CPU and saves a tenth.
"""

import gzip
from collections.abc import Callable
from typing import Literal

import zstandard
from msgspec.structs import replace

from gateway.model import Message

Coding = Literal["gzip", "zstd"]
Compress = Callable[[bytes], bytes]
PROPERTY = "content-encoding"
_LEVEL = 1


def compressor(coding: Coding) -> Callable[[Message], Message]:
    """A function that compresses messages.  Equal payloads stay equal."""
    compress: Compress = _gzip if coding == "gzip" else zstandard.ZstdCompressor(level=_LEVEL).compress

    def compressed(message: Message) -> Message:
        properties = (*message.properties, (PROPERTY, coding))
        return replace(message, payload=compress(message.payload), properties=properties)

    return compressed


def _gzip(payload: bytes) -> bytes:
    return gzip.compress(payload, _LEVEL, mtime=0)
