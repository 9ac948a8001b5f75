"""Cars on the road keep publishing: over a broker that was away, and no more of them than were asked for."""

import asyncio
from pathlib import Path
from typing import Any

import orjson

from simulators.vehicles import Car, Road, broker_at, drive
from tests.support.brokers import mosquitto
from tests.support.mqtt_collect import collecting
from tests.support.served import EPOCH

VINS = ("WCFSD1AB5TG000001", "WCFSD1AB7TG000002", "WCFSD1AB9TG000003")


async def heard(folder: Path) -> tuple[set[str], list[dict[str, Any]]]:
    """The topics of the cars, before and after the broker was away, and what the last one said."""
    road = Road(most=2)
    for vin in VINS:
        road.add(Car(vin, 0.0, {"body-control": "1.2"}, 90.0, ((60.0, "U0129"),)))
    with mosquitto(folder) as broker:
        place = broker_at(broker.url, None, None, None)
        task = asyncio.create_task(drive(road, place, 0.05, lambda: 45.0, EPOCH), name="vehicles")
        async with collecting(broker.port, "vehicles/#") as before:
            await before.wait_for(lambda payload: VINS[2].encode() in payload)
        await asyncio.to_thread(broker.kill)
        await asyncio.to_thread(broker.restart)
        async with collecting(broker.port, "vehicles/#") as after:
            await after.wait_for(lambda payload: VINS[2].encode() in payload)
        task.cancel()
        await asyncio.wait([task])
    topics = {topic for collected in (before, after) for topic, _ in collected.messages}
    said = orjson.loads(after.payloads[-1])["data"]
    return topics, said


def test_the_newest_cars_are_heard_again_when_the_broker_is_back(tmp_path: Path) -> None:
    topics, said = asyncio.run(asyncio.wait_for(heard(tmp_path), 60))
    assert topics <= {f"vehicles/{vin}/vss" for vin in VINS[1:]}
    assert f"vehicles/{VINS[2]}/vss" in topics
    values = {each["path"]: each["dp"] for each in said}
    assert values["Vehicle.Speed"] == {"value": "90.0", "ts": "2026-01-05T00:00:45.000Z"}  # half way between two stops
    assert values["Vehicle.Private.Software.BodyControl"]["value"] == "1.2"
    assert values["Vehicle.Diagnostics.DTCList"]["value"] == []
