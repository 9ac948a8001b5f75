"""Which names a request may call us by, so that a page of somebody else's in a browser cannot read ours.

Such a page gets there by a name of its own that suddenly resolves to us (DNS rebinding); the browser then sends that
name as `Host`.  An address is no name, and a name that only a local network knows cannot be somebody else's.
"""

import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

LOCAL = (".localhost", ".local", ".internal", ".svc", ".cluster.local")
"""Endings that no public name has."""


class Hosts:
    """The names that are ours: addresses, those of local networks, of this machine, and `more`."""

    def __init__(self, more: Iterable[str]) -> None:
        self._ours = {name.lower() for name in (*more, socket.gethostname())}

    def are_right(self, header: str | None) -> bool:
        """Whether a `Host` header names us; without one (HTTP/1.0) no browser has sent it."""
        if header is None:
            return True
        try:
            name = (urlsplit(f"//{header}").hostname or "").rstrip(".").lower()
        except ValueError:
            return False
        if not name or "/" in header or "@" in header:
            return False
        return "." not in name or name.endswith(LOCAL) or name in self._ours or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
