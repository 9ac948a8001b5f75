"""The general session: aiomqtt, for MQTT 5 and 3.1.1, over TCP, TLS and web sockets.

aiomqtt wraps paho.  We do some things ourselves, each because of a problem that we have seen (more in `paho_edge`):

- One client object per session: a client that is entered again reports success even if the broker refuses it.
- We open the socket.  Our thread has ended, and the socket is still open, before a watch on it is added or removed.
- We read, write and keep alive in the event loop.  aiomqtt reads without a limit, adds a writer for a socket that may
  be closed already, and has a keep-alive task that outlives a cancelled attempt.
- We read the contents of PUBACK, CONNACK and PUBLISH in paho's callbacks.  aiomqtt drops the first two and puts the
  last into a queue without a limit.
- We publish through paho: the cost of aiomqtt's own bookkeeping is linear in the number of open publishes.
"""

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from functools import partial

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

import gateway.mqtt.paho_edge as paho_edge
from gateway.delivery import DELIVERED, Outcome, Packet
from gateway.delivery.inflight import InFlight
from gateway.errors import Unavailable, cause_of
from gateway.model import Message
from gateway.mqtt.blocking import BlockingConnect
from gateway.mqtt.dial import Address, Socket
from gateway.mqtt.inbound import Inbox
from gateway.mqtt.limits import MAX_PACKET_BYTES, RECEIVE_MAXIMUM, BrokerLimits, refusal
from gateway.mqtt.packets import MOST_INCOMING_BYTES
from gateway.mqtt.paho_properties import bounds, packet_of, properties_of, reason_of, values_of, will_of
from gateway.mqtt.reasons import ABOUT_WHAT_WE_SENT, of_puback
from gateway.mqtt.sink import SESSION_KEPT_S, SessionSettings, Version, VersionRefusedError, refused
from gateway.tcp import explain

_QUIET = logging.getLogger("gateway.mqtt.paho")
_QUIET.setLevel(logging.CRITICAL)  # we get every fact it would report as an outcome or as Unavailable

_KEEP_ALIVE_TIMEOUT, _NOT_THIS_VERSION = 0x8D, 0x84
_LOOK_EVERY_S = 1.0
"""How often paho checks the keep-alive, in seconds."""
_READS_A_TURN = 4
"""How often it may read in one turn of the event loop; each time a window of packets."""
_MAY_COME = {"5": frozenset((0x20, 0x30, 0x40, 0x90, 0xD0, 0xE0)), "3.1.1": frozenset((0x20, 0x30, 0x40, 0x90, 0xD0))}
"""Packet types that a broker may send to a client such as this one: CONNACK, PUBLISH, PUBACK and so on."""


_WITH_WILL = ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message")


class GeneralSink:
    """A session on aiomqtt.  Created and ended by `open_general`."""

    def __init__(self, client: aiomqtt.Client, address: Address, settings: SessionSettings, version: Version) -> None:
        self._loop = asyncio.get_running_loop()
        self._client = client
        self._paho = paho_edge.paho_of(client)
        self._address = address
        self._settings = settings
        self.version: Version = version
        self.address = address.url
        self.limits = BrokerLimits()
        self.window = settings.window
        self.certificate_ends_s = math.nan
        self._leaving = False
        self._is_accepted = self._is_resumed = False
        self.refused: str | None = None
        self.refused_code = 0
        unsent = partial(paho_edge.unsent_bytes, client)
        self.in_flight = InFlight(address.url, settings.ack_timeout_s, self._hang_up, unsent, settings.line)
        self._inbox = Inbox(self.in_flight, self._subscribe, lambda packet_id: self._paho.ack(packet_id, 1))
        self._late = settings.late() if settings.late else None
        self._pulse: asyncio.TimerHandle | None = None
        self._strange_code = paho_edge.bound_packets(client, MOST_INCOMING_BYTES, self._check)
        self._hook()

    @property
    def has_forgotten(self) -> bool:
        return not self._is_resumed and self.limits.retain_available

    @property
    def may_resume(self) -> bool:
        return self.version == "5" and not self._inbox.is_asked

    @property
    def most_bytes(self) -> int:
        return self.in_flight.most_bytes(self.limits.maximum_packet_bytes)

    def send(self, message: Message) -> asyncio.Future[Outcome]:
        if self.in_flight.is_broken:
            return self.in_flight.failed()
        if self._late is not None:
            message = self._late.dress(message)
        outcome = refusal(message, self.limits, self.version)
        if outcome is not None:
            return self.in_flight.settled(outcome)
        if len(self.in_flight.open) >= self.window:
            raise RuntimeError(f"more than {self.window} publishes are open")
        info = self._publish(message, qos=1)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            self.in_flight.break_off(f"{self.address} cut the connection", was_cut=True, cause="cut")
            return self.in_flight.failed()
        return self.in_flight.add(info.mid, len(message.topic) + len(message.payload))

    def tell(self, message: Message) -> Outcome | None:
        if self.in_flight.is_broken:
            return None
        if self._late is not None:
            message = self._late.dress(message)
        outcome = refusal(message, self.limits, self.version)
        if outcome is None:
            self._publish(message, qos=0)
        return outcome

    def _publish(self, message: Message, qos: int) -> paho.MQTTMessageInfo:
        if self._late is not None:
            self._late.sent(message)
        return self._paho.publish(
            message.topic,
            message.payload,
            qos=qos,
            retain=message.retain and self.limits.retain_available,
            properties=properties_of(message) if self.version == "5" else None,
        )

    def arrivals(self, *topics: str) -> AsyncGenerator[Packet, None]:
        return self._inbox.arrivals(topics, self._settings.ack_timeout_s)

    def arrived(self) -> Sequence[Packet]:
        return self._inbox.arrived()

    def _subscribe(self, topics: Sequence[str]) -> None:
        self._paho.subscribe([(topic, 1) for topic in topics])

    async def wait_closed(self) -> None:
        await self.in_flight.wait_broken()

    def say_goodbye(self) -> None:
        """Send DISCONNECT, so that the broker drops the last will."""
        if not self.in_flight.is_broken:
            self._leaving = True
            self.in_flight.break_off(f"the session with {self.address} was closed")
            self._paho.disconnect(reasoncode=_WITH_WILL if self._settings.new_will and self.version == "5" else None)
            self._paho.loop_write()  # paho has only queued it

    def _hang_up(self) -> None:
        if self._pulse is not None:
            self._pulse.cancel()
        paho_edge.give_up_connecting(self._client, "lost before the CONNACK")
        if not self._leaving:
            paho_edge.close_socket(self._client)

    def _hook(self) -> None:
        """Replace aiomqtt's callbacks, or run before them where they are needed too."""
        self._connected = self._paho.on_connect
        self._paho.on_connect = self._on_connect
        self._paho.on_disconnect = self._on_disconnect
        self._paho.on_publish = self._on_publish
        self._paho.on_subscribe = self._on_subscribe
        self._paho.on_message = self._on_message
        self._paho.on_socket_open = self._watch_readable
        self._paho.on_socket_register_write = self._watch_writable
        self._paho.manual_ack_set(True)

    # Callbacks: packets from the broker.

    def _check(self, first: int, body: bytes) -> None:
        kind = first & 0xF0
        is_in_turn = kind in _MAY_COME[self.version] and (kind == 0x20) != self._is_accepted
        if not is_in_turn or (kind == 0x30 and first & 0x06 > 0x02):
            raise ValueError(f"a packet of type {first >> 4}, which no client such as this one can be sent")
        if kind == 0xD0 and not paho_edge.awaits_ping(self._client):
            self.in_flight.stray("PINGRESPs")
        if kind == 0x40 and (body[0] << 8 | body[1]) not in self.in_flight.open:
            self.in_flight.stray("PUBACKs")

    def _on_connect(
        self, client: paho.Client, data: object, flags: paho.ConnectFlags, code: ReasonCode, said: Properties | None
    ) -> None:
        if code.is_failure:
            self.refused_code = code.value
            self.refused = f"{self.address} refuses the session: {reason_of(code, said)}"
        else:
            self._is_accepted, self._is_resumed = True, flags.session_present
            self._accept(values_of(said))
        if self._connected is not None:
            self._connected(client, data, flags, code, said)  # type: ignore[call-arg,arg-type]  # aiomqtt's callback, API version 2

    def _on_disconnect(
        self,
        client: paho.Client,
        data: object,
        flags: paho.DisconnectFlags,
        code: ReasonCode | int | None,
        said: Properties | None,
    ) -> None:
        if flags.is_disconnect_packet_from_server and isinstance(code, ReasonCode):
            why = f"{self.address} ended the session: {reason_of(code, said)}"
            self.in_flight.break_off(why, was_cut=code.value in ABOUT_WHAT_WE_SENT)
        elif isinstance(code, ReasonCode) and code.value == _KEEP_ALIVE_TIMEOUT:
            self.in_flight.break_off(f"{self.address} is silent for longer than the keep-alive", cause="timeout")
        else:
            self.in_flight.break_off(f"{self.address} cut the connection", was_cut=True, cause="cut")

    def _on_publish(
        self, client: paho.Client, data: object, mid: int, code: ReasonCode, said: Properties | None
    ) -> None:
        value = self._strange_code(mid) or code.value if self.version == "5" else 0
        text = str(values_of(said).get("ReasonString", ""))
        self.in_flight.settle(mid, of_puback(value, text) if value or text else DELIVERED)

    def _on_subscribe(
        self, client: paho.Client, data: object, mid: int, codes: list[ReasonCode], said: Properties | None
    ) -> None:
        self._inbox.answered([code.value for code in codes])

    def _on_message(self, client: paho.Client, data: object, message: paho.MQTTMessage) -> None:
        self._inbox.put(packet_of(message), message.mid if message.qos else 0)

    # The work of the event loop.

    def _watch_readable(self, client: paho.Client, data: object, sock: aiomqtt.types.PahoSocket) -> None:
        """Called in paho's thread."""

        def watch() -> None:
            if sock.fileno() >= 0:
                self._loop.add_reader(sock.fileno(), self._read)
                self._keep_alive()

        self._loop.call_soon_threadsafe(watch)

    def _keep_alive(self) -> None:
        self._pulse = self._loop.call_later(_LOOK_EVERY_S, self._keep_alive)
        if not self.in_flight.is_slow:
            self._paho.loop_misc()

    def _read(self) -> None:
        """Read received bytes, as much as one turn of the loop allows."""
        try:
            for _ in range(_READS_A_TURN):
                if self.in_flight.is_broken:
                    return
                self._paho.loop_read()
                if not paho_edge.has_read_ahead(self._client):
                    return
        except OSError as error:
            self._failed(error)
        except paho_edge.NONSENSE as error:
            self._rejected(f"{self.address} sent what is not MQTT: {error}")
        else:
            self._loop.call_soon(self._read)

    def _rejected(self, why: str) -> None:
        self.refused, self.refused_code = self.refused or why, self.refused_code or _NOT_THIS_VERSION
        self.in_flight.break_off(why)

    def _watch_writable(self, client: paho.Client, data: object, sock: aiomqtt.types.PahoSocket) -> None:
        def watch() -> None:
            if sock.fileno() >= 0:
                self._loop.add_writer(sock.fileno(), self._write)

        self._loop.call_soon_threadsafe(watch)

    def _write(self) -> None:
        try:
            self._paho.loop_write()
        except OSError as error:
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        why = f"{self.address} {explain(error, self._address)}"
        self.in_flight.break_off(why, was_cut=isinstance(error, ConnectionError), cause=cause_of(error))

    def _accept(self, said: dict[str, object]) -> None:
        def number(name: str, default: int) -> int:
            value = said.get(name, default)
            return value if isinstance(value, int) else default

        announced = number("MaximumPacketSize", MAX_PACKET_BYTES)
        self.limits = BrokerLimits(
            receive_maximum=number("ReceiveMaximum", RECEIVE_MAXIMUM),
            maximum_packet_bytes=min(announced, self._settings.maximum_packet_bytes or announced),
            maximum_qos=number("MaximumQoS", 2),
            retain_available=bool(number("RetainAvailable", 1)),
            topic_alias_maximum=number("TopicAliasMaximum", 0),
            server_keep_alive_s=number("ServerKeepAlive", 0) if "ServerKeepAlive" in said else None,
        )
        self.window = min(self._settings.window, self.limits.receive_maximum)


@asynccontextmanager
async def open_general(line: Socket, settings: SessionSettings, version: Version) -> AsyncIterator[GeneralSink]:
    """One session over a connected socket, which it then owns.  Entered after a CONNACK with success.

    Raises `Unavailable`, or `VersionRefusedError` where another version may help.  Leaving sends DISCONNECT without
    waiting, and leaves neither socket nor task, also when cancelled at any point.
    """
    with ExitStack() as undo:
        undo.callback(line.sock.close)
        client = _client(line, settings, version)
        connecting = BlockingConnect(client, line)
        sink = GeneralSink(client, line.address, settings, version)
        undo.pop_all()
    try:
        await _enter(client, sink, connecting)
        sink.certificate_ends_s = connecting.certificate_ends_s
        yield sink
        sink.say_goodbye()
    finally:
        sink.in_flight.break_off(f"the session with {line.address} was closed")
        await _clear(client, connecting)


async def _enter(client: aiomqtt.Client, sink: GeneralSink, connecting: BlockingConnect) -> None:
    try:
        await client.__aenter__()
    except aiomqtt.MqttError as error:
        if sink.refused is not None:
            raise refused(sink.refused_code, sink.refused) from error
        if isinstance(error.__context__, paho.WebsocketConnectionError):
            raise Unavailable(f"{sink.address} opens no web socket: is the path right?") from error
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise VersionRefusedError(f"{sink.address} cut the connection instead of answering") from error
    except asyncio.CancelledError:
        connecting.cut()
        raise
    if sink.in_flight.is_broken:
        await sink.wait_closed()


async def _clear(client: aiomqtt.Client, connecting: BlockingConnect) -> None:
    await connecting.wait_ended()
    paho_edge.close_socket(client)
    connecting.close()


def _path(address: Address, settings: SessionSettings) -> str:
    return f"{address.path}?{settings.query}" if settings.query else address.path


def _client(line: Socket, settings: SessionSettings, version: Version) -> aiomqtt.Client:
    address = line.address
    v5 = version == "5"
    return aiomqtt.Client(
        hostname=line.server_name or address.host,
        port=address.port,
        username=settings.username,
        password=settings.password,
        identifier=settings.client_id,
        protocol=aiomqtt.ProtocolVersion.V5 if v5 else aiomqtt.ProtocolVersion.V311,
        clean_session=None if v5 else True,
        clean_start=not settings.resume if v5 else paho.MQTT_CLEAN_START_FIRST_ONLY,  # paho takes nothing else in 3.1.1
        keepalive=settings.keep_alive_s,
        max_inflight_messages=0,  # we keep the window; with a limit paho walks all open publishes at every PUBACK
        transport="websockets" if address.web_socket else "tcp",
        websocket_path=_path(address, settings) if address.web_socket else None,
        tls_context=line.tls,
        will=will_of(settings.will, v5) if settings.will else None,
        properties=bounds(SESSION_KEPT_S if settings.new_will is None else 0) if v5 else None,
        logger=_QUIET,
        timeout=86_400.0,  # `connect` sets the time-out of the whole attempt
    )
