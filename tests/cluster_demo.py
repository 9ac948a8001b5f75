"""A group of gateways on this machine: three NATS nodes, three members, three factories, a broker.  Kill any of them.

    make cluster-demo
    make cluster-demo ARGS="--seconds 60"

Prints who does what, with the process to kill, and what has arrived at the broker: numbers of every stream are checked,
so a missing message would show.  A member or NATS node that was killed is started again after 20 s.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from tests.support.brokers import iotcore
from tests.support.group_plant import GROUP, MemberProgram
from tests.support.nats_cluster import Cluster, nats_cluster
from tests.support.programs import SOURCE, Factory, running
from tests.support.subscribed import subscribed

BACK_AFTER_S = 20.0


@dataclass
class Arrived:
    """What came, and whether a number is missing."""

    values: int = 0
    repeated: int = 0
    missing: int = 0
    gaps: int = 0
    seqs: dict[str, int] = field(default_factory=dict)
    at_s: float = field(default_factory=time.monotonic)

    def take(self, topic: str, payload: bytes) -> None:
        body = orjson.loads(payload)
        if "stream" not in body:
            return
        last, seq = self.seqs.get(body["stream"]), body["seq"]
        if last is not None and seq <= last:
            self.repeated += 1
            return
        self.missing += seq - last - 1 if last is not None else 0
        self.seqs[body["stream"]] = seq
        self.values += len(body.get("values", ()))
        self.gaps += len(body.get("gaps", ()))
        self.at_s = time.monotonic()


@dataclass
class Demo:
    cluster: Cluster
    members: list[MemberProgram]
    arrived: Arrived
    gone: dict[str, float] = field(default_factory=dict)

    def bring_back(self) -> None:
        """Start again what was killed, after a while."""
        for node in self.cluster.nodes:
            dead = node.process is None or node.process.poll() is not None
            self._wait_and(f"NATS n{node.number}", dead, node.begin)
        for member in self.members:
            self._wait_and(f"member {member.member}", member.process.poll() is not None, member.restart)

    def _wait_and(self, what: str, dead: bool, begin: Callable[[], None]) -> None:
        if not dead:
            self.gone.pop(what, None)
        elif time.monotonic() - self.gone.setdefault(what, time.monotonic()) > BACK_AFTER_S:
            begin()

    @property
    def text(self) -> str:
        lines = []
        for node in self.cluster.nodes:
            gone = "  (gone)" if f"NATS n{node.number}" in self.gone else ""
            lines.append(f"NATS n{node.number:<15} process {node.process.pid if node.process else '-'}{gone}")
        for member in self.members:
            held = f"{member.holds}" if f"member {member.member}" not in self.gone else "(gone)"
            lines.append(f"member {member.member:<14} process {member.process.pid}  {held}")
        a = self.arrived
        lines.append(
            f"arrived: {a.values} values, the latest {time.monotonic() - a.at_s:.1f} s ago; numbers missing:"
            f" {a.missing}, repeated: {a.repeated}, gaps announced: {a.gaps}"
        )
        return "\n".join(lines)


@contextmanager
def demo(folder: Path) -> Iterator[Demo]:
    with ExitStack() as stack:
        enter, arrived = stack.enter_context, Arrived()
        cluster, broker = enter(nats_cluster(folder)), enter(iotcore(folder))
        factories = []
        for number in range(3):
            place = folder / f"factory-{number}"
            place.mkdir()
            factories.append(enter(running(Factory(place, "--seed", str(number)))))
        for factory in factories:
            factory.wait_said("serving")
        enter(subscribed(broker.url, ("hall/#",), arrived.take, threading.Event()))
        sources = [{**SOURCE, "name": f"hall-{n}", "url": each.url} for n, each in enumerate(factories, 1)]
        members = []
        for name in "abc":
            group = {"name": GROUP, "servers": cluster.servers, "monitoring": cluster.monitoring, "member": name,
                     "presence": "12s", "rebalance_after": "20s"}  # fmt: skip
            payload = {"topic": "hall/{source}/{machine}"}
            program = MemberProgram(folder / name, name, broker.url, sources=sources, group=group, payload=payload)
            members.append(enter(running(program)))
        yield Demo(cluster, members, arrived)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end by itself")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cluster-demo-") as folder, demo(Path(folder)) as running_demo:
        file = next(iter(running_demo.members)).config_path
        print(f"kill any of these processes (kill -9 …), or: gateway group status {file}\n", flush=True)
        end_s = time.monotonic() + options.seconds
        try:
            while time.monotonic() < end_s:
                running_demo.bring_back()
                print(running_demo.text, end="\n\n", flush=True)
                time.sleep(3.0)
        except KeyboardInterrupt:
            print(json.dumps({"values": running_demo.arrived.values, "missing": running_demo.arrived.missing}))
        return 1 if running_demo.arrived.missing else 0


if __name__ == "__main__":
    sys.exit(main())
