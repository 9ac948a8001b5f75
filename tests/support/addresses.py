"""Names with addresses that lead nowhere, without leaving this machine."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest


@contextmanager
def black_hole() -> Iterator[int]:
    """A port of 127.0.0.1 that answers no SYN: its queue of connections is full."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port: int = listening.getsockname()[1]
        waiting: list[socket.socket] = []
        try:
            while True:
                sock = socket.socket()
                waiting.append(sock)
                sock.settimeout(0.1)
                sock.connect(("127.0.0.1", port))
        except TimeoutError:
            pass
        try:
            yield port
        finally:
            for sock in waiting:
                sock.close()


def resolve_to(monkeypatch: pytest.MonkeyPatch, name: str, *ports: int, family: int = socket.AF_INET) -> None:
    """Resolve `name` to one address per port, all on 127.0.0.1, in this order."""
    ask = socket.getaddrinfo

    def answer(host: str, port: int, *more: int, **keys: int) -> list[tuple[object, ...]]:
        if host == name:
            return [(family, socket.SOCK_STREAM, 6, "", ("127.0.0.1", each)) for each in ports]
        return list(ask(host, port, *more, **keys))

    monkeypatch.setattr(socket, "getaddrinfo", answer)


def has_ipv6() -> bool:
    with suppress(OSError), socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        return True
    return False
