"""Foreign clients of an emulated cloud, in one vocabulary: paho and MQTT.js.

What becomes of a case: `acked`, `acked CODE`, `silent`, `closed`, `refused CODE`, `connected`.
"""

import json
import queue
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.profiles import Profile, signing
from gateway.profiles.names import Credentials, Who, credentials_of
from tests.support.node import PEERS, node_for

QUIET_S = 0.4
_OF_3 = {0x84: 1, 0x85: 2, 0x88: 3, 0x86: 4, 0x87: 5}
"""paho names return codes of 3.1.1 as reason codes of 5."""
KEYS = {
    "azure-iot-hub": "NMgJDvdKTxjLi+xBxxkDDEwDJxEvOE5u8BiT0mVgPeg=", "huawei-iotda": "12345678",
    "tencent-iot": "MDEyMzQ1Njc4OWFiY2RlZg==", "alibaba-iot": "a device secret",
}  # fmt: skip
HOST, PRODUCT, DEVICE = "contoso.example.com", "P1", "edge-1"


@dataclass(frozen=True, slots=True)
class Case:
    """One connection, and one publish on it."""

    profile: str
    topic: str | None = None
    size: int = 10
    qos: int = 1
    retain: bool = False
    device: str = DEVICE
    keep_alive_s: int = 60
    secret: str | None = None
    """Instead of the device's key."""
    age_s: float = 0.0
    """How long ago the login was made."""
    will: str | None = None
    count: int = 1
    """How many publishes at once; with more than one the result is how many were acknowledged in `QUIET_S`."""
    lingers: bool = False
    """Wait for what happens after the connect."""
    method: str = ""
    """Of enhanced authentication, with a token of the device that was made `age_s` ago for an hour."""
    subject: str = DEVICE
    """Whose token it is."""


def login_for(profile: Profile, case: Case) -> Credentials:
    secret = case.secret or KEYS.get(profile.name)
    return credentials_of(profile, Who(case.device, HOST, PRODUCT, is_tls=False), secret, time.time() - case.age_s)


def by_paho(profile: Profile, port: int, case: Case) -> str:
    """Blocks: run it in a thread."""
    made, heard = login_for(profile, case), queue.Queue[str]()
    v5 = profile.login.versions[0] == "5"
    client = paho.Client(
        CallbackAPIVersion.VERSION2, made.client_id, protocol=paho.MQTTv5 if v5 else paho.MQTTv311,
        reconnect_on_failure=False,
    )  # fmt: skip
    if made.username is not None or made.password is not None:
        client.username_pw_set(made.username or "", made.password)
    if case.will is not None:
        client.will_set(case.will, b"gone", qos=1)

    def on_connect(client: Any, data: Any, flags: Any, code: Any, said: Any) -> None:
        value = code.value if v5 else _OF_3.get(code.value, code.value)
        heard.put(f"refused {value}" if code.is_failure else "connected")

    def on_publish(client: Any, data: Any, mid: Any, code: Any, said: Any) -> None:
        heard.put(f"acked {code.value}" if code.value else "acked")

    client.on_connect, client.on_publish = on_connect, on_publish
    client.on_disconnect = lambda *_: heard.put("closed")
    client.max_inflight_messages_set(max(20, case.count))
    client.connect("127.0.0.1", port, case.keep_alive_s, properties=enhanced(case) if case.method else None)
    client.loop_start()
    try:
        first = heard.get(timeout=10)
        if first == "connected" and case.lingers:
            return heard.get(timeout=10)
        if first != "connected" or case.topic is None:
            return first
        if case.count > 1:
            for _ in range(case.count):
                client.publish(case.topic, b" " * case.size, case.qos)
            time.sleep(QUIET_S)
            return f"{heard.qsize()} acked"
        client.publish(case.topic, b" " * case.size, case.qos, case.retain)
        try:
            return heard.get(timeout=QUIET_S if case.qos == 2 else 10)
        except queue.Empty:
            return "silent"
    finally:
        client.disconnect()
        client.loop_stop()


def enhanced(case: Case) -> Properties:
    found = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho does not annotate it
    found.AuthenticationMethod = case.method
    claims = {"sub": case.subject, "exp": time.time() - case.age_s + 3600}
    found.AuthenticationData = signing.web_token(claims, "a key").encode()
    return found


def by_mqtt_js(cases: Sequence[tuple[Profile, int, Case]]) -> list[str]:
    """All of them in one process.  Blocks."""
    told = []
    for profile, port, case in cases:
        made = login_for(profile, case)
        options: dict[str, object] = {
            "clientId": made.client_id, "keepalive": case.keep_alive_s,
            "protocolVersion": 5 if profile.login.versions[0] == "5" else 4,
        }  # fmt: skip
        if made.username is not None:
            options["username"] = made.username
        if made.password is not None:
            options["password"] = made.password
        if case.will is not None:
            options["will"] = {"topic": case.will, "payload": "gone", "qos": 1}
        publish = None
        if case.topic is not None:
            publish = {"topic": case.topic, "size": case.size, "qos": case.qos, "retain": case.retain}
        told.append({
            "url": f"mqtt://127.0.0.1:{port}", "options": options, "publish": publish, "quiet_ms": 1000 * QUIET_S,
        })  # fmt: skip
    program = [node_for("mqtt"), str(PEERS / "mqtt_client.mjs")]
    done = subprocess.run(program, input=json.dumps(told), capture_output=True, text=True, timeout=120, check=True)
    found: list[str] = json.loads(done.stdout)
    return found
