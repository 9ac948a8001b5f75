"""An emulated cloud does what its profile says, as clients of other makers see it: one below a limit passes, one above
is refused.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack

from gateway.emulator.broker import Emulated, emulated
from gateway.emulator.policy import Devices
from gateway.profiles import names_of_profiles, profile_named
from tests.support.emulated import DEVICE, HOST, KEYS, PRODUCT, QUIET_S, Case, by_mqtt_js, by_paho
from tests.support.mqtt_collect import collecting

HUB, THINGS = f"devices/{DEVICE}/messages/events/", f"$oc/devices/{DEVICE}/sys/gateway/sub_devices/properties/report"
MINE = f"$oc/devices/{DEVICE}/user/a"

CASES: list[tuple[Case, str]] = [
    # AWS: slashes, Basic Ingest, sizes, QoS 2, client id
    (Case("aws-iot-core", "a/b/c/d/e/f/g/h"), "acked"),
    (Case("aws-iot-core", "a/b/c/d/e/f/g/h/i"), "closed"),
    (Case("aws-iot-core", "$aws/rules/r/a/b/c/d/e/f/g/h"), "acked"),
    (Case("aws-iot-core", "a" * 256), "acked"),
    (Case("aws-iot-core", "a" * 257), "closed"),
    (Case("aws-iot-core", "a", size=131_072), "acked"),
    (Case("aws-iot-core", "a", size=131_073), "closed"),
    (Case("aws-iot-core", device="d" * 128), "refused 135"),  # not registered
    (Case("aws-iot-core", device="d" * 129), "refused 133"),
    # IoT Hub: one topic, its token, sizes, the will's topic
    (Case("azure-iot-hub", HUB + "$.ct=application%2Fjson&$.ce=utf-8"), "acked"),
    (Case("azure-iot-hub", "factory/line-1"), "closed"),
    (Case("azure-iot-hub", HUB, size=262_144), "acked"),
    (Case("azure-iot-hub", HUB, size=262_145), "closed"),
    (Case("azure-iot-hub", HUB, qos=2), "closed"),
    (Case("azure-iot-hub", HUB, retain=True), "acked"),
    (Case("azure-iot-hub", secret="MDEyMzQ1Njc4OWFiY2RlZg=="), "refused 4"),
    (Case("azure-iot-hub", age_s=3500), "connected"),
    (Case("azure-iot-hub", age_s=3700), "refused 5"),
    (Case("azure-iot-hub", will=HUB), "connected"),
    (Case("azure-iot-hub", will="gateways/edge-1/presence"), "refused 5"),
    # Event Grid: QoS 2 closes
    (Case("azure-event-grid", "a", size=524_000), "acked"),
    (Case("azure-event-grid", "a", size=524_300), "closed"),
    # Huawei: keep-alive, hour, topics, no will
    (Case("huawei-iotda", THINGS), "acked"),
    (Case("huawei-iotda", MINE), "acked"),
    (Case("huawei-iotda", "a"), "closed"),
    (Case("huawei-iotda", keep_alive_s=30), "connected"),
    (Case("huawei-iotda", keep_alive_s=29), "refused 5"),
    (Case("huawei-iotda", age_s=2 * 3600), "refused 5"),
    (Case("huawei-iotda", secret="wrong"), "refused 4"),
    (Case("huawei-iotda", will=MINE), "refused 5"),
    # Tencent: 16 KB, its user name
    (Case("alibaba-iot", f"/sys/{PRODUCT}/{DEVICE}/thing/event/property/post"), "acked"),
    (Case("alibaba-iot", secret="wrong"), "refused 4"),
    (Case("nats", "a/b"), "acked"),
    (Case("nats", "a.b"), "closed"),
    (Case("nats", "a b"), "closed"),
    (Case("generic", "a", qos=2), "acked"),
    (Case("tencent-iot", f"{PRODUCT}/{DEVICE}/data", size=16_384), "acked"),
]  # fmt: skip
ONLY_PAHO_SAYS = [
    (Case("aws-iot-core", "a", qos=2), "silent"),  # MQTT.js sends no QoS 2 to a broker that announces less
    (Case("azure-event-grid", "a", method="OAUTH2-JWT"), "acked"),
    (Case("azure-event-grid", method="K8S-SAT"), "refused 140"),
    (Case("azure-event-grid", method="OAUTH2-JWT", age_s=3700), "refused 135"),
    (Case("azure-iot-operations", method="K8S-SAT"), "connected"),
    (Case("azure-iot-operations", method="K8S-SAT", subject="edge-2"), "refused 135"),
]


def devices_of(name: str) -> Devices:
    return Devices({DEVICE: KEYS.get(name, "")}, HOST, PRODUCT)


async def all_of(stack: AsyncExitStack) -> dict[str, Emulated]:
    return {
        name: await stack.enter_async_context(emulated(profile_named(name), devices_of(name)))
        for name in names_of_profiles()
    }


def run(body: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(body, 120))


def forget_connects(clouds: dict[str, Emulated]) -> None:
    """Cases follow each other faster than a cloud allows a device to connect."""
    for each in clouds.values():
        each.cloud.policy.latest_s.clear()


def test_paho_sees_every_limit() -> None:
    async def body() -> None:
        async with AsyncExitStack() as stack:
            clouds, wrong = await all_of(stack), []
            for case, expected in [*CASES, *ONLY_PAHO_SAYS]:
                forget_connects(clouds)
                found = await asyncio.to_thread(by_paho, profile_named(case.profile), clouds[case.profile].port, case)
                if found != expected:
                    wrong.append((case, found, expected))
            assert not wrong
            reasons = [*clouds["aws-iot-core"].cloud.told]
            assert any("has 8 slashes, AWS IoT Core allows 7" in each for each in reasons)

    run(body())


def test_mqtt_js_sees_the_same() -> None:
    """But for what MQTT.js does not send, because the broker has announced its limits."""
    announced = {("aws-iot-core", "a" * 257, 10), ("azure-event-grid", "a", 524_300)}
    cases = [pair for pair in CASES if (pair[0].profile, pair[0].topic, pair[0].size) not in announced]

    async def body() -> None:
        async with AsyncExitStack() as stack:
            clouds = await all_of(stack)
            for each in clouds.values():  # one process for all cases: connects follow each other closely
                each.cloud.policy.latest_s = Forgetful()
            asked = [(profile_named(case.profile), clouds[case.profile].port, case) for case, _ in cases]
            found = await asyncio.to_thread(by_mqtt_js, asked)
            wrong = [
                (case, got, expected) for (case, expected), got in zip(cases, found, strict=True) if got != expected
            ]
            assert not wrong

    run(body())


def test_what_time_and_other_clients_do_to_a_connection() -> None:
    """Rates, an end of the login in mid-session, a second connection of the device, and a busy cloud."""

    async def seen(cloud: Emulated, case: Case) -> str:
        return await asyncio.to_thread(by_paho, profile_named(case.profile), cloud.port, case)

    async def body() -> None:
        async with AsyncExitStack() as stack:
            clouds = await all_of(stack)
            tencent, hub, grid = (clouds[name] for name in ("tencent-iot", "azure-iot-hub", "azure-event-grid"))
            acked = await seen(tencent, Case("tencent-iot", f"{PRODUCT}/{DEVICE}/data", count=100))
            assert 30 <= int(acked.split()[0]) <= 30 + 30 * QUIET_S + 5
            assert tencent.cloud.counts["discarded"] >= 50
            assert await seen(tencent, Case("tencent-iot")) == "refused 3"  # within five seconds
            assert await seen(hub, Case("azure-iot-hub", age_s=3599, lingers=True)) == "closed"
            assert hub.cloud.counts["expired"] == 1
            async with collecting(grid.watch_port, "#", version_5=True) as got:  # onlookers need no name and no login
                assert await seen(grid, Case("azure-event-grid", "a/b")) == "acked"
                await got.wait_count(1)
                assert got.messages[0][0] == "a/b"
            connects = grid.cloud.counts["connects"]
            first = asyncio.create_task(seen(grid, Case("azure-event-grid", lingers=True)))
            await grid.cloud.wait_until(lambda cloud: cloud.counts["connects"] > connects)
            grid.cloud.throttle(30.0)
            assert await seen(grid, Case("azure-event-grid", "a")) == "acked 151"
            assert await first == "closed"
            assert grid.cloud.counts["kicked"] == 1

    run(body())


class Forgetful(dict[str, float]):
    def __setitem__(self, key: str, value: float) -> None:
        pass
