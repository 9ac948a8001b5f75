"""Logins of clouds beyond a key and a password: a hub that a provisioning service names over HTTPS, and tokens that
something else renews, in the enhanced authentication of MQTT 5.
"""

import asyncio
import ssl
import time
from collections.abc import Coroutine
from pathlib import Path

import pytest

from gateway.config import BrokerConfig
from gateway.delivery import Verdict
from gateway.emulator.broker import emulated
from gateway.emulator.policy import Devices
from gateway.emulator.provisioning import Service, provisioning
from gateway.errors import Unavailable
from gateway.link import Link
from gateway.mqtt.connect import open_sink
from gateway.mqtt.provisioning import Assigned, placed
from gateway.profiles import profile_named, signing
from tests.support.cloud_runs import on_the_way, verdict_of
from tests.support.mqtt_certificates import Authority
from tests.support.mqtt_sessions import message

GROUP = "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw=="
HUB, SCOPE = "contoso.azure-devices.net", "0ne00ABCDEF"


def run(body: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(body, 60))


def served(authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair = authority.issue("dps", "localhost")
    context.load_cert_chain(pair.certificate, pair.key)
    context.load_verify_locations(authority.path)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


@pytest.mark.parametrize("kind", ["group key", "certificate", "wrong key"])
def test_a_hub_that_a_provisioning_service_names_gets_the_device(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over HTTPS; asked once for many sessions, and again when the hub refuses the device."""
    authority = Authority(tmp_path)
    pair = authority.issue("edge-1")
    monkeypatch.setenv("GROUP_KEY", GROUP if kind == "group key" else "d3Jvbmc=")
    key = "" if kind == "certificate" else signing.device_key(GROUP, "edge-1")
    tls = {"ca": str(authority.path)}
    if kind == "certificate":
        tls |= {"certificate": str(pair.certificate), "key": str(pair.key)}

    async def body() -> None:
        devices = Devices({"edge-1": key}, HUB)
        service = Service(devices, SCOPE, retry_after_s=0)
        async with (
            emulated(profile_named("azure-iot-hub"), devices) as hub,
            provisioning(service, tls=served(authority)),
        ):
            asked = {"scope": SCOPE, "endpoint": f"https://localhost:{service.port}"}
            credentials = {"provisioning": asked} | (
                {} if kind == "certificate" else {"group_key": {"env": "GROUP_KEY"}}
            )
            keys = {"profile": "azure-iot-hub", "url": hub.url, "device": "edge-1", "tls": tls}
            config = BrokerConfig.model_validate({**keys, "credentials": credentials})
            link = Link("cloud", config.url)
            if kind == "wrong key":
                with pytest.raises(Unavailable, match="401 the signature is not that of this device"):
                    await open_sink(config, link, "edge-1").__aenter__()
                assert (service.counts, hub.cloud.counts) == ({"refused": 1}, {})
                return
            for _ in range(2):
                async with open_sink(config, link, "edge-1") as sink:
                    assert (await sink.send(message())).verdict is Verdict.DELIVERED
            assert service.counts == {"registered": 1, "asked": 1}
            hub.cloud.policy.devices = Devices({"other": ""}, HUB)
            for times in (1, 2):
                with pytest.raises(Unavailable, match="refuses the session"):
                    await open_sink(config, link, "edge-1").__aenter__()
                assert service.counts["registered"] == times

    run(body())


def test_without_an_address_of_its_own_the_broker_is_the_hub_that_was_named() -> None:
    credentials = {"group_key": {"env": "GROUP_KEY"}, "provisioning": {"scope": SCOPE}}
    config = BrokerConfig.model_validate({"profile": "azure-iot-hub", "device": "edge-1", "credentials": credentials})
    there = placed(config, Assigned(HUB, "edge-7"))
    assert (there.url, there.who("x").device, there.who("x").host) == (f"mqtts://{HUB}:8883", "edge-7", HUB)


@pytest.mark.parametrize(
    ("name", "method"),
    [("azure-event-grid", None), ("azure-event-grid", "CUSTOM-JWT"), ("azure-iot-operations", None)],
)
def test_a_token_that_ends_is_read_anew_from_its_file_and_nothing_is_lost(
    name: str, method: str | None, tmp_path: Path
) -> None:
    """OAUTH2-JWT, CUSTOM-JWT and K8S-SAT.  The cloud ends the session in the middle of values."""
    file = tmp_path / "token"

    def write(lasts_s: float) -> None:
        file.touch(mode=0o600)
        file.write_text(signing.web_token({"sub": "edge-1", "exp": time.time() + lasts_s}, "a key"))

    write(600.0)
    login = {"token": {"file": str(file)}} | ({} if method is None else {"method": method})

    async def body() -> None:
        async with on_the_way(name, tmp_path / "way", credentials=login, tls={}, key="a key") as way:
            cloud = way.cloud.cloud
            await way.produce(0.0)
            await cloud.wait_until(lambda cloud: cloud.counts["taken"] > 0)
            assert way.link.credential_ends_s < time.time() + 600
            write(3600.0)
            await way.produce(0.0)
            cloud.expire("edge-1")
            await way.produce(0.0)
            await way.wait_delivered()
            found = verdict_of(name, way)
            assert found.is_good, str(found)
            assert (cloud.counts["connects"], cloud.counts["expired"]) == (2, 1)
            assert way.link.credential_ends_s > time.time() + 3000

    (tmp_path / "way").mkdir()
    run(body())


@pytest.mark.parametrize(
    ("claims", "key", "said"),
    [
        ({}, "another key", "not signed for this cloud"),
        ({"sub": "edge-2"}, "a key", "is that of 'edge-2'"),
        ({"exp": 1}, "a key", "has ended"),
    ],
)
def test_a_token_that_is_not_good_is_refused(claims: dict[str, object], key: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text(signing.web_token({"sub": "edge-1", "exp": time.time() + 3600, **claims}, key))

    async def body() -> None:
        async with emulated(profile_named("azure-iot-operations"), Devices({"edge-1": "a key"})) as cloud:
            keys = {"profile": "azure-iot-operations", "endpoint": "aio", "url": cloud.url, "device": "edge-1"}
            config = BrokerConfig.model_validate({**keys, "credentials": {"token": {"file": str(file)}}})
            with pytest.raises(Unavailable, match="refuses the session"):
                await open_sink(config, Link("cloud", config.url), "edge-1").__aenter__()
            assert cloud.cloud.counts == {"refused": 1}
            assert said in cloud.cloud.told[0]

    run(body())
