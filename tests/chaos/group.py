"""A seeded campaign of faults against a group of gateways, and the verdict.

    python -m tests.chaos.campaign --group 100 --seed 7

Three NATS nodes, three members, load servers, mosquitto, and a checking subscriber for each server, as real processes.
One fault after another is drawn from the seed.  Meanwhile the log is read as well, by a client that knows nothing of
the gateway's code.  In the end every value that the servers made must have arrived, in order and numbered without a
hole, or be covered by an announced gap; no command may be done twice, or told otherwise than it was; and in the log no
record may be stale: the epochs of a source or broker only rise, each has one writer, and the records of an epoch rise
in number.
"""

import asyncio
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats
import nats.errors

from tests.chaos.commands import Judge
from tests.chaos.group_commands import COMMANDS, asking, source_of
from tests.chaos.verdict import counts_of, text_of
from tests.support.group_plant import GROUP, GroupPlant, group_plant
from tests.support.node_network import in_own_network, node_network
from tests.support.programs import running, wait_until
from tests.support.threaded import ThreadedProxy

ELECTION_S = 20.0
"""An election of NATS, and connecting again, on a machine that is busy."""

LOG_BYTES = 4 * 2**20
FILLER = f"cf.{GROUP}.log.filler.x"


@dataclass
class LogReader:
    """What was in the log, by subject: position, epoch, number and writer of each record."""

    records: dict[str, dict[int, tuple[int, int, str]]] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)

    def take(self, subject: str, seq: int, writer: str) -> None:
        epoch, number, name, _ = writer.split(" ")
        self.records.setdefault(subject, {})[seq] = (int(epoch), int(number), name)

    @property
    def count(self) -> int:
        return sum(map(len, self.records.values()))

    @property
    def take_overs(self) -> int:
        return sum(len({epoch for epoch, _, _ in found.values()}) - 1 for found in self.records.values())

    @property
    def wrong(self) -> list[str]:
        """Records of a writer that was not the owner any more, and two writers in one epoch."""
        found = list[str]()
        for subject, records in self.records.items():
            last, writers = (0, -1), dict[int, str]()
            for seq, (epoch, number, writer) in sorted(records.items()):
                if (epoch, number) <= last:
                    found.append(f"{subject}: record {seq} of {writer} (epoch {epoch}, {number}) is stale after {last}")
                if writers.setdefault(epoch, writer) != writer:
                    found.append(f"{subject}: two writers in epoch {epoch}: {writers[epoch]} and {writer}")
                last = epoch, number
        return found


async def read_log(servers: list[str], reader: LogReader) -> None:
    client = await nats.connect(servers, max_reconnect_attempts=-1, reconnect_time_wait=0.2, error_cb=_ignored)
    at = 1
    while not reader.stop.is_set():
        inbox = client.new_inbox()
        answers = await client.subscribe(inbox)
        request = {"seq": at, "batch": 500, "next_by_subj": f"cf.{GROUP}.log.>"}
        with suppress(nats.errors.Error, TimeoutError):
            await client.publish(f"$JS.API.DIRECT.GET.CF-{GROUP}", json.dumps(request).encode(), reply=inbox)
            while True:
                message = await answers.next_msg(2.0)
                headers = message.headers or {}
                if "Status" in headers:
                    break
                seq = int(headers["Nats-Sequence"])
                if headers["Nats-Subject"] != FILLER:
                    reader.take(headers["Nats-Subject"], seq, headers["CF-Writer"])
                at = seq + 1
        with suppress(nats.errors.Error):
            await answers.unsubscribe()
        await asyncio.sleep(0.3)
    await client.close()


async def _ignored(error: Exception) -> None:
    """Its servers are killed."""


@contextmanager
def log_reader(servers: list[str]) -> Iterator[LogReader]:
    reader = LogReader()
    thread = threading.Thread(target=lambda: asyncio.run(read_log(servers, reader)), name="log reader")
    thread.start()
    try:
        yield reader
    finally:
        reader.stop.set()
        thread.join(30)


@dataclass
class Verdict:
    """What was done, and what was found."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    pauses_s: dict[str, list[float]] = field(default_factory=dict)
    """By fault: how long no value arrived of the server that waited longest."""
    values: int = 0
    owed: int = 0
    repeated: int = 0
    gaps: Counter[str] = field(default_factory=Counter)
    commands: Counter[str] = field(default_factory=Counter)
    """By outcome."""
    records: int = 0
    take_overs: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        facts = [
            f"seed {self.seed}: {self.faults.total()} faults ({counts_of(self.faults)})",
            f"{self.owed:,} values served, {self.values:,} arrived, {self.repeated:,} came again under their number,"
            f" gaps announced: {counts_of(self.gaps)}",
            f"{self.commands.total()} commands: {counts_of(self.commands)}",
            f"the log: {self.records:,} records read, {self.take_overs} take-overs",
            *(
                f"{name}: live again after {sorted(some)[len(some) // 2]:.1f} s (median), {max(some):.1f} s (most)"
                for name, some in sorted(self.pauses_s.items())
            ),
        ]
        return text_of(facts, self.wrong)


def _member_killed(p: GroupPlant, rng: random.Random) -> None:
    member = rng.choice(p.members)
    member.kill()
    time.sleep(p.presence_s + 1)
    member.restart()


def _member_restarted(p: GroupPlant, rng: random.Random) -> None:
    """Killed, and started again at once."""
    member = rng.choice(p.members)
    member.kill()
    member.restart()


def _member_stopped(p: GroupPlant, rng: random.Random) -> None:
    member = rng.choice(p.members)
    member.stop(30)
    time.sleep(rng.uniform(0.5, 3.0))
    member.restart()


def _zombie(p: GroupPlant, rng: random.Random) -> None:
    """Frozen for longer than its presence, replaced, and woken: it goes on with what it believes."""
    member = rng.choice(p.members)
    member.freeze()
    time.sleep(p.presence_s + rng.uniform(1.0, 4.0))
    member.thaw()


def _member_frozen(p: GroupPlant, rng: random.Random) -> None:
    member = rng.choice(p.members)
    member.freeze()
    time.sleep(rng.uniform(1.0, p.presence_s - 3))
    member.thaw()


def _nodes_killed(count: int) -> Callable[[GroupPlant, random.Random], None]:
    def kill(p: GroupPlant, rng: random.Random) -> None:
        nodes = rng.sample(p.cluster.nodes, count)
        for node in nodes:
            node.kill()
        time.sleep(rng.uniform(1.0, 12.0))
        for node in nodes:
            node.begin()
        p.cluster.wait_healthy(60)

    return kill


def _node_frozen(p: GroupPlant, rng: random.Random) -> None:
    node = rng.choice(p.cluster.nodes)
    node.freeze()
    time.sleep(rng.uniform(3.0, 15.0))
    node.thaw()


def _member_and_node(p: GroupPlant, rng: random.Random) -> None:
    node, member = rng.choice(p.cluster.nodes), rng.choice(p.members)
    node.kill()
    member.kill()
    time.sleep(p.presence_s + 1)
    node.begin()
    member.restart()
    p.cluster.wait_healthy(60)


def _broker_frozen(p: GroupPlant, rng: random.Random) -> None:
    """Not killed: it would forget what it has acknowledged and not passed on to the checkers."""
    p.broker.stall()
    time.sleep(rng.uniform(0.5, 8.0))
    p.broker.go_on()


def _answers_lost(p: GroupPlant, rng: random.Random) -> None:
    """Everything between members and NATS stands still, and is cut: what was appended is not answered."""
    links = [link for some in p.links.values() for link in some]
    assert links
    for link in links:
        link.do(lambda proxy: proxy.stall())
    time.sleep(rng.uniform(0.3, 6.0))
    _heal(links)


def _heal(links: Iterable[ThreadedProxy]) -> None:
    """What stood still on the way is lost with its connection."""
    for link in links:
        link.do(lambda proxy: proxy.cut())
        link.do(lambda proxy: proxy.heal())


def _member_cut_off(p: GroupPlant, rng: random.Random) -> None:
    """It reaches its servers and the broker, and no NATS node, for longer than its presence."""
    links = p.links[rng.choice(p.members).member]
    for link in links:
        link.do(lambda proxy: proxy.stall())
    time.sleep(p.presence_s + rng.uniform(1.0, 4.0))
    _heal(links)


def _clock_set(p: GroupPlant, rng: random.Random) -> None:
    """By an hour or less, ahead or back; and right again later, or not before the next time."""
    member = rng.choice(p.members)
    member.set_clock(rng.choice([-1, 1]) * rng.choice([3.0, 40.0, 3600.0]))
    time.sleep(rng.uniform(1.0, p.presence_s + 3))
    if rng.random() < 0.5:
        member.set_clock(0.0)


def _node_unplugged(p: GroupPlant, rng: random.Random) -> None:
    """Neither members nor the other nodes reach it."""
    assert p.network is not None
    p.network.unplug(rng.randrange(3))
    time.sleep(rng.uniform(3.0, 15.0))
    p.network.heal()


def _nodes_parted(p: GroupPlant, rng: random.Random) -> None:
    """Two nodes, or all three, do not reach each other, and every member reaches all of them."""
    assert p.network is not None
    p.network.part(*rng.sample(range(3), rng.choice([2, 3])))
    time.sleep(rng.uniform(3.0, 15.0))
    p.network.heal()


def _log_full(p: GroupPlant, rng: random.Random) -> None:
    """Somebody else fills the log to its last byte, so that not even cursors find room; later it is emptied."""
    asyncio.run(_filled(p.cluster.servers, rng.uniform(1.0, 10.0), rng.randbytes(LOG_BYTES // 64)))


async def _filled(servers: list[str], for_s: float, filler: bytes) -> None:
    client = await nats.connect(servers, error_cb=_ignored)
    while b"maximum bytes" not in (await client.request(FILLER, filler, timeout=10)).data:
        pass
    while len(filler := filler[: len(filler) // 2]) > 64:
        await client.request(FILLER, filler, timeout=10)
    await asyncio.sleep(for_s)
    await client.request(f"$JS.API.STREAM.PURGE.CF-{GROUP}", json.dumps({"filter": FILLER}).encode(), timeout=10)
    await client.close()


FAULTS: dict[str, tuple[int, Callable[[GroupPlant, random.Random], None]]] = {
    "member killed": (4, _member_killed),
    "member killed and back at once": (2, _member_restarted),
    "member stopped in order": (3, _member_stopped),
    "member frozen past its presence": (4, _zombie),
    "member frozen": (2, _member_frozen),
    "NATS node killed": (3, _nodes_killed(1)),
    "NATS node frozen": (2, _node_frozen),
    "two NATS nodes killed": (1, _nodes_killed(2)),
    "all NATS nodes killed": (1, _nodes_killed(3)),
    "member and NATS node killed": (2, _member_and_node),
    "broker frozen": (2, _broker_frozen),
    "NATS answers lost": (2, _answers_lost),
    "member cut off": (3, _member_cut_off),
    "clock set": (3, _clock_set),
    "log full": (1, _log_full),
}
"""How often each is relative to the others."""
OF_NETWORK: dict[str, tuple[int, Callable[[GroupPlant, random.Random], None]]] = {
    "NATS node unplugged": (3, _node_unplugged),
    "NATS nodes parted": (3, _nodes_parted),
}
"""Where the nodes have a network of their own."""


def campaign(
    folder: Path,
    seed: int,
    faults: int,
    say: Callable[[str], None] = lambda line: None,
    only: str = "",
    **plant: Any,
) -> Verdict:
    """Do so many faults, heal, and judge.  `only`: those whose name begins with it."""
    rng, verdict = random.Random(seed), Verdict(seed)
    with ExitStack() as stack:
        network = stack.enter_context(node_network(3)) if in_own_network() else None
        possible = FAULTS | (OF_NETWORK if network is not None else {})
        names = [name for name in possible if name.startswith(only)]
        weights = [possible[name][0] for name in names]
        server = stack.enter_context(running(Judge(folder)))
        plant = {
            "more_sources": [source_of(server)], "commands": COMMANDS,
            "max_bytes": LOG_BYTES, **plant,
        }  # fmt: skip
        p = stack.enter_context(group_plant(folder, network=network, **plant))
        reader = stack.enter_context(log_reader(p.cluster.servers))
        asker = stack.enter_context(asking(p.broker.url))
        for number in range(1, faults + 1):
            name = rng.choices(names, weights)[0]
            say(f"{number}/{faults} {name}")
            pause_s = _watched(p, lambda: possible[name][1](p, rng))  # noqa: B023 - called at once
            verdict.faults[name] += 1
            verdict.pauses_s.setdefault(name, []).append(pause_s)
            say(f"  at most {pause_s:.1f} s without values, {len(reader.wrong)} stale records")
            time.sleep(rng.uniform(0.5, 3.0))
        say("healed: waiting for everything to arrive")
        asker.stop.set()
        p.wait_caught_up(120)
        p.finish(120)
        with suppress(AssertionError):
            wait_until(lambda: not asker.missing, "every command to be answered", 60)
        judge(verdict, p, reader)
        verdict.commands.update(next(iter(sorted(outcomes))) for outcomes in asker.answers.values())
        verdict.wrong += asker.wrong(server.given)
    return verdict


def _watched(p: GroupPlant, fault: Callable[[], None]) -> float:
    """Do it, and wait until values are live again.  Returns the greatest age of a newest value meanwhile."""
    worst_s, over = 0.0, threading.Event()

    def watch() -> None:
        nonlocal worst_s
        while not over.wait(0.1):
            worst_s = max(worst_s, p.lag_s)

    watching = threading.Thread(target=watch, name="watch the lag")
    watching.start()
    try:
        fault()
        p.wait_caught_up(p.presence_s + 2 * ELECTION_S + 60)
    finally:
        over.set()
        watching.join()
    return worst_s


def judge(verdict: Verdict, p: GroupPlant, reader: LogReader) -> None:
    for number, checker in enumerate(p.checkers):
        verdict.values += checker.values
        verdict.owed += checker.owed
        verdict.repeated += checker.repeated_values
        verdict.gaps.update(gap.cause for gap in checker.gaps)
        verdict.wrong += [f"server {number}: not explained: {hole}" for hole in checker.unexplained]
        verdict.wrong += [f"server {number}: {text}" for text in checker.numbers_missing]
        verdict.wrong += [f"server {number}: {count} {what}" for what, count in checker.problems.items() if count]
        if checker.disordered:
            verdict.wrong.append(f"server {number}: {checker.disordered} values out of order")
    verdict.records, verdict.take_overs = reader.count, reader.take_overs
    verdict.wrong += reader.wrong
    wait_until(lambda: all(member.process.poll() is None for member in p.members), "every member to live", 1)
