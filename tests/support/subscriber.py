"""A subscriber that checks what it gets: every message kept, repeats and gaps told by `stream` and `seq`."""

import itertools
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from tests.support.programs import wait_until


@dataclass
class Subscriber:
    """What arrived, in order; filled by the client's own thread."""

    client: paho.Client
    messages: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    connected: threading.Event = field(default_factory=threading.Event)

    @property
    def streams(self) -> dict[str, list[dict[str, object]]]:
        """By stream: the bodies in order of arrival, repeats left out by the rule `seq` <= the highest seen."""
        streams: dict[str, list[dict[str, object]]] = defaultdict(list)
        for _, body in list(self.messages):
            kept = streams[str(body["stream"])]
            if not kept or seq_of(body) > seq_of(kept[-1]):
                kept.append(body)
        return dict(streams)

    @property
    def holes(self) -> list[str]:
        """Every hole in the numbering of a stream, after the first message that was seen of it."""
        return [
            f"{stream}: {seq_of(a)} is followed by {seq_of(b)}"
            for stream, bodies in self.streams.items()
            for a, b in itertools.pairwise(bodies)
            if seq_of(b) != seq_of(a) + 1
        ]

    @property
    def missing(self) -> list[str]:
        """Every hole in the numbering of a stream from 1 on."""
        return self.holes + [
            f"{stream} begins with {seq_of(b[0])}" for stream, b in self.streams.items() if seq_of(b[0]) != 1
        ]

    @property
    def changes(self) -> list[tuple[str, str, object, str]]:
        """(topic, name, value, time) of every value, repeats left out, per stream in order."""
        topics = {str(body["stream"]): topic for topic, body in list(self.messages)}
        return [
            (topics[stream], str(row["name"]), row["value"], str(row["time"]))
            for stream, bodies in self.streams.items()
            for body in bodies
            for row in rows_of(body)
        ]

    @property
    def gaps(self) -> list[dict[str, object]]:
        """Every discontinuity that was announced."""
        return [gap for bodies in self.streams.values() for body in bodies for gap in _list(body.get("gaps"))]

    def wait_values(self, count: int, within_s: float = 120.0) -> None:
        wait_until(lambda: len(self.changes) >= count, f"{count} values at the subscriber", within_s)


def seq_of(body: dict[str, object]) -> int:
    assert isinstance(body["seq"], int)
    return body["seq"]


def rows_of(body: dict[str, object]) -> list[dict[str, object]]:
    return _list(body["values"])


def _list(value: object) -> list[dict[str, object]]:
    return value if isinstance(value, list) else []


@contextmanager
def subscriber(url: str, *topics: str, user: tuple[str, str] | None = None, kept_s: int = 0) -> Iterator[Subscriber]:
    """Subscribed when entered; comes back by itself when the broker does.

    For `kept_s` seconds the broker keeps its session, and with it what comes meanwhile.
    """
    address = urlsplit(url)
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="checker", protocol=MQTTProtocolVersion.MQTTv5)
    found = Subscriber(client)

    def on_connect(
        _: paho.Client, __: object, ___: paho.ConnectFlags, ____: ReasonCode, _____: Properties | None
    ) -> None:
        client.subscribe([(topic, 1) for topic in topics or ("factory/#",)])

    def on_subscribe(_: paho.Client, __: object, ___: int, ____: list[ReasonCode], _____: Properties | None) -> None:
        found.connected.set()

    def on_disconnect(
        _: paho.Client, __: object, ___: paho.DisconnectFlags, ____: ReasonCode, _____: Properties | None
    ) -> None:
        found.connected.clear()

    def on_message(_: paho.Client, __: object, message: paho.MQTTMessage) -> None:
        found.messages.append((message.topic, json.loads(message.payload)))

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
        assert found.connected.wait(60)
        yield found
    finally:
        client.disconnect()
        client.loop_stop()
