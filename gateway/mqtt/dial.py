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

from gateway.config.broker import MQTT_SCHEMES
from gateway.errors import Unavailable
from gateway.tcp import connect_tcp, explain
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
    parts = parse_url(url, MQTT_SCHEMES)
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


def receipt_at_once(sock: socket.socket) -> None:
    """Let the kernel acknowledge received bytes now, instead of up to 40 ms later.

    A broker with Nagle's algorithm (mosquitto) holds back its next PUBACKs until the last one is acknowledged.  The
    kernel forgets this setting, so it is repeated after every receipt.  Does nothing without TCP_QUICKACK, which only
    Linux has.
    """
    if _QUICKACK is not None:
        with suppress(OSError):  # closed meanwhile
            sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
