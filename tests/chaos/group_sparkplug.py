"""A seeded campaign of faults against an edge node of Sparkplug that a group of gateways is, with a host as its judge.

    make chaos ARGS="--sparkplug-group 20 --seed 3"

Three NATS nodes, three members, a simulator that two sources read, mosquitto, and a primary host.  One fault after
another is drawn from the seed: the member that has the broker, or one that has a source, is killed, stopped, or frozen
past its presence and woken; a NATS node is killed; the host goes, or asks for births.  Then everything is healed, and
judged as in `sparkplug.py`: no violation of the specification, and no value of the server's own record missing that no
`Gateway/Gaps` explains.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.chaos.sparkplug import Verdict, judge, missing_of
from tests.support.brokers import mosquitto
from tests.support.group_plant import GROUP, MemberProgram
from tests.support.nats_cluster import Cluster, nats_cluster
from tests.support.programs import SINK, SOURCE, SUBTREE, Factory, running, wait_until
from tests.support.record import served
from tests.support.sparkplug import SparkplugHost, tahu
from tests.support.sparkplug_client import HostClient, host_client

PRESENCE_S = 12.0
LIVE_S = PRESENCE_S + 60.0
SOURCES = {"left": "*/assembly/*", "right": "*/packaging/*"}


@dataclass
class Plant:
    """Everything that runs."""

    cluster: Cluster
    factory: Factory
    members: list[MemberProgram]
    host: HostClient

    def owner(self, work: str) -> MemberProgram:
        """Who took it last."""
        wait_until(lambda: any(work in each.holds for each in self.members), f"an owner of {work}", LIVE_S)
        return next(each for each in self.members if work in each.holds)

    def wait_live(self) -> None:
        """Wait until a value of each source has come live, in the present birth."""
        with self.host.lock:
            before = {name: len(changes) for name, changes in self.host.judge.values.items()}

        def is_live() -> bool:
            with self.host.lock:
                since = {name: c[before.get(name, 0) :] for name, c in self.host.judge.values.items()}
            fresh = [name for name, some in since.items() if any(not c.historical and c.verb == "data" for c in some)]
            return all(any(name.startswith(f"{source}-") for name in fresh) for source in SOURCES)

        wait_until(is_live, "live values of each source", LIVE_S)


def _some(p: Plant, rng: random.Random) -> MemberProgram:
    """The owner of the broker, more often than one of a source."""
    return p.owner(rng.choice(("broker/broker", "broker/broker", "source/left")))


def _killed(p: Plant, rng: random.Random) -> None:
    member = _some(p, rng)
    member.kill()
    time.sleep(PRESENCE_S + 1)
    member.restart()


def _frozen(p: Plant, rng: random.Random) -> None:
    """The zombie: it is replaced, wakes, and goes on with what it believes."""
    member = _some(p, rng)
    member.freeze()
    time.sleep(PRESENCE_S + rng.uniform(1.0, 4.0))
    member.thaw()


def _stopped(p: Plant, rng: random.Random) -> None:
    member = _some(p, rng)
    member.stop(30)
    time.sleep(rng.uniform(0.5, 3.0))
    member.restart()


def _node_killed(p: Plant, rng: random.Random) -> None:
    node = rng.choice(p.cluster.nodes)
    node.kill()
    time.sleep(rng.uniform(1.0, 8.0))
    node.begin()
    p.cluster.wait_healthy(60)


def _host_goes(p: Plant, rng: random.Random) -> None:
    p.host.go()
    time.sleep(rng.uniform(0.0, 2.0))
    p.host.come()
    assert p.host.is_there.wait(60)


def _births_asked_for(p: Plant, rng: random.Random) -> None:
    p.host.ask_for_births(rng.choice((1, 20)))


FAULTS: dict[str, tuple[int, Callable[[Plant, random.Random], None]]] = {
    "member killed": (4, _killed),
    "member frozen past its presence": (4, _frozen),
    "member stopped in order": (3, _stopped),
    "NATS node killed": (2, _node_killed),
    "host goes": (2, _host_goes),
    "births asked for": (2, _births_asked_for),
}


@contextmanager
def plant(folder: Path, members: int = 3) -> Iterator[Plant]:
    """Everything started and flowing."""
    with ExitStack() as stack:
        enter = stack.enter_context
        cluster = enter(nats_cluster(folder))
        broker = enter(mosquitto(folder, "max_inflight_messages 0"))
        factory = enter(running(Factory(folder, "--sample-hz", "10")))
        factory.wait_said("serving")
        host = enter(host_client(broker.url, SparkplugHost(enter(tahu()))))
        source = {**SOURCE, "url": factory.url, "lifetime": "120s"}
        sources = [
            {**source, "name": name, "select": [{**SUBTREE, "include": [include]}]} for name, include in SOURCES.items()
        ]
        edge = {"device": "{source}-{machine}", "primary_host": "scada", "rebirth_interval": "1s"}
        programs = [
            MemberProgram(
                folder / name, name, broker.url, sources=sources, broker={"url": broker.url, **SINK},
                payload={"format": "sparkplug", "sparkplug": edge},
                group={
                    "name": GROUP, "monitoring": cluster.monitoring, "presence": PRESENCE_S, "member": name,
                    "rebalance_after": "5s", "servers": cluster.servers,
                },
            )
            for name in "abcdef"[:members]
        ]  # fmt: skip
        for program in programs:
            enter(running(program))
        p = Plant(cluster, factory, programs, host)
        p.wait_live()
        yield p


def campaign(
    folder: Path, seed: int, faults: int | Sequence[str], say: Callable[[str], None] = lambda line: None
) -> Verdict:
    """Do so many faults, or those of these names; heal, and judge."""
    rng, verdict = random.Random(seed), Verdict(seed)
    weights = [weight for weight, _ in FAULTS.values()]
    names = rng.choices(list(FAULTS), weights, k=faults) if isinstance(faults, int) else faults
    with plant(folder) as p:
        for number, name in enumerate(names, 1):
            before, births = len(p.host.judge.violations), len(p.host.judge.births)
            say(f"{number}/{len(names)} {name}")
            FAULTS[name][1](p, rng)
            verdict.faults[name] += 1
            p.wait_live()
            say(f"  {len(p.host.judge.births) - births} births, bdSeq {p.host.judge.bd_seq}")
            if len(p.host.judge.violations) > before:
                say(f"  {p.host.judge.violations[before][:300]}")
            time.sleep(rng.uniform(0.2, 2.0))
        say("healed: waiting for everything to arrive")
        p.wait_live()
        until = {name: changes for name, changes in served(p.factory.record).items() if _is_read(name)}
        wait_until(lambda: not missing_of(until, _by_machine(p.host), ends=True)[0], "the last values served", 120)
        time.sleep(1.0)
        judge(verdict, until, _by_machine(p.host))
        verdict.wrong += [f"member {each.member} has ended" for each in p.members if each.process.poll() is not None]
    return verdict


def _is_read(name: str) -> bool:
    return any(name.split("/")[1] == include.split("/")[1] for include in SOURCES.values())


def _by_machine(host: HostClient) -> HostClient:
    """What it got, with the names of machines for those of devices."""
    found = HostClient("mqtt://none", host.judge)
    with host.lock:
        values = {name.partition("-")[2]: list(changes) for name, changes in host.judge.values.items() if "-" in name}
        found.judge = replace(host.judge, values=values)
    found.lock = threading.Lock()
    return found
