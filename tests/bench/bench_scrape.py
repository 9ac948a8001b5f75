"""What a scrape of the gateway takes: size and time of its pages at 10 000 and 100 000 tags.

    python -m tests.bench.bench_scrape [TAGS …]

Ten servers share the tags, every one of which has a value.  Goal at 10 000: `/metrics` under 1 MB and 50 ms.  It tells
of servers and brokers, not of tags; the page `/metrics/tags` is there for those who chose to see tags in Prometheus,
here all of them.  Times are over HTTP, from the request to the last byte, the best of several rounds.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
import numpy as np

from gateway.config import Config, HttpConfig
from gateway.metrics import Metrics
from gateway.metrics.tags import TagGauges
from gateway.model import Batch, Tag
from gateway.web import listening

SOURCES, ROUNDS, DOUBLE = 10, 7, 11
MOST_BYTES, MOST_MS = 1_000_000, 50.0


@dataclass(frozen=True)
class Scrape:
    """One page, once."""

    size_bytes: int
    ms: float
    cpu_ms: float
    """Of server and client together: what a busy machine does not change."""


def filled(tags: int) -> tuple[Metrics, TagGauges]:
    """The series of a gateway that has received a value of each tag."""
    select = [{"subtree": "/Objects", "levels": ["machine"], "metric": True}]
    sources = [{"name": f"line-{n}", "url": "opc.tcp://x", "insecure": True, "select": select} for n in range(SOURCES)]
    config = Config.model_validate(
        {"sources": sources, "broker": {"url": "mqtt://x"}, "payload": {"topic": "{machine}"},
         "http": {"max_tags": min(100_000, tags)}}
    )  # fmt: skip
    metrics = Metrics()
    gauges = TagGauges(config, metrics.left_out.labels("tags"))
    sink = metrics.for_sink("broker")
    for source in config.sources:
        series, count = metrics.for_source(source.name), tags // SOURCES
        series.received.inc(count)
        series.batch_values.observe(count)
        sink.delivered.inc(count)
        metrics.delays("broker")[source.name].observe(0.1)
        gauges.watching(source, lambda: True)
        gauges.take(_batch(source.name, count))
    return metrics, gauges


def _batch(source: str, count: int) -> Batch:
    tags = [Tag(f"Temperature-{n}", f"nsu=urn:x;s={n}", {"machine": f"press-{n // 20}"}, "°C") for n in range(count)]
    ticks = np.ones(count, np.int64)
    return Batch(
        source, tags, np.arange(count, dtype=np.uint32), np.full(count, DOUBLE, np.uint8),
        np.arange(count) * 1.37, np.zeros(count, np.uint32), ticks, ticks,
    )  # fmt: skip


async def scraped(tags: int, rounds: int = ROUNDS) -> dict[str, Scrape]:
    """Each page at this number of tags."""
    metrics, gauges = filled(tags)
    pages = {"/metrics": metrics.registry, "/metrics/tags": gauges.registry}
    found: dict[str, Scrape] = {}
    async with listening(HttpConfig(port=0), pages, []) as address, aiohttp.ClientSession() as session:
        for path in pages:
            best_ms, best_cpu_ms, size = float("inf"), float("inf"), 0
            for _ in range(rounds):
                began, cpu = time.perf_counter(), time.process_time()
                async with session.get(f"{address}{path}") as answer:
                    size = len(await answer.read())
                best_ms = min(best_ms, (time.perf_counter() - began) * 1000)
                best_cpu_ms = min(best_cpu_ms, (time.process_time() - cpu) * 1000)
            found[path] = Scrape(size, best_ms, best_cpu_ms)
    return found


def main(counts: Sequence[str]) -> None:
    for tags in map(int, counts or ("10000", "100000")):
        for path, scrape in asyncio.run(scraped(tags)).items():
            took = f"{scrape.ms:8.1f} ms, CPU {scrape.cpu_ms:8.1f} ms"
            print(f"{tags:7} tags  {path:14} {scrape.size_bytes:10} bytes  {took}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
