"""Telling systemd that we are ready and alive (sd_notify): one datagram to the socket that it names, or nothing.

The watchdog is fed from the event loop itself, so a loop that hangs is a gateway that is restarted.
"""

import os
import socket
from contextlib import suppress


def notify(state: str) -> None:
    """Send one state, such as `READY=1`.  Without systemd, or when it does not listen, nothing happens."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.setblocking(False)
        sock.sendto(state.encode(), address)
