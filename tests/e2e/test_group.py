"""A group of real gateways: a member dies, another leaves in order, and nothing is missing at the broker.

Chromium looks at the live page of the member that takes over: who has what, before and after a work is moved.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from docker.grafana.render.picture import chromium
from tests.chaos.group import log_reader
from tests.e2e.test_logs_as_brokers import from_jetstream, from_kafka, has_stream
from tests.support.browser import Page, browsing
from tests.support.group_plant import GROUP, MemberProgram, group_plant
from tests.support.kafka_mock import kafka_mock
from tests.support.load_checker import LoadChecker
from tests.support.load_server import LoadServer
from tests.support.nats_cluster import Cluster
from tests.support.panels import LIVE, wait_answers
from tests.support.programs import ROOT, wait_until
from tests.support.prometheus import prometheus

TAGS, RATE_HZ = 20, 5.0
BUSY_S = 6.0
"""How much longer than promised it may take on a machine that does other things as well."""


Take = Callable[[str, bytes], None]


class Found:
    """What the consumer of a log finds, by server."""

    def __init__(self, servers: Sequence[LoadServer]) -> None:
        self.checkers = [LoadChecker(TAGS, server.began_ns / 1e9, 1 / RATE_HZ) for server in servers]

    def take(self, topic: str, payload: bytes) -> None:
        name, source, *_ = topic.replace(".", "/").split("/")
        if name == "load":
            self.checkers[int(source.removeprefix("s"))].take(payload)


def found_with(last: list[int], servers: Sequence[LoadServer], read: Callable[[Take], None]) -> Found:
    """What is found when the last values have come."""
    found = Found(servers)

    def look() -> bool:
        nonlocal found
        found = Found(servers)
        read(found.take)
        return [int(checker.last.min()) for checker in found.checkers] == last

    wait_until(look, "the log to have the last values", 60)
    return found


def told(command: str, member: MemberProgram, *words: str) -> dict[str, str]:
    """What `gateway group` answers: for `status`, the member of each source."""
    json_too = ("--json",) if command == "status" else ()
    program = [sys.executable, "-m", "gateway", "group", command, str(member.config_path), *words, *json_too]
    answer = subprocess.run(program, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    works = json.loads(answer.stdout)["works"] if json_too else []
    return {work["work"].partition("/")[2]: work["member"] for work in works}


AXE = ROOT / "tests/peers/node_modules/axe-core/axe.min.js"


class Looking:
    """The section of a group on the live page of a member."""

    ROWS = "[...document.querySelectorAll('#group tbody tr')].map(row => row.innerText.split(/\\s+/).filter(Boolean))"

    def __init__(self, runner: asyncio.Runner, page: Page, member: MemberProgram) -> None:
        self._runner, self._page, self._ours = runner, page, member.member

    def sees(self, owners: dict[str, str]) -> None:
        """Each of these works, of whom it is, and since when."""

        def row(work: str, owner: str) -> list[str]:
            kind, _, name = work.partition("/")
            return [name, kind, owner, *(["this", "gateway"] if owner == self._ours else [])]

        wanted = sorted(row(*each) for each in owners.items())
        names = json.dumps([name for name, *_ in wanted])
        asked = f"{self.ROWS}.filter(row => {names}.includes(row[0])).map(row => row.slice(0, -1))"
        told = f"JSON.stringify({asked}.sort())"
        self._runner.run(self._page.wait(f"{told} === {json.dumps(json.dumps(wanted, separators=(',', ':')))}"))

    def has_no_barrier(self) -> None:
        self._runner.run(self._page.ask(f"{AXE.read_text(encoding='utf-8')};true"))
        found = "axe.run('#group-section', {resultTypes: ['violations']}).then(found => found.violations)"
        assert self._runner.run(self._page.ask(found)) == []


@contextmanager
def looking_at(member: MemberProgram) -> Iterator[Looking]:
    with asyncio.Runner() as runner:
        browser = browsing()
        page = runner.run(browser.__aenter__())
        try:
            runner.run(page.open(f"http://127.0.0.1:{member.http_port}"))
            said = f"The group {GROUP}; this gateway is its member {member.member}."
            runner.run(page.wait(f"document.querySelector('#group-section')?.innerText.includes({json.dumps(said)})"))
            yield Looking(runner, page, member)
            assert page.complaints == []
        finally:
            runner.run(browser.__aexit__(None, None, None))


@pytest.mark.skipif(chromium() is None or not AXE.exists(), reason="needs Chromium and axe-core")
def test_members_come_and_go_and_every_value_arrives_once_in_order(tmp_path: Path) -> None:
    """At a broker, in a stream of JetStream, and in Kafka (librdkafka's mock), each with an owner of its own."""

    def logs_too(cluster: Cluster) -> list[dict[str, object]]:
        asyncio.run(has_stream(cluster, "gateways.>", "load.>"))
        mocked.tell("topic factory 4")
        return [
            {"name": "nats", "url": cluster.servers[0], "fallback": cluster.servers[1:]},
            {"name": "kafka", "url": mocked.url},
        ]

    with (
        kafka_mock() as mocked,
        group_plant(tmp_path, members=2, servers=2, tags=TAGS, proxied=False, more_brokers=logs_too) as plant,
        log_reader(plant.cluster.servers) as log,
    ):
        seen = prometheus(tmp_path, {member.member: member.http_port for member in plant.members}, {})
        killed, left = sorted(plant.members, key=lambda member: "broker/nats" not in member.holds)
        killed.kill()
        at_s = time.monotonic()
        wait_until(lambda: len(left.holds) == 5, "the other member to take everything over", 60)
        assert time.monotonic() - at_s < plant.presence_s + 2 + BUSY_S
        plant.wait_caught_up(60)
        assert told("status", left)["s0"] == left.member
        works = ("broker/broker", "broker/kafka", "broker/nats", "source/s0", "source/s1")
        with seen as server, looking_at(left) as look:
            look.sees(dict.fromkeys(works, left.member))
            look.has_no_barrier()
            killed.restart()
            killed.wait_said("started", times=2)
            told("move", left, "s0", killed.member)
            wait_until(lambda: "source/s0" in killed.holds, "the work to move", 2 + BUSY_S)
            look.sees({"source/s0": killed.member})  # others may have followed: shares are evened out
            wait_answers(server.url, LIVE, 60, in_group=True)  # every panel of the dashboard of groups
        assert left.stop() == 0
        wait_until(lambda: len(killed.holds) == 5, "the first member to take everything back", 2 + BUSY_S)
        plant.finish()
        for checker in plant.checkers:
            assert (checker.holes, checker.gaps, checker.disordered) == ([], [], 0)
            assert not +checker.problems
        last = [int(checker.last.min()) for checker in plant.checkers]
        in_nats = found_with(last, plant.servers, lambda take: asyncio.run(from_jetstream(plant.cluster, take)))
        in_kafka = found_with(last, plant.servers, lambda take: from_kafka({"name": "kafka", "url": mocked.url}, take))
        for found in (in_nats, in_kafka):
            for checker in found.checkers:
                assert (checker.holes, checker.gaps, checker.disordered) == ([], [], 0)
                assert (checker.values, checker.numbers_missing) == (checker.owed, [])
                assert not +checker.problems
        assert [checker.repeated_messages for checker in in_nats.checkers] == [0, 0], "it knows them by their ids"
        assert log.wrong == []
        assert log.take_overs >= 4
