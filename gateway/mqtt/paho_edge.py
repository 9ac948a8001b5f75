"""All private names of paho and aiomqtt that the gateway uses, in one place.

Each is used because of a problem that we have seen:

- paho connects in a thread, where a cancelled attempt would leave a socket open.
- paho ends the connection over an unknown reason code, and the same message would end the next one.
- paho reads packets of 256 MB, and packets that nothing has asked for.
- aiomqtt drops the contents of acknowledgements.
- aiomqtt waits for its time-out when the connection is lost before the CONNACK.
- On a web socket with TLS, aiomqtt reads for as long as the broker sends.

`tests/unit/mqtt/test_private_names.py` names them, and says what breaks when one of them goes.
"""

import socket
import ssl
import struct
from collections.abc import Callable

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt import MQTTException
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes

from gateway.delivery.inflight import unsent_bytes as unsent

NONSENSE = (
    ValueError, TypeError, LookupError, AttributeError, MemoryError, OverflowError, struct.error, MQTTException,
)  # fmt: skip
"""What paho raises for malformed bytes of a broker."""
CODES_OF_PUBACK = frozenset((0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99))
"""The reason codes that paho knows."""
PUBACK = PacketTypes.PUBACK << 4

Check = Callable[[int, bytes], None]
"""Called with the first byte and the body of each packet, before paho.  Raises `ValueError` for a forbidden packet."""


def paho_of(client: aiomqtt.Client) -> paho.Client:
    return client._client


def connect_on(
    client: aiomqtt.Client,
    sock: socket.socket,
    wrap: Callable[[socket.socket], ssl.SSLSocket],
    run: Callable[[Callable[[], None]], None],
) -> None:
    """Let paho connect on a connected socket.  `run` is called in paho's thread with the function that connects."""
    connect = client._client_connect
    client._client_connect = lambda: run(connect)  # type: ignore[method-assign]
    client._client._create_socket_connection = lambda: sock  # type: ignore[method-assign]
    client._client._ssl_wrap_socket = wrap  # type: ignore[method-assign,assignment]


def give_up_connecting(client: aiomqtt.Client, why: str) -> None:
    """End the wait for a CONNACK."""
    if not client._connected.done():
        client._connected.set_exception(aiomqtt.MqttError(why))
        client._connected.exception()  # marks it as retrieved, since nothing may be waiting for it


def close_socket(client: aiomqtt.Client) -> None:
    """Close without DISCONNECT, so that the broker publishes the last will."""
    client._client._sock_close()


def awaits_ping(client: aiomqtt.Client) -> bool:
    """Whether a PINGREQ has no answer yet."""
    return client._client._ping_t > 0


def unsent_bytes(client: aiomqtt.Client) -> int:
    """How much waits in paho and in the kernel."""
    inner = client._client
    waiting = sum(packet["to_process"] for packet in list(inner._out_packet))
    sock = getattr(inner._sock, "_socket", inner._sock)  # that of a web socket is wrapped
    return waiting + unsent(sock)


def has_read_ahead(client: aiomqtt.Client) -> bool:
    """Whether decrypted bytes are waiting, which the socket does not report."""
    sock = client._client._sock
    return sock is not None and hasattr(sock, "pending") and sock.pending() > 0


def bound_packets(client: aiomqtt.Client, most_bytes: int, check: Check) -> Callable[[int], int]:
    """Check each packet before paho does, and refuse long ones; paho's reading then raises one of `NONSENSE`.

    Returns a function for the original reason code of a publish, since paho gets a replacement for an unknown code.
    """
    inner = client._client
    receive, handle = inner._sock_recv, inner._packet_handle
    strange: dict[int, int] = {}

    def bounded(size: int) -> bytes:
        frame = len(getattr(inner._sock, "_readbuffer", b""))
        if size > most_bytes or frame > 2 * most_bytes:
            raise ValueError(f"a packet of {max(size, frame)} bytes, at most {most_bytes} may come")
        return receive(size)

    def checked() -> MQTTErrorCode:
        packet = inner._in_packet
        first, body = packet["command"], bytes(packet["packet"])
        check(first, body)
        if first == PUBACK and len(body) > 2 and body[2] not in CODES_OF_PUBACK:
            strange[body[0] << 8 | body[1]] = body[2]
            packet["packet"] = bytearray([*body[:2], 0x80, *body[3:]])
        code = handle()
        if code == MQTTErrorCode.MQTT_ERR_PROTOCOL:
            raise ValueError(f"a packet of type {first >> 4} that cannot be read")
        return code

    inner._sock_recv = bounded  # type: ignore[method-assign,assignment]
    inner._packet_handle = checked  # type: ignore[method-assign]
    return lambda mid: strange.pop(mid, 0)
