"""The accepted host names of requests, so that a foreign web page in a browser cannot read the pages of this server.

Such a page uses a host name of its own that resolves to this server's address (DNS rebinding).  The browser then sends
that name as `Host`.  Addresses are accepted, and names that exist only in a local network, since no attacker has them.
"""

import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

LOCAL = (".localhost", ".local", ".internal", ".svc", ".cluster.local")
"""Endings that no public host name has."""


class Hosts:
    """The accepted names: addresses, names of local networks, the name of this machine, and `more`."""

    def __init__(self, more: Iterable[str]) -> None:
        self._ours = {name.lower() for name in (*more, socket.gethostname())}

    def are_right(self, header: str | None) -> bool:
        """Whether a `Host` header is accepted.  A request without one (HTTP/1.0) does not come from a browser."""
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
