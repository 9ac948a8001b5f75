"""The lean session: MQTT 5 over TCP and TLS on the `mqtt5` codec, with only what a gateway needs.

It is built for speed: one output buffer, one input buffer, and no thread, lock, queue or task per message.  Everything
sent within one turn of the event loop leaves in one write.  Incoming packets are decoded by hand: PUBACKs here, as they
are the most, all others in `answers`.  The codec encodes outgoing packets.  The contract is `sink.Sink`, as for the
general session, and the same tests check both.
"""

import asyncio
import math
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, nullcontext
from typing import cast

import mqtt5

from gateway.delivery import DELIVERED, Outcome, Packet
from gateway.delivery.inflight import InFlight, unsent_bytes
from gateway.errors import Unavailable, cause_of
from gateway.model import Message
from gateway.mqtt.alias import TopicAliases
from gateway.mqtt.answers import Answers
from gateway.mqtt.dial import HANDSHAKE_S, Address, Socket, during_handshake, receipt_at_once
from gateway.mqtt.inbound import Inbox
from gateway.mqtt.limits import BrokerLimits, size_refusal, topic_refusal
from gateway.mqtt.packets import (
    MOST_INCOMING_BYTES,
    Publishes,
    connect_packet,
    disconnect_packet,
    end_of_packet,
    puback_packet,
    publish_packet,
    subscribe_packet,
)
from gateway.mqtt.reasons import of_puback
from gateway.mqtt.sink import SessionSettings, Version, VersionRefusedError
from gateway.tcp import explain
from gateway.tls import shown_expires_s

_PUBACK = 0x40
_ID_OF_SUBSCRIBE = 65_535
"""No publish uses this packet id."""
_MOST_A_TURN = 100
"""Packets read in one turn of the loop, besides PUBACKs of open publishes."""
_GOODBYE_S = 1.0
"""How long a closing connection may take to send its buffer."""
_MOST_GOOD_TOPICS = 10_000
_PING = mqtt5.PingReqPacket().write()


class LeanSink(asyncio.Protocol):
    """A session on a bare protocol.  Created and ended by `open_lean`."""

    version: Version = "5"

    def __init__(self, sock: socket.socket, address: Address, settings: SessionSettings) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._address = address
        self._settings = settings
        self._transport: asyncio.Transport | None = None
        self._incoming = b""
        self._outgoing: list[bytes] = []
        self._last_id = 0
        self._good_topics: set[str] = set()
        self._publishes = Publishes()
        self._aliases = TopicAliases(0)
        self._keep_alive_s = float(settings.keep_alive_s)
        self._heard = self._said = self._loop.time()
        self._pulse: asyncio.TimerHandle | None = None
        self.address = address.url
        self.limits = BrokerLimits()
        self.window = settings.window
        self.certificate_ends_s = math.nan
        self.in_flight = InFlight(address.url, settings.ack_timeout_s, self._hang_up, self._unsent, settings.line)
        self._late = settings.late() if settings.late else None
        self._inbox = Inbox(
            self.in_flight,
            lambda topics: self._write(subscribe_packet(_ID_OF_SUBSCRIBE, topics)),
            lambda packet_id: self._write(puback_packet(packet_id)),
        )
        self._answers = Answers(address.url, settings, self.in_flight, self._inbox, self._on_accepted)
        self.accepted = self._answers.accepted
        self.lost: asyncio.Future[None] = self._loop.create_future()

    @property
    def has_forgotten(self) -> bool:
        return not self._answers.is_resumed and self.limits.retain_available

    @property
    def may_resume(self) -> bool:
        return not self._inbox.is_asked

    @property
    def most_bytes(self) -> int:
        return self.in_flight.most_bytes(self.limits.maximum_packet_bytes)

    def send(self, message: Message) -> asyncio.Future[Outcome]:
        in_flight = self.in_flight
        if in_flight.is_broken:
            return in_flight.failed()
        if len(in_flight.open) >= self.window:
            raise RuntimeError(f"more than {self.window} publishes are open")
        if message.topic not in self._good_topics:
            outcome = topic_refusal(message.topic)
            if outcome is not None:
                return in_flight.settled(outcome)
            self._remember(message.topic)
        if self._late is not None:
            message = self._late.dress(message)
        packet_id = self._free_id()
        packet, new_alias = self._packet(message, packet_id)
        size = len(packet)
        if size > self.limits.maximum_packet_bytes:
            return in_flight.settled(size_refusal(size, self.limits))
        self._write(packet)
        if self._late is not None:
            self._late.sent(message)
        future = in_flight.add(packet_id, size)
        if new_alias:
            self._aliases.set_by(message.topic, new_alias, future)
        return future

    def _packet(self, message: Message, packet_id: int) -> tuple[bytes, int]:
        """The PUBLISH, and the alias that it sets (0: none)."""
        retain, packet = message.retain and self.limits.retain_available, self._publishes.packet
        if not self._aliases.most:
            return packet(message, packet_id, retain), 0
        known = self._aliases.known(message.topic)
        if known:
            return packet(message, packet_id, retain, known, has_topic=False), 0
        alias = self._aliases.free_for(message.topic)
        made = packet(message, packet_id, retain, alias)
        if alias and len(made) > self.limits.maximum_packet_bytes:
            return packet(message, packet_id, retain), 0
        return made, alias

    def tell(self, message: Message) -> Outcome | None:
        if self.in_flight.is_broken:
            return None
        if (outcome := topic_refusal(message.topic)) is not None:
            return outcome
        if self._late is not None:
            message = self._late.dress(message)
        packet = publish_packet(message, None, message.retain and self.limits.retain_available)
        if len(packet) > self.limits.maximum_packet_bytes:
            return size_refusal(len(packet), self.limits)
        self._write(packet)
        if self._late is not None:
            self._late.sent(message)
        return None

    def _remember(self, topic: str) -> None:
        if len(self._good_topics) >= _MOST_GOOD_TOPICS:
            self._good_topics.clear()
        self._good_topics.add(topic)

    def arrivals(self, *topics: str) -> AsyncGenerator[Packet, None]:
        return self._inbox.arrivals(topics, self._settings.ack_timeout_s)

    def arrived(self) -> Sequence[Packet]:
        return self._inbox.arrived()

    async def wait_closed(self) -> None:
        await self.in_flight.wait_broken()

    def say_goodbye(self) -> None:
        """Send DISCONNECT, so that the broker drops the last will, and then close the connection."""
        assert self._transport is not None
        self._write(disconnect_packet(with_will=self._settings.new_will is not None))
        self._flush()
        self._transport.close()
        self.in_flight.break_off(f"the session with {self.address} was closed")

    # Called by asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's classes do not inherit from it
        self.certificate_ends_s = shown_expires_s(transport.get_extra_info("peercert"))
        self._transport.write(connect_packet(self._settings))

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        receipt_at_once(self._sock)
        self._incoming = self._incoming + data if self._incoming else data
        self._read()

    def _read(self) -> None:
        """Read received packets, as many as one turn of the loop allows."""
        buffer = self._incoming
        position, size, left = 0, len(buffer), _MOST_A_TURN
        in_flight, settle = self.in_flight, self.in_flight.settle
        while size - position >= 2 and left and not in_flight.is_broken:
            length = buffer[position + 1]
            if buffer[position] == _PUBACK and 2 <= length <= 3:
                if size - position < 2 + length:
                    break
                outcome = DELIVERED if length == 2 else of_puback(buffer[position + 4])
                if not settle(buffer[position + 2] << 8 | buffer[position + 3], outcome):
                    in_flight.stray("PUBACKs")
                    left -= 1
                position += 2 + length
                continue
            end = end_of_packet(buffer, position)
            if end is not None and end - position > MOST_INCOMING_BYTES:
                self._answers.giant(end - position)
            if end is None or end > size:
                break
            self._answers.read(buffer[position:end])
            position = end
            left -= 1
        self._incoming = b"" if in_flight.is_broken else buffer[position:]
        if not left and self._incoming:
            self._read_later()

    def _read_later(self) -> None:
        """Pause reading until the next turn, so that other tasks run."""
        assert self._transport is not None
        self._transport.pause_reading()
        self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
            self._read()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        why = f"{self.address} {explain(exc, self._address)}" if exc else f"{self.address} cut the connection"
        if not self.accepted.done():
            silent = exc is None or isinstance(exc, ConnectionError)
            kind = VersionRefusedError if silent else Unavailable
            cause = "cut" if silent else cause_of(exc)
            self._answers.refuse(kind(f"{why} instead of answering" if silent else why, cause))
        was_cut = exc is None or isinstance(exc, ConnectionError)
        self.in_flight.break_off(why, was_cut=was_cut, cause="cut" if exc is None else cause_of(exc))
        if not self.lost.done():
            self.lost.set_result(None)

    def _on_accepted(self) -> None:
        self.limits = self._answers.limits
        self.window = min(self._settings.window, self.limits.receive_maximum)
        self._aliases = TopicAliases(self.limits.topic_alias_maximum)
        if self.limits.server_keep_alive_s is not None:
            self._keep_alive_s = float(self.limits.server_keep_alive_s)
        self._beat()

    # Outgoing packets.

    def _write(self, packet: bytes) -> None:
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(packet)

    def _flush(self) -> None:
        if self._outgoing and self._transport is not None and not self._transport.is_closing():
            self._said = self._loop.time()
            self._transport.write(b"".join(self._outgoing))
        self._outgoing = []

    def _unsent(self) -> int:
        """Bytes that wait in this process or in the kernel."""
        if self._transport is None:
            return 0
        waiting = self._transport.get_write_buffer_size() + sum(map(len, self._outgoing))
        return waiting + unsent_bytes(self._sock)

    def _free_id(self) -> int:
        """The next free packet id, 1 to 65534.  The window is smaller, so there is one."""
        open_, packet_id = self.in_flight.open, self._last_id
        while True:
            packet_id = packet_id % (_ID_OF_SUBSCRIBE - 1) + 1
            if packet_id not in open_:
                self._last_id = packet_id
                return packet_id

    def _beat(self) -> None:
        """Keep-alive: ping after a quiet period, and end the session when there is no answer."""
        if self._keep_alive_s <= 0:  # the broker has turned it off
            return
        now = self._loop.time()
        if now - self._heard >= 1.5 * self._keep_alive_s and not self.in_flight.is_slow:
            self.in_flight.break_off(
                f"{self.address} is silent for {now - self._heard:.1f} s, more than the keep-alive", cause="timeout"
            )
            return
        if now - min(self._heard, self._said) >= 0.7 * self._keep_alive_s:
            self._answers.pings += 1
            self._write(_PING)
        self._pulse = self._loop.call_later(self._keep_alive_s / 5, self._beat)

    def _hang_up(self) -> None:
        """Close without DISCONNECT, so that the broker publishes the last will."""
        if self._pulse is not None:
            self._pulse.cancel()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.abort()


@asynccontextmanager
async def open_lean(line: Socket, settings: SessionSettings) -> AsyncIterator[LeanSink]:
    """One session over a connected socket, which it then owns.  Entered after a CONNACK with success.

    Raises `Unavailable`, or `VersionRefusedError` where another version may help; OSError when TLS fails.  Leaving
    sends DISCONNECT and takes at most a second.  Cancelled at any point, it leaves neither socket nor task.
    """
    sink = LeanSink(line.sock, line.address, settings)
    loop = asyncio.get_running_loop()
    with ExitStack() as undo:
        undo.callback(line.sock.close)
        name = line.server_name or line.address.host if line.tls else None
        with during_handshake(line.address) if line.tls else nullcontext():
            transport, _ = await loop.create_connection(
                lambda: sink,
                sock=line.sock,
                ssl=line.tls,
                server_hostname=name,
                ssl_handshake_timeout=HANDSHAKE_S if line.tls else None,
            )
        undo.pop_all()
    try:
        await sink.accepted
        yield sink
        if not sink.in_flight.is_broken:
            sink.say_goodbye()
            await asyncio.wait([sink.lost], timeout=_GOODBYE_S)
    finally:
        transport.abort()
        sink.in_flight.break_off(f"the session with {line.address} was closed")
        await asyncio.wait([sink.lost])
