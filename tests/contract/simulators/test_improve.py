"""The closed loop over the wire: a real broker's messages are all that is seen, and commands all that is done."""

import asyncio
from pathlib import Path

import pytest

from simulators.flow import Factory
from simulators.improve import Observed, messages_in, proposals
from simulators.improve.messages import first_messages, messages_of
from simulators.plant import load
from tests.support.brokers import mosquitto
from tests.support.commanded import Body, config_of, requester, running
from tests.support.mqtt_collect import collecting
from tests.support.served import plant_served

BROWNFIELD = Path(__file__).parents[3] / "config" / "plants" / "brownfield.yaml"
SITE = "nsu=urn:connected-factory:simulator;s=ravensburg"
LENGTH_S, STEP_S = 10_000.0, 500.0
SEEN = [
    "*/*/State", "*/*/Reason", "*/*/Product", "*/*/CycleTime", "*/*/Good", "*/*/Scrap", "*/*/Rework", "*/Good",
    "*/Product", "**/SetPoints/*", "**/Limit",
]  # fmt: skip
SELECT: list[Body] = [{"subtree": SITE, "include": SEEN, "queue_size": 10_000}]
RULES: list[Body] = [{"source": "shop", "subtree": SITE, "include": ["**/SetPoints/*", "**/Limit"], "write": {}}]


async def looped(folder: Path) -> tuple[Observed, Factory]:
    """Run the plant behind a gateway, decide from the broker's messages, and apply by commands."""
    with mosquitto(folder) as broker:
        async with plant_served(BROWNFIELD) as plant, collecting(broker.port, "values/#") as collected:
            config = config_of(folder, broker.url, plant.url, {"rules": RULES}, SELECT)
            async with running(config), requester("mes", broker.url) as mes:
                await collected.wait_for(lambda payload: b"brown/test/State" in payload)
                for step in range(1, round(LENGTH_S / STEP_S) + 1):
                    plant.run(step * STEP_S)
                    await asyncio.sleep(0)
                last = await mes.write("brown/SetPoints/ReleaseRate", 999.0)  # comes back behind all values before it
                assert last["outcome"] == "done", last
                await collected.wait_for(
                    lambda payload: b"brown/SetPoints/ReleaseRate" in payload and b"999" in payload
                )
                observed = Observed()
                observed.see(messages_in(collected.payloads))
                observed.settle()
                for setting in proposals(observed):
                    answer = await mes.write(setting.tag, setting.value)
                    assert answer["outcome"] == "done", (setting, answer)
            return observed, plant.factory


def test_the_loop_closes_over_a_broker_as_it_does_without_one(tmp_path: Path) -> None:
    observed, plant = asyncio.run(asyncio.wait_for(looped(tmp_path), 120))
    factory, alone = Factory(load(BROWNFIELD), seed=1), Observed()
    alone.see(first_messages(factory))
    factory.run(LENGTH_S)
    alone.see(messages_of(factory.take_changes()))
    alone.settle()
    assert observed.made == alone.made
    assert observed.changeover_s["brown/stamp"] == pytest.approx(alone.changeover_s["brown/stamp"], rel=1e-6)
    wanted = proposals(alone)
    assert {"brown/SetPoints/LotFactor", "brown/SetPoints/Sequence"} <= {setting.tag for setting in wanted}
    assert {s.tag: s.value for s in proposals(observed)} == {s.tag: s.value for s in wanted}
    for setting in wanted:
        path, _, name = setting.tag.rpartition("/")
        assert plant.set_points.all[path, name].read() == setting.value
