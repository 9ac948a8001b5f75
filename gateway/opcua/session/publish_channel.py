"""Reads publish responses from chunks and writes PublishRequests, in an active session; asyncua does the rest.

    socket ─► chunk ─┬─ answers a PublishRequest ─► decrypt, verify, join ─► `on_answer`
                     └─ anything else, and everything irregular ─► asyncua

asyncua builds objects for every header of every chunk and a future for every request.  With small notifications that
costs more than all work on their values.  So a `PublishChannel` replaces it at the socket once the session is active.
asyncua keeps and renews the state of the secure channel (tokens, keys, sequence numbers).  It handles chunks with
another token than the present one, and every error.
Layout of a chunk: Part 6, 6.7.2.  Headers of a request: Part 4, 7.32.
"""

import asyncio
import struct
import time
from collections.abc import Callable, Sequence

from asyncua.crypto.security_policies import Cryptography
from asyncua.crypto.uacrypto import InvalidSignature
from asyncua.ua.ua_binary import nodeid_to_binary

from gateway.model import UNIX_EPOCH_TICKS
from gateway.opcua.session.transport import MAX_MESSAGE_BYTES, Protocol, too_many_parts

Acknowledgements = Sequence[tuple[int, int]]
"""Subscription and sequence number of each durable notification."""

_HEAD = struct.Struct("<4sIII")
"""Type and position in the message, size, channel, token."""
_SEQUENCE = struct.Struct("<II")
"""Sequence number and request."""
_HEADS = struct.Struct("<4sIIIII")
"""Both, where nothing is encrypted."""
_LAST, _ABORTED = 0x46, 0x41
_PUBLISH_REQUEST = bytes((1, 0, 0x3A, 0x03))
"""Node id i=826."""
_REST = struct.Struct("<qIIiI3Bi")
"""Time and handle; no diagnostics, no audit entry, no time limit, no additional header; the number of
acknowledgements."""
_ACKNOWLEDGEMENT = struct.Struct("<II")


class PublishChannel(asyncio.Protocol):
    """Replaces asyncua's protocol at the socket of one session."""

    def __init__(
        self,
        library: Protocol,
        on_answer: Callable[[Acknowledgements, bytes], None],
        on_lost: Callable[[BaseException], None],
    ) -> None:
        assert library.transport is not None
        self._library = library
        self._connection = library._connection
        self._transport = library.transport
        self._on_answer = on_answer
        self._on_lost = on_lost
        self._open: dict[int, Acknowledgements] = {}
        """The acknowledgements in each request that waits at the server."""
        self._parts: list[bytes] = []
        self._parts_of = 0
        """The request that these parts answer."""
        self._head = _PUBLISH_REQUEST + nodeid_to_binary(library.authentication_token)
        self._transport.set_protocol(self)

    @property
    def waiting(self) -> int:
        """How many PublishRequests wait at the server."""
        return len(self._open)

    def request(self, count: int, acknowledgements: Acknowledgements) -> None:
        """Send `count` PublishRequests in one write, the acknowledgements in the first one.

        Raises `ConnectionError` when the connection is closed.
        """
        library = self._library
        if library.transport is None or library.transport.is_closing():
            raise ConnectionError("the connection is closed")
        library.revolve_security_token()
        messages = []
        for _ in range(count):
            messages.append(self._request(acknowledgements))
            acknowledgements = ()
        library.transport.write(b"".join(messages) if count > 1 else messages[0])

    def _request(self, acknowledgements: Acknowledgements) -> bytes:
        library = self._library
        library._request_handle += 1
        library._request_id += 1
        self._open[library._request_id] = acknowledgements
        now_ticks, count = time.time_ns() // 100 + UNIX_EPOCH_TICKS, len(acknowledgements)
        body = self._head + _REST.pack(now_ticks, library._request_handle, 0, -1, 0, 0, 0, 0, count)
        for acknowledgement in acknowledgements:
            body += _ACKNOWLEDGEMENT.pack(*acknowledgement)
        return self._sealed(body, library._request_id)

    def _sealed(self, body: bytes, request: int) -> bytes:
        """The chunk of a request; several if it is long or encrypted in an unusual way."""
        connection = self._connection
        crypto = connection.security_policy.symmetric_cryptography
        size = _HEAD.size + _SEQUENCE.size + len(body)
        if isinstance(crypto, Cryptography) or size > connection._limits.max_send_buffer:
            return connection.message_to_binary(body, request_id=request)
        connection._sequence_number = number = connection._sequence_number % 0xFFFF_FFFF + 1
        token = connection.security_token
        return _HEADS.pack(b"MSGF", size, token.ChannelId, token.TokenId, number, request) + body

    # Called by asyncio.

    def data_received(self, data: bytes) -> None:
        for chunk in self._library.chunks.take(data):
            if not self._take(chunk):
                self._library.chunk_received(chunk)  # it handles all other chunks, malformed ones too
        self._library.hang_up_if_broken()

    def eof_received(self) -> bool | None:
        return self._library.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._library.connection_lost(exc)
        self._open.clear()
        self._on_lost(self._library.broken or exc or ConnectionError("the connection was closed"))

    # Incoming chunks.

    def _take(self, chunk: bytes) -> bool:
        """Handle a chunk if it belongs to an answer to a PublishRequest.  Returns whether it does."""
        connection = self._connection
        if chunk[:3] != b"MSG" or len(chunk) < _HEAD.size + _SEQUENCE.size or connection._incoming_parts:
            return False
        kind, _, channel, token = _HEAD.unpack_from(chunk)
        expected = connection.security_token
        if token != expected.TokenId or channel != expected.ChannelId:
            return False
        crypto = connection.security_policy.symmetric_cryptography
        plain = self._opened(crypto, chunk) if isinstance(crypto, Cryptography) else chunk[_HEAD.size :]
        if plain is None or len(plain) < _SEQUENCE.size:
            return False
        number, request = _SEQUENCE.unpack_from(plain)
        before = connection._peer_sequence_number
        if request not in self._open or (before is not None and number != before + 1):
            return False
        if kind[3] not in b"FCA" or (self._parts and self._parts_of != request):
            return False
        connection._peer_sequence_number = number
        if kind[3] == _LAST and not self._parts:
            self._on_answer(self._open.pop(request), plain[_SEQUENCE.size :])
        else:
            self._add(kind[3], request, plain[_SEQUENCE.size :])
        return True

    def _opened(self, crypto: Cryptography, chunk: bytes) -> bytes | None:
        """Decrypt and verify a chunk: sequence header and body.  None: the present key did not sign it."""
        crypto.use_prev_key = False
        try:
            plain = crypto.decrypt(chunk[_HEAD.size :])  # type: ignore[no-untyped-call]  # asyncua's
            signature = crypto.vsignature_size()  # type: ignore[no-untyped-call]  # asyncua's
            if signature:
                crypto.verify(chunk[: _HEAD.size] + plain[:-signature], plain[-signature:])  # type: ignore[no-untyped-call]  # asyncua's
                plain = plain[:-signature]
            return bytes(crypto.remove_padding(plain))  # type: ignore[no-untyped-call]  # asyncua's
        except (InvalidSignature, ValueError, IndexError):
            return None

    def _add(self, kind: int, request: int, body: bytes) -> None:
        """Join the parts of an answer.  An aborted one is an answer without content."""
        self._parts.append(body)
        self._parts_of = request
        if kind == _ABORTED:
            self._parts = []
            self._on_answer(self._open.pop(request), b"")
        elif kind == _LAST:
            whole, self._parts = b"".join(self._parts), []
            self._on_answer(self._open.pop(request), whole)
        elif not body or self._is_too_much(sum(map(len, self._parts))):
            self._parts = []
            self._on_lost(ConnectionError("a message has more chunks or bytes than allowed"))
            self._transport.abort()

    def _is_too_much(self, size_bytes: int) -> bool:
        return size_bytes > MAX_MESSAGE_BYTES or too_many_parts(len(self._parts), size_bytes)
