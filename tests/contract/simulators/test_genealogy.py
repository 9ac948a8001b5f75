"""What went into what, told by a broker's messages alone, is what the factory knows of its parts."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from simulators.flow import Factory
from simulators.plant import is_vin
from simulators.vehicles import Road, broker_at, car_of, drive
from tests.support.brokers import mosquitto
from tests.support.commanded import Body, config_of, running
from tests.support.mqtt_collect import collecting
from tests.support.served import EPOCH, plant_served

MARRIAGE = Path(__file__).parents[3] / "config" / "plants" / "marriage.yaml"
END_OF_LINE = MARRIAGE.with_name("end-of-line.yaml")
FIELDS = (
    "SerialNumber", "SourceName", "Station", "Visit", "Verdict", "Tool", "Components", "Product", "Person", "Vin",
    "Software", "DefectCode",
)  # fmt: skip
SELECT: list[Body] = [
    {"events": "i=2253", "event_fields": list(FIELDS), "queue_size": 10_000},
    {"node": "nsu=urn:connected-factory:simulator;s=cars/Good", "name": "made"},
]
RULES: list[Body] = [{"diagnostics": True}]
LENGTH_S = 4_000.0
PEOPLE = {"cars/marriage": "fitters-1", "cars/check": "fitters-1"}
"""Of the first turn."""
Tree = dict[str, Any]


def results(payloads: Iterable[bytes]) -> dict[str, list[dict[str, Any]]]:
    """The part results in messages, by serial number, in order."""
    found: dict[str, list[dict[str, Any]]] = {}
    for payload in payloads:
        for value in orjson.loads(payload)["values"]:
            event = value["value"]
            if isinstance(event, dict) and event.get("SerialNumber"):
                found.setdefault(event["SerialNumber"], []).append(event)
    return found


def tree(serial: str, known: dict[str, list[dict[str, Any]]]) -> Tree:
    """A part, what was done to it where with which tool, and what was built in, down to the last lot."""
    events = known[serial]
    return {
        "serial": serial,
        "visits": [(event["SourceName"], event["Verdict"]) for event in events],
        "tools": [event["Tool"] for event in events],
        "people": [event["Person"] for event in events],
        "built_in": {
            path: tree(path.rpartition("/")[2], known) if path.rpartition("/")[2] in known else {}
            for path in events[-1]["Components"]
        },
    }


def truth(serial: str, factory: Factory) -> Tree:
    """The same from the pedigree of the part."""
    line = next(line for line in factory.lines if serial.startswith(f"{line.name}-"))
    part = line.pedigree(serial)
    assert part is not None
    verdicts = ["rework" if visit.verdict else "good" for visit in part.visits]
    paths = [f"{line.name}/{visit.machine}" for visit in part.visits]
    lines = tuple(f"{line.name}-0" for line in factory.lines)
    return {
        "serial": serial,
        "visits": list(zip(paths, verdicts, strict=True)),
        "tools": [1 if path.endswith("/marriage") else 0 for path in paths],
        "people": [PEOPLE.get(path, "") for path in paths],
        "built_in": {
            path: truth(path.rpartition("/")[2], factory) if path.rpartition("/")[2].startswith(lines) else {}
            for path in part.components
        },
    }


async def messages(folder: Path) -> tuple[list[bytes], Factory]:
    with mosquitto(folder) as broker:
        async with (
            plant_served(MARRIAGE) as plant,
            collecting(broker.port, "values/#") as collected,
            running(config_of(folder, broker.url, plant.url, {"rules": RULES}, SELECT)),
        ):
            await collected.wait_for(lambda payload: b'"made"' in payload)
            for step in range(1, 11):
                plant.run(step * LENGTH_S / 10)
                await asyncio.sleep(0)
            last = plant.factory.lines[1].finished[-1].serial.encode()
            await collected.wait_for(lambda payload: last in payload and b"cars/check" in payload)
            return collected.payloads, plant.factory


def test_the_tree_of_every_car_is_rebuilt_from_the_messages(tmp_path: Path) -> None:
    payloads, factory = asyncio.run(asyncio.wait_for(messages(tmp_path), 60))
    known = results(payloads)
    cars = [part.serial for part in factory.lines[1].finished]
    assert len(cars) > 40
    trees = [tree(serial, known) for serial in cars]
    assert trees == [truth(serial, factory) for serial in cars]
    assert [path.rpartition("/")[0] for path in trees[0]["built_in"]] == [
        "cars/underbody/battery", "cars/marriage/drive", "cars/marriage/bolts",
    ]  # fmt: skip
    again = [each for each in trees if ("cars/check", "rework") in each["visits"]]
    assert again, "one that came back to the marriage, and still has one drive"
    assert all(len(each["built_in"]) == 3 for each in again)


Joined = tuple[dict[str, list[dict[str, Any]]], dict[str, dict[str, Any]], int]


async def built_and_driven(folder: Path) -> Joined:
    """What messages tell of each car by VIN, as it was built and as it drives; and how many have left."""
    with mosquitto(folder) as broker:
        async with (
            plant_served(END_OF_LINE) as plant,
            collecting(broker.port, "values/#") as built,
            collecting(broker.port, "vehicles/#") as driven,
            running(config_of(folder, broker.url, plant.url, {"rules": RULES}, [SELECT[0]])),
            asyncio.TaskGroup() as group,
        ):
            road, line = Road(1000), plant.factory.lines[0]
            line.leaving.append(lambda part, at_s: road.add(car_of(part, line.spec, 1, at_s)))
            for step in range(1, 13):
                plant.run(step * 1800.0)
                await asyncio.sleep(0)
            last = plant.factory.lines[0].finished[-1].serial.encode()
            await built.wait_for(lambda payload: last in payload and b"sign-off" in payload)
            place = broker_at(broker.url, None, None, None)
            hours_later = plant.factory.now_s + 4 * 3600
            task = group.create_task(drive(road, place, 3600.0, lambda: hours_later, EPOCH), name="vehicles")
            await driven.wait_for(lambda payload: road.cars[-1].vin.encode() in payload)
            task.cancel()
            cars = {vin: body for payload in driven.payloads for vin, body in [said(payload)]}
            return by_vin(results(built.payloads)), cars, line.delivered


def said(payload: bytes) -> tuple[str, dict[str, Any]]:
    """What a car says, by path of VSS."""
    values = {each["path"]: each["dp"]["value"] for each in orjson.loads(payload)["data"]}
    return values["Vehicle.VehicleIdentification.VIN"], values


def by_vin(known: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    return {events[0]["Vin"]: events for events in known.values()}


def test_what_was_built_is_joined_with_how_it_drives(tmp_path: Path) -> None:
    built, cars, delivered = asyncio.run(asyncio.wait_for(built_and_driven(tmp_path), 120))
    assert len(cars) == delivered > 180
    assert set(cars) <= set(built)
    assert all(map(is_vin, cars))
    bad = {vin for vin in cars if "gateway=2.4.0" in built[vin][-1]["Software"]}
    ill = {vin for vin, values in cars.items() if values["Vehicle.Diagnostics.DTCList"] == ["U0129"]}
    assert len(bad) > 20
    assert ill <= bad, "the fault code on the road comes from the software that was flashed"
    assert len(ill) > 0.9 * len(bad)
    silent = [vin for vin in cars if any(event["DefectCode"] == "bus-silent" for event in built[vin])]
    assert sum(vin in bad for vin in silent) > 0.8 * len(silent), "and that defect rose with it"
    for vin, values in cars.items():
        flashed = dict(each.split("=") for each in built[vin][-1]["Software"])
        assert values["Vehicle.Private.Software.Gateway"] == flashed["gateway"]
        assert 0 <= float(values["Vehicle.Speed"]) <= 130
        assert 20 <= float(values["Vehicle.Powertrain.TractionBattery.StateOfCharge.Current"]) <= 90
