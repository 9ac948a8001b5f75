"""A primary host application on a real broker, which judges one edge node."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from tests.support.sparkplug import SparkplugHost

NAMESPACE = "spBv1.0"
_METRIC = b"\x0a\x14Node Control/Rebirth\x18\x01\x20\x0b\x70\x01"
REBIRTH = b"\x08\x01\x12" + bytes((len(_METRIC),)) + _METRIC
"""An NCMD: timestamp 1, and a metric with name, timestamp 1, Boolean, true."""


class HostClient:
    """A host that goes and comes as it is told.  While it is there it says so in STATE."""

    def __init__(self, url: str, judge: SparkplugHost, host_id: str = "scada", node: str = "factory/edge") -> None:
        address = urlsplit(url)
        self._where = str(address.hostname), address.port or 1883
        self.judge = judge
        self.topic = f"{NAMESPACE}/STATE/{host_id}"
        self._group, self._node = node.split("/")
        self._client: paho.Client | None = None
        self._at_ms = 0
        self.ignored = 0
        """Messages that came before the first birth of a session of ours."""
        self.lock = threading.Lock()
        self.is_there = threading.Event()

    def come(self) -> None:
        """Connect, subscribe, say that we are online, and come back when the broker does."""
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id="scada", protocol=MQTTProtocolVersion.MQTTv311)
        self._client = client
        client.on_connect, client.on_message, client.on_subscribe = self._connected, self._came, self._subscribed
        client.on_pre_connect = lambda client, data: self._set_will(client)
        client.on_disconnect = lambda *_: self.is_there.clear()
        client.reconnect_delay_set(1, 1)
        self._set_will(client)
        client.connect(*self._where, keepalive=10)
        client.loop_start()

    def _set_will(self, client: paho.Client) -> None:
        self._at_ms = max(self._at_ms + 1, time.time_ns() // 1_000_000)
        client.will_set(self.topic, self._state(False), qos=1, retain=True)

    def _state(self, online: bool) -> bytes:
        return json.dumps({"online": online, "timestamp": self._at_ms}).encode()

    def _connected(
        self, client: paho.Client, _: object, __: paho.ConnectFlags, code: ReasonCode, ___: Properties | None
    ) -> None:
        with self.lock:
            self.judge.forget()
        client.subscribe(f"{NAMESPACE}/{self._group}/+/{self._node}/#", 1)  # also what has no device

    def _subscribed(self, client: paho.Client, *_: object) -> None:
        client.publish(self.topic, self._state(True), qos=1, retain=True)
        self.is_there.set()

    def _came(self, client: paho.Client, _: object, message: paho.MQTTMessage) -> None:
        verb = message.topic.split("/")[2]
        if verb.endswith("CMD"):
            return
        with self.lock:
            if not self.judge.is_known and verb != "NBIRTH":
                self.ignored += 1
                return
            self.judge.see(message.topic, bytes(message.payload), message.qos, bool(message.retain))

    def publish(self, topic: str, payload: bytes) -> None:
        assert self._client is not None
        self._client.publish(topic, payload)

    def ask_for_births(self, times: int = 1) -> None:
        assert self._client is not None
        for _ in range(times):
            self._client.publish(f"{NAMESPACE}/{self._group}/NCMD/{self._node}", REBIRTH)

    def go(self) -> None:
        """Say that we are offline, and disconnect at once."""
        assert self._client is not None
        self._at_ms += 1
        self._client.publish(self.topic, self._state(False), qos=1, retain=True).wait_for_publish(10)
        self._client.disconnect()
        self._leave()

    def die(self) -> None:
        """The connection ends without a word: the broker publishes our will."""
        assert self._client is not None
        sock = self._client.socket()
        self._client.on_disconnect = None
        self._client.loop_stop()
        if sock is not None:
            sock.close()
        self._leave()

    def _leave(self) -> None:
        assert self._client is not None
        self.is_there.clear()
        self._client.loop_stop()
        self._client = None

    def stop(self) -> None:
        if self._client is not None:
            self._client.disconnect()
            self._leave()


@contextmanager
def host_client(url: str, judge: SparkplugHost) -> Iterator[HostClient]:
    host = HostClient(url, judge)
    host.come()
    try:
        assert host.is_there.wait(60)
        yield host
    finally:
        host.stop()
