"""Opening a TCP connection, and saying in one sentence why it did not work.

Both sessions get a connected socket from here, so a refused connection reads the same everywhere and a cancelled
attempt leaves nothing behind.
"""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from gateway.config.broker import BROKER_SCHEMES
from gateway.errors import Unavailable
from gateway.tcp import connect_tcp
from gateway.urls import parse_url

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


@dataclass(frozen=True, slots=True)
class Socket:
    """A connected socket on the way to becoming a session."""

    sock: socket.socket
    address: Address
    tls: ssl.SSLContext | None = None
    server_name: str = ""
    """The name to ask for and to find in the certificate."""


def parse(url: str) -> Address:
    """`mqtts://host:8883` or `wss://host/mqtt` in its parts.  Raises `ValueError` with what to write instead."""
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
    """A connected non-blocking TCP socket.  Raises OSError; cancelled, it leaves no socket behind."""
    return await connect_tcp(address.host, address.port)


@contextmanager
def during_handshake(address: Address) -> Iterator[None]:
    """A cut during the TLS handshake has causes of its own."""
    try:
        yield
    except ConnectionError as error:
        why = "is it a TLS port, and does a version and a certificate suit both sides?"
        raise Unavailable(f"{address} cut the connection in the TLS handshake: {why}") from error


@contextmanager
def translated(address: Address, within_s: float) -> Iterator[None]:
    """Turns what the network says into `Unavailable` with one sentence: what, where, why."""
    try:
        yield
    except TimeoutError as error:
        raise Unavailable(f"{address} gave no answer within {within_s:g} s") from error
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
        "wrong version number": "nobody speaks TLS on this port",
        "record layer failure": "nobody speaks TLS on this port",
        "tlsv13 alert certificate required": "it asks for a client certificate",
        "tlsv1 alert unknown ca": "it does not accept our client certificate (unknown CA)",
        "unsupported protocol": "it only offers a TLS version older than allowed",
        "tlsv1 alert protocol version": "it does not offer the TLS version that is asked for",
    }
    return hints.get(reason, reason)


def receipt_at_once(sock: socket.socket) -> None:
    """Let the kernel tell the broker now that its bytes are here, not up to 40 ms later.

    Brokers that leave Nagle's algorithm on (mosquitto does) hold back the next PUBACKs until they know that of the one
    before.  The kernel forgets the wish, so this is called whenever something was received.  Does nothing where there
    is no TCP_QUICKACK (it is Linux's own).
    """
    if _QUICKACK is not None:
        with suppress(OSError):  # closed meanwhile
            sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
