"""Opens a TCP connection, and explains a failure in one sentence.

Both session classes get their connected socket here, so a failure reads the same everywhere, and a cancelled attempt
leaves nothing behind.
"""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from gateway.config.broker import BROKER_SCHEMES
from gateway.errors import Unavailable
from gateway.tcp import connect_tcp
from gateway.urls import parse_url

HANDSHAKE_S = 86_400.0
"""The libraries' own limit of a TLS handshake; the attempt as a whole has a shorter one, which a slow line extends."""
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a broker listens: the parts of its URL."""

    url: str
    host: str
    port: int
    tls: bool
    web_socket: bool
    path: str
    """Path of the web socket."""

    def __str__(self) -> str:
        return self.url


class HasLimit(Protocol):
    """A time limit."""

    @property
    def limit_s(self) -> float:
        """In seconds; read when it is over."""


@dataclass(frozen=True, slots=True)
class Socket:
    """A connected socket for a new session."""

    sock: socket.socket
    address: Address
    tls: ssl.SSLContext | None = None
    server_name: str = ""
    """The name for SNI, which must be in the certificate."""


def parse(url: str) -> Address:
    """Split `mqtts://host:8883` or `wss://host/mqtt`.  Raises `ValueError` with the remedy."""
    parts = parse_url(url, BROKER_SCHEMES)
    return Address(
        url=url,
        host=parts.host,
        port=parts.port,
        tls=parts.scheme in ("mqtts", "wss"),
        web_socket=parts.scheme in ("ws", "wss"),
        path=parts.path or "/mqtt",
    )


async def connect(address: Address) -> socket.socket:
    """A connected non-blocking TCP socket.  Raises OSError.  Cancelled, it leaves no socket behind."""
    return await connect_tcp(address.host, address.port)


@contextmanager
def during_handshake(address: Address) -> Iterator[None]:
    """Explain a connection that is cut during the TLS handshake."""
    try:
        yield
    except ConnectionError as error:
        why = "is it a TLS port, and do both sides accept the TLS version and the certificates?"
        raise Unavailable(f"{address} cut the connection in the TLS handshake: {why}") from error


@contextmanager
def translated(address: Address, limit: HasLimit) -> Iterator[None]:
    """Turn network errors into `Unavailable` with one sentence: what, where, why."""
    try:
        yield
    except TimeoutError as error:
        raise Unavailable(f"{address} gave no answer within {limit.limit_s:g} s") from error
    except OSError as error:
        raise Unavailable(f"{address} {explain(error, address)}") from error


def explain(error: BaseException, address: Address) -> str:
    """The second half of a sentence that begins with the address."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"shows a certificate that is not accepted: {_certificate(error, address)}"
        case ssl.SSLError():
            return f"does not agree on TLS: {_tls(error)}"
        case ConnectionRefusedError():
            return "refuses the connection: is a broker running there, and is the port right?"
        case socket.gaierror():
            return f"cannot be found: the name {address.host} does not resolve ({error.strerror})"
        case ConnectionResetError() | BrokenPipeError():
            return "cut the connection"
        case OSError():
            return f"cannot be reached: {error.strerror or error}"
        case _:
            return f"failed: {error}"


def _certificate(error: ssl.SSLCertVerificationError, address: Address) -> str:
    if error.verify_code in (62, 64):
        return f"it is not for the name {address.host}"
    return _REFUSED.get(error.verify_code, error.verify_message)


_REFUSED = {
    2: "a certificate between it and its authority is missing, or its authority is not trusted",
    3: "there is no revocation list of its authority",
    9: "it is not valid yet",
    10: "the certificate has expired",
    11: "the revocation list of its authority is not valid yet",
    12: "the revocation list of its authority is out of date",
    18: "it is signed by itself, and its authority is not trusted here",
    19: "its authority is not trusted here",
    20: "its authority is not trusted here, or a certificate between is missing",
    21: "a certificate between it and its authority is missing",
    23: "it is revoked",
}
"""By the code of OpenSSL (X509_V_ERR_…), which also has 62 and 64 for another name and another address."""


def _tls(error: ssl.SSLError) -> str:
    reason = (error.reason or str(error)).replace("_", " ").lower()
    hints = {
        "wrong version number": "this port does not speak TLS",
        "record layer failure": "this port does not speak TLS",
        "tlsv13 alert certificate required": "it asks for a client certificate",
        "tlsv1 alert unknown ca": "it does not accept our client certificate (unknown CA)",
        "unsupported protocol": "it only offers a TLS version older than allowed",
        "tlsv1 alert protocol version": "it does not offer the requested TLS version",
    }
    return hints.get(reason, reason)


def receipt_at_once(sock: socket.socket) -> None:
    """Let the kernel acknowledge received bytes now, instead of up to 40 ms later.

    A broker with Nagle's algorithm (mosquitto) holds back its next PUBACKs until the last one is acknowledged.  The
    kernel forgets this setting, so it is repeated after every receipt.  Does nothing without TCP_QUICKACK, which only
    Linux has.
    """
    if _QUICKACK is not None:
        with suppress(OSError):  # closed meanwhile
            sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
