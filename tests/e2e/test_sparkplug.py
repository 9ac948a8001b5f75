"""An edge node between a server and a host: births, data, a command, and a regular end, in both versions of MQTT."""

import json
import threading
import time
from pathlib import Path
from struct import pack

import pytest

from tests.support.brokers import mosquitto
from tests.support.programs import SINK, Factory, Gateway, running, wait_until
from tests.support.sparkplug import SparkplugHost, tahu
from tests.support.sparkplug_client import HostClient, foreign_host, host_client
from tests.support.subscribed import subscribed

EDGE = {"device": "{machine}", "primary_host": "scada", "rebirth_interval": "1s"}
PAYLOAD = {"format": "sparkplug", "sparkplug": EDGE}
COMMANDS = {
    "requesters": ["scada"],
    "codecs": [{"format": "sparkplug", "topic": "spBv1.0/factory/DCMD/{gateway}/{device}", "requester": "scada"}],
    "rules": [
        {
            "source": "line-1",
            "subtree": "nsu=urn:connected-factory:simulator;s=hall-1",
            "include": ["*/*/SpeedFactor"],
            "write": {"minimum": 0.5, "maximum": 2.0},
        }
    ],
}


def dcmd(alias: int, value: float) -> bytes:
    """A DCMD of one Double, by its alias."""
    assert 128 <= alias < 2**14
    metric = bytes((0x10, alias & 0x7F | 0x80, alias >> 7, 0x69)) + pack("<d", value)
    now, shown = time.time_ns() // 1_000_000, b""
    while now:
        shown += bytes((now & 0x7F | (0x80 if now > 0x7F else 0),))
        now >>= 7
    return b"\x08" + shown + b"\x12" + bytes((len(metric),)) + metric


@pytest.mark.timeout(300)
def test_a_host_sees_births_data_the_effect_of_its_command_and_the_end(tmp_path: Path) -> None:
    """tck-id-topics-nbirth-mqtt, tck-id-topics-dbirth-mqtt, tck-id-topics-ddata-mqtt, tck-id-topics-ddeath-mqtt,
    tck-id-payloads-nbirth-qos, tck-id-payloads-nbirth-retain, tck-id-payloads-dbirth-qos,
    tck-id-payloads-dbirth-retain, tck-id-payloads-ddata-qos, tck-id-payloads-ddata-retain,
    tck-id-message-flow-edge-node-birth-publish-nbirth-qos, tck-id-message-flow-edge-node-birth-publish-nbirth-retained,
    tck-id-message-flow-device-birth-publish-dbirth-qos, tck-id-message-flow-device-birth-publish-dbirth-retained,
    tck-id-message-flow-device-dcmd-subscribe, tck-id-principles-persistence-clean-session-311,
    tck-id-payloads-ndeath-will-message-publisher-disconnect-mqtt311
    """
    answers: list[dict[str, object]] = []

    def heard(topic: str, payload: bytes) -> None:
        answers.append(json.loads(payload))

    with mosquitto(tmp_path) as broker, tahu() as reader, running(Factory(tmp_path)) as factory:
        judge = SparkplugHost(reader)
        replies = subscribed(broker.url, ("gateways/edge/replies/#",), heard, threading.Event())
        factory.wait_said("serving")
        with host_client(broker.url, judge) as host, replies:
            for version, speed in (("3.1.1", 1.25), ("5", 1.5)):
                sink = {"url": broker.url, "version": version, **SINK}
                gateway = Gateway(tmp_path, factory.url, "", payload=PAYLOAD, commands=COMMANDS, broker=sink)
                with running(gateway):
                    _ask(host, judge, speed, answers)
                    if version == "5":
                        _be_host_of_another_stack(broker.url, judge)
                    assert gateway.balanced
                    assert judge.values["/Gateway/Sources"][-1].value == "1"
                    assert gateway.stop() == 0
                wait_until(lambda: not judge.is_online, f"the end with {version}", 30)
                told = "p2, c1" if version == "3.1.1" else "p5, c1"  # a clean session, as mosquitto says it
                assert f"as edge ({told}," in broker.log.read_text(encoding="utf-8")
    assert [answer["outcome"] for answer in answers] == ["done", "refused"] * 2 + ["done"]
    assert judge.violations == []


def _ask(host: HostClient, judge: SparkplugHost, speed: float, answers: list[dict[str, object]]) -> None:
    """A write that is allowed, and one that is not; and wait for the effect of the first."""
    wait_until(lambda: "assembly" in judge.devices, "a device", 60)
    [alias] = [a for a, m in judge.devices["assembly"].items() if m["name"] == "SpeedFactor"]
    told = [metric.get("properties") or {} for metric in judge.devices["assembly"].values()]
    ranges = [(each["engLow"]["value"], each["engHigh"]["value"]) for each in told if "engLow" in each]
    assert ranges
    assert all(low < high for low, high in ranges)
    for value in (speed, 9.0):
        before = len(answers)
        host.publish("spBv1.0/factory/DCMD/edge/assembly", dcmd(alias, value))
        wait_until(lambda before=before: len(answers) > before, "an answer", 30)  # type: ignore[misc]
    wait_until(lambda: judge.values["assembly/SpeedFactor"][-1].value == speed, "the new value", 30)


def _be_host_of_another_stack(url: str, judge: SparkplugHost) -> None:
    """It comes late, asks for births as it knows none, shows them, and sends a command by name with its own encoder."""
    states: list[dict[str, object]] = []
    state = subscribed(
        url, ("spBv1.0/STATE/mes",), lambda _, said: states.append(json.loads(said)), threading.Event(),
        client_id="states",
    )  # fmt: skip
    with state:
        with foreign_host(url) as host:
            host.wait_said(asked="edge")
            host.wait_said(born="edge/assembly")
            host.do("write edge assembly SpeedFactor 1.75")
            host.wait_said(shown="edge/assembly/SpeedFactor", value=1.75)
            before = len(judge.births)
            host.do("ask edge")
            host.wait_said(born="edge")
            wait_until(lambda: len(judge.births) == before + 1, "the births at the other host", 30)
        wait_until(lambda: [each["online"] for each in states] == [True, False], "its state", 30)
