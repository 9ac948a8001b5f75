"""A fleet as it is started: every plant answers at its own endpoint, and all end together."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from asyncua import Client

from tests.support.programs import wait_until

ROOT = Path(__file__).parents[3]


async def sites(endpoints: list[dict[str, str]]) -> list[str]:
    found: list[str] = []
    for each in endpoints:
        async with Client(each["endpoint"], timeout=30) as client:
            objects = [(await node.read_browse_name()).Name for node in await client.nodes.objects.get_children()]
            found += [name for name in objects if name == each["site"]]
    return found


def test_every_plant_of_a_fleet_answers_at_its_own_endpoint(tmp_path: Path) -> None:
    listing = tmp_path / "fleet.json"
    arguments = ["--plants", "4", "--processes", "2", "--from", "config/plants/munich.yaml", "--security", "None"]
    endpoint = ["--endpoint", "opc.tcp://127.0.0.1:0", "--listing", str(listing)]
    command = [sys.executable, "-m", "simulators", "fleet", *arguments, *endpoint]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ}) as fleet:
        wait_until(lambda: listing.exists() or fleet.poll() is not None, "the fleet to be ready", 60)
        endpoints = json.loads(listing.read_text())
        assert [each["seed"] for each in endpoints] == [1, 2, 3, 4]
        assert asyncio.run(sites(endpoints)) == [f"contoso-{number:03}" for number in range(1, 5)]
        fleet.send_signal(signal.SIGTERM)
        assert fleet.wait(30) == 0
