"""Reports "ready" and "alive" to systemd (sd_notify): one datagram to the socket that systemd names.

The event loop itself feeds the watchdog, so a gateway whose loop hangs is restarted.
"""

import os
import socket
from contextlib import suppress


def notify(state: str) -> None:
    """Send one state, such as `READY=1`.  Does nothing without systemd, or when it does not listen."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.setblocking(False)
        sock.sendto(state.encode(), address)
