"""A cloud's own way to ask a machine for something: direct methods of IoT Hub, commands of IoTDA.

The desk is the gateway's, with its rules and its journal; the cloud is emulated, and refuses any other subscription.
"""

import asyncio
import json
from pathlib import Path

import pytest

from gateway.config import BrokerConfig
from gateway.emulator import packets as mqtt
from gateway.emulator.broker import emulated
from gateway.emulator.policy import Devices
from gateway.link import Link
from gateway.mqtt.connect import open_sink
from gateway.profiles import profile_named
from tests.support.cloud_runs import KEY
from tests.support.commands import commands, office

HUB = (
    "azure-iot-hub",
    "$iothub/methods/POST/{operation}/?$rid={n}",
    "$iothub/methods/res/{status}/?$rid={n}",
    "iot-hub",
)
IOTDA = (
    "huawei-iotda", "$oc/devices/edge/sys/commands/request_id={n}",
    "$oc/devices/edge/sys/commands/response/request_id={n}", "iotda",
)  # fmt: skip
RULE: dict[str, object] = {"source": "shop", "subtree": "s=press", "read": True, "write": {"maximum": 2.0}}


def asked(form: str, operation: str, body: dict[str, object]) -> bytes:
    if form == "iot-hub":
        return json.dumps({"source": "shop", **body}).encode()
    paras = {"source": "shop", "request": json.dumps(body)}
    return json.dumps({"service_id": "opcua", "command_name": operation, "paras": paras}).encode()


def outcome_in(form: str, payload: bytes) -> dict[str, object]:
    found: dict[str, object] = json.loads(payload)
    if form == "iotda":
        assert (found["result_code"] == 0) == (found["response_name"] == "done")
        found = json.loads(found["paras"]["answer"])  # type: ignore[index]
    return found


@pytest.mark.parametrize("cloud_kind", [HUB, IOTDA], ids=["IoT Hub", "IoTDA"])
def test_a_cloud_asks_in_its_own_way_within_the_rules(
    cloud_kind: tuple[str, str, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, topic, reply, form = cloud_kind
    monkeypatch.setenv("DEVICE_KEY", KEY)
    profile = profile_named(name)

    async def body() -> None:
        config = commands(RULE, codecs=[{"format": form, "requester": "mes"}], verify_within="50ms")
        async with emulated(profile, Devices({"edge": KEY}, "h.example.com", "p")) as running:
            cloud = running.cloud
            keys = {"profile": name, "endpoint": "h.example.com", "url": running.url, "device": "edge"}
            broker = BrokerConfig.model_validate({**keys, "credentials": {"key": {"env": "DEVICE_KEY"}}})
            async with (
                office(tmp_path, config) as at,
                open_sink(broker, Link("cloud", running.url), "edge") as sink,
                at.desk.serving("cloud", sink),
            ):

                async def call(n: int, operation: str, **more: object) -> tuple[str, dict[str, object]]:
                    payload = asked(form, operation, more)
                    message = mqtt.Publish(topic.format(operation=operation, n=n), payload, 1, False, 0)
                    await cloud.wait_until(lambda cloud: cloud.publish(message) == 1)
                    await cloud.wait_until(lambda cloud: len(cloud.taken) >= n)
                    return cloud.taken[n - 1].topic, outcome_in(form, cloud.taken[n - 1].payload)

                where, answer = await call(1, "read", tags=["Speed"])
                assert where == reply.format(status=200, n=1)
                assert answer["outcome"] == "done"
                where, answer = await call(2, "write", writes=[{"tag": "Speed", "value": 1.5}])
                assert (answer["outcome"], at.server.written) == ("done", [("s=press/Speed", 1.5)])
                where, answer = await call(3, "write", writes=[{"tag": "Speed", "value": 2.5}])
                assert where == reply.format(status=403, n=3)
                assert (answer["outcome"], answer["reason"]) == ("refused", "out_of_range")
                _, answer = await call(4, "reboot")
                assert (answer["outcome"], at.server.written) == ("refused", [("s=press/Speed", 1.5)])
                assert cloud.counts["refused"] == cloud.counts["closed"] == 0

    asyncio.run(asyncio.wait_for(body(), 30))
