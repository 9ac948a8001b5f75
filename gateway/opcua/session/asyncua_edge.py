"""The edge to asyncua: only this module, `transport.py` and `publish_channel.py` depend on its internals.

- Errors: every fault of a peer, from no answer to a malformed one, becomes `Unavailable` with a sentence that says what
  the gateway was doing, where, and what happened.
- Patches: asyncua logs less, and its decoder is bounded.
- Private names: connecting with our own protocol, requests that are already encoded, the clock of security tokens.
  `tests/unit/opcua/test_asyncua_edge.py` names each of them and says what breaks without it.
"""

import asyncio
import logging
import math
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from asyncua import Client, ua
from asyncua.client.ua_client import UaClientState, UASocketProtocol, UASocketState
from asyncua.common.utils import Buffer
from asyncua.crypto import security_policies
from asyncua.ua import ua_binary
from asyncua.ua.ua_binary import struct_to_binary
from cryptography import x509

from gateway.errors import Unavailable
from gateway.opcua.session.transport import NONSENSE, Protocol
from gateway.tcp import connect_tcp

_TOO_LARGE = frozenset((0x8008_0000, 0x800A_0000, 0x8010_0000, 0x8080_0000, 0x80B8_0000, 0x80B9_0000))
"""BadEncodingLimitsExceeded, BadTimeout, BadTooManyOperations, BadTcpMessageTooLarge, BadRequestTooLarge,
BadResponseTooLarge."""
_MOST_DIMENSIONS = 32
_PORT = 4840
"""The default port of OPC UA."""
_CLOSED = "the handler is closed"
"""uvloop's error for a write after the connection has ended unnoticed.  asyncio raises none."""


class TooLarge(Unavailable):
    """The server will not do so much in one call."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code
        self.status = status_text(code)


@contextmanager
def peer_errors(doing: str, where: str) -> Iterator[None]:
    """Turn errors of asyncua into `Unavailable("cannot <doing> at <where>: …")`.  Cancellation passes through."""
    try:
        yield
    except Unavailable:
        raise
    except TimeoutError as error:
        raise Unavailable(f"cannot {doing} at {where}: no answer in time") from error
    except ua.UaStatusCodeError as error:
        text = f"cannot {doing} at {where}: {status_text(error.code)}"
        raise (TooLarge(text, error.code) if error.code in _TOO_LARGE else Unavailable(text)) from error
    except OSError as error:
        raise Unavailable(f"cannot {doing} at {where}: {error.strerror or error or type(error).__name__}") from error
    except ua.UaError as error:
        raise Unavailable(f"cannot {doing} at {where}: {error or type(error).__name__}") from error
    except NONSENSE as error:
        text = f"the answer makes no sense ({type(error).__name__}: {error})"
        raise Unavailable(f"cannot {doing} at {where}: {text}") from error
    except RuntimeError as error:
        if _CLOSED not in str(error):
            raise
        raise Unavailable(f"cannot {doing} at {where}: the connection is closed", "cut") from error


def status_text(code: int) -> str:
    """Format a status code for people: `BadNodeIdUnknown (0x80340000)`."""
    name = ua.status_codes.code_to_name_doc.get(code & 0xFFFF_0000, ("", ""))[0]
    return f"{name or 'status'} (0x{code:08X})"


def patch_asyncua() -> None:
    """Reduce asyncua's logs and bound its decoder.  Must be called before the first request to a server.

    Once is enough: what asyncua has made to encode and decode with is made anew after it.
    """
    _quieten()
    _bound()


def _quieten() -> None:
    """asyncua logs each failure itself, often with a traceback; the link logs each failure once."""
    logging.getLogger("asyncua").setLevel(logging.WARNING)
    for name in ("client.ua_client.UASocketProtocol", "client.ua_session.UaSession", "client.client", "uaprotocol"):
        logging.getLogger(f"asyncua.{name}").setLevel(logging.CRITICAL + 1)


def _bound() -> None:
    """Let asyncua decode nothing that claims to be larger than its bytes.

    Otherwise 6 bytes (an array of 2**31 Nulls, which take no bytes) or 20 (dimensions of a million missing elements)
    would cost gigabytes, and a text of length -9 would make it read backwards for ever.  Every Variant can contain
    this, also one in the header of a response.
    """
    bounds = (
        (Buffer, "read", _read), (Buffer, "skip", _skip), (ua_binary, "_reshape", _exactly),
        (ua_binary.Primitives1, "Null", _NULL_ARRAYS), (ua_binary, "extensionobject_from_binary", _structure),
    )  # fmt: skip
    if all(getattr(owner, name) is bounded for owner, name, bounded in bounds):
        return
    for owner, name, bounded in bounds:
        setattr(owner, name, bounded)
    for made in vars(ua_binary).values():  # a decoder that was made before still calls what it was made of
        if hasattr(made, "cache_clear"):
            made.cache_clear()


class _NullArrays:
    """Refuses arrays of Nulls: they carry no information, and no server sends them."""

    def unpack_array(self, data: object, length: int) -> Sequence[None]:
        if length > 0:
            raise ua.UaError(f"an array of {length} Nulls")
        return ()


_NULL_ARRAYS = _NullArrays()
_reshape, _forward_read, _forward_skip = ua_binary._reshape, Buffer.read, Buffer.skip


def _read(buffer: Buffer, size: int) -> bytes:
    if size < 0:
        raise ua.UaError(f"{size} bytes wanted")
    return _forward_read(buffer, size)


def _skip(buffer: Buffer, size: int) -> None:
    if size < 0:
        raise ua.UaError(f"cannot skip {size} bytes")
    _forward_skip(buffer, size)


_forward_structure = ua_binary.extensionobject_from_binary


def _structure(data: Buffer) -> object:
    """An XML body (Part 6, 5.2.2.15) is passed over like any other: asyncua would read on in the midst of it."""
    ahead = data.copy(len(data))
    type_id = ua_binary.nodeid_from_binary(ahead)
    if ahead.read(1) != b"\x02":
        return _forward_structure(data)
    body = ua_binary.Primitives.Bytes.unpack(ahead)
    data.skip(len(data) - len(ahead))
    return ua.ExtensionObject(TypeId=type_id, Body=None if body is None else ua.ByteString(body))


def _exactly(flat: list[object], dimensions: list[int]) -> list[object]:
    if len(dimensions) > _MOST_DIMENSIONS or math.prod(max(0, length) for length in dimensions) != len(flat):
        raise ua.UaError(f"{len(flat)} elements do not fit the dimensions {dimensions[:_MOST_DIMENSIONS]}")
    return _reshape(flat, dimensions) if flat else flat


# -- private names of asyncua -----------------------------------------------------------------------------------------


async def connect_socket(client: Client, within_s: float) -> None:
    """Like `Client.connect_socket`, but with the first address of the name that answers (RFC 8305).

    Raises OSError and TimeoutError.  Cancelled, it leaves no socket behind.
    """
    inner, url = client.uaclient, client.server_url

    def protocol() -> Protocol:
        made = Protocol(within_s, inner.security_policy)
        made.on_connection_lost = inner._on_transport_lost
        inner.protocol = made
        return made

    inner._set_state(UaClientState.CONNECTING)
    with ExitStack() as undo:
        undo.callback(inner._set_state, UaClientState.DISCONNECTED)
        async with asyncio.timeout(within_s):
            sock = await connect_tcp(url.hostname or "", url.port or _PORT)
            undo.callback(sock.close)
            await asyncio.get_running_loop().create_connection(protocol, sock=sock)
        undo.pop_all()
    inner._set_state(UaClientState.SOCKET_OPEN)


def close_socket(client: Client) -> None:
    """Close the socket, even if the peer accepts no more data."""
    protocol = client.uaclient.protocol
    transport = protocol.transport if protocol is not None else None
    client.uaclient.disconnect_socket()
    if transport is not None and transport.get_write_buffer_size():
        transport.abort()


async def server_endpoints(client: Client, within_s: float) -> list[ua.EndpointDescription]:
    """The server's endpoints, requested on a separate unencrypted channel.  Cancelled, it leaves no socket behind."""
    await connect_socket(client, within_s)
    try:
        await client.send_hello()
        await client.open_secure_channel()
        endpoints = await client.get_endpoints()
        protocol = client.uaclient.protocol
        if protocol is not None and protocol.state is UASocketState.OPEN:
            await client.close_secure_channel()
        return endpoints or []
    finally:
        close_socket(client)


def encrypt_for(client: Client, certificate: x509.Certificate) -> None:
    """Encrypt passwords with the key of this certificate.

    asyncua reads the one that the server shows for it, and fails at what `certificates.readable` can read.
    """
    key = certificate.public_key()

    def encrypt(password: str, policy_uri: str) -> tuple[bytes, str]:
        secret = ua_binary.Primitives.Bytes.pack(password.encode() + (client._server_nonce or b""))
        octets, algorithm = security_policies.encrypt_asymmetric(key, secret, policy_uri)  # type: ignore[no-untyped-call]
        return octets, algorithm

    setattr(client, "_encrypt_password", encrypt)  # noqa: B010 - a method of asyncua's


def send_encoded(protocol: UASocketProtocol, request: int, body: bytes, timeout_s: float) -> asyncio.Future[Buffer]:
    """Send a request with an encoded body.  `request` is the numeric node id of its binary encoding.

    Raises `ConnectionError` when the connection is closed.
    """
    if protocol.transport is None or protocol.transport.is_closing():
        raise ConnectionError("the connection is closed")
    header = ua.RequestHeader()
    protocol._setup_request_header(header, timeout_s)
    protocol.revolve_security_token()
    number = protocol._request_id + 1
    octets = b"".join((struct.pack("<BBH", 1, 0, request), struct_to_binary(header), body))
    message = protocol._connection.message_to_binary(octets, request_id=number)
    protocol._request_id = number
    answer: asyncio.Future[Buffer] = asyncio.get_running_loop().create_future()
    protocol._callbackmap[number] = answer
    protocol.transport.write(message)
    return answer


def trust_own_clock(protocol: UASocketProtocol) -> None:
    """Let security tokens begin now, by our clock.

    asyncua compares the server's time in a token with our clock, so a device with a wrong clock would be disconnected.
    """
    protocol._connection.security_token.CreatedAt = datetime.now(UTC)
    protocol._connection.next_security_token.CreatedAt = datetime.now(UTC)
