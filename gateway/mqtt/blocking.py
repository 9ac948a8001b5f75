"""The blocking part of paho: the handshakes of TLS and web sockets, in a thread that aiomqtt starts.

A thread cannot be cancelled, but `cut` shuts its socket down, and the thread then ends at once.  The sockets are ours,
so none stays open when a handshake fails; paho would leave it to the garbage collector.
"""

import asyncio
import math
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

import aiomqtt

from gateway.mqtt.dial import HANDSHAKE_S, Socket, during_handshake
from gateway.mqtt.paho_edge import connect_on
from gateway.tls import shown_expires_s


class BlockingConnect:
    """Replaces paho's connect, on a socket that is already connected."""

    def __init__(self, client: aiomqtt.Client, line: Socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._line = line
        self._sock: socket.socket = line.sock
        self._begun = False
        self._ended = asyncio.Event()
        self.certificate_ends_s = math.nan
        """The end of the broker's certificate (Unix time), after the handshake."""
        connect_on(client, line.sock, self._shake_hands, self._run)

    def cut(self) -> None:
        """Wake the thread by shutting its socket down."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    async def wait_ended(self) -> None:
        """Wait until the thread has ended, if it was started."""
        if self._begun:
            await self._ended.wait()

    def close(self) -> None:
        self._sock.close()
        self._line.sock.close()

    def _run(self, connect: Callable[[], None]) -> None:
        self._begun = True
        try:
            connect()
        finally:
            self._loop.call_soon_threadsafe(self._ended.set)

    def _shake_hands(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        assert self._line.tls is not None
        name = self._line.server_name or self._line.address.host
        wrapped = self._line.tls.wrap_socket(tcp_sock, server_hostname=name, do_handshake_on_connect=False)
        self._sock = wrapped
        wrapped.settimeout(HANDSHAKE_S)
        with during_handshake(self._line.address):
            wrapped.do_handshake()
        self.certificate_ends_s = shown_expires_s(wrapped.getpeercert())
        return wrapped
