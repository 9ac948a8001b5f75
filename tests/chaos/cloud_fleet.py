"""The simulators' fleet, by OPC UA, through one gateway, to one emulated AWS IoT Core within its limits.

    python -m tests.chaos.cloud_fleet --plants 122 --seconds 60

`simulators fleet` serves the plants, `gateway run` has a source for each of them, and all of it goes over one
connection, which takes 100 messages and 512 KiB a second.  Then the gateway is stopped as a service is.  A run is good
when every plant has arrived, no number of any stream is missing, and the cloud had nothing to discard or to close.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import defaultdict
from functools import partial
from pathlib import Path

import yaml

from gateway.emulator.broker import Emulated, emulated
from gateway.emulator.cloud import Taken
from gateway.emulator.policy import Devices
from gateway.payload.read import PayloadReader
from gateway.profiles import profile_named
from tests.support.cloud_runs import packet_of
from tests.support.ports import free_port
from tests.support.programs import Program

PLANT = "config/plants/munich.yaml"
CLOUD = "aws-iot-core"
WITHIN_S = 400.0


def configuration(folder: Path, first: int, plants: int, cloud: Emulated) -> Path:
    """A gateway with a source for each plant, and one message for each of them every two seconds."""
    sources = [
        {
            "name": f"plant-{n:03d}", "url": f"opc.tcp://127.0.0.1:{first + n}", "insecure": True,
            "publishing_interval": "2s", "fields": {"site": f"plant-{n:03d}"},
            "select": [{"subtree": "/Objects", "levels": ["site_name", "line", "machine"], "include": ["**"]}],
        }
        for n in range(plants)
    ]  # fmt: skip
    path = folder / "gateway.yaml"
    path.write_text(yaml.safe_dump({
        "name": "edge-1", "sources": sources, "outbox": {"path": str(folder / "outbox"), "max_bytes": "2GiB"},
        "broker": {"profile": CLOUD, "endpoint": "a-ats.iot.eu-central-1.amazonaws.com", "url": cloud.url},
        "payload": {"format": "json-columns", "topic": "factory/{site}"},
        "http": {"port": free_port()},
    }), encoding="utf-8")  # fmt: skip
    return path


async def run(plants: int, seconds: float, folder: Path) -> int:
    numbers, values = defaultdict[str, list[int]](list), 0
    reader = PayloadReader()

    def count(taken: Taken) -> None:
        nonlocal values
        reading = reader.read(packet_of(taken))
        if reading.stream:
            numbers[reading.stream].append(reading.seq)
            values += len(reading.values)

    async with emulated(profile_named(CLOUD), Devices({"edge-1": ""})) as cloud:
        cloud.cloud.on_taken = count
        first = 20_000 + 200 * (time.time_ns() % 50)
        served = ("--plants", str(plants), "--from", PLANT, "--endpoint", f"opc.tcp://127.0.0.1:{first}")
        fleet = Program("fleet", folder, "simulators", "fleet", *served, "--security", "None", "--log-format", "json")
        gateway: Program | None = None
        try:
            await asyncio.to_thread(partial(fleet.wait_said, "serving", within_s=WITHIN_S))
            gateway = Program("gateway", folder, "gateway", "run", str(configuration(folder, first, plants, cloud)))
            began_s = time.monotonic()
            while len(numbers) < plants:
                assert time.monotonic() < began_s + WITHIN_S, f"{len(numbers)} plants: {gateway.log[-2000:]}"
                await asyncio.sleep(1.0)
            all_there_s, before, of_before = time.monotonic() - began_s, sum(map(len, numbers.values())), values
            await asyncio.sleep(seconds)
            sent, told = sum(map(len, numbers.values())) - before, values - of_before
            code = await asyncio.to_thread(gateway.stop, 120.0)
        finally:
            for program in (gateway, fleet):
                if program is not None:
                    program.end()
        counts = cloud.cloud.counts
        missing = sum(max(each) - len({*each}) for each in numbers.values())
        over = sum(counts[name] for name in ("discarded", "closed", "malformed", "refused"))
        is_good = not missing and not over and code == 0 and cloud.cloud.peak_per_s <= 100
        rate = f"{sent} messages with {told} values in {seconds:.0f} s ({told / seconds:.0f} values/s)"
        print(
            f"{'good' if is_good else 'BAD'}: {plants} plants by OPC UA through one gateway; all there after "
            f"{all_there_s:.0f} s; then {rate}, peak {cloud.cloud.peak_per_s}/s of 100; {missing} missing; "
            f"{dict(counts)}"
        )
        return 0 if is_good else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plants", type=int, default=122)
    parser.add_argument("--seconds", type=float, default=60.0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(run(chosen.plants, chosen.seconds, Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
