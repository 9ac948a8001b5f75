"""Reads the broker's packets in the lean session, and refuses those it must not send.

The cost of every packet is bounded.  A packet that a client such as this one can never get ends the session.  So does a
flood of answers without a request; repeats are tolerated.  Text is decoded by hand, because brokers send codes and
texts that break the codec.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import ClassVar

from gateway.delivery.inflight import InFlight
from gateway.errors import Unavailable
from gateway.mqtt.inbound import Inbox
from gateway.mqtt.limits import MAX_PACKET_BYTES, BrokerLimits
from gateway.mqtt.packets import MOST_INCOMING_BYTES, header_length, read_publish, read_suback
from gateway.mqtt.properties import (
    MAXIMUM_PACKET_SIZE,
    MAXIMUM_QOS,
    REASON_STRING,
    RECEIVE_MAXIMUM,
    RETAIN_AVAILABLE,
    SERVER_KEEP_ALIVE,
    SERVER_REFERENCE,
    TOPIC_ALIAS_MAXIMUM,
    Properties,
    read_properties,
    text_of,
)
from gateway.mqtt.reasons import ABOUT_WHAT_WE_SENT, CONNACK_3, of_puback, of_session
from gateway.mqtt.sink import SessionSettings, VersionRefusedError, refused

_CONNACK, _PUBLISH, _PUBACK, _SUBACK, _PINGRESP, _DISCONNECT, _AUTH = 0x20, 0x30, 0x40, 0x90, 0xD0, 0xE0, 0xF0

_ACCEPTS_IN_3 = "takes the session in MQTT 3.1.1, which was asked for in MQTT 5: we hang up"


class Answers:
    """Reads the packets of one session, one by one."""

    def __init__(
        self,
        address: str,
        settings: SessionSettings,
        in_flight: InFlight,
        inbox: Inbox,
        on_accepted: Callable[[], None],
    ) -> None:
        self._address = address
        self._settings = settings
        self._in_flight = in_flight
        self._inbox = inbox
        self._on_accepted = on_accepted
        self.pings = 0
        """PINGREQs without a PINGRESP."""
        self.is_resumed = False
        """The broker kept our session (Session Present)."""
        self.limits = BrokerLimits()
        self.accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done with the broker's CONNACK.  Fails with `Unavailable` when the broker refuses the session."""

    def read(self, packet: bytes) -> None:
        """Handle one complete packet."""
        kind, body = packet[0] & 0xF0, packet[header_length(packet) :]
        react = self._reactions.get(kind)
        if react is None or (kind == _CONNACK) == self.accepted.done():
            self.nonsense(f"a packet of type {kind >> 4}, which must not come now")
            return
        try:
            react(self, packet[0], body)
        except (ValueError, IndexError) as error:
            self.nonsense(str(error))

    def giant(self, size: int) -> None:
        """End the session: the broker is sending a packet that is too long."""
        self.nonsense(f"a packet of {size} bytes, we announced at most {MOST_INCOMING_BYTES}")

    def nonsense(self, what: str) -> None:
        why = f"{self._address} sent what is not MQTT: {what}"
        self.refuse(VersionRefusedError(why))
        self._in_flight.break_off(why)

    def refuse(self, error: Unavailable) -> None:
        """Fail the opening of the session."""
        if not self.accepted.done():
            self.accepted.set_exception(error)
            self.accepted.exception()  # marks it as retrieved, since nothing may be waiting for it

    def _on_connack(self, first: int, body: bytes) -> None:
        code = body[1]
        if len(body) == 2:  # a CONNACK of 3.1.1 has no properties
            if code == 0:
                self.refuse(VersionRefusedError(f"{self._address} {_ACCEPTS_IN_3}"))
                return
            kind = VersionRefusedError if code == 1 else Unavailable
            self.refuse(kind(f"{self._address} refuses the session: {CONNACK_3.get(code, CONNACK_3[1])}"))
            return
        if code >= 0x80:
            text, server = text_of(body, 2, REASON_STRING), text_of(body, 2, SERVER_REFERENCE)
            self.refuse(refused(code, f"{self._address} refuses the session: {of_session(code, text, server)}"))
            return
        self.is_resumed = bool(body[0] & 1)
        self._learn(read_properties(body, 2))
        self._on_accepted()
        self.accepted.set_result(None)

    def _learn(self, said: Properties) -> None:
        def number(name: int, default: int) -> int:
            value = said.get(name, default)
            return value if isinstance(value, int) else default

        announced = number(MAXIMUM_PACKET_SIZE, MAX_PACKET_BYTES)
        self.limits = BrokerLimits(
            receive_maximum=number(RECEIVE_MAXIMUM, 65_535),
            maximum_packet_bytes=min(announced, self._settings.maximum_packet_bytes or announced),
            maximum_qos=number(MAXIMUM_QOS, 2),
            retain_available=bool(number(RETAIN_AVAILABLE, 1)),
            topic_alias_maximum=min(number(TOPIC_ALIAS_MAXIMUM, 0), self._settings.topic_aliases),
            server_keep_alive_s=number(SERVER_KEEP_ALIVE, 0) if SERVER_KEEP_ALIVE in said else None,
        )

    def _on_puback(self, first: int, body: bytes) -> None:
        packet_id = body[0] << 8 | body[1]
        code = body[2] if len(body) > 2 else 0
        if not self._in_flight.settle(packet_id, of_puback(code, text_of(body, 3, REASON_STRING))):
            self._in_flight.stray("PUBACKs")

    def _on_publish(self, first: int, body: bytes) -> None:
        self._inbox.put(*read_publish(first, body))

    def _on_suback(self, first: int, body: bytes) -> None:
        self._inbox.answered(read_suback(body))

    def _on_ping_response(self, first: int, body: bytes) -> None:
        if self.pings:
            self.pings -= 1
        else:
            self._in_flight.stray("PINGRESPs")

    def _on_disconnect(self, first: int, body: bytes) -> None:
        code = body[0] if body else 0
        text, server = text_of(body, 1, REASON_STRING), text_of(body, 1, SERVER_REFERENCE)
        why = f"{self._address} ended the session: {of_session(code, text, server)}"
        self._in_flight.break_off(why, was_cut=code in ABOUT_WHAT_WE_SENT)

    def _on_auth(self, first: int, body: bytes) -> None:
        self._in_flight.break_off(f"{self._address} asks for an authentication that is not offered")

    _reactions: ClassVar[Mapping[int, Callable[["Answers", int, bytes], None]]] = {
        _CONNACK: _on_connack,
        _PUBLISH: _on_publish,
        _PUBACK: _on_puback,
        _SUBACK: _on_suback,
        _PINGRESP: _on_ping_response,
        _DISCONNECT: _on_disconnect,
        _AUTH: _on_auth,
    }
    """By type: all packets that a broker may send to a client such as this one."""
