"""asyncua's socket and secure channel with limits: received bytes are checked before they are kept.

    socket ─► `Chunks` (type and size of a chunk, by its header) ─► `Channel` (keys, sequence, parts of a message)
                                                                        └─► answers our request, or we disconnect

- A chunk larger than announced is not buffered.  The parts of a message are limited in number and total size.  An empty
  part ends the connection.
- A message without a request ends the connection: a second Acknowledge, a channel that we do not open, an answer to an
  unknown request.
- The server's limits (MaxMessageSize, MaxChunkCount and ReceiveBufferSize of its Acknowledge) apply to our requests.
- A time-out settles the same future as the answer (`within`), so the two cannot race.

Layout: Part 6, 6.7.2 and 7.1.2.
"""

import asyncio
import struct
from dataclasses import dataclass
from typing import Any, TypeVar

from asyncua import ua
from asyncua.client.ua_client import UASocketProtocol
from asyncua.common.connection import MessageChunk, SecureConnection, TransportLimits
from asyncua.common.utils import Buffer
from asyncua.crypto.security_policies import SecurityPolicy
from asyncua.ua.ua_binary import header_from_binary, struct_from_binary, uatcp_to_binary
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from gateway.opcua.codec.wire import Malformed

NONSENSE = (
    struct.error, ValueError, TypeError, LookupError, AttributeError, RecursionError, MemoryError, InvalidSignature,
    UnsupportedAlgorithm, Malformed,
)  # fmt: skip
"""What asyncua raises for malformed bytes of a peer."""
MAX_MESSAGE_BYTES = 64 * 2**20
"""The largest message of the server.  The server is told, and it is enforced."""
CHUNK_BYTES = 2**20
"""The largest chunk, as announced to the server."""
SEND_BYTES = 2**16
LEAST_SEND_BYTES = 1024
"""The smallest buffer allowed (Part 6, 7.1.2.3)."""
MOST_DECODED_BYTES = 2**20
"""The longest answer that asyncua decodes.  What may be longer is decoded by us."""
FREE_PARTS, PART_BYTES = 16, 1024
"""A message may have `FREE_PARTS` parts of any size.  With more, their average must be at least `PART_BYTES`."""
_KINDS = (b"MSG", b"OPN", b"ACK", b"ERR")
"""The message types of a server."""
_OPEN: Any = ua.MessageType.SecureOpen
_MESSAGE: Any = ua.MessageType.SecureMessage
_ACKNOWLEDGE: Any = ua.MessageType.Acknowledge
_HELLO: Any = ua.MessageType.Hello
_INTERMEDIATE: Any = ua.ChunkType.Intermediate
_ABORT: Any = ua.ChunkType.Abort
"""asyncua declares these bytes as classes."""
_T = TypeVar("_T")


async def within(answer: "asyncio.Future[_T]", seconds: float) -> _T:
    """The result of `answer`.  Raises `TimeoutError` when it takes longer than `seconds`.

    The timer settles the future itself.  `asyncio.wait_for`, `asyncio.timeout` and asyncua's own `wait_for` cancel
    instead: if an answer and its time-out come in the same turn of the loop, they can end the waiting task.
    """
    timer = asyncio.get_running_loop().call_later(seconds, _expire, answer)
    try:
        return await answer
    finally:
        timer.cancel()


def _expire(answer: "asyncio.Future[Any]") -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())


class Chunks:
    """Splits a stream of bytes into chunks, in time linear in its length."""

    def __init__(self) -> None:
        self.most_bytes = SEND_BYTES
        """The largest chunk.  It grows only after the server has stated its limits."""
        self.broken = ""
        """Why the stream cannot be split any further.  Empty: it can."""
        self._waiting: list[bytes] = []
        self._size = 0
        self._needed = 8
        """The number of bytes that complete the next chunk."""

    def take(self, data: bytes) -> list[bytes]:
        """Add bytes and return the complete chunks.  Check `broken` afterwards."""
        if self.broken:
            return []
        if self._size:
            self._waiting.append(data)
            self._size += len(data)
            if self._size < self._needed:
                return []
            data = b"".join(self._waiting)
        found, position, end = [], 0, len(data)
        self._needed = 8
        while end - position >= 8:
            size = int.from_bytes(data[position + 4 : position + 8], "little")
            if data[position : position + 3] not in _KINDS:
                self.broken = f"no chunk of OPC UA: {data[position : position + 8]!r}"
                break
            if not 8 <= size <= self.most_bytes:
                self.broken = f"a chunk of {size} bytes, but the limit is {self.most_bytes}"
                break
            if size > end - position:
                self._needed = size
                break
            found.append(data[position : position + size] if size != end else data)
            position += size
        rest = b"" if self.broken else data[position:]
        self._waiting, self._size = ([rest], len(rest)) if rest else ([], 0)
        return found


def too_many_parts(parts: int, size_bytes: int) -> bool:
    """Whether a message has too many small parts, as an attacker might send it."""
    return parts > FREE_PARTS + size_bytes // PART_BYTES


class Limits(TransportLimits):
    """The limits of both sides.  asyncua mistakes the server's limits for ours."""

    def __init__(self, chunks: Chunks) -> None:
        super().__init__(SEND_BYTES, SEND_BYTES, 0, MAX_MESSAGE_BYTES)
        self._chunks = chunks
        self.request_bytes = 0
        """The longest request that the server accepts; 0: any."""
        self.request_chunks = 0

    def update_client_limits(self, msg: ua.Acknowledge) -> None:
        """Take the server's limits from its Acknowledge."""
        self._chunks.most_bytes = min(max(msg.SendBufferSize, SEND_BYTES), MAX_MESSAGE_BYTES)
        self.max_recv_buffer = self._chunks.most_bytes
        self.max_send_buffer = max(min(msg.ReceiveBufferSize, SEND_BYTES), LEAST_SEND_BYTES)
        self.request_bytes, self.request_chunks = msg.MaxMessageSize, msg.MaxChunkCount


@dataclass(frozen=True, slots=True)
class Aborted:
    """The server aborted an answer (Part 6, 6.7.3)."""

    request: int
    error: ua.UaError


class Channel(SecureConnection):
    """The secure channel of one connection."""

    def __init__(self, policy: SecurityPolicy, limits: Limits) -> None:
        super().__init__(policy, limits)
        self._limits: Limits = limits

    def message_to_binary(
        self,
        message: bytes,
        message_type: ua.MessageType = _MESSAGE,
        request_id: int = 0,
    ) -> bytes:
        """The chunks of a request.  Raises `BadRequestTooLarge` if it exceeds the server's limits."""
        if message_type != _OPEN:
            most = MessageChunk.max_body_size(self.security_policy.symmetric_cryptography, self._limits.max_send_buffer)
            chunks = -(-len(message) // most)
            if 0 < self._limits.request_bytes < len(message) or 0 < self._limits.request_chunks < chunks:
                raise ua.uaerrors.BadRequestTooLarge
        return super().message_to_binary(message, message_type, request_id)

    def _receive(self, msg: MessageChunk) -> "ua.Message | Aborted | None":  # type: ignore[override]  # for `Protocol`
        kind, parts = msg.MessageHeader.ChunkType, self._incoming_parts
        size = self._incoming_size + len(msg.Body)
        if kind == _INTERMEDIATE and (not msg.Body or too_many_parts(len(parts) + 1, size)):
            raise ua.UaError(f"{len(parts) + 1} parts of a message with {size} bytes in all")
        if size > MAX_MESSAGE_BYTES:
            raise ua.uaerrors.BadResponseTooLarge
        if kind != _ABORT:
            return super()._receive(msg)
        self._check_incoming_chunk(msg)
        self._drop_incoming_parts()
        said = struct_from_binary(ua.ErrorMessage, Buffer(msg.Body)).Error
        error: ua.UaError = ua.UaStatusCodeError(said.value)  # type: ignore[no-untyped-call]  # asyncua's
        return Aborted(msg.SequenceHeader.RequestId, error)


class Protocol(UASocketProtocol):
    """One socket to one server."""

    def __init__(self, timeout_s: float, policy: SecurityPolicy) -> None:
        super().__init__(timeout_s, security_policy=policy)
        self.chunks = Chunks()
        self.broken: BaseException | None = None
        """Why we hung up."""
        self._connection: Channel = Channel(policy, Limits(self.chunks))
        self._opening: tuple[int, ua.OpenSecureChannelParameters] | None = None
        """The request that opens or renews the channel: its number and parameters."""

    # -- receiving -----------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        for chunk in self.chunks.take(data):
            self.chunk_received(chunk)
        self.hang_up_if_broken()

    def hang_up_if_broken(self) -> None:
        """Disconnect if the stream cannot be split into chunks any more."""
        if self.chunks.broken:
            self.hang_up(ua.UaError(f"the server sent {self.chunks.broken}"))

    def chunk_received(self, chunk: bytes) -> None:
        """Handle one complete chunk of any content."""
        if self.broken is not None:
            return
        try:
            self._take(chunk)
        except (ua.UaError, *NONSENSE) as error:
            self.hang_up(error)

    def _take(self, chunk: bytes) -> None:
        buffer = Buffer(chunk)
        header = header_from_binary(buffer)
        if header.MessageType == _OPEN and self._opening is None:
            raise ua.UaError("the server opens a channel without a request")
        if header.MessageType == _ACKNOWLEDGE and 0 not in self._callbackmap:
            raise ua.UaError("the server sent an Acknowledge without a Hello")
        message = self._connection.receive_from_header_and_body(header, buffer)
        if isinstance(message, ua.ErrorMessage):
            message.Error.check()
            raise ua.UaError("the server ended the connection without a reason")
        if isinstance(message, ua.Acknowledge):
            self._call_callback(0, message)
        elif isinstance(message, Aborted):
            self._settle(message.request, message.error)
        elif message is not None:
            is_channel = header.MessageType == _OPEN
            self._answered(message.request_id(), message.body(), is_channel)

    def _answered(self, number: int, body: Buffer, is_channel: bool) -> None:
        if (self._opening is not None and number == self._opening[0]) != is_channel:
            raise ua.UaError(f"the answer to request {number} does not have the type of the request")
        if is_channel:
            self._opened(body)
        self._call_callback(number, body)

    def _opened(self, body: Buffer) -> None:
        """Use the new keys at once, since the next chunk may need them."""
        assert self._opening is not None
        number, asked = self._opening
        try:
            self.check_answer(body, "")
            answer = struct_from_binary(ua.OpenSecureChannelResponse, body.copy())
            answer.ResponseHeader.ServiceResult.check()
        except ua.UaStatusCodeError as error:
            self._settle(number, error)
            raise
        self._connection.set_channel(answer.Parameters, asked.RequestType, asked.ClientNonce)

    def _settle(self, number: int, error: Exception) -> None:
        answer = self._callbackmap.pop(number, None)
        if answer is None:
            raise ua.UaError(f"an answer to request {number}, which was not sent") from error
        if not answer.done():
            answer.set_exception(error)

    def hang_up(self, error: BaseException) -> None:
        """End the connection.  Whoever waits for an answer gets this error."""
        if self.broken is None:
            self.broken = error
            for answer in self._callbackmap.values():
                if not answer.done():
                    answer.set_exception(error)
            self._callbackmap.clear()
            if self.transport is not None:
                self.transport.abort()

    # -- asking --------------------------------------------------------------------------------------------------

    async def send_request(
        self,
        request: Any,
        timeout: float | None = None,
        message_type: ua.MessageType = _MESSAGE,
    ) -> Buffer:
        """Like asyncua's, but without its race between an answer and its time-out.

        asyncua decodes the answer, which may take it a microsecond for each byte: so it gets no large one.
        """
        data = await self.ask(request, timeout, message_type)
        if len(data) > MOST_DECODED_BYTES:
            raise ua.uaerrors.BadResponseTooLarge
        return data

    async def ask(self, request: Any, timeout: float | None = None, message_type: ua.MessageType = _MESSAGE) -> Buffer:
        """Send a request.  Returns the answer, of any size, for our own decoders."""
        limit_s = self.timeout if timeout is None else timeout
        data: Buffer = await within(self._send_request(request, limit_s, message_type), limit_s)
        self.check_answer(data, "")
        return data

    async def send_hello(self, url: str, max_messagesize: int = 0, max_chunkcount: int = 0) -> ua.Acknowledge:
        """Exchange the limits of both sides (Hello and Acknowledge)."""
        if self.transport is None or self.transport.is_closing():
            raise ConnectionError("the connection is closed")
        hello = ua.Hello()
        hello.ReceiveBufferSize, hello.SendBufferSize = ua.UInt32(CHUNK_BYTES), ua.UInt32(SEND_BYTES)
        hello.MaxMessageSize, hello.MaxChunkCount = ua.UInt32(MAX_MESSAGE_BYTES), ua.UInt32(0)
        hello.EndpointUrl = ua.String(url)
        answer: asyncio.Future[ua.Acknowledge] = asyncio.get_running_loop().create_future()
        self._callbackmap[0] = answer
        self.transport.write(uatcp_to_binary(_HELLO, hello))
        return await within(answer, self.timeout)

    async def open_secure_channel(self, params: ua.OpenSecureChannelParameters) -> ua.OpenSecureChannelResult:
        """Open the channel, or renew its keys.  One at a time."""
        if self._opening is not None:
            raise ua.UaError("the channel is already being opened")
        request = ua.OpenSecureChannelRequest()
        request.Parameters = params
        answer = self._send_request(request, self.timeout, _OPEN)
        self._opening = self._request_id, params
        try:
            data = await within(answer, self.timeout)
        finally:
            self._opening = None
        result: ua.OpenSecureChannelResult = struct_from_binary(ua.OpenSecureChannelResponse, data).Parameters
        return result
