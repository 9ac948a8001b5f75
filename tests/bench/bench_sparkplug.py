"""What a value costs as a metric of Sparkplug: CPU per value in messages of 1 000, beside others in the same run.

    python -m tests.bench.bench_sparkplug                  beside json-columns
    python -m tests.bench.bench_sparkplug --peers          and beside npm sparkplug-payload and PyPI pysparkplug

Ours is the way from a batch to the bytes that are sent: encoding for the outbox, and what a session does to a row (as
it is, and as historical).  Peers encode the same metrics from their own objects, which are made beforehand.
`pysparkplug` needs an old paho-mqtt, so it gets an environment of its own below `var/`.
"""

import argparse
import json
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from gateway.model import Batch, Tag
from gateway.payload.choose import encoder_for
from gateway.payload.format import Encoder
from gateway.payload.sparkplug.births import dbirth
from gateway.payload.sparkplug.encoder import SparkplugEncoder
from gateway.payload.sparkplug.node import Node
from gateway.payload.sparkplug.numbers import Numbers
from gateway.payload.sparkplug.wire import as_historical
from tests.support.node import PEERS
from tests.support.payloads import TICKS, Counting, config_of

VALUES = 1000
ROUNDS = 15
ENVIRONMENT = Path("var/pysparkplug")
NODE = """
const { get } = require("sparkplug-payload");
const spb = get("spBv1.0"), n = 1000, rounds = 200;
const metrics = Array.from({ length: n },
  (_, i) => ({ alias: 128 + i, timestamp: 1755526400123, type: "Double", value: i + 0.5 }));
for (let i = 0; i < 50; i++) spb.encodePayload({ timestamp: 1, metrics, seq: 1 });
const begun = process.cpuUsage();
for (let i = 0; i < rounds; i++) spb.encodePayload({ timestamp: 1, metrics, seq: 1 });
const used = process.cpuUsage(begun);
console.log((used.user + used.system) / rounds / n);
"""
PYTHON = """
import time, pysparkplug as p
metrics = tuple(p.Metric(timestamp=1755526400123, name=None, alias=128 + i, datatype=p.DataType.DOUBLE, value=i + 0.5)
                for i in range(1000))
payload = p.DData(timestamp=1, seq=1, metrics=metrics)
payload.encode(include_dtypes=False)
begun = time.process_time()
for _ in range(50):
    payload.encode(include_dtypes=False)
print((time.process_time() - begun) / 50 / 1000 * 1e6)
"""
READ = """
import sys, pysparkplug as p
birth, data = (bytes.fromhex(line) for line in sys.stdin.read().split())
birth = p.DBirth.decode(birth)
print([metric.value for metric in p.DData.decode(data, birth=birth).metrics])
"""


def batch(kind: str, count: int = VALUES) -> Batch:
    """`numbers`: a column of one type, as from a server with Doubles alone.  `mixed`: six types."""
    tags = [Tag(f"machine-{n // 50}/tag-{n}", f"nsu=urn:u;i={n}") for n in range(count)]
    handles, ticks = np.arange(count, dtype=np.uint32), np.full(count, TICKS, np.int64) + np.arange(count) * 10_000
    values: object = np.arange(count) + 0.5
    types = np.full(count, 11, np.uint8)
    if kind == "mixed":
        cycle = [(11, 1.5), (10, 2.5), (1, True), (6, 70_000), (12, "Running"), (7, 5)]
        types = np.array([cycle[n % 6][0] for n in range(count)], np.uint8)
        values = [cycle[n % 6][1] for n in range(count)]
    zeros = np.zeros(count, np.uint32)
    return Batch("line-1", tags, handles, types, values, zeros, ticks, ticks + 1)  # type: ignore[arg-type]


def cpu_us(work: Callable[[], object], values: int = VALUES, rounds: int = ROUNDS, times: int = 20) -> float:
    """The median over rounds of the CPU time of a value, in microseconds."""
    work()
    found = []
    for _ in range(rounds):
        begun = time.process_time()
        for _ in range(times):
            work()
        found.append((time.process_time() - begun) / times / values * 1e6)
    return median(found)


def made(encoder: Encoder, one: Batch, counting: Counting) -> list[bytes]:
    return [message.payload for message in counting.append(encoder.encode(one, counting.next_seq))]


def ours(kind: str) -> dict[str, float]:
    one, found = batch(kind), {}
    for name in ("json-columns", "sparkplug"):
        encoder, counting = encoder_for(config_of({"format": name, "topic": "f"}), "line-1", "e.1"), Counting()
        if isinstance(encoder, SparkplugEncoder):
            sent = Numbers()

            def all_the_way(encoder: Encoder = encoder, counting: Counting = counting, sent: Numbers = sent) -> None:
                for message in counting.append(encoder.encode(one, counting.next_seq)):
                    sent.sent(sent.dress(message))

            found[name] = cpu_us(all_the_way)
            [payload] = made(encoder, one, counting)[-1:]
            found["sparkplug, made historical"] = cpu_us(lambda payload=payload: as_historical(payload))  # type: ignore[misc]
        else:
            found[name] = cpu_us(lambda encoder=encoder, counting=counting: made(encoder, one, counting))  # type: ignore[misc]
    return found


def read_by_pysparkplug() -> str:
    """Whether a second reader, of another stack than Tahu's, finds the values of a birth and of data."""
    one, counting = batch("mixed", 60), Counting()
    encoder = encoder_for(config_of({"format": "sparkplug", "topic": "f"}), "line-1", "e.1")
    [data] = made(encoder, one, counting)[-1:]
    assert isinstance(encoder, SparkplugEncoder)
    table = encoder.node.devices["line-1"].table
    assert table is not None
    tail = b"\x08\x01\x18\x01"  # timestamp and seq
    given = "\n".join(each.hex() for each in (dbirth(table, encoder.node.latest.get, 1) + tail, data + tail))
    python = ENVIRONMENT / "bin" / "python"
    ran = subprocess.run([python, "-c", READ], input=given, capture_output=True, text=True, check=True)
    return "reads what we write" if ran.stdout.strip() == str(list(one.values)) else f"reads {ran.stdout[:300]}"


def births() -> float:
    """Seconds of CPU for one birth of 100 000 metrics."""
    one, counting = batch("numbers", 100_000), Counting()
    encoder = encoder_for(config_of({"format": "sparkplug", "topic": "f"}), "line-1", "e.1")
    made(encoder, one, counting)
    assert isinstance(encoder, SparkplugEncoder)
    node: Node = encoder.node
    table = node.devices["line-1"].table
    assert table is not None
    dbirth(table, node.latest.get, 1)
    begun = time.process_time()
    payload = dbirth(table, node.latest.get, 1)
    print(f"one birth of 100 000 metrics: {time.process_time() - begun:.2f} s of CPU, {len(payload) / 1e6:.1f} MB")
    return time.process_time() - begun


def peers() -> dict[str, float]:
    found = {}
    node = subprocess.run(["node", "-e", NODE], cwd=PEERS, capture_output=True, text=True, check=True)
    found["npm sparkplug-payload"] = float(node.stdout)
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "pysparkplug==0.6.1"], check=True)
    ran = subprocess.run([python, "-c", PYTHON], capture_output=True, text=True, check=True)
    found["PyPI pysparkplug"] = float(ran.stdout)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", action="store_true", help="beside others, which are installed where needed")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = {kind: ours(kind) for kind in ("numbers", "mixed")}
    if options.peers:
        results["peers, numbers"] = peers()
    for kind, found in results.items():
        base = found.get("json-columns")
        for name, cost in found.items():
            ratio = f"   {cost / base:.2f} of json-columns" if base else ""
            print(f"{kind:16} {name:28} {cost:7.3f} µs of CPU per value{ratio}")
    if options.peers:
        print(f"pysparkplug {read_by_pysparkplug()}")
    births()
    if options.json:
        print(json.dumps(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
