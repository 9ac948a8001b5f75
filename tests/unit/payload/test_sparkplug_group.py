"""An edge node whose sources and broker change hands: what the next owners know from the log, judged by a host."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.delivery import Session
from gateway.errors import Unavailable
from gateway.link import Link
from gateway.model import Batch, Message, Tag
from gateway.payload.format import EncoderContext, SeesLink, SessionContext
from gateway.payload.sparkplug.encoder import SparkplugEncoder
from gateway.payload.sparkplug.form import SPARKPLUG
from gateway.payload.sparkplug.memory import Memory, first_alias
from gateway.payload.sparkplug.table import Definition, packed_table, table_of, unpacked_table
from gateway.values import Structure, Typed
from tests.support.payloads import TICKS, Counting, batch_of, config_of
from tests.support.sparkplug import SparkplugHost, Tahu, tahu
from tests.support.sparkplug_edge import Wire

SOURCES = ("line-1", "line-2")
A, S = Tag("a", "nsu=urn:u;i=1"), Tag("s", "nsu=urn:u;i=2")


@pytest.fixture(scope="module")
def reader() -> Iterator[Tahu]:
    with tahu() as found:
        yield found


class Log:
    """That of a group: records in order, and what was purged."""

    def __init__(self, **settings: object) -> None:
        self.payload = config_of({"format": "sparkplug", "topic": "x", "sparkplug": settings}).payload
        self.records: list[Message] = []
        self.counting = Counting()
        self.connections = 0
        self.cursor = 0
        """How many records have their verdict."""

    def memory(self, source: str = "") -> Memory:
        assert SPARKPLUG.remembers is not None
        made = SPARKPLUG.remembers(self.payload, "edge")
        assert isinstance(made, Memory)
        for message in self.records:
            if source in ("", message.source):
                made.learn(message)
        return made

    def purge(self) -> None:
        """What has its verdict goes, once the owners of the sources have repeated what it said."""
        kept = [message for source in SOURCES for message in self.memory(source).kept()]
        self.records[: self.cursor] = kept
        self.cursor = len(kept)


class SourceOwner:
    """The member that has a source, from its claim on."""

    def __init__(self, log: Log, source: str) -> None:
        self._log, self._source = log, source
        context = EncoderContext(log.payload, "edge", source, SOURCES, "edge.e1", shared=log.memory(source))
        made = SPARKPLUG.encoder(context)
        assert isinstance(made, SparkplugEncoder)
        self.encoder = made

    def put(self, *rows: tuple[int, object], at: int, tags: tuple[Tag, ...] = (A, S), handle: int = 0) -> None:
        ticks = [TICKS + 10_000_000 * (at + number) for number in range(len(rows))]
        batch = batch_of(list(rows), tags=list(tags), handles=[handle] * len(rows), ticks=ticks)
        self.store(batch)

    def store(self, batch: Batch) -> None:
        made = self.encoder.encode(replace(batch, source=self._source), self._log.counting.next_seq)
        self._log.records += self._log.counting.append(made)

    def link(self, is_up: bool) -> None:
        assert isinstance(self.encoder, SeesLink)
        made = self.encoder.link_changed(is_up, self._log.counting.next_seq)
        self._log.records += self._log.counting.append(made)


class BrokerOwner:
    """The member that has the broker, from its claim on."""

    def __init__(self, log: Log, folder: Path) -> None:
        self._log, self.is_lost = log, False
        self.memory, self._seen = log.memory(), len(log.records)
        assert SPARKPLUG.session is not None
        self.form = SPARKPLUG.session(SessionContext(log.payload, "edge", "b", folder, self.memory, dict, self))

    async def wait_caught_up(self) -> None:
        for message in self._log.records[self._seen :]:
            self.memory.learn(message)
        self._seen = len(self._log.records)

    async def count_connection(self, least: int = 0) -> int:
        await self.confirm()
        self._log.connections = max(self._log.connections + 1, least)
        return self._log.connections

    async def confirm(self) -> None:
        if self.is_lost:
            raise Unavailable("broker/b belongs to another member")

    @asynccontextmanager
    async def session(self, host: SparkplugHost, connects: int = 1) -> AsyncIterator[tuple[Session, Wire]]:
        """`connects`: how many CONNECTs it takes, each with a will of its own."""
        wire = Wire(host)
        wire.late = self.form.late()
        await self.form.prepare()
        for _ in range(connects):
            self.will = self.form.presence.will(datetime.now(UTC))
        async with self.form.around(wire, Link("b", "mqtt://h"), ()) as session:
            yield session, wire

    async def forward(self, session: Session, *, acknowledged: bool = True) -> None:
        """Send everything that has no verdict, in the order of the log."""
        await self.wait_caught_up()
        sent = [session.send(message) for message in self._log.records[self._log.cursor :]]
        if acknowledged and sent:
            await asyncio.wait(sent)
            self._log.cursor = len(self._log.records)


def told(host: SparkplugHost, name: str, since: int = 0) -> list[tuple[str, object, bool]]:
    return [(each.verb, each.value, each.historical) for each in host.values.get(name, [])[since:]]


def run(body: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(asyncio.wait_for(body(), 30))


def test_the_next_owner_of_the_broker_goes_on_with_all_births_and_what_was_not_acknowledged(
    reader: Tahu, tmp_path: Path
) -> None:
    """tck-id-topics-nbirth-bdseq-increment, tck-id-payloads-alias-uniqueness"""
    log, host = Log(), SparkplugHost(reader)

    async def body() -> None:
        owners = [SourceOwner(log, name) for name in SOURCES]
        for number, owner in enumerate(owners):
            owner.put((11, 1.5 + number), at=0)
            owner.put((12, "red"), at=1, handle=1)
        first = BrokerOwner(log, tmp_path)
        async with first.session(host) as (session, _):
            await first.forward(session)
            log.purge()
            owners[0].put((11, 2.5), (11, 3.5), at=2)
            await first.forward(session, acknowledged=False)
        host.see(first.will.topic, first.will.payload)  # it is dead: the broker publishes its will
        assert (host.bd_seq, host.is_online) == (0, False)
        before = {name: len(changes) for name, changes in host.values.items()}
        second = BrokerOwner(log, tmp_path)
        async with second.session(host) as (session, wire):
            assert wire.verbs == ["NBIRTH", "DBIRTH", "DBIRTH"]
            await second.forward(session)
            owners[0].put((11, 4.5), at=4)
            await second.forward(session)
        assert (host.bd_seq, host.is_online) == (1, True)
        assert told(host, "line-1/a", before["line-1/a"]) == [
            ("birth", 3.5, False), ("data", 2.5, True), ("data", 3.5, True), ("data", 4.5, False),
        ]  # fmt: skip
        assert told(host, "line-2/a", before["line-2/a"]) == [("birth", 2.5, False)]
        assert told(host, "line-2/s", before["line-2/s"]) == [("birth", "red", False)]
        host.see(first.will.topic, first.will.payload)  # late, and again: it is another one's death
        assert host.is_online
        assert host.violations == []

    run(body)


def test_the_next_owner_of_a_source_keeps_aliases_types_and_lives_and_needs_no_birth(
    reader: Tahu, tmp_path: Path
) -> None:
    """tck-id-payloads-template-definition-nbirth"""
    log, host = Log(), SparkplugHost(reader)

    def recipe(**fields: float) -> Structure:
        return Structure("Recipe", {name: Typed(11, value) for name, value in fields.items()})

    async def body() -> None:
        first, other = (SourceOwner(log, name) for name in SOURCES)
        first.put((11, 1.0), at=0)
        first.put((22, recipe(speed=1.0)), at=1, handle=1)
        other.put((22, recipe(speed=2.0, time=3.0)), at=1, handle=1)  # the same name with another content
        first.put((12, "text"), at=2)  # from now on a text
        broker = BrokerOwner(log, tmp_path)
        async with broker.session(host) as (session, wire):
            await broker.forward(session)
            log.purge()
            second = SourceOwner(log, "line-1")
            births, deaths = len(host.births), len(host.deaths)
            second.link(True)
            second.put((11, 5.0), at=3)
            second.put((22, recipe(speed=4.0)), at=4, handle=1)
            await broker.forward(session)
            assert (len(host.births), len(host.deaths)) == (births, deaths)
            assert wire.verbs[-2:] == ["DDATA", "DDATA"]
            assert told(host, "line-1/a")[-1] == ("data", "5.0", False)
            second.link(False)
            await broker.forward(session)
            assert host.deaths == ["line-1"]
            third = SourceOwner(log, "line-1")
            third.put((12, "back"), at=5)
            await broker.forward(session)
            assert "line-1" in host.devices
        assert sorted(name.partition("~")[0] for name in host.templates) == ["Recipe", "Recipe"]
        assert len(host.templates) == 2
        assert host.violations == []

    run(body)


def test_a_death_that_only_the_log_knows_is_in_the_births_of_the_next_owner(reader: Tahu, tmp_path: Path) -> None:
    log, host = Log(), SparkplugHost(reader)

    async def body() -> None:
        owner = SourceOwner(log, "line-1")
        owner.put((11, 1.0), at=0)
        owner.link(False)
        log.cursor = len(log.records)
        log.purge()
        broker = BrokerOwner(log, tmp_path)
        async with broker.session(host) as (session, wire):
            assert wire.verbs == ["NBIRTH"]
            assert broker.memory.sources_alive == 0
            owner.link(True)
            await broker.forward(session)
            assert wire.verbs == ["NBIRTH", "DBIRTH"]
        assert told(host, "line-1/a") == [("birth", 1.0, False)]
        assert host.violations == []

    run(body)


def test_who_has_lost_the_broker_sends_no_birth_and_no_number_is_used_twice(reader: Tahu, tmp_path: Path) -> None:
    log, host = Log(), SparkplugHost(reader)

    async def body() -> None:
        zombie, owner = BrokerOwner(log, tmp_path), BrokerOwner(log, tmp_path)
        async with zombie.session(host, connects=2):
            assert host.bd_seq == 1  # the first CONNECT was refused, and its will may come
        host.see(zombie.will.topic, zombie.will.payload)
        await zombie.form.prepare()
        zombie.is_lost = True
        async with owner.session(host):
            assert host.bd_seq == 3
        count = len(host.births)
        with pytest.raises(Unavailable):
            async with zombie.form.around(Wire(host), Link("b", "mqtt://h"), ()):
                raise AssertionError("it was born")
        with pytest.raises(Unavailable):
            await zombie.form.prepare()
        assert len(host.births) == count
        log.connections = 256
        host.is_online = False
        async with owner.session(host):
            assert host.bd_seq == 0

    run(body)


def test_a_memory_repeats_all_that_it_has_learned() -> None:
    log = Log()
    owner = SourceOwner(log, "line-1")
    owner.store(batch_of([(11, float(n)) for n in range(6000)], tags=[Tag(f"{n}", f"i={n}") for n in range(6000)],
                         ticks=[TICKS] * 6000))  # fmt: skip
    owner.put((11, 1.0), at=1, tags=(Tag("other", "nsu=urn:u;i=3"),))
    owner.link(False)
    memory = log.memory()
    log.records = list(memory.kept())
    again = log.memory()
    assert again.kept() == memory.kept()
    assert max(len(each.payload) for each in log.records) < 200_000
    [device] = again.node.devices.values()
    assert (device.is_alive, device.last_seq) == (False, max(log.counting.last.values()))


def test_a_long_table_is_stored_short() -> None:
    metrics = [Definition(f"hall-1/press-{n}/Temperature", n, 10, f"nsu=urn:plant;s={n}") for n in range(20_000)]
    table = table_of("d", "s", metrics, 1)
    packed = packed_table(table)
    assert unpacked_table(packed) == table
    assert len(packed) < 300_000


def test_sources_have_aliases_of_their_own_and_what_would_mix_them_up_is_refused() -> None:
    firsts = [first_alias(f"line-{number}") for number in range(1000)]
    assert min(abs(a - b) for a, b in zip(sorted(firsts), sorted(firsts)[1:], strict=False)) >= 2**18
    plain = Log().payload
    assert not SPARKPLUG.problem_in_group(plain, SOURCES)
    by_machine = Log(device="{machine}").payload
    assert "{source}" in SPARKPLUG.problem_in_group(by_machine, SOURCES)
    assert not SPARKPLUG.problem_in_group(by_machine, ["line-1"])
