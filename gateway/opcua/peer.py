"""The edge to asyncua: its errors become ours, in one place, and its logs stay quiet.

Whatever a peer does wrong, from not answering to answering nonsense, is `Unavailable` with a sentence that says what
we were doing, where, and what happened.
"""

import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from asyncua import ua
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from gateway.errors import Unavailable
from gateway.opcua.wire import Malformed

_NONSENSE = (
    struct.error, ValueError, TypeError, LookupError, AttributeError, RecursionError, MemoryError, InvalidSignature,
    UnsupportedAlgorithm, Malformed,
)  # fmt: skip
"""What asyncua raises when a peer's bytes are not what they should be."""


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


def status_text(code: int) -> str:
    """`BadNodeIdUnknown (0x80340000)`, for people."""
    name = ua.status_codes.code_to_name_doc.get(code & 0xFFFF_0000, ("", ""))[0]
    return f"{name or 'status'} (0x{code:08X})"


def quieten_library() -> None:
    """asyncua logs each failure itself, often with a traceback; ours are told once, by the link."""
    logging.getLogger("asyncua").setLevel(logging.WARNING)
    for name in ("client.ua_client.UASocketProtocol", "client.ua_session.UaSession", "client.client", "uaprotocol"):
        logging.getLogger(f"asyncua.{name}").setLevel(logging.CRITICAL + 1)
