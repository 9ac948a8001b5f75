"""Host applications on a real broker: a primary host that judges one edge node, and a host of another stack."""

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from tests.support.node import PEERS, node_for
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


class ForeignHost:
    """tests/peers/sparkplug_host.mjs: MQTT.js and Eclipse Tahu."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def do(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def wait_said(self, **wanted: object) -> dict[str, Any]:
        """The next line that has these members."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told: dict[str, Any] = json.loads(line)
            if wanted.items() <= told.items():
                return told
        raise AssertionError(f"the host ended before it said {wanted}")


@contextmanager
def foreign_host(url: str, host_id: str = "mes", group: str = "factory") -> Iterator[ForeignHost]:
    """Skips the test where it is not installed.  At the end it says that it is offline."""
    command = [node_for("sparkplug-payload"), str(PEERS / "sparkplug_host.mjs"), url, host_id, group]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    watchdog = threading.Timer(90, process.kill)  # so that a host that says nothing ends the wait
    watchdog.start()
    try:
        yield ForeignHost(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)
    finally:
        watchdog.cancel()
        process.kill()
        process.wait(60)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
