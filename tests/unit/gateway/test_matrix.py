"""Each kind of change, whatever the peers are doing: the right ones connect again, nobody else notices, all arrives."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.config import Config
from gateway.delivery import DELIVERED
from tests.support.composition import Composition
from tests.support.forwarding import LATER, until
from tests.support.ports import free_port

Settings = dict[str, object]


@dataclass(frozen=True)
class Change:
    """What is different in the second configuration, and who has to connect again because of it."""

    source: Settings = field(default_factory=dict)
    """Of `s`."""
    broker: Settings = field(default_factory=dict)
    """Of `a`."""
    payload: Settings = field(default_factory=lambda: {"topic": "x/{source}"})
    outbox: Settings = field(default_factory=dict)
    another_port: bool = False
    secret: str = "one"
    connects: frozenset[str] = frozenset()
    changes: frozenset[str] = frozenset()
    """In place."""
    wanted: tuple[tuple[str, str], ...] = (("a", "s"), ("a", "t"), ("b", "s"), ("b", "t"))
    """Which broker is to get all of which source."""


BOTH = frozenset("ab")
CHANGES: dict[str, Change] = {
    "nothing": Change(),
    "secret file": Change(secret="two", connects=frozenset("a")),
    "url of a source": Change(source={"url": "opc.tcp://elsewhere:1"}, connects=frozenset("s")),
    "url of a broker": Change(broker={"url": "mqtt://elsewhere:1"}, connects=frozenset("a")),
    "payload": Change(payload={"topic": "x/{source}", "max_values": 3}, changes=BOTH),
    "topic": Change(payload={"topic": "y/{source}"}, changes=BOTH),
    "payload of a broker": Change(broker={"payload": {"topic": "z/{source}"}}, changes=frozenset("a")),
    "tags of a broker": Change(
        broker={"tags": [{"sources": ["s"]}]}, changes=frozenset("a"), wanted=(("a", "s"), ("b", "s"), ("b", "t"))
    ),
    "selection": Change(source={"select": [{"node": "i=1"}, {"node": "i=2"}]}, connects=frozenset("s")),
    "shaping": Change(source={"shape": {"rename": {"count": "n"}}}, changes=frozenset("s")),
    "bounds": Change(outbox={"max_bytes": "64MiB", "segment_bytes": "1MiB"}),
    "http": Change(another_port=True),
}


class Scene:
    """Two sources and two brokers, and what `s` and `a` are doing while the configuration changes."""

    def __init__(self, folder: Path, doing: str) -> None:
        self.composition = Composition(folder)
        self.server, self.broker = self.composition.servers["s"], self.composition.brokers["a"]
        self._doing = doing
        self._secret = folder / "secret"

    def config(self, change: Change) -> Config:
        self._secret.write_text(change.secret)
        self._secret.chmod(0o600)
        login = {"username": "u", "password": {"file": str(self._secret)}, "insecure": True}
        order = "newest-first" if self._doing == "with a backlog, newest first" else "in-order"
        replay = {"order": order, "delay": "20ms" if "backlog" in self._doing else "10s"}
        http = {"port": free_port()} if change.another_port else {"port": 0}
        broker = {**login, "replay": replay, **change.broker}
        return self.composition.config(
            {"s": change.source}, {"a": broker}, outbox=self.composition.outbox | change.outbox,
            payload=change.payload, http=http,
        )  # fmt: skip

    async def arrange(self) -> None:
        """Bring `s` and `a` to what they are to be doing."""
        gateway = self.composition.gateway
        await until(lambda: all(link.is_up for link in gateway.links))
        self.composition.produce(20)
        await until(lambda: all(map(self.composition.has_all, "ab")))
        await gateway.outbox.wait_empty()
        queue = gateway.queues["a"]
        if self._doing == "away":
            self.server.go()
            self.broker.go()
            await until(
                lambda: (
                    not self.composition.gateway.sources["s"].is_up and not self.composition.gateway.brokers["a"].is_up
                )
            )
        elif self._doing == "with refused messages":
            self.broker.verdict = lambda message: LATER if message.source == "s" else DELIVERED
        elif self._doing != "up":
            self.broker.verdict = lambda message: None
        self.composition.produce(200)
        await until(lambda: self.composition.has_all("b", "t"))
        if self._doing == "with refused messages":
            await until(
                lambda: queue.refused.messages > 0 and queue.reader.messages == 0 == queue.refused_reader.unread
            )
        elif "backlog" in self._doing:
            await until(lambda: bool(self.broker.waiting) and queue.reader.messages > 10)

    def resolve(self) -> None:
        """Let all arrive."""
        self.server.is_there = self.broker.is_there = True
        self.broker.verdict = lambda message: DELIVERED
        self.broker.answer(DELIVERED)


DOING = ("up", "away", "with refused messages", "with a backlog, in order", "with a backlog, newest first")


@pytest.mark.parametrize("doing", DOING)
@pytest.mark.parametrize("name", CHANGES)
def test_a_change_reconnects_only_its_peers_and_everything_arrives(name: str, doing: str, tmp_path: Path) -> None:
    change, scene = CHANGES[name], Scene(tmp_path, doing)
    composition = scene.composition

    async def body() -> None:
        async with composition.running(scene.config(Change())):
            await scene.arrange()
            before, http = counts(composition), composition.gateway.http
            wanted = scene.config(change)
            changes, needs_restart = await composition.peers.take(wanted)
            assert needs_restart == []
            assert {*changes.sources.connected_again, *changes.brokers.connected_again} == change.connects
            assert {*changes.sources.changed, *changes.brokers.changed} == change.changes
            assert (changes.told == {}) == (name == "nothing")
            assert (composition.gateway.http is http) == (name != "http")
            scene.resolve()
            composition.produce(20)
            await until(lambda: all(composition.has_all(broker, source) for broker, source in change.wanted))
            await composition.gateway.outbox.wait_empty()
            await until(lambda: composition.gateway.queues["a"].stored_values == 0)
            connected = {name for name, count in counts(composition).items() if count > before[name]}
            away = {"s", "a"} if doing == "away" else set()
            assert connected == change.connects | away
            assert composition.server_config("s") == wanted.sources[0] or "s" not in change.connects
            assert all(composition.books(broker).balance for broker in "ab")
            assert sum(composition.books(broker).dropped for broker in "ab") == 0

    asyncio.run(asyncio.wait_for(body(), 60))


def counts(composition: Composition) -> dict[str, int]:
    """How often each server and broker was connected to."""
    return {name: server.connections for name, server in composition.servers.items()} | {
        name: broker.sessions for name, broker in composition.brokers.items()
    }
