"""A plant of 50 machines against every profile, emulated, with faults; and 122 plants on one cloud.

    make clouds                                  every profile, ten minutes of a plant's day, and a table
    make clouds ARGS="--plants 122"              as many gateways on AWS IoT Core, each within its own limits
    make clouds ARGS="--only huawei-iotda --minutes 60"

Encoder, outbox, forwarding and session are the gateway's, the clouds are `gateway/emulator`, and the batches are made
here.  A run is good when nothing is missing or out of order, no dead letter is left, and the cloud counted no second
above its rate and nothing that it had to refuse for a limit.  Exit code 1 when one is not.
"""

import argparse
import asyncio
import logging
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import structlog

from gateway.emulator.broker import emulated
from gateway.emulator.policy import Devices
from gateway.loading import load
from gateway.profiles import names_of_profiles, profile_named
from tests.support.cloud_runs import CLOUDS, KEY, Verdict, on_the_way, verdict_of, with_endings, with_faults

EVERY_S = 10.0
"""Of simulated time between two changes of the plant."""
FLEET = "aws-iot-core"


def ways() -> dict[str, tuple[str, dict[str, Any]]]:
    """Every profile: an example of it, and what has to be changed there."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for path in sorted(CLOUDS.glob("*.yaml")):
        for broker in load(path).all_brokers:
            if path.stem != "plant-and-two-clouds" and broker.profile is not None:
                found[broker.profile] = (path.stem, {})
    return found | {name: ("google-emqx", {"profile": name}) for name in names_of_profiles() if name not in found}


async def one(name: str, folder: Path, machines: int, minutes: float) -> Verdict:
    """One profile: production, and in the middle of it rounds of faults."""
    folder.mkdir()
    changes = int(minutes * 60 / EVERY_S)
    example, of_broker = ways()[name]
    async with on_the_way(example, folder, machines=machines, **of_broker) as way:
        now_s = time.time()
        for n in range(changes):
            await way.produce(now_s - (changes - n) * EVERY_S, share=0.5)
            await asyncio.sleep(0)
            if n == changes // 2:
                await with_faults(way, 2, way.broker.device or "edge-1")
                await with_endings(way, way.broker.device or "edge-1")
        await way.wait_delivered()
        return verdict_of(name, way)


async def renewal(folder: Path, machines: int) -> Verdict:
    """Values without a pause over two planned renewals of a login of a minute."""
    folder.mkdir()
    login = {"key": {"env": "DEVICE_KEY"}, "lifetime": 60}
    async with on_the_way("azure-iot-hub", folder, machines=machines, credentials=login) as way:
        cloud = way.cloud.cloud
        while cloud.counts["connects"] < 3:
            await way.produce(time.time())
            await asyncio.sleep(0.1)
        await way.wait_delivered()
        found = verdict_of("renewal", way)
        assert not found.counts.get("expired"), "the cloud was quicker"
        return found


async def fleet(plants: int, folder: Path, machines: int, minutes: float) -> list[Verdict]:
    """Many plants, each a device with its own connection, on one cloud."""
    names = [f"plant-{n:03d}" for n in range(plants)]
    changes = int(minutes * 60 / EVERY_S)
    async with AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(emulated(profile_named(FLEET), Devices(dict.fromkeys(names, ""))))
        ways = []
        for name in names:
            (folder / name).mkdir()
            coming = on_the_way(FLEET, folder / name, machines=machines, cloud=cloud, device=name)
            ways.append(await stack.enter_async_context(coming))
        now_s = time.time()
        for n in range(changes):
            for way in ways:
                await way.produce(now_s - (changes - n) * EVERY_S, share=0.5)
        await asyncio.gather(*(way.wait_delivered() for way in ways))
        return [verdict_of(name, way) for name, way in zip(names, ways, strict=True)]


def table_of(found: Sequence[Verdict]) -> Iterator[str]:
    """All runs as a table."""
    told = ("connects", "kicked", "expired", "refused", "answered", "delayed")
    yield f"| profile | good | messages | values | missing | repeats | throttled | peak/s | {' | '.join(told)} |"
    yield f"| --- | --- {'| ---: ' * (6 + len(told))}|"
    for each in found:
        most = "" if each.most_per_s is None else f" of {each.most_per_s:g}"
        missing, good = sum(map(len, each.missing.values())), "yes" if each.is_good else "NO"
        told_of = [each.counts.get(name, 0) for name in told]
        peak = f"{each.peak_per_s}{most}"
        cells = [each.name, good, each.messages, each.values, missing, each.repeats, each.throttled, peak, *told_of]
        yield f"| {' | '.join(map(str, cells))} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="one profile, or renewal")
    parser.add_argument("--machines", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=10.0, help="of the plant's time")
    parser.add_argument("--plants", type=int, default=0, help="so many gateways on one AWS IoT Core instead")
    chosen = parser.parse_args()
    os.environ |= {"DEVICE_KEY": KEY, "MQTT_PASSWORD": "secret"}
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    found: list[Verdict] = []
    with tempfile.TemporaryDirectory() as folder:
        if chosen.plants:
            began_s, cpu_s = time.monotonic(), time.process_time()
            found = asyncio.run(fleet(chosen.plants, Path(folder), chosen.machines, chosen.minutes))
            took_s, used_s = time.monotonic() - began_s, time.process_time() - cpu_s
            messages, values = sum(each.messages for each in found), sum(each.values for each in found)
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(
                f"{chosen.plants} plants of {chosen.machines} machines: {values} values in {messages} messages, "
                f"{sum(not each.is_good for each in found)} bad, {took_s:.0f} s, {used_s:.0f} s of CPU, "
                f"{memory:.0f} MiB, peak of one connection {max(each.peak_per_s for each in found)}/s of 100"
            )
            for each in found:
                if not each.is_good:
                    print(each)
        else:
            for name in [chosen.only] if chosen.only else [*sorted(ways()), "renewal"]:
                at = Path(folder) / name
                work = renewal(at, 4) if name == "renewal" else one(name, at, chosen.machines, chosen.minutes)
                verdict = asyncio.run(work)
                found.append(verdict)
                print(verdict, flush=True)
            print("\n".join(["", *table_of(found)]))
    return 0 if found and all(each.is_good for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())
