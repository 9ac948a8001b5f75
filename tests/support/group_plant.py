"""A group of gateways as real processes: NATS, load servers, members, mosquitto, and a checker for each server."""

import os
import signal
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.brokers import Process, mosquitto
from tests.support.load_checker import LoadChecker, load_checker
from tests.support.load_server import LoadServer, source_of
from tests.support.nats_cluster import Cluster, nats_cluster
from tests.support.node_network import NodeNetwork
from tests.support.programs import SINK, Gateway, running, wait_until
from tests.support.threaded import ThreadedProxy, proxy_thread

GROUP = "hall"


class MemberProgram(Gateway):
    """One member: the configuration of all, and a name of its own."""

    def __init__(self, folder: Path, name: str, broker_url: str, **changes: object) -> None:
        folder.mkdir()
        self.member = name
        super().__init__(folder, "", broker_url, **changes)

    RUN = ("tests.support.shifted_clock", "run")

    def set_clock(self, shift_s: float) -> None:
        """Its wall clock is so much ahead of the true one from now on."""
        with self.config_path.with_name("clock").open("r+b") as file:  # `shifted_clock.py` reads it
            file.write(struct.pack("<d", shift_s))

    @property
    def holds(self) -> list[str]:
        """What it has taken and not ended, as its log tells."""
        found: set[str] = set()
        for event in self.events:
            works = event.get("works")
            if event.get("event") == "started":
                found.clear()
            elif isinstance(works, list):
                found = found | {*works} if event["event"] == "taken over" else found - {*works}
        return sorted(found)

    def freeze(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)


@dataclass
class GroupPlant:
    cluster: Cluster
    broker: Process
    servers: list[LoadServer]
    checkers: list[LoadChecker]
    members: list[MemberProgram]
    presence_s: float
    links: dict[str, list[ThreadedProxy]] = field(default_factory=dict)
    """Between each member and each NATS node."""
    network: NodeNetwork | None = None
    """That of the NATS nodes, where they have one of their own."""

    @property
    def lag_s(self) -> float:
        return max(checker.lag_s for checker in self.checkers)

    def wait_caught_up(self, within_s: float = 120.0) -> float:
        """Wait until the values of every server are live.  Returns how long that took."""
        began_s = time.monotonic()
        wait_until(lambda: self.lag_s < 2.0, "live values of every server", within_s)
        return time.monotonic() - began_s

    def finish(self, within_s: float = 180.0) -> None:
        """Stop making values, and wait until the last one of every tag has arrived."""
        for server, checker in zip(self.servers, self.checkers, strict=True):
            last = server.finish()
            wait_until(lambda: int(checker.last.min()) >= last, f"tick {last} of every tag", within_s)  # noqa: B023


@contextmanager
def group_plant(
    folder: Path, *, members: int = 3, servers: int = 3, tags: int = 50, rate_hz: float = 5.0, presence_s: float = 12.0,
    proxied: bool = True, network: NodeNetwork | None = None,
    more_sources: Sequence[dict[str, object]] = (), commands: dict[str, object] | None = None,
    member: type[MemberProgram] = MemberProgram,
    more_brokers: Callable[[Cluster], Sequence[dict[str, object]]] = lambda cluster: (), **group: object,
) -> Iterator[GroupPlant]:  # fmt: skip
    """Everything started and flowing."""
    with ExitStack() as stack:
        enter = stack.enter_context
        cluster = enter(nats_cluster(folder, network=network))
        broker = enter(mosquitto(folder, "max_inflight_messages 0"))
        loads, checkers, sources = list[LoadServer](), list[LoadChecker](), list[dict[str, object]]()
        for number in range(servers):
            place = folder / f"server-{number}"
            place.mkdir()
            load = enter(running(LoadServer(place, tags, rate_hz)))
            load.wait_said("serving", within_s=90)
            began_s, topic = load.began_ns / 1e9, f"load/s{number}/#"
            checkers.append(enter(load_checker(broker.url, topic, tags, began_s, 1 / rate_hz, f"checker-{number}")))
            sources.append(source_of(load.port, name=f"s{number}", lifetime="120s"))
            loads.append(load)
        names = "abcdef"[:members]
        links = {
            name: [enter(proxy_thread(node.port, node.host)) for node in cluster.nodes] if proxied else []
            for name in names
        }
        asked = cluster.monitoring if network is None else 0  # a proxy shows no monitoring
        common = {"name": GROUP, "monitoring": asked, "presence": presence_s}
        others = more_brokers(cluster)
        all_of_them = [{**SINK, "name": "broker", "url": broker.url}, *({**SINK, **other} for other in others)]
        sinks: dict[str, object] = {"broker": None, "brokers": all_of_them} if others else {}
        programs = [
            member(
                folder / name, name, broker.url, sources=[*sources, *more_sources], commands=commands, **sinks,
                payload={"format": "json-columns", "topic": "load/{source}/{machine}"},
                group={
                    **common, "member": name, "rebalance_after": "5s", **group,
                    "servers": [f"nats://127.0.0.1:{link.port}" for link in links[name]] or cluster.servers,
                },
            )
            for name in names
        ]  # fmt: skip
        for program in programs:
            enter(running(program))
        plant = GroupPlant(cluster, broker, loads, checkers, programs, presence_s, links, network)
        plant.wait_caught_up(120)
        yield plant
