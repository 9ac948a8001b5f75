"""CPU per value and per message beside another checkout, alternating in one run.

    python -m tests.bench.ratios CHECKOUT [--rounds 3] [--seconds 2] [--messages 10000] [decode outbox delivery]

Each round measures the other checkout and this one, one after the other, in processes of their own and with this
interpreter; the figure of each is its best round, because whatever else the machine does only adds to it.  Processor
time alone, so a busy machine widens the figures less than it would those of a clock.  The benches of the other checkout
have to offer the functions that are called here, as those since 8a52934 do.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

DECODE = """
import json
import tests.bench.bench_decode as bench
async def not_measured(body):
    return 0.0, 0.0
bench.asyncua_us = not_measured
print(json.dumps({name: value for name, value in bench.figures().items() if "asyncua" not in name}))
"""
OUTBOX = """
import asyncio, json, tempfile
from pathlib import Path
from tests.bench.bench_outbox import SHAPES, through_the_outbox
found = {}
for shape in SHAPES:
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(through_the_outbox(Path(folder), shape, SECONDS))
    found[f"{shape.name}, per {shape.unit[:-1]}"] = figures.cpu / figures.per_s * 1e6
print(json.dumps(found))
"""
DELIVERY = """
import json, tempfile
from pathlib import Path
from tests.bench.bench_delivery import measure, ways
from tests.support.brokers import mosquitto
found = {}
with tempfile.TemporaryDirectory() as folder:
    with mosquitto(Path(folder), "max_inflight_messages 0") as broker:
        for name, way in ways().items():
            if name.startswith(("lean", "general (aiomqtt), window 100")):
                found[name] = measure(name, way, broker.port, MESSAGES).cpu_us
print(json.dumps(found))
"""
BENCHES = {"decode": DECODE, "outbox": OUTBOX, "delivery": DELIVERY}
HERE = Path(__file__).parents[2]


def measured(checkout: Path, code: str) -> dict[str, float]:
    """Microseconds of processor time, by name."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{checkout}: {done.stderr[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(found, dict)
    return {str(name): float(value) for name, value in found.items()}


def best(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: min(each[name] for each in rounds) for name in rounds[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("benches", nargs="*", help=f"of {', '.join(BENCHES)}; default: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each shape of the outbox")
    parser.add_argument("--messages", type=int, default=10_000, help="of each way of delivering")
    given = parser.parse_args()
    for bench in given.benches or BENCHES:
        code = BENCHES[bench].replace("SECONDS", str(given.seconds)).replace("MESSAGES", str(given.messages))
        theirs, ours = [], []
        for _ in range(given.rounds):
            theirs.append(measured(given.checkout, code))
            ours.append(measured(HERE, code))
        before, now = best(theirs), best(ours)
        for name, value in now.items():
            each = ", ".join(f"{a[name] / b[name]:.2f}" for a, b in zip(ours, theirs, strict=True))
            print(f"{bench:8} {name:52} {before[name]:9.3f} → {value:9.3f} µs  × {value / before[name]:.2f}  ({each})")


if __name__ == "__main__":
    main()
