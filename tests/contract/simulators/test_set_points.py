"""Set-points and line values over OPC UA, held against the plant's own account."""

import asyncio
import json
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua

from simulators.kpis import elements_of_records, figures
from tests.support.served import EPOCH, connected, plant_served

BROWNFIELD = Path(__file__).parents[3] / "config" / "plants" / "brownfield.yaml"
DOUBLE, WHOLE, TEXT = ua.VariantType.Double, ua.VariantType.Int32, ua.VariantType.String
WRITES = (
    ("SetPoints/LotFactor", 3.0, DOUBLE, "Good"),
    ("SetPoints/LotFactor", 300.0, DOUBLE, "BadOutOfRange"),
    ("SetPoints/LotFactor", 3, WHOLE, "BadTypeMismatch"),
    ("SetPoints/Sequence", "a,b,c,d", TEXT, "Good"),
    ("SetPoints/Sequence", "a,b,c,q", TEXT, "BadOutOfRange"),
    ("SetPoints/ReleaseRate", 500.0, DOUBLE, "Good"),
    ("Buffers/mill/Limit", 10, WHOLE, "Good"),
    ("Buffers/mill/Limit", 99, WHOLE, "BadOutOfRange"),
    ("mill/SetPoints/ChipsPriority", 0, WHOLE, "Good"),
    ("mill/SetPoints/SpindleInterval", 200.0, DOUBLE, "Good"),
    ("mill/SetPoints/SpindleInterval", float("nan"), DOUBLE, "BadOutOfRange"),
)
LONG_S = 8_000.0
NAMES = {"state": "State", "good": "Good", "scrap": "Scrap", "rework": "Rework", "ideal_s": "IdealTime"}


def test_set_points_act_and_are_recorded_and_the_messages_hold_the_truth(tmp_path: Path) -> None:
    record = tmp_path / "record"

    async def body() -> tuple[dict[str, float], dict[str, object], dict[str, object]]:
        async with plant_served(BROWNFIELD, record=record) as plant, connected(plant.url) as subscriber:
            plant.run(3600)
            written: dict[str, object] = {}
            for name, value, kind, expected in WRITES:
                node = subscriber.client.get_node(plant.id(f"brown/{name}"))
                outcome = "Good"
                try:
                    await node.write_value(ua.Variant(value, kind))
                    written[name] = value
                except ua.UaStatusCodeError as error:
                    outcome = ua.status_codes.get_name_and_doc(error.code)[0]
                assert outcome == expected, name
                assert await node.read_value() == written[name]
            plant.run(LONG_S)
            line, crew = plant.factory.lines[0], plant.factory.crews["mechanics"]
            truth: dict[str, object] = {
                "brown/Entered": line.entered, "brown/Good": line.delivered, "brown/Scrap": line.lost,
                "brown/InWork": line.parts, "brown/Product": line.product, "brown/Order": line.order,
                "brown/Buffers/mill/Parts": len(line.buffers["mill"]), "brown/Stalled": False,
                "ravensburg/Crews/mechanics/Waiting": crew.waiting, "ravensburg/Crews/mechanics/People": 1,
                "ravensburg/Crews/mechanics/BusyTime": crew.worked_s,
            }  # fmt: skip
            shown = {name: await subscriber.client.get_node(plant.id(name)).read_value() for name in truth}
            assert shown == truth
            indexes = {m.path: figures(m.elements(LONG_S)).oee or 0.0 for m in plant.factory.machines}
            since = {m.path: m.account.since_s for m in plant.factory.machines}
            for path, began_s in since.items():
                at = await subscriber.client.get_node(plant.id(f"{path}/Since")).read_value()
                assert (at.timestamp() - 1_767_571_200) == pytest.approx(began_s, abs=1e-3)
            return indexes, written, truth

    indexes, written, _ = asyncio.run(asyncio.wait_for(body(), 60))
    served: dict[str, list[tuple[float, Any]]] = {}
    for line in record.read_text().splitlines():
        entry = json.loads(line)
        at_s = (datetime.fromisoformat(entry["source_time"][:26] + "+00:00") - EPOCH).total_seconds()
        served.setdefault(entry["node"].rpartition(";s=")[2], []).append((at_s, entry["value"]))
    for name, value in written.items():
        assert value in [content for _, content in served[f"brown/{name}"]]
    for path, index in indexes.items():
        assert {content for _, content in served[f"{path}/Product"]} <= {"", "a", "b", "c", "d"}
        rows = [(at_s, key, content) for key, name in NAMES.items() for at_s, content in served[f"{path}/{name}"]]
        records = sorted(rows, key=itemgetter(0))
        assert figures(elements_of_records(records, LONG_S, 0.0)).oee == pytest.approx(index, rel=1e-6)
