"""What a second process brings: one gateway, two with half of the sources each, and two members of a group on one host.

    python -m tests.bench.bench_cores --servers 32 --variables 100 --rate 200000 --rounds 3

`two` is the best that processes of one gateway could be: they share nothing.  `group` is two members of one
configuration on one NATS server with one replica, whose CPU counts as theirs.  The ways alternate in one run, each on
its own load server, mosquitto and checking subscriber (`tests.bench.chain`), which look for every value by its number.
Figures to trust: CPU per value, and its ratio to `one` of the same run.  Values per second mean something where there
are more cores than busy processes; beside the gateways there are three.
"""

import argparse
import json
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.bench.chain.campaign import Job, jobs, run
from tests.bench.chain.cases import Case, Surroundings
from tests.bench.chain.contestants import ROOT, Command, Contestant, Setting
from tests.bench.chain.contestants.ours import PER_SOURCE, PER_TAG, configuration
from tests.bench.chain.install import CACHE
from tests.bench.chain.measured import Measured
from tests.support.nats_cluster import nats_cluster
from tests.support.ports import free_port

WAYS = {"one": "one gateway", "two": "two gateways, half of the sources each", "group": "two members on one host"}


def contestant(way: str, form: str, topic: str) -> Contestant:
    def command(setting: Setting) -> Command:
        whole = configuration(setting, form, "fdatasync", topic)
        (setting.folder / "whole.json").write_text(json.dumps(whole), encoding="utf-8")
        words = [sys.executable, "-m", "tests.bench.bench_cores", "--processes", way, str(setting.folder)]
        return Command(words, {"PYTHONPATH": str(ROOT)})

    reader = "columns" if form == "json-columns" else "json"
    return Contestant(way, WAYS[way], reader, command, can=frozenset(("many",)))


# -- the processes of one way, children of one so that their CPU is counted together -----------------------------------


def processes(way: str, folder: Path) -> None:
    """Run the gateways of a way until SIGTERM."""
    whole = json.loads((folder / "whole.json").read_text(encoding="utf-8"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with ExitStack() as stack:
        for each in configurations(way, whole, folder, stack):
            stack.enter_context(_gateway(each, folder))
        signal.pause()


def configurations(way: str, whole: dict[str, Any], folder: Path, stack: ExitStack) -> list[dict[str, Any]]:
    if way == "one":
        return [whole]
    names, sources = ("a", "b"), whole["sources"]
    every = [
        {**whole, "http": {"port": free_port()}, "outbox": {**whole["outbox"], "path": str(folder / f"outbox-{name}")}}
        for name in names
    ]
    if way == "two":
        shares = (sources[::2], sources[1::2])
        return [
            {**each, "name": f"edge-{name}", "sources": share}
            for each, name, share in zip(every, names, shares, strict=True)
        ]
    nats = stack.enter_context(nats_cluster(folder, nodes=1))
    group = {
        "name": "bench", "servers": nats.servers, "monitoring": nats.monitoring, "replicas": 1, "max_bytes": "4GiB",
        "rebalance_after": "3s",
    }  # fmt: skip
    return [{**each, "group": {**group, "member": name}} for each, name in zip(every, names, strict=True)]


@contextmanager
def _gateway(config: dict[str, Any], folder: Path) -> Iterator[None]:
    path = folder / f"{config['name']}-{config['http']['port']}.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    process = subprocess.Popen([sys.executable, "-m", "gateway", "run", str(path), "--log-format", "json"])
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(8)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(8)


# -- what is told ------------------------------------------------------------------------------------------------------


def compared(given: argparse.Namespace, say: Callable[[str], object]) -> int:
    """Print a line per measurement and the medians; 1 when a value was missing or somebody gave up."""
    around = Surroundings(given.variables, given.servers, given.interval_ms)
    case = Case("cores", "", around, given.per, given.rate)
    topic = PER_TAG if given.per_tag else PER_SOURCE
    found: dict[str, list[Measured]] = {way: [] for way in given.ways}
    failed = False
    every = [contestant(way, given.format, topic) for way in given.ways]

    def note(job: Job, what: str) -> None:
        return None

    for job in jobs(every, [case], given.rounds):
        for entry in run(job, given.seconds, note, CACHE / "logs"):
            measured = entry.measured
            if measured is None or not measured.sound:
                failed = True
                say(f"{job.contestant.name:6} {entry.failed or measured}")
                continue
            found[job.contestant.name].append(measured)
            say(f"{job.contestant.name:6} {_line(measured)}")
    of_one = [each.cpu_us for each in found.get("one", [])]
    for way, every_one in found.items():
        if every_one and of_one:
            ratio = statistics.median(each.cpu_us for each in every_one) / statistics.median(of_one)
            fast = statistics.median(each.values_per_s for each in every_one)
            say(f"{WAYS[way]:40} {fast:>10,.0f} values/s, CPU per value {ratio:.2f} of one gateway's")
    return int(failed)


def _line(measured: Measured) -> str:
    return (
        f"{measured.values_per_s:>10,.0f} values/s, {measured.cpu_us:6.2f} µs a value, {measured.cores:.2f} cores, "
        f"{measured.memory_mib:.0f} MiB, broker {measured.broker_cpu_s:.2f} s, load average {measured.load_average:.1f}"
    )


def main(say: Callable[[str], object] = print) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", nargs=2, metavar=("WAY", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--ways", type=lambda text: text.split(","), default=list(WAYS), help=",".join(WAYS))
    parser.add_argument("--servers", type=int, default=32)
    parser.add_argument("--variables", type=int, default=100, help="of each server")
    parser.add_argument("--interval-ms", type=int, default=250)
    parser.add_argument("--per", type=int, default=25, help="values in a response")
    parser.add_argument("--rate", type=float, default=200_000, help="values per second of all, or as fast as it goes")
    parser.add_argument("--format", default="json-columns", choices=("json", "json-columns"))
    parser.add_argument("--per-tag", action="store_true", help="a topic per tag, with --format json")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if given.processes:
        processes(given.processes[0], Path(given.processes[1]))
        return 0
    return compared(given, say)


if __name__ == "__main__":
    sys.exit(main())
