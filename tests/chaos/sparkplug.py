"""A seeded campaign of faults against an edge node of Sparkplug, with a primary host as its judge.

    make chaos ARGS="--sparkplug 100 --seed 7"

Simulators, gateway, mosquitto and a host application, with proxies between them.  One fault after another is drawn
from the seed: the gateway, the server or the broker is killed, links are cut, stalled and refused, the host goes
offline with a word or without one, or asks for births many times.  Then everything is healed.  The host reads with
Eclipse Tahu and finds every violation of the specification (`tests/support/sparkplug.py`).  And every value that the
server's own record has must have arrived, live, in a birth or as historical, unless `Gateway/Gaps` says why not.
"""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests.chaos.running import LIMIT_S, Running, kill_broker, kill_gateway, kill_server, on_link, stop_gateway
from tests.chaos.verdict import counts_of, text_of
from tests.support.brokers import mosquitto
from tests.support.programs import SINK, SOURCE, Factory, Gateway, running, wait_until
from tests.support.proxy import Proxy
from tests.support.record import Change, served
from tests.support.sparkplug import Change as Reported
from tests.support.sparkplug import SparkplugHost, tahu
from tests.support.sparkplug_client import HostClient, host_client
from tests.support.threaded import proxy_thread

GAPS = "Gateway/Gaps"
CALM = 0.8
"""How often everything is connected again before the next fault."""


@dataclass
class Plant(Running):
    """Everything that runs."""

    host: HostClient

    @property
    def reader_is_there(self) -> threading.Event:
        return self.host.is_there


@dataclass
class Verdict:
    """What was done, and what was found."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)
    served: int = 0
    arrived: int = 0
    historical: int = 0
    explained: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        facts = [
            f"seed {self.seed}: {self.faults.total()} faults ({counts_of(self.faults)})",
            f"the host got {counts_of(self.messages)}",
            f"{self.served} changes served, {self.arrived} arrived, {self.historical} of them only as historical,"
            f" {self.explained} missing and explained by a gap",
        ]
        return text_of(facts, self.wrong)


def host_goes(p: Plant, rng: random.Random) -> None:
    p.host.go()
    time.sleep(rng.uniform(0.0, 2.0))
    p.host.come()
    assert p.host.is_there.wait(60)


def host_dies(p: Plant, rng: random.Random) -> None:
    p.host.die()
    time.sleep(rng.uniform(0.0, 2.0))
    p.host.come()
    assert p.host.is_there.wait(60)


def births_asked_for(p: Plant, rng: random.Random) -> None:
    p.host.ask_for_births(rng.choice((1, 1, 50)))


FAULTS: dict[str, tuple[int, Callable[[Plant, random.Random], None]]] = {
    "gateway killed": (4, kill_gateway),
    "gateway stopped": (2, stop_gateway),
    "server killed": (2, kill_server),
    "broker killed": (3, kill_broker),
    "host goes": (3, host_goes),
    "host dies": (3, host_dies),
    "births asked for": (3, births_asked_for),
    "broker link cut": (4, on_link("broker", Proxy.cut, 0.2)),
    "broker link refused": (2, on_link("broker", Proxy.refuse, 2.0)),
    "broker link stalled": (2, on_link("broker", Proxy.stall, LIMIT_S + 1)),
    "server link cut": (3, on_link("server", Proxy.cut, 0.2)),
    "server link refused": (2, on_link("server", Proxy.refuse, 2.0)),
}


@contextmanager
def plant(folder: Path) -> Iterator[Plant]:
    """Everything started and flowing."""
    source = {**SOURCE, "lifetime": "60s", "session_timeout": "10s", "request_timeout": "3s"}
    edge = {"device": "{machine}", "primary_host": "scada", "rebirth_interval": "1s", "host_timeout": "10s"}
    with ExitStack() as stack:
        enter = stack.enter_context
        broker = enter(mosquitto(folder, "max_inflight_messages 0"))
        factory = enter(running(Factory(folder, "--sample-hz", "10")))
        factory.wait_said("serving")
        host = enter(host_client(broker.url, SparkplugHost(enter(tahu()))))
        server_link, broker_link = enter(proxy_thread(factory.port)), enter(proxy_thread(broker.port))
        gateway = Gateway(
            folder, f"opc.tcp://127.0.0.1:{server_link.port}", f"mqtt://127.0.0.1:{broker_link.port}",
            sources=[{**source, "url": f"opc.tcp://127.0.0.1:{server_link.port}"}],
            broker={"url": f"mqtt://127.0.0.1:{broker_link.port}", **SINK, "connect_timeout": "2s"},
            payload={"format": "sparkplug", "sparkplug": edge},
        )  # fmt: skip
        enter(running(gateway))
        wait_until(lambda: len(host.judge.values) > 20, f"values; it said\n{gateway.log[-2000:]}", 60)
        yield Plant(factory, server_link, gateway, broker_link, broker, host)


def campaign(folder: Path, seed: int, faults: int, say: Callable[[str], None] = lambda line: None) -> Verdict:
    """Do so many faults, heal, and judge."""
    rng, verdict = random.Random(seed), Verdict(seed)
    names, weights = list(FAULTS), [weight for weight, _ in FAULTS.values()]
    with plant(folder) as p:
        for number in range(1, faults + 1):
            name = rng.choices(names, weights)[0]
            before = len(p.host.judge.violations)
            say(f"{number}/{faults} {name}")
            FAULTS[name][1](p, rng)
            verdict.faults[name] += 1
            if rng.random() < CALM:  # otherwise the next fault may meet what this one has left
                wait_until(lambda: p.gateway.ready, f"the gateway to be ready after {name}", 120)
            time.sleep(rng.uniform(0.2, 1.5))
            if len(p.host.judge.violations) > before:
                say(f"  {p.host.judge.violations[before][:300]}")
        say("healed: waiting for everything to arrive")
        p.gateway.wait_ready(120)
        until = served(p.factory.record)
        wait_until(lambda: not missing_of(until, p.host, ends=True)[0], "the last values served", 120)
        time.sleep(1.0)
        judge(verdict, until, p.host)
        (folder / "arrived.json").write_text(json.dumps(p.host.judge.values), encoding="utf-8")
    return verdict


def ms_of(text: str) -> int:
    """Whole milliseconds since 1970 of an instant with seven digits."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp())
    return seconds * 1000 + int(f"{fraction:0<7}"[:3])


def missing_of(
    truth: dict[str, list[Change]], host: HostClient, *, ends: bool = False
) -> tuple[dict[str, list[tuple[object, int]]], int]:
    """By variable: the changes that did not arrive after the first that did; and how many were looked for.

    `ends`: only the last change of each.
    """
    found: dict[str, list[tuple[object, int]]] = {}
    count = 0
    with host.lock:
        got = {name: {change.ms for change in changes} for name, changes in host.judge.values.items()}
    for name, changes in truth.items():
        _, machine, tag = name.split("/")
        arrived = got.get(f"{machine}/{tag}", set())
        made = [(value, ms_of(text)) for (value, text), before in zip(changes, [None, *changes], strict=False)
                if before is None or before[0] != value]  # fmt: skip
        first = next((place for place, (_, ms) in enumerate(made) if ms in arrived), len(made) - 1)
        wanted = made[first:]
        count += len(wanted)
        lost = [each for each in (wanted[-1:] if ends else wanted) if each[1] not in arrived]
        if lost:
            found[name] = lost
    return found, count


def judge(verdict: Verdict, truth: dict[str, list[Change]], host: HostClient) -> None:
    """Compare the record with what arrived; fill in the verdict."""
    missing, verdict.served = missing_of(truth, host)
    verdict.messages.update(host.judge.verbs)
    verdict.wrong += host.judge.violations
    gaps = [gap for name, changes in host.judge.values.items() if name.endswith(GAPS) for gap in _gaps(name, changes)]
    for name, lost in missing.items():
        _, machine, tag = name.split("/")
        for value, ms in lost:
            if any(covers(gap, machine, tag, ms) for gap in gaps):
                verdict.explained += 1
            else:
                verdict.wrong.append(f"{name}: {value!r} of {ms} is missing")
    verdict.arrived = verdict.served - sum(map(len, missing.values()))
    verdict.historical = sum(
        all(change.historical for change in changes if change.ms == ms)
        for changes in host.judge.values.values()
        for ms in {change.ms for change in changes if change.historical}
    )


def _gaps(name: str, changes: list[Reported]) -> Iterator[tuple[str, dict[str, object]]]:
    for change in changes:
        value = change.value
        if isinstance(value, str):
            for gap in json.loads(value):
                yield name.split("/")[0], gap


def covers(gap: tuple[str, dict[str, object]], machine: str, tag: str, ms: int) -> bool:
    device, told = gap
    names = told.get("names")
    since, until = ms_of(str(told.get("from_time", "1970-01-01T00:00:00"))), str(told.get("to_time", ""))
    return (
        device == machine
        and (not isinstance(names, list) or tag in names)
        and since <= ms + 1
        and (not until or ms <= ms_of(until) + 1)
    )
