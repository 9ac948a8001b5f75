"""The edge to asyncua: its errors become ours, in one place, its logs stay quiet, and its decoder stays bounded.

Whatever a peer does wrong, from not answering to answering nonsense, is `Unavailable` with a sentence that says what
we were doing, where, and what happened.
"""

import logging
import math
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua import ua_binary
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from gateway.errors import Unavailable
from gateway.opcua.codec.wire import Malformed

_NONSENSE = (
    struct.error, ValueError, TypeError, LookupError, AttributeError, RecursionError, MemoryError, InvalidSignature,
    UnsupportedAlgorithm, Malformed,
)  # fmt: skip
"""What asyncua raises when a peer's bytes are not what they should be."""
_MOST_DIMENSIONS = 32
_CLOSED = "the handler is closed"
"""What uvloop says to a write after the end of a connection that nobody was told of yet; asyncio says nothing."""


@contextmanager
def peer_errors(doing: str, where: str) -> Iterator[None]:
    """Turn what the library raises into `Unavailable("cannot <doing> at <where>: …")`.  Cancellation passes."""
    try:
        yield
    except Unavailable:
        raise
    except TimeoutError as error:
        raise Unavailable(f"cannot {doing} at {where}: no answer in time") from error
    except ua.UaStatusCodeError as error:
        raise Unavailable(f"cannot {doing} at {where}: {status_text(error.code)}") from error
    except OSError as error:
        raise Unavailable(f"cannot {doing} at {where}: {error.strerror or error or type(error).__name__}") from error
    except ua.UaError as error:
        raise Unavailable(f"cannot {doing} at {where}: {error or type(error).__name__}") from error
    except _NONSENSE as error:
        text = f"the answer makes no sense ({type(error).__name__}: {error})"
        raise Unavailable(f"cannot {doing} at {where}: {text}") from error
    except RuntimeError as error:
        if _CLOSED not in str(error):
            raise
        raise Unavailable(f"cannot {doing} at {where}: the connection is closed", "cut") from error


def status_text(code: int) -> str:
    """`BadNodeIdUnknown (0x80340000)`, for people."""
    name = ua.status_codes.code_to_name_doc.get(code & 0xFFFF_0000, ("", ""))[0]
    return f"{name or 'status'} (0x{code:08X})"


def patch_asyncua() -> None:
    """Before anything is asked of a server: asyncua is to be quiet, and bounded."""
    _quieten()
    _bound()


def _quieten() -> None:
    """asyncua logs each failure itself, often with a traceback; ours are told once, by the link."""
    logging.getLogger("asyncua").setLevel(logging.WARNING)
    for name in ("client.ua_client.UASocketProtocol", "client.ua_session.UaSession", "client.client", "uaprotocol"):
        logging.getLogger(f"asyncua.{name}").setLevel(logging.CRITICAL + 1)


def _bound() -> None:
    """What asyncua decodes for us may say of itself that it is large only as far as its bytes go.

    Without this, 6 bytes (an array of 2**31 Nulls, which take no bytes) or 20 (dimensions of a million elements that
    are not there) cost it gigabytes, and a text of -9 bytes sends it backwards, for ever; wherever a Variant may be:
    also in the header of any answer.
    """
    for owner, name, bounded in (
        (Buffer, "read", _read), (Buffer, "skip", _skip), (ua_binary, "_reshape", _exactly),
        (ua_binary.Primitives1, "Null", _NullArrays()),
    ):  # fmt: skip
        setattr(owner, name, bounded)


class _NullArrays:
    """An array of Nulls says nothing, and is not sent by anybody."""

    def unpack_array(self, data: object, length: int) -> Sequence[None]:
        if length > 0:
            raise ua.UaError(f"an array of {length} Nulls")
        return ()


_reshape, _forward_read, _forward_skip = ua_binary._reshape, Buffer.read, Buffer.skip


def _read(buffer: Buffer, size: int) -> bytes:
    if size < 0:
        raise ua.UaError(f"{size} bytes wanted")
    return _forward_read(buffer, size)


def _skip(buffer: Buffer, size: int) -> None:
    if size < 0:
        raise ua.UaError(f"{size} bytes to pass over")
    _forward_skip(buffer, size)


def _exactly(flat: list[object], dimensions: list[int]) -> list[object]:
    if len(dimensions) > _MOST_DIMENSIONS or math.prod(max(0, length) for length in dimensions) != len(flat):
        raise ua.UaError(f"{len(flat)} elements are not of the dimensions {dimensions[:_MOST_DIMENSIONS]}")
    return _reshape(flat, dimensions) if flat else flat
