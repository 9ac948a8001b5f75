"""A scripted MQTT 5 broker inside the test: for answers that a real broker gives too rarely to wait for.

It obeys physics: a message that it must refuse stays refused, a cut connection stays cut, and delayed acknowledgements
come late and in order.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import mqtt5

Verdict = Callable[[mqtt5.PublishPacket], int | None]
"""The reason code of the PUBACK for a publish; None: never acknowledge."""


def puback(packet_id: int, code: int, reason: str = "") -> bytes:
    """Any code at all, also those the specification does not know."""
    text = reason.encode()
    properties = bytes([0x1F]) + len(text).to_bytes(2, "big") + text if text else b""
    body = packet_id.to_bytes(2, "big")
    if code or properties:
        body += bytes([code])
    if properties:
        body += _length(len(properties)) + properties
    return b"\x40" + _length(len(body)) + body


def suback(packet_id: int, *codes: int) -> bytes:
    return b"\x90" + _length(3 + len(codes)) + packet_id.to_bytes(2, "big") + b"\x00" + bytes(codes)


def _length(number: int) -> bytes:
    """A variable byte integer (MQTT 5, 1.5.5)."""
    encoded = b""
    while number >= 128:
        encoded += bytes([number % 128 | 0x80])
        number //= 128
    return encoded + bytes([number])


class FakeBroker:
    """Listens on `port`; what came in is in `connects` and `publishes`."""

    def __init__(self) -> None:
        self.port = 0
        self.connack: bytes | None = mqtt5.ConnAckPacket().write()
        """The answer to a CONNECT; None: no answer."""
        self.verdict: Verdict = lambda publish: 0
        self.cuts_on: Callable[[mqtt5.PublishPacket], bool] = lambda publish: False
        """The publishes after which the connection is reset, which may destroy data on its way."""
        self.answers_pings = True
        self.subacks: list[int] | None = [1]
        """The reason codes for a SUBSCRIBE; None: no answer."""
        self.subscribed: list[str] = []
        self.pubacks: list[int] = []
        """Packet ids of our own publishes that were acknowledged."""
        self.connects: list[mqtt5.ConnectPacket] = []
        self.publishes: list[mqtt5.PublishPacket] = []
        self.goodbyes: list[mqtt5.DisconnectPacket] = []
        self.pings = 0
        self.received_bytes = 0
        self.ended = asyncio.Event()
        """Set when a connection is over."""
        self.heard = asyncio.Event()
        """Set by every packet that comes in."""
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def say(self, data: bytes) -> None:
        """Send to every connected client."""
        for writer in self._writers:
            writer.write(data)

    def disconnect(self, code: mqtt5.DisconnectReasonCode, reason: str = "") -> None:
        self.say(mqtt5.DisconnectPacket(reason_code=code, reason_str=reason or None).write())
        self.cut()

    def cut(self) -> None:
        for writer in self._writers:
            writer.close()

    def abort(self) -> None:
        """Like `cut`, but without sending the rest."""
        for writer in self._writers:
            writer.transport.abort()

    def publish(self, topic: str, payload: bytes, packet_id: int = 0) -> None:
        """A message for everyone who is connected; QoS 0 without a packet id."""
        qos = mqtt5.QoS.AT_LEAST_ONCE if packet_id else mqtt5.QoS.AT_MOST_ONCE
        self.say(mqtt5.PublishPacket(topic, payload, qos=qos, packet_id=packet_id or None).write())

    async def wait_subscribed(self) -> None:
        while not self.subscribed:
            self.heard.clear()
            await self.heard.wait()

    async def wait_pubacks(self, count: int) -> None:
        while len(self.pubacks) < count:
            self.heard.clear()
            await self.heard.wait()

    async def wait_publishes(self, count: int) -> None:
        while len(self.publishes) < count:
            self.heard.clear()
            await self.heard.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        buffer = b""
        try:
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(65536):
                    self.received_bytes += len(data)
                    buffer = self._answer(buffer + data, writer)
        finally:
            self._writers.discard(writer)
            writer.close()
            self.ended.set()

    def _answer(self, buffer: bytes, writer: asyncio.StreamWriter) -> bytes:
        while not writer.transport.is_closing():
            try:
                packet, size = mqtt5.read(memoryview(buffer))
            except IndexError:
                return buffer
            buffer = buffer[size:]
            self.heard.set()
            self._on_packet(packet, writer)
        return b""

    def _on_packet(self, packet: mqtt5.Packet, writer: asyncio.StreamWriter) -> None:
        match packet:
            case mqtt5.ConnectPacket():
                self.connects.append(packet)
                if self.connack is not None:
                    writer.write(self.connack)
            case mqtt5.PublishPacket():
                self.publishes.append(packet)
                code = self.verdict(packet)
                if code is not None and packet.packet_id is not None:
                    writer.write(puback(packet.packet_id, code))
                if self.cuts_on(packet):
                    writer.transport.abort()
            case mqtt5.PingReqPacket():
                self.pings += 1
                if self.answers_pings:
                    writer.write(mqtt5.PingRespPacket().write())
            case mqtt5.SubscribePacket():
                self.subscribed += [topic.pattern for topic in packet.topic_filters]
                if self.subacks is not None:
                    writer.write(suback(packet.packet_id, *self.subacks))
            case mqtt5.PubAckPacket():
                self.pubacks.append(packet.packet_id)
            case mqtt5.DisconnectPacket():
                self.goodbyes.append(packet)
            case _:
                raise AssertionError(f"no client of ours sends {packet!r}")


@asynccontextmanager
async def fake_broker() -> AsyncIterator[FakeBroker]:
    broker = FakeBroker()
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    broker.port = server.sockets[0].getsockname()[1]
    try:
        yield broker
    finally:
        server.close()
        broker.abort()
        await asyncio.sleep(0)
