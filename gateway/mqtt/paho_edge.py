"""The edge to paho and aiomqtt: whatever we take of them by a private name, in one place.

Each is taken because of what happens otherwise (all seen): paho connects in a thread, where a cancelled attempt would
leave a socket open; it ends the connection over a reason code that it does not know, and the same message would end the
next; it reads packets of 256 MB, and whatever a broker sends that was never asked for; aiomqtt throws the contents of
acknowledgements away, waits for its time-out when the connection is lost before the CONNACK, and on a web socket with
TLS reads on for as long as a broker goes on sending.

`tests/unit/mqtt/test_private_names.py` names them, and what breaks when one goes.
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

from gateway.mqtt.inflight import unsent_bytes as unsent

NONSENSE = (
    ValueError, TypeError, LookupError, AttributeError, MemoryError, OverflowError, struct.error, MQTTException,
)  # fmt: skip
"""What paho raises when a broker's bytes are not what they should be."""
CODES_OF_PUBACK = frozenset((0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99))
"""The reason codes that paho knows."""
PUBACK = PacketTypes.PUBACK << 4

Check = Callable[[int, bytes], None]
"""Told of the first byte and the body of each packet before paho is; raises `ValueError` for what must not come."""


def paho_of(client: aiomqtt.Client) -> paho.Client:
    return client._client


def connect_on(
    client: aiomqtt.Client,
    sock: socket.socket,
    wrap: Callable[[socket.socket], ssl.SSLSocket],
    run: Callable[[Callable[[], None]], None],
) -> None:
    """Let paho connect on a connected socket; `run` is called in its thread, with what connects."""
    connect = client._client_connect
    client._client_connect = lambda: run(connect)  # type: ignore[method-assign]
    client._client._create_socket_connection = lambda: sock  # type: ignore[method-assign]
    client._client._ssl_wrap_socket = wrap  # type: ignore[method-assign,assignment]


def give_up_connecting(client: aiomqtt.Client, why: str) -> None:
    """End the wait for a CONNACK."""
    if not client._connected.done():
        client._connected.set_exception(aiomqtt.MqttError(why))
        client._connected.exception()  # marks it as seen: nobody may wait for it any more


def close_socket(client: aiomqtt.Client) -> None:
    """Without a DISCONNECT: the broker shall publish the last will."""
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
    """Whether bytes are decrypted already, so that the socket does not tell of them."""
    sock = client._client._sock
    return sock is not None and hasattr(sock, "pending") and sock.pending() > 0


def bound_packets(client: aiomqtt.Client, most_bytes: int, check: Check) -> Callable[[int], int]:
    """Look at each packet before paho does, and refuse what is longer; `NONSENSE` then comes out of its reading.

    Returns what tells the reason code of a publish that paho was told another one of, because it does not know it.
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
