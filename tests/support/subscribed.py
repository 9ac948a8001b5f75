"""A paho client that stays subscribed: what the checking subscribers have in common."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode


@contextmanager
def subscribed(
    url: str,
    topics: tuple[str, ...],
    take: Callable[[str, bytes], None],
    connected: threading.Event,
    *,
    client_id: str = "checker",
    user: tuple[str, str] | None = None,
    kept_s: int = 0,
) -> Iterator[None]:
    """Subscribed with QoS 1 when entered; comes back by itself when the broker does.

    `take` gets topic and payload in the client's own thread; `connected` is set while it is subscribed.  For `kept_s`
    seconds the broker keeps its session, and with it what comes meanwhile.
    """
    address = urlsplit(url)
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTProtocolVersion.MQTTv5)

    def on_connect(
        _: paho.Client, __: object, ___: paho.ConnectFlags, ____: ReasonCode, _____: Properties | None
    ) -> None:
        client.subscribe([(topic, 1) for topic in topics])

    def on_subscribe(_: paho.Client, __: object, ___: int, ____: list[ReasonCode], _____: Properties | None) -> None:
        connected.set()

    def on_disconnect(
        _: paho.Client, __: object, ___: paho.DisconnectFlags, ____: ReasonCode, _____: Properties | None
    ) -> None:
        connected.clear()

    def on_message(_: paho.Client, __: object, message: paho.MQTTMessage) -> None:
        take(message.topic, bytes(message.payload))

    client.on_connect, client.on_subscribe = on_connect, on_subscribe
    client.on_disconnect, client.on_message = on_disconnect, on_message
    client.reconnect_delay_set(1, 1)
    if user:
        client.username_pw_set(*user)
    keeping = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho left its annotation out
    keeping.SessionExpiryInterval = kept_s
    start = paho.MQTT_CLEAN_START_FIRST_ONLY
    client.connect(str(address.hostname), address.port or 1883, keepalive=60, clean_start=start, properties=keeping)
    client.loop_start()
    try:
        assert connected.wait(60)
        yield
    finally:
        client.disconnect()
        client.loop_stop()
