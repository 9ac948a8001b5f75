"""What hostile and broken brokers do, one line each.  They run in a process of their own (`broker.py`)."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import mqtt5

from tests.support.mqtt_fake import puback, suback

CONNACK = mqtt5.ConnAckPacket().write()
PINGRESP = b"\xd0\x00"
_RANDOM = random.Random(7).randbytes(4096)


class Peer:
    """One connection of a gateway, seen from the broker."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._buffer = b""

    async def say(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def flood(self, data: bytes) -> None:
        """For as long as the gateway takes it, or anything is left to wait for."""
        piece = data * max(1, 65536 // len(data))
        while True:
            await self.say(piece)
            await asyncio.sleep(0)

    async def drip(self, data: bytes, every_s: float = 0.02) -> None:
        for position in range(len(data)):
            await self.say(data[position : position + 1])
            await asyncio.sleep(every_s)

    async def packet(self) -> mqtt5.Packet:
        while True:
            try:
                packet, size = mqtt5.read(memoryview(self._buffer))
            except IndexError:
                data = await self._reader.read(65536)
                if not data:
                    raise ConnectionResetError from None
                self._buffer += data
                continue
            self._buffer = self._buffer[size:]
            return packet

    async def publish(self) -> int:
        """The packet id of the next publish; whatever else comes is answered in order."""
        while True:
            packet = await self.packet()
            if isinstance(packet, mqtt5.PublishPacket) and packet.packet_id is not None:
                return packet.packet_id
            if isinstance(packet, mqtt5.PingReqPacket):
                await self.say(PINGRESP)

    async def accept(self, connack: bytes = CONNACK) -> None:
        await self.packet()
        await self.say(connack)

    def reset(self) -> None:
        self._writer.transport.abort()

    async def stay(self) -> None:
        """Until the gateway leaves."""
        while await self._reader.read(65536):
            pass

    async def never_read(self) -> None:
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's has it
        await asyncio.Event().wait()


Behaviour = Callable[[Peer], Awaitable[None]]


def _answers(connack: bytes) -> Behaviour:
    """To the CONNECT, with this, and then nothing."""

    async def behave(peer: Peer) -> None:
        await peer.accept(connack)
        await peer.stay()

    return behave


def _floods(data: bytes, connack: bytes = CONNACK) -> Behaviour:
    async def behave(peer: Peer) -> None:
        await peer.accept(connack)
        await peer.flood(data)

    return behave


def _says(data: bytes) -> Behaviour:
    """After it took the session, this, and then nothing."""

    async def behave(peer: Peer) -> None:
        await peer.accept()
        await peer.say(data)
        await peer.stay()

    return behave


def _acknowledges(answer: Callable[[int], bytes]) -> Behaviour:
    """Each publish, in this way."""

    async def behave(peer: Peer) -> None:
        await peer.accept()
        while True:
            await peer.say(answer(await peer.publish()))

    return behave


async def _cuts_at_once(peer: Peer) -> None:
    return


async def _resets_at_once(peer: Peer) -> None:
    peer.reset()


async def _cuts_instead_of_answering(peer: Peer) -> None:
    await peer.packet()


async def _speaks_first(peer: Peer) -> None:
    await peer.say(CONNACK)
    await peer.stay()


async def _drips_the_connack(peer: Peer) -> None:
    await peer.packet()
    await peer.drip(CONNACK * 100)


async def _drips_a_giant(peer: Peer) -> None:
    await peer.accept()
    await peer.say(b"\x30\xff\xff\x0f")  # 256 KiB less one
    await peer.drip(bytes(10_000), 0.001)


async def _stops_reading(peer: Peer) -> None:
    await peer.accept()
    await peer.never_read()


async def _resets_after_each_publish(peer: Peer) -> None:
    await peer.accept()
    await peer.publish()
    peer.reset()


async def _resets_in_the_middle_of_an_acknowledgement(peer: Peer) -> None:
    await peer.accept()
    packet_id = await peer.publish()
    await peer.say(puback(packet_id, 0)[:3])
    peer.reset()


async def _acknowledges_every_second(peer: Peer) -> None:
    await peer.accept()
    while True:
        await peer.publish()
        await peer.say(puback(await peer.publish(), 0))


async def _acknowledges_backwards(peer: Peer) -> None:
    await peer.accept()
    while True:
        ids = [await peer.publish() for _ in range(4)]
        for packet_id in reversed(ids):
            await peer.say(puback(packet_id, 0))


async def _takes_each_for_a_while_and_hangs_up(peer: Peer) -> None:
    await peer.accept()
    for _ in range(3):
        await peer.say(puback(await peer.publish(), 0))
    await peer.say(b"\xe0\x00")


def _length(number: int) -> bytes:
    encoded = b""
    while number >= 128:
        encoded += bytes([number % 128 | 0x80])
        number //= 128
    return encoded + bytes([number])


def _connack(*properties: bytes, flags: int = 0, code: int = 0) -> bytes:
    said = b"".join(properties)
    body = bytes([flags, code]) + _length(len(said)) + said
    return b"\x20" + _length(len(body)) + body


_PAIR = b"\x26\x00\x01k" + (1000).to_bytes(2, "big") + b"v" * 1000
_TEXT = b"\x1f" + (1000).to_bytes(2, "big")

BROKERS: dict[str, Behaviour] = {
    "cuts at once": _cuts_at_once,
    "resets at once": _resets_at_once,
    "says nothing": Peer.stay,
    "reads nothing": Peer.never_read,
    "cuts instead of answering": _cuts_instead_of_answering,
    "speaks first": _speaks_first,
    "answers noise": _answers(_RANDOM),
    "is a web server": _answers(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
    "wants TLS": _answers(b"\x15\x03\x03\x00\x02\x02\x28"),
    "floods noise": _floods(_RANDOM, b""),
    "floods connacks": _floods(CONNACK),
    "drips the connack": _drips_the_connack,
    "accepts with 250 kB of properties": _floods(PINGRESP, _connack(*[_PAIR] * 250)),
    "accepts with a length of five bytes": _answers(b"\x20\xff\xff\xff\xff\x01"),
    "accepts with properties that go beyond": _answers(b"\x20\x05\x00\x00\x7f\x21\x00"),
    "accepts with a receive maximum of 0": _answers(_connack(b"\x21\x00\x00")),
    "accepts packets of one byte": _answers(_connack(b"\x27\x00\x00\x00\x01")),
    "accepts qos 0 only": _answers(_connack(b"\x24\x00")),
    "refuses: quota": _answers(_connack(code=0x97)),
    "refuses with a text that is not UTF-8": _answers(_connack(_TEXT + b"\xff" * 1000, code=0x88)),
    "refuses with a code that nobody knows": _answers(_connack(code=0xFE)),
    "refuses: use another server": _answers(_connack(b"\x1c\x00\x03a b", code=0x9C)),
    "accepts and hangs up": _says(b"\xe0\x01\x8b"),
    "hangs up with a long text": _says(b"\xe0" + _length(1005) + b"\x87" + _length(1003) + _TEXT + b"x" * 1000),
    "hangs up with a text that is not UTF-8": _says(
        b"\xe0" + _length(1005) + b"\x87" + _length(1003) + _TEXT + b"\xff" * 1000
    ),
    "asks for an authentication": _says(b"\xf0\x02\x18\x00"),
    "accepts twice": _says(CONNACK),
    "says half a packet": _says(b"\x40\x04\x00"),
    "announces 256 MB": _says(b"\x30\xff\xff\xff\x7f"),
    "drips a giant": _drips_a_giant,
    "floods answers to pings": _floods(PINGRESP),
    "floods acknowledgements of nothing": _floods(puback(60_000, 0)),
    "floods acknowledgements with reasons": _floods(puback(60_000, 0x97, "x" * 60)),
    "floods messages": _floods(b"\x30\x05\x00\x01a\x00x"),
    "floods messages with qos 1": _floods(b"\x32\x07\x00\x01a\x00\x01\x00x"),
    "floods answers to subscriptions": _floods(suback(1, 0)),
    "floods packets of type 0": _floods(b"\x00\x00"),
    "stops reading": _stops_reading,
    "acknowledges nothing": _acknowledges(lambda packet_id: b""),
    "acknowledges packet id 0": _acknowledges(lambda packet_id: puback(0, 0)),
    "acknowledges with pubrec": _acknowledges(lambda packet_id: b"\x50\x02" + packet_id.to_bytes(2, "big")),
    "acknowledges each ten times": _acknowledges(lambda packet_id: puback(packet_id, 0) * 10),
    "acknowledges every second": _acknowledges_every_second,
    "acknowledges backwards": _acknowledges_backwards,
    "refuses each: not authorized": _acknowledges(lambda packet_id: puback(packet_id, 0x87)),
    "refuses each with a code that nobody knows": _acknowledges(lambda packet_id: puback(packet_id, 0xFE, "no")),
    "resets after each publish": _resets_after_each_publish,
    "resets in the middle of an acknowledgement": _resets_in_the_middle_of_an_acknowledgement,
    "takes a few and hangs up": _takes_each_for_a_while_and_hangs_up,
}
