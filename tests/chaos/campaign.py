"""A seeded campaign of faults against the whole chain, and the verdict: is every hole explained?

    python -m tests.chaos.campaign --faults 200 --seed 7

Simulators, proxy, gateway, proxy, mosquitto, and a checking subscriber, all as real processes.  One fault after
another is drawn from the seed (`faults.py`): programs are killed, links are cut, stalled, half-opened and slowed, files
are reloaded, somebody has our client id.  Then everything is healed and the simulators' own record is compared with
what arrived.  A value that did not arrive must be covered by a gap that was announced in its stream; numbers must be
contiguous; order must hold; the retained presence must say that the gateway is there, and what is retained of each
variable must be its last value.  Meanwhile the server's sequence numbers fall back at random moments.
"""

import argparse
import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos import commands, group, group_sparkplug, sparkplug
from tests.chaos.faults import FAULTS, LAST_ROOT, Plant
from tests.chaos.verdict import counts_of, folder_for, text_of
from tests.support.brokers import mosquitto
from tests.support.ports import free_port
from tests.support.programs import SOURCE, Factory, Gateway, running, wait_until
from tests.support.record import Change, arrived, last_change, served
from tests.support.subscribed import subscribed
from tests.support.subscriber import Subscriber, rows_of, subscriber
from tests.support.threaded import proxy_thread

TOPIC_ROOT = "factory/hall-1/"
HALL: dict[str, object] = {
    "subtree": "nsu=urn:connected-factory:simulator;s=hall-1",
    "levels": ["line", "machine"],
}
FALL_BACK = "faults: [{kind: numbers_fall_back, every: {law: exponential, mean: 45s}}]"
GROUPS = (
    {
        **HALL,
        "include": ["*/*/*Temperature", "*/*/Energy"],
        "publishing_interval": "700ms",
        "sampling_interval": "100ms",
    },
    {**HALL, "include": ["*/*/*"]},
)
"""Two subscriptions: what the first takes is not in the second."""


@dataclass
class Report:
    """What was done, and what was found."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    values_served: int = 0
    values_arrived: int = 0
    values_explained: int = 0
    """Missing, and covered by an announced gap."""
    gaps: Counter[str] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        facts = [
            f"seed {self.seed}: {self.faults.total()} faults ({counts_of(self.faults)})",
            f"{self.values_served} values served, {self.values_arrived} arrived, {self.values_explained} missing and"
            f" explained by a gap (announced: {counts_of(self.gaps)})",
        ]
        return text_of(facts, self.unexplained)


@contextmanager
def plant(folder: Path) -> Iterator[Plant]:
    """Everything started and flowing."""
    source = {**SOURCE, "select": GROUPS, "lifetime": "60s", "session_timeout": "10s", "request_timeout": "3s"}
    with ExitStack() as stack:
        enter = stack.enter_context
        broker = enter(mosquitto(folder, "max_inflight_messages 0"))
        faults, fault_log = folder / "faults.yaml", folder / "faults.jsonl"
        faults.write_text(FALL_BACK, encoding="utf-8")
        options = ("--sample-hz", "10", "--faults", str(faults), "--fault-log", str(fault_log))
        factory = enter(running(Factory(folder, *options)))
        factory.wait_said("serving")
        checker = enter(subscriber(broker.url))
        server_link, broker_link = enter(proxy_thread(factory.port)), enter(proxy_thread(broker.port))
        sources = [{**source, "url": f"opc.tcp://127.0.0.1:{server_link.port}"}]
        gateway = Gateway(folder, "", "", sources=sources)
        found = Plant(factory, server_link, gateway, broker_link, broker, checker, free_port())
        gateway.configure(broker=None, brokers=found.brokers())
        enter(running(gateway))
        checker.wait_values(50)
        yield found


def campaign(folder: Path, seed: int, faults: int, say: Callable[[str], None] = lambda line: None) -> Report:
    """Do so many faults, heal, and judge."""
    rng, report = random.Random(seed), Report(seed)
    names, weights = list(FAULTS), [weight for weight, _ in FAULTS.values()]
    with plant(folder) as p:
        for number in range(1, faults + 1):
            name = rng.choices(names, weights)[0]
            say(f"{number}/{faults} {name}")
            FAULTS[name][1](p, rng)
            report.faults[name] += 1
            time.sleep(rng.uniform(0.2, 1.5))
        say("healed: waiting for everything to arrive")
        p.gateway.wait_ready(120)
        until = served(p.factory.record)
        _keep(folder / "arrived.jsonl", p.checker)
        wait_until(lambda: _all_there(until, arrived(p.checker.changes)), "the last values served", 120)
        messages = list(p.checker.messages)  # before the record is read: what arrives later may not be in it
        judge(report, served(p.factory.record), Subscriber(messages))
        report.unexplained += wrong_presence(p.broker.url)
        report.unexplained += wrong_last_values(p.broker.url, until)
        report.faults["numbers fall back"] = (folder / "faults.jsonl").read_text("utf-8").count("numbers_fall_back")
        _keep(folder / "arrived.jsonl", p.checker)
    return report


def wrong_presence(url: str) -> list[str]:
    """What is wrong with what somebody who comes now learns of the gateway."""
    states = ["nothing"]
    topics, came = ("gateways/edge/presence",), threading.Event()

    def take(topic: str, payload: bytes) -> None:
        states.append(str(json.loads(payload)["state"]))

    with subscribed(url, topics, take, came, client_id="consumer"):
        with suppress(AssertionError):
            wait_until(lambda: states[-1] == "online", "the presence to say online", 60)
        return [] if states[-1] == "online" else [f"the retained presence says {states[-1]}"]


def wrong_last_values(url: str, served_by_then: dict[str, list[Change]]) -> list[str]:
    """What somebody who comes now is not told of the variables, or told too late."""
    told: dict[str, str] = {}
    """The source time by variable.  Those of a machine share a stream, so they come in any order."""

    def take(topic: str, payload: bytes) -> None:
        for row in rows_of(json.loads(payload)):
            told[topic.removeprefix(LAST_ROOT)] = str(row["time"])

    def missing() -> list[str]:
        return [name for name, made in served_by_then.items() if told.get(name, "") < last_change(made)]

    with subscribed(url, (f"{LAST_ROOT}#",), take, threading.Event(), client_id="latecomer"):
        with suppress(AssertionError):
            wait_until(lambda: not missing(), "the last value of each variable", 30)
        return [f"{name}: its last value is not retained" for name in missing()]


def _keep(path: Path, checker: Subscriber) -> None:
    """What arrived, as it arrived, for whoever has to find out why."""
    lines = (json.dumps({"topic": topic, **body}) for topic, body in list(checker.messages))
    path.write_text("\n".join(lines), encoding="utf-8")


def _all_there(until: dict[str, list[Change]], got: dict[str, list[Change]]) -> bool:
    return all(name in got and last_change(changes) <= got[name][-1][1] for name, changes in until.items())


def judge(report: Report, truth: dict[str, list[Change]], checker: Subscriber) -> None:
    """Compare the record with what arrived; fill in the report."""
    got = arrived(checker.changes)
    gaps = announced(checker)
    report.gaps.update(str(gap["cause"]) for gap in checker.gaps)
    report.unexplained += checker.missing
    for name, expected in truth.items():
        found = got.get(name, [])
        report.values_served += len(expected)
        report.values_arrived += len(found)
        for time_text, problem in holes(expected, found):
            if any(names is None or name.split("/")[-1] in names for names in covering(gaps, name, time_text)):
                report.values_explained += 1
            else:
                report.unexplained.append(f"{name}: {problem}")


def holes(expected: list[Change], found: list[Change]) -> Iterator[tuple[str, str]]:
    """(source time, sentence) of every change that was served after the first that arrived and is not there."""
    place, previous = 0, None
    for change in found:
        if change not in expected[place:]:
            yield change[1], f"{change} was never served, or came out of order"
            continue
        at = expected.index(change, place)
        if previous is not None:
            last = previous[0]
            for skipped in expected[place:at]:
                if skipped[0] != last:
                    yield skipped[1], f"{skipped} is missing"
                last = skipped[0]
        place, previous = at + 1, change


def announced(checker: Subscriber) -> dict[str, list[tuple[str, str, list[str] | None]]]:
    """By topic below the root: (from, to, names or None for all) of every gap."""
    topics = {str(body["stream"]): topic.removeprefix(TOPIC_ROOT) for topic, body in list(checker.messages)}
    found: dict[str, list[tuple[str, str, list[str] | None]]] = {}
    for stream, bodies in checker.streams.items():
        for body in bodies:
            rows = rows_of({"values": body.get("gaps", [])})
            for gap in rows:
                names = gap.get("names")
                entry = (
                    str(gap.get("from_time", "")),
                    str(gap.get("to_time", "9")),
                    names if isinstance(names, list) else None,
                )
                found.setdefault(topics[stream], []).append(entry)
    return found


def covering(
    gaps: dict[str, list[tuple[str, str, list[str] | None]]], name: str, time_text: str
) -> Iterator[list[str] | None]:
    """The names that the gaps around an instant speak of, in the stream of this variable."""
    for since, until, names in gaps.get(name.rsplit("/", 1)[0], []):
        if since <= time_text <= until:
            yield names


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--commands", type=int, help="a campaign of so many commands instead (`commands.py`)")
    parser.add_argument(
        "--sparkplug", type=int, help="a campaign of so many faults against an edge node (`sparkplug.py`)"
    )
    parser.add_argument("--group", type=int, help="a campaign of so many faults against a group (`group.py`)")
    parser.add_argument(
        "--sparkplug-group", type=int, help="so many faults against an edge node of a group (`group_sparkplug.py`)"
    )
    parser.add_argument("--only", help="with --group: this fault alone, by its name or the beginning of it")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--keep", type=Path, help="keep logs, record and outbox in this folder")
    options = parser.parse_args()
    with folder_for(options.keep) as folder:
        if options.sparkplug is not None:
            found = sparkplug.campaign(folder, options.seed, options.sparkplug, commands.to_error_output)
            print(found.text)
            return 1 if found.wrong else 0
        if options.sparkplug_group is not None:
            found = group_sparkplug.campaign(folder, options.seed, options.sparkplug_group, commands.to_error_output)
            print(found.text)
            return 1 if found.wrong else 0
        if options.group is not None:
            judged = group.campaign(
                folder, options.seed, options.group, commands.to_error_output, only=options.only or ""
            )
            print(judged.text)
            return 1 if judged.wrong else 0
        if options.commands is not None:
            verdict = commands.campaign(folder, options.seed, options.commands, commands.to_error_output)
            print(verdict.text)
            return 1 if verdict.wrong else 0
        report = campaign(folder, options.seed, options.faults, lambda line: print(line, file=sys.stderr, flush=True))
    print(report.text)
    return 1 if report.unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
