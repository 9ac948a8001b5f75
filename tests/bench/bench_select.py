"""Browse and subscribe many variables of a server of another stack, and hold them live.

    python -m tests.bench.bench_select [VARIABLES] [node-opcua | open62541]

Prints the time to browse and subscribe, the time until every first value has arrived, and this process's memory.
"""

import asyncio
import logging
import resource
import sys
import time
from contextlib import aclosing

import structlog

from gateway.config import SourceConfig
from gateway.link import Link
from gateway.metrics import Metrics
from gateway.opcua import Source, open_source
from tests.support.opcua_peers import node_opcua_server, open62541_server


def resident_mib() -> float:
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))


async def measure(count: int, stack: str) -> None:
    start = node_opcua_server if stack == "node-opcua" else open62541_server
    async with start(machines=1, extra=count) as server:
        config = SourceConfig.model_validate(
            {"name": "bench", "url": server.url, "insecure": True, "select": [{"subtree": "/Objects/line-1"}],
             "publishing_interval": 1, "request_timeout": 60, "queue_size": 2}
        )  # fmt: skip
        print(f"{stack}, {count} variables; {resident_mib():.0f} MiB before")
        began, cpu = time.monotonic(), time.process_time()
        async with open_source(config, Metrics().for_source("bench"), Link("bench", server.url), b"") as source:
            assert isinstance(source, Source)
            seconds, cpu_s = time.monotonic() - began, time.process_time() - cpu
            print(f"browsed and subscribed {len(source.table.tags)} in {seconds:.1f} s, CPU {cpu_s:.1f} s")
            seen: set[int] = set()
            async with aclosing(source.batches()) as batches:
                async for batch in batches:
                    seen |= set(batch.handles.tolist())
                    if len(seen) == len(source.table.tags) - len(source.items.failed):
                        break
            print(f"all first values after {time.monotonic() - began:.1f} s")
            peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{resident_mib():.0f} MiB now, {peak_mib:.0f} MiB peak")


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    asyncio.run(measure(count, sys.argv[2] if len(sys.argv) > 2 else "open62541"))


if __name__ == "__main__":
    main()
