"""What clouds want of a device in the words of their twins, shadows, jobs and thing models, within the same rules.

The desk is the gateway's, with its rules and its journal; the clouds are emulated, and keep what real ones keep.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.config import BrokerConfig
from gateway.emulator import packets as mqtt
from gateway.emulator.broker import emulated
from gateway.emulator.cloud import Cloud
from gateway.emulator.policy import Devices
from gateway.link import Link
from gateway.mqtt.connect import open_sink
from gateway.profiles import profile_named
from tests.support.cloud_runs import KEY
from tests.support.commands import Office, commands, office
from tests.unit.commands.test_looking import Self

RULES: tuple[dict[str, object], ...] = (
    {"source": "shop", "subtree": "s=press", "read": True, "write": {"maximum": 2.0}},
    {"reload": True, "diagnostics": True},
)


def run(body: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(body, 30))


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVICE_KEY", KEY)


class Meeting:
    """A cloud, and the desk that listens to it."""

    def __init__(self, cloud: Cloud, office: Office) -> None:
        self.cloud = cloud
        self.office = office

    @property
    def written(self) -> Sequence[tuple[str, object]]:
        return self.office.server.written

    async def ask(self, topic: str, body: dict[str, object]) -> None:
        message = mqtt.Publish(topic, json.dumps(body).encode(), 1, False, 0)
        await self.cloud.wait_until(lambda cloud: cloud.publish(message) == 1)

    async def hear(self, topic: str) -> dict[str, object]:
        """The next message on this topic."""
        await self.cloud.wait_until(lambda cloud: any(each.topic == topic for each in cloud.taken))
        found = next(each for each in self.cloud.taken if each.topic == topic)
        self.cloud.taken.remove(found)
        told: dict[str, object] = json.loads(found.payload)
        return told


@asynccontextmanager
async def meeting(folder: Path, name: str, *codecs: str, before: object = None) -> AsyncIterator[Meeting]:
    profile = profile_named(name)
    config = commands(*RULES, codecs=[{"format": each, "requester": "mes"} for each in codecs], verify_within="50ms")
    has_key = profile.login.password != "none"
    async with emulated(profile, Devices({"device-1": KEY if has_key else ""}, "h.example.com", "P1")) as running:
        if callable(before):
            before(running.cloud)
        keys = {"profile": name, "endpoint": "h.example.com", "url": running.url, "device": "device-1", "product": "P1"}
        login = {"credentials": {"key": {"env": "DEVICE_KEY"}}} if has_key else {}
        broker = BrokerConfig.model_validate({**keys, **login})
        who = broker.who("device-1")
        async with (
            office(
                folder, config, itself=Self(), things={"cloud": {"thing": who.device, "product": who.product}}
            ) as at,
            open_sink(broker, Link("cloud", running.url), "device-1") as sink,
            at.desk.serving("cloud", sink),
        ):
            yield Meeting(running.cloud, at)
            assert running.cloud.counts["refused"] == running.cloud.counts["closed"] == 0


def test_a_twin_says_what_shall_be_and_is_told_what_is(tmp_path: Path) -> None:
    """Also what was desired while the gateway was away, and each of it once."""

    def desired_before(cloud: Cloud) -> None:
        cloud.things.desire("device-1", {"shop": {"Speed": 1.25}})

    reported = "$iothub/twin/PATCH/properties/reported/?$rid={}"

    async def body() -> None:
        async with meeting(tmp_path, "azure-iot-hub", "iot-hub", "iot-hub-twin", before=desired_before) as at:
            told = await at.hear(reported.format(2))
            assert told == {"shop": {"Speed": {"value": 1.25, "ac": 200, "av": 2, "ad": "done"}}}
            at.cloud.desire("device-1", {"shop": {"Speed": 2.5}})
            told = await at.hear(reported.format(3))
            assert told["shop"]["Speed"]["ac"] == 403  # type: ignore[index]
            at.cloud.desire("device-1", {"_gateway": {"reload": "again"}})
            told = await at.hear(reported.format(4))
            assert told["_gateway"]["reload"]["ad"] == "done"  # type: ignore[index]
            assert at.cloud.things.of("device-1").reported["_gateway"] == told["_gateway"]
            assert at.written == [("s=press/Speed", 1.25)]
        written = len(at.written)
        async with meeting(tmp_path, "azure-iot-hub", "iot-hub-twin", before=desired_before) as at:
            await at.hear(reported.format(2))
            assert (written, at.written) == (1, [])  # its version is known: the answer is said again

    run(body())


def test_a_shadow_says_what_shall_be_and_its_delta_ends(tmp_path: Path) -> None:
    update = "$aws/things/device-1/shadow/update"

    async def body() -> None:
        async with meeting(tmp_path, "aws-iot-core", "aws-shadow") as at:
            await at.cloud.wait_until(lambda cloud: any(each.topic.endswith("/shadow/get") for each in cloud.taken))
            at.cloud.desire("device-1", {"shop": {"Speed": 1.5}})
            assert (await at.hear(update))["state"]["reported"]["shop"] == {"Speed": 1.5}  # type: ignore[index]
            assert at.cloud.things.of("device-1").reported == {"shop": {"Speed": 1.5}, "refused": {"shop": {}}}
            at.cloud.desire("device-1", {"shop": {"Speed": 2.5, "Count": 7}})
            told = [await at.hear(update), await at.hear(update)]
            refused = [each["state"]["reported"]["refused"]["shop"] for each in told]  # type: ignore[index]
            assert any("out_of_range" in str(each.get("Speed")) for each in refused)
            assert ("s=press/Speed", 2.5) not in at.written

    run(body())


def test_a_job_is_a_request_also_to_the_gateway_itself(tmp_path: Path) -> None:
    def update(job: str) -> str:
        return f"$aws/things/device-1/jobs/{job}/update"

    def assigned_before(cloud: Cloud) -> None:
        cloud.things.assign("device-1", "reload-7", {"source": "_gateway", "operation": "reload"})
        speed = {"tag": "Speed", "value": 2.5}
        cloud.things.assign("device-1", "speed-8", {"source": "shop", "operation": "write", "writes": [speed]})

    async def body() -> None:
        async with meeting(tmp_path, "aws-iot-core", "aws-jobs", before=assigned_before) as at:
            assert (await at.hear(update("reload-7")))["status"] == "SUCCEEDED"
            told = await at.hear(update("speed-8"))  # named by the cloud when the first has ended
            assert (told["status"], told["statusDetails"]["reason"]) == ("REJECTED", "out_of_range")  # type: ignore[index]
            at.cloud.assign("device-1", "read-9", {"source": "shop", "operation": "read", "tags": ["Speed"]})
            assert (await at.hear(update("read-9")))["status"] == "SUCCEEDED"
            at.cloud.assign("device-1", "none-10", {"source": "shop", "operation": "reboot"})
            assert (await at.hear(update("none-10")))["status"] == "REJECTED"
            assert at.written == []

    run(body())


Asked = Callable[[int, float], dict[str, object]]
THING_MODELS: dict[str, tuple[str, str, str, Asked, str]] = {
    "huawei-iotda": (
        "iotda-properties", "$oc/devices/device-1/sys/properties/set/request_id={n}",
        "$oc/devices/device-1/sys/properties/set/response/request_id={n}",
        lambda n, value: {"services": [{"service_id": "shop", "properties": {"Speed": value}}]}, "result_code",
    ),
    "tencent-iot": (
        "tencent", "$thing/down/property/P1/device-1", "$thing/up/property/P1/device-1",
        lambda n, value: {"method": "control", "clientToken": f"t{n}", "params": {"shop_Speed": value}}, "code",
    ),
    "alibaba-iot": (
        "alibaba", "/sys/P1/device-1/thing/service/property/set", "/sys/P1/device-1/thing/service/property/set_reply",
        lambda n, value: {"id": f"{n}", "version": "1.0", "params": {"Speed": value}}, "code",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", THING_MODELS)
def test_properties_of_a_thing_model_are_set_within_the_rules(name: str, tmp_path: Path) -> None:
    codec, down, up, asked, code = THING_MODELS[name]
    good = 200 if name == "alibaba-iot" else 0

    async def body() -> None:
        async with meeting(tmp_path, name, codec) as at:
            for n, value in ((1, 1.5), (2, 2.5)):
                await at.ask(down.format(n=n), asked(n, value))
                told = await at.hear(up.format(n=n))
                assert (told[code] == good) == (n == 1), told
                assert ("out_of_range" in json.dumps(told)) == (n == 2)
            unknown = json.loads(json.dumps(asked(3, 1.0)).replace("Speed", "Else"))
            await at.ask(down.format(n=3), unknown)
            assert "not_allowed" in json.dumps(await at.hear(up.format(n=3)))
            assert at.written == [("s=press/Speed", 1.5)]

    run(body())


@pytest.mark.parametrize(
    ("name", "codec", "down", "up", "body"),
    [
        ("tencent-iot", "tencent", "$thing/down/action/P1/device-1", "$thing/up/action/P1/device-1",
         {"method": "action", "clientToken": "t", "actionId": "read", "params": {"source": "shop", "tags": ["Speed"]}}),
        ("alibaba-iot", "alibaba", "/sys/P1/device-1/thing/service/read", "/sys/P1/device-1/thing/service/read_reply",
         {"id": "9", "params": {"source": "shop", "request": '{"tags": ["Speed"]}'}}),
    ],
)  # fmt: skip
def test_an_action_of_a_thing_model_is_an_operation(
    name: str, codec: str, down: str, up: str, body: dict[str, object], tmp_path: Path
) -> None:
    async def asked() -> None:
        async with meeting(tmp_path, name, codec) as at:
            await at.ask(down, body)
            told = await at.hear(up)
            answer = told["response"]["answer"] if name == "tencent-iot" else told["data"]["answer"]  # type: ignore[index]
            assert json.loads(answer)["results"][0]["tag"] == "Speed"

    run(asked())
