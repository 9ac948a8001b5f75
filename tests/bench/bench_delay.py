"""What the gateway adds to the age of a value: from the socket read of a notification to the PUBACK of its messages.

    python -m tests.bench.bench_delay [--seconds 60] [--values-per-second 20000] [--json]

The real chain: an OPC UA server that changes 2 000 tags ten times a second, the gateway as a process under a stop-watch
(`tests/support/timed_gateway.py`), mosquitto, a subscriber.  Beside it the same path without a disk: the outbox in
memory (tmpfs, no fdatasync).  Both take turns, twice, because the machine is not always equally busy.  Goal: p99 under
20 ms with the disk.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.support.load_chain import load_chain
from tests.support.timed_gateway import STAGES, TimedGateway

Floats = NDArray[np.float64]
Stamps = np.ndarray[tuple[int], np.dtype[np.void]]

GOAL_MS = 20.0
WARM_UP_S = 10.0
"""Connecting and the one collection that follows it are not what is measured."""
TURNS = 2
MEMORY = Path("/dev/shm")
"""tmpfs: what is measured is the absence of a disk."""
EDGES_MS = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0, 30.0, 50.0, 100.0, float("inf"))
WIDTH = 40


def measured(where: str, values_per_second: int, seconds: float) -> Stamps:
    """One turn; a row per message, the first seconds left out."""
    with tempfile.TemporaryDirectory(prefix="delay-", dir=MEMORY if where == "memory" else None) as disk:
        outbox = {"path": f"{disk}/outbox", "commit": "os" if where == "memory" else "fdatasync"}
        with (
            tempfile.TemporaryDirectory(prefix="delay-") as folder,
            load_chain(Path(folder), values_per_second, links=False, kind=TimedGateway, outbox=outbox) as chain,
        ):
            time.sleep(WARM_UP_S + seconds)
            chain.finish()
            chain.gateway.stop()
            assert isinstance(chain.gateway, TimedGateway)
            assert chain.checker.missing == 0
            stamps = chain.gateway.stamps
    first = int(len(stamps) * WARM_UP_S / (WARM_UP_S + seconds))
    return stamps[first:]


def per_value_ms(stamps: Stamps, stage: str) -> Floats:
    """The delay of every value, in milliseconds."""
    return np.repeat(stamps[stage] / 1e6, stamps["values"])


def figures(stamps: Stamps) -> dict[str, dict[str, float]]:
    """By stage: milliseconds since the read, by quantile; and before it, from the server's PublishTime to the read."""
    found: dict[str, dict[str, float]] = {}
    for stage in (*STAGES, "on_the_way"):
        delays = np.percentile(per_value_ms(stamps, stage), (50, 90, 99, 99.9, 100))
        names = ("p50", "p90", "p99", "p99.9", "max")
        found[stage] = {name: round(float(delay), 2) for name, delay in zip(names, delays, strict=True)}
    return found


def histogram(disk: Floats, memory: Floats) -> str:
    """Shares of values by delay, side by side."""
    shares = [np.histogram(delays, EDGES_MS)[0] / len(delays) for delays in (disk, memory)]
    lines = [f"{'ms':>10}  {'with the disk':<{WIDTH + 8}}  without"]
    for low, high, *pair in zip(EDGES_MS, EDGES_MS[1:], *shares, strict=False):
        bars = [f"{share:7.2%} {'#' * round(share * WIDTH):<{WIDTH}}" for share in pair]
        lines.append(f"{low:>4g} – {high:<4g} {bars[0]}  {bars[1]}".rstrip())
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each turn lasts (default: 60; 4 turns)")
    parser.add_argument("--values-per-second", type=int, default=20_000)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    turns: dict[str, list[Stamps]] = {"disk": [], "memory": []}
    load = [os.getloadavg()[0]]
    for _ in range(TURNS):
        for where, stamps in turns.items():
            stamps.append(measured(where, options.values_per_second, options.seconds))
            load.append(os.getloadavg()[0])
            print(f"{where}: {figures(stamps[-1])['acknowledged']}, load average {load[-1]:.1f}", file=sys.stderr)
    disk, memory = (np.concatenate(stamps) for stamps in turns.values())
    found = {"disk": figures(disk), "memory": figures(memory)}
    if options.json:
        print(json.dumps(found | {"load_average": [round(each, 1) for each in load]}))
    else:
        print(histogram(per_value_ms(disk, "acknowledged"), per_value_ms(memory, "acknowledged")))
        for where, stages in found.items():
            for stage, quantiles in stages.items():
                print(
                    f"{where:<7} {stage:<13}"
                    + "".join(f" {name} {delay:7.2f} ms " for name, delay in quantiles.items())
                )
        print(f"{len(disk)} and {len(memory)} messages; load average {min(load):.1f} to {max(load):.1f}")
    return 0 if found["disk"]["acknowledged"]["p99"] < GOAL_MS else 1


if __name__ == "__main__":
    sys.exit(main())
