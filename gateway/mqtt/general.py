"""The general session: aiomqtt, for MQTT 5 and 3.1.1, over TCP, TLS and web sockets.

aiomqtt wraps paho.  Seven things are ours, each because of what happens otherwise (all seen):

- One client object per session: entered again after a loss, it reports success for a broker that refuses.
- We dial ourselves: paho connects in a thread, where a cancelled attempt would leave a socket open.
- Its thread has ended, and a socket is still open, before a watch on it is added or dropped: aiomqtt adds a writer for
  a socket that may be closed by then.
- We read the PUBACK's and the CONNACK's contents in paho's callbacks: aiomqtt throws both away.
- A reason code that paho does not know is kept from it: it would end the connection, and the same message would end
  the next.
- A connection lost before the CONNACK ends the attempt: aiomqtt would wait for its time-out.
- We publish through paho: aiomqtt's own bookkeeping is linear in the publishes that are open.
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.delivery import DELIVERED, Outcome
from gateway.errors import Unavailable, cause_of
from gateway.model import Message
from gateway.mqtt.blocking import BlockingConnect
from gateway.mqtt.dial import Address, Socket, explain
from gateway.mqtt.inflight import InFlight
from gateway.mqtt.limits import MAX_PACKET_BYTES, RECEIVE_MAXIMUM, BrokerLimits, is_text, refusal
from gateway.mqtt.reasons import ABOUT_WHAT_WE_SENT, of_puback, of_session
from gateway.mqtt.sink import SessionSettings, Version, VersionRefusedError, refused

_QUIET = logging.getLogger("gateway.mqtt.paho")
_QUIET.setLevel(logging.CRITICAL)  # every fact it would report reaches us as an outcome or as Unavailable


_KEEP_ALIVE_TIMEOUT = 0x8D
_PAHO_KNOWS = frozenset((0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99))


class GeneralSink:
    """A session on aiomqtt.  Made and ended by `open_general`."""

    def __init__(self, client: aiomqtt.Client, address: Address, settings: SessionSettings, version: Version) -> None:
        self._loop = asyncio.get_running_loop()
        self._client = client
        self._paho = client._client
        self._address = address
        self._settings = settings
        self.version: Version = version
        self.address = address.url
        self.limits = BrokerLimits()
        self.window = settings.window
        self.certificate_ends_s = math.nan
        self._leaving = False
        self._strange_codes: dict[int, int] = {}
        self.refused: str | None = None
        self.refused_code = 0
        self.in_flight = InFlight(address.url, settings.ack_timeout_s, self._hang_up)
        self._hook()

    @property
    def most_bytes(self) -> int:
        return self.limits.maximum_packet_bytes

    def send(self, message: Message) -> asyncio.Future[Outcome]:
        if self.in_flight.is_broken:
            return self.in_flight.failed()
        outcome = refusal(message, self.limits, self.version)
        if outcome is not None:
            return self.in_flight.settled(outcome)
        if len(self.in_flight) >= self.window:
            raise RuntimeError(f"more than {self.window} publishes are open")
        info = self._publish(message, qos=1)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            self.in_flight.break_off(f"{self.address} cut the connection", was_cut=True, cause="cut")
            return self.in_flight.failed()
        return self.in_flight.add(info.mid)

    def tell(self, message: Message) -> None:
        if not self.in_flight.is_broken and refusal(message, self.limits, self.version) is None:
            self._publish(message, qos=0)

    def _publish(self, message: Message, qos: int) -> paho.MQTTMessageInfo:
        return self._paho.publish(
            message.topic,
            message.payload,
            qos=qos,
            retain=message.retain and self.limits.retain_available,
            properties=_properties(message) if self.version == "5" else None,
        )

    async def wait_closed(self) -> None:
        await self.in_flight.wait_broken()

    def say_goodbye(self) -> None:
        """DISCONNECT: the broker forgets the last will."""
        if not self.in_flight.is_broken:
            self._leaving = True
            self.in_flight.break_off(f"the session with {self.address} was closed")
            self._paho.disconnect()
            self._paho.loop_write()  # paho only queued it

    def _hang_up(self) -> None:
        if not self._leaving:
            self._paho._sock_close()  # without a DISCONNECT: the broker shall publish the last will

    def _hook(self) -> None:
        """Stand before aiomqtt's callbacks: read what it drops, then let it do its own work."""
        self._paho.on_connect = self._on_connect
        self._paho.on_disconnect = self._on_disconnect
        self._paho.on_publish = self._on_publish
        self._handle_acknowledgement = self._paho._handle_pubackcomp
        self._paho._handle_pubackcomp = self._before_acknowledgement  # type: ignore[method-assign]
        self._paho.on_socket_register_write = self._watch_writable
        self._client._disconnected.add_done_callback(self._read_failed)

    def _on_connect(
        self, client: paho.Client, data: object, flags: paho.ConnectFlags, code: ReasonCode, said: Properties | None
    ) -> None:
        if code.is_failure:
            self.refused_code = code.value
            self.refused = f"{self.address} refuses the session: {_reason(code, said)}"
        else:
            self._accept(_dict(said))
        self._client._on_connect(client, data, flags, code, said)

    def _on_disconnect(
        self,
        client: paho.Client,
        data: object,
        flags: paho.DisconnectFlags,
        code: ReasonCode | int | None,
        said: Properties | None,
    ) -> None:
        if flags.is_disconnect_packet_from_server and isinstance(code, ReasonCode):
            why = f"{self.address} ended the session: {_reason(code, said)}"
            self.in_flight.break_off(why, was_cut=code.value in ABOUT_WHAT_WE_SENT)
        elif isinstance(code, ReasonCode) and code.value == _KEEP_ALIVE_TIMEOUT:
            self.in_flight.break_off(f"{self.address} is silent for longer than the keep-alive", cause="timeout")
        else:
            self.in_flight.break_off(f"{self.address} cut the connection", was_cut=True, cause="cut")
        if not self._client._connected.done():
            self._client._connected.set_exception(aiomqtt.MqttError("cut before the CONNACK"))

    def _on_publish(
        self, client: paho.Client, data: object, mid: int, code: ReasonCode, said: Properties | None
    ) -> None:
        value = self._strange_codes.pop(mid, code.value) if self.version == "5" else 0
        text = str(_dict(said).get("ReasonString", ""))
        self.in_flight.settle(mid, of_puback(value, text) if value or text else DELIVERED)

    def _before_acknowledgement(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        """paho ends the connection over a reason code it does not know, such as 0x95 from mosquitto."""
        body = self._paho._in_packet["packet"]
        if self.version == "5" and len(body) > 2 and body[2] not in _PAHO_KNOWS:
            self._strange_codes[body[0] << 8 | body[1]] = body[2]
            self._paho._in_packet["packet"] = bytearray([*body[:2], 0x80, *body[3:]])
        return self._handle_acknowledgement(cmd)

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

    def _read_failed(self, done: asyncio.Future[None]) -> None:
        """aiomqtt reports an exception while reading or writing here, and nowhere else."""
        error = None if done.cancelled() else done.exception()
        if error is not None:
            self._failed(error)

    def _accept(self, said: dict[str, int | str]) -> None:
        announced = int(said.get("MaximumPacketSize", MAX_PACKET_BYTES))
        self.limits = BrokerLimits(
            receive_maximum=int(said.get("ReceiveMaximum", RECEIVE_MAXIMUM)),
            maximum_packet_bytes=min(announced, self._settings.maximum_packet_bytes or announced),
            maximum_qos=int(said.get("MaximumQoS", 2)),
            retain_available=bool(said.get("RetainAvailable", 1)),
            topic_alias_maximum=int(said.get("TopicAliasMaximum", 0)),
            server_keep_alive_s=int(said["ServerKeepAlive"]) if "ServerKeepAlive" in said else None,
        )
        self.window = min(self._settings.window, self.limits.receive_maximum)


def _reason(code: ReasonCode, properties: Properties | None) -> str:
    said = _dict(properties)
    return of_session(code.value, str(said.get("ReasonString", "")), str(said.get("ServerReference", "")))


def _dict(properties: Properties | None) -> dict[str, int | str]:
    """The properties that were sent, by paho's names; paho keeps them as attributes."""
    return properties.__dict__ if properties is not None else {}


def _properties(message: Message, kind: int = PacketTypes.PUBLISH) -> Properties:
    properties = Properties(kind)  # type: ignore[no-untyped-call]  # paho left its annotation out
    if is_text(message):
        properties.PayloadFormatIndicator = 1
    if message.expiry_s:
        properties.MessageExpiryInterval = message.expiry_s
    if message.content_type:
        properties.ContentType = message.content_type
    if message.properties:
        properties.UserProperty = list(message.properties)
    return properties


@asynccontextmanager
async def open_general(line: Socket, settings: SessionSettings, version: Version) -> AsyncIterator[GeneralSink]:
    """One session over a connected socket, which it takes over.  Entering it means CONNACK with success.

    Raises `Unavailable`, or `VersionRefusedError` where another version may help.  Leaving it says DISCONNECT, does
    not wait, and leaves neither socket nor task; so does cancelling it at any point.
    """
    try:
        client = _client(line, settings, version)
        connecting = BlockingConnect(client, line)
        sink = GeneralSink(client, line.address, settings, version)
    except BaseException:
        line.sock.close()
        raise
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
    client._client._sock_close()
    connecting.close()
    if client._misc_task is not None:
        client._misc_task.cancel()
        await asyncio.wait([client._misc_task])


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
        clean_start=True if v5 else paho.MQTT_CLEAN_START_FIRST_ONLY,  # all that paho accepts without version 5
        keepalive=settings.keep_alive_s,
        max_inflight_messages=0,  # the window is ours; with a bound paho walks all open publishes at every PUBACK
        transport="websockets" if address.web_socket else "tcp",
        websocket_path=address.path if address.web_socket else None,
        tls_context=line.tls,
        will=_will(settings.will, v5) if settings.will else None,
        logger=_QUIET,
        timeout=86_400.0,  # the attempt as a whole has one time-out, in `connect`
    )


def _will(message: Message, v5: bool) -> aiomqtt.Will:
    properties = _properties(message, PacketTypes.WILLMESSAGE) if v5 else None
    return aiomqtt.Will(message.topic, message.payload, qos=1, retain=message.retain, properties=properties)
