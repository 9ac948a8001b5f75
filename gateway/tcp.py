"""A TCP connection to the first address of a name that answers (Happy Eyeballs, RFC 8305).

A name may have addresses that lead nowhere: IPv6 for a host with IPv4 only, or an old address of a broker.  So attempts
are staggered: the next one starts when the last has failed or has been silent for a quarter of a second, and all of
them run until one succeeds.  Each attempt has nearly the whole time that the caller allows.

`explain` says in words why a connection failed, the same for every protocol.
"""

import asyncio
import itertools
import socket
import ssl
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Protocol

from gateway.in_thread import in_thread

STAGGER_S = 0.25
"""The "Connection Attempt Delay" (RFC 8305, 5)."""

Target = tuple[int, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]
"""Address family, and the argument of `connect`."""


async def connect_tcp(host: str, port: int) -> socket.socket:
    """A connected non-blocking socket without Nagle's delay.

    Raises OSError with the error of the first address.  Cancelled, it leaves no socket behind.  The caller sets the
    time-out.
    """
    targets = staggered(await resolve(host, port))
    opened: list[socket.socket] = []
    winner: socket.socket | None = None
    try:
        errors = await _race(targets, opened)
        if not opened:
            raise errors[0] if errors else OSError(f"the name {host} has no address")
        winner = opened[0]
        return winner
    finally:
        for sock in opened:
            if sock is not winner:
                sock.close()


async def _race(targets: Sequence[Target], opened: list[socket.socket]) -> list[OSError]:
    """Start one attempt after another until a socket is `opened` or all have failed.  Returns the errors, in order."""
    attempts: list[asyncio.Task[OSError | None]] = []
    async with asyncio.TaskGroup() as tasks:
        for target in targets:
            attempts.append(tasks.create_task(_attempt(target, opened), name=f"connect to {target[1][0]!r}"))
            await _wait_turn(attempts, opened, is_last=target is targets[-1])
            if opened:
                break
        for task in attempts:
            task.cancel()
    if opened:
        return []
    return [error for task in attempts if (error := task.result()) is not None]  # a cancelled one raises: not by us


async def _wait_turn(attempts: Sequence[asyncio.Task[OSError | None]], opened: list[socket.socket], *,
                     is_last: bool) -> None:  # fmt: skip
    """Wait until the next attempt may start; after the last one, until one has succeeded or all have failed."""
    running = {task for task in attempts if not task.done()}
    while running and not opened:
        patience_s = None if is_last else STAGGER_S
        _, running = await asyncio.wait(running, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
        if not is_last:
            return


async def _attempt(target: Target, opened: list[socket.socket]) -> OSError | None:
    family, where = target
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:  # an address family that this machine does not support
        return error
    with ExitStack() as undo:
        undo.callback(sock.close)
        try:
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, where)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            return error
        undo.pop_all()
    opened.append(sock)
    return None


def staggered(targets: Sequence[Target]) -> list[Target]:
    """The order of attempts: the resolver's, alternating between the families (RFC 8305, 4)."""
    families = list(dict.fromkeys(family for family, _ in targets))
    columns = [[target for target in targets if target[0] == family] for family in families]
    return [target for row in itertools.zip_longest(*columns) for target in row if target is not None]


async def resolve(host: str, port: int) -> list[Target]:
    """The addresses of a name.  Raises `socket.gaierror`.

    Runs in a thread: a resolver may take minutes to fail.
    """

    def look() -> list[Target]:
        try:
            return [(each[0], each[4]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        except UnicodeError as error:  # a label is too long
            raise socket.gaierror(socket.EAI_NONAME, "it is not a valid name") from error

    return await in_thread(look, f"resolve {host}")


class HasHost(Protocol):
    """An address."""

    @property
    def host(self) -> str:
        """A name, or an IP address."""


def explain(error: BaseException, address: HasHost) -> str:
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


def _certificate(error: ssl.SSLCertVerificationError, address: HasHost) -> str:
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
