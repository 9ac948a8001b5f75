"""Every example of `config/clouds` runs against its own emulated cloud, within its limits, and loses nothing."""

import asyncio
import time
from pathlib import Path

import jsonschema
import orjson
import pytest

from gateway.payload.choose import FORMATS
from tests.support.cloud_runs import CLOUDS, KEY, on_the_way, packet_of

WAYS = [(path.stem, "") for path in sorted(CLOUDS.glob("*.yaml")) if path.stem != "plant-and-two-clouds"]
WAYS += [("plant-and-two-clouds", broker) for broker in ("plant", "aws", "azure")]


@pytest.mark.parametrize(("name", "broker"), WAYS, ids=[f"{name} {broker}".strip() for name, broker in WAYS])
def test_an_example_delivers_to_its_cloud(
    name: str, broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEVICE_KEY", KEY)
    monkeypatch.setenv("MQTT_PASSWORD", "secret")

    async def body() -> None:
        async with on_the_way(name, tmp_path, broker=broker) as way:
            for _ in range(3):
                await way.produce(time.time())
            await way.wait_delivered()
            assert way.missing() == {}
            assert way.out_of_order() == []
            assert {k: n for k, n in way.cloud.cloud.counts.items() if k not in ("connects", "taken")} == {}
            form = way.route.payload.format
            schema = jsonschema.Draft202012Validator(FORMATS[form].schema())
            for taken in way.cloud.cloud.taken:
                if form not in ("cloudevents", "aio"):  # attributes are user properties there
                    schema.validate(orjson.loads(packet_of(taken).payload))

    asyncio.run(asyncio.wait_for(body(), 60))
