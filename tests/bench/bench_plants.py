"""122 plants through one gateway, and through a group of three, beside the same number of variables in one source.

    python -m tests.bench.bench_plants
    python -m tests.bench.bench_plants --plants 20 --seconds 10 one many

Each plant is a server with 1 000 variables that change once a second (`tests/bench/chain/load_server.py`); all must
arrive, each once.  Beside them is a server that takes connections and never answers, which may delay nobody.  Told are,
for the gateway's processes alone: cores and memory under the load, and how long after the start every variable was
subscribed to and every first value had arrived.  Only the ratios within one run mean something.
"""

import argparse
import json
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.bench.chain.cases import Case, Surroundings
from tests.bench.chain.children import load_average
from tests.bench.chain.contestants import ROOT, Command, Contestant, Setting
from tests.bench.chain.contestants.ours import PER_SOURCE, configuration
from tests.bench.chain.stage import staged
from tests.support.nats_cluster import nats_cluster
from tests.support.ports import free_port

MEMBERS = ("a", "b", "c")
WAYS = {"one": "one source", "many": "a source for each plant", "group": "a group of three"}


@contextmanager
def silent_server() -> Iterator[int]:
    """A port where connections are taken and nothing is answered."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield listener.getsockname()[1]


def contestant_of(way: str, silent: int, servers: Sequence[str] = ()) -> Contestant:
    """The gateway in one of the ways.  `servers`: those of NATS."""

    def command(setting: Setting) -> Command:
        config = configuration(setting, "json-columns", "fdatasync", PER_SOURCE)
        sources = config["sources"]
        assert isinstance(sources, list)
        if way != "one":
            sources.append(sources[0] | {"name": "silent", "url": f"opc.tcp://127.0.0.1:{silent}"})
        words = [sys.executable, "-m", "gateway", "run"]
        if way != "group":
            return Command([*words, _written(setting.folder, "gateway", config)], {"PYTHONPATH": str(ROOT)})
        files = []
        for member in MEMBERS:
            group = {"name": "plants", "servers": [*servers], "member": member, "monitoring": 0, "presence": "12s"}
            own = {"group": group, "http": {"port": free_port()}}
            files.append(_written(setting.folder, member, config | own))
        return Command([sys.executable, "-m", "tests.bench.bench_plants", "--run", *files], {"PYTHONPATH": str(ROOT)})

    return Contestant(way, WAYS[way], "columns", command, can=frozenset(("many",)))


def _written(folder: Path, name: str, config: dict[str, object]) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")
    return str(path)


def run_members(files: Sequence[str]) -> None:
    """Run a gateway for each file, until told to stop."""
    running = [subprocess.Popen([sys.executable, "-m", "gateway", "run", file]) for file in files]

    def stop(number: int, frame: object) -> None:
        for each in running:
            each.send_signal(number)

    signal.signal(signal.SIGTERM, stop)
    for each in running:
        each.wait()


def measured(way: str, plants: int, tags: int, seconds: float) -> dict[str, object]:
    """One way, from its start to the end of its load."""
    around = Surroundings(plants * tags, 1, 1000) if way == "one" else Surroundings(tags, plants, 1000)
    case = Case(way, WAYS[way], around, tags, float(plants * tags))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-plants-")))
        servers = stack.enter_context(nats_cluster(folder)).servers if way == "group" else []
        contestant = contestant_of(way, stack.enter_context(silent_server()), servers)
        at_first = load_average()
        stage = stack.enter_context(staged(contestant, around, keep=Path("var") / "bench-plants" / way))
        result = stage.measure(case, seconds)
        return {
            "way": WAYS[way], "subscribed_s": stage.started.subscribed_s, "first_values_s": stage.started.all_values_s,
            "start_cpu_s": stage.started.cpu_s, "cores": round(result.cpu_s / max(seconds, result.wall_s), 3),
            "cpu_us_per_value": round(result.cpu_us, 2), "memory_mib": round(result.memory_mib),
            "values": result.values, "wall_s": round(result.wall_s, 1), "missing": result.missing,
            "repeated": result.repeated, "load_average": round(at_first, 1),
        }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ways", nargs="*", help="of one, many and group; default: all", metavar="WAY")
    parser.add_argument("--plants", type=int, default=122)
    parser.add_argument("--tags", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--run", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        run_members(given.run)
        return
    rows: dict[str, dict[str, object]] = {}
    for way in given.ways or WAYS:
        rows[way] = measured(way, given.plants, given.tags, given.seconds)
        print(json.dumps(rows[way]), flush=True)
    if "one" in rows:
        for way in rows.keys() - {"one"}:
            ratios = {
                key: round(float(str(rows[way][key])) / float(str(rows["one"][key])), 2)
                for key in ("cpu_us_per_value", "memory_mib", "start_cpu_s")
            }
            print(json.dumps({"ratio": f"{WAYS[way]} / one source", **ratios}), flush=True)


if __name__ == "__main__":
    main()
