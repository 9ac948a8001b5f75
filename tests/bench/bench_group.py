"""How fast a group's log takes appends, beside the outbox of one machine, in the same run.

    python -m tests.bench.bench_group --sources 8 --seconds 5

Sources append messages of about 50 kB as fast as they become durable: first into an outbox with `fdatasync`, then into
the log of a group on three NATS nodes with `sync_interval: always`, on the same disk; so often in turn.  Only the ratio
means something: on one machine three nodes write everything three times to one disk.  `--ahead`: so many messages of
each source may wait, as responses do that arrive before the last ones are durable; both then take several at once.  A
source has `publish_requests: 3` unless configured otherwise, so 3 is what a gateway does under load.
"""

import argparse
import asyncio
import itertools
import json
import random
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import orjson

from gateway.config import GroupConfig, OutboxConfig
from gateway.group.opening import open_group
from gateway.link import Link
from gateway.model import Message
from gateway.outbox import Buffer, open_outbox
from tests.support.nats_cluster import Cluster, nats_cluster


def payload_of(values: int) -> bytes:
    """Values as `json` has them: numbers that differ, and texts that repeat."""
    rng = random.Random(values)
    rows = [
        {"tag": f"machine-{n % 40}/Temperature-{n}", "value": rng.random() * 100, "time": 1_796_000_000_000_000 + n,
         "status": "Good"}
        for n in range(values)
    ]  # fmt: skip
    return orjson.dumps(rows)


async def rate(buffer: Buffer, sources: int, seconds: float, payload: bytes, ahead: int) -> float:
    """Messages per second, of all sources together; each has so many that wait, as responses of a server do."""
    done, end_s = itertools.count(), time.monotonic() + seconds

    async def append(name: str) -> None:
        waiting: deque[asyncio.Future[None]] = deque()
        for seq in itertools.count(buffer.next_seq(f"g/{name}/t")):
            if time.monotonic() >= end_s:
                break
            message = Message("t", payload, f"g/{name}/t", seq, 500, name)
            waiting.append(buffer.begin_append([message], source=name, checkpoint=b"%d" % seq))
            if len(waiting) == ahead:
                await waiting.popleft()
                next(done)
        for each in waiting:
            await each
            next(done)

    began_s = time.monotonic()
    await asyncio.gather(*(append(f"s{number}") for number in range(sources)))
    return next(done) / (time.monotonic() - began_s)


async def of_outbox(folder: Path, sources: int, seconds: float, payload: bytes, ahead: int) -> float:
    config = OutboxConfig.model_validate({"path": folder, "max_bytes": "4GiB"})
    async with open_outbox(config) as outbox:
        return await rate(outbox, sources, seconds, payload, ahead)


async def of_group(cluster: Cluster, sources: int, seconds: float, payload: bytes, ahead: int) -> float:
    config = GroupConfig.model_validate(
        {"name": "bench", "servers": cluster.servers, "monitoring": cluster.monitoring, "max_bytes": "4GiB"}
    )
    works = {f"source/s{number}": "" for number in range(sources)}
    async with open_group(config, Link("group", "")) as member, asyncio.TaskGroup() as tasks:
        began = asyncio.Event()

        async def apply() -> None:
            if len(member.owned) == sources:
                began.set()

        part = tasks.create_task(member.take_part(lambda: works, apply))
        await began.wait()
        found = await rate(member.outbox, sources, seconds, payload, ahead)
        part.cancel()
    return found


def compared(folder: Path, sources: int, seconds: float, rounds: int, values: int, ahead: int) -> dict[str, object]:
    payload, local, group = payload_of(values), list[float](), list[float]()
    with nats_cluster(folder) as cluster:
        for number in range(rounds):
            local.append(asyncio.run(of_outbox(folder / f"outbox-{number}", sources, seconds, payload, ahead)))
            group.append(asyncio.run(of_group(cluster, sources, seconds, payload, ahead)))
    ratios = [b / a for a, b in zip(local, group, strict=True)]
    return {
        "sources": sources, "ahead": ahead, "bytes": len(payload), "outbox_per_s": [round(each) for each in local],
        "group_per_s": [round(each) for each in group], "ratio": round(statistics.median(ratios), 2),
    }  # fmt: skip


def main(say: Callable[[str], object] = print) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--values", type=int, default=500)
    parser.add_argument("--ahead", type=int, default=3, help="messages of each source that wait")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=Path.cwd()) as folder:
        say(
            json.dumps(
                compared(Path(folder), options.sources, options.seconds, options.rounds, options.values, options.ahead)
            )
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
