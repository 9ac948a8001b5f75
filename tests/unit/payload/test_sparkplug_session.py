"""What an edge node does on a connection, judged by a host that reads with Eclipse Tahu."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.delivery import DELIVERED, Session, Verdict
from gateway.errors import Unavailable
from gateway.link import Link
from gateway.model import Tag
from gateway.payload.sparkplug.wire import double_field, field, number_field
from gateway.values import Structure, Typed
from tests.support.payloads import TICKS, batch_of
from tests.support.sparkplug import SparkplugHost, Tahu, tahu
from tests.support.sparkplug_edge import BARRIER, Plant, Wire, settled

NCMD = "spBv1.0/factory/NCMD/edge"
STATE = "spBv1.0/STATE/scada"
A, B = Tag("a", "nsu=urn:u;i=1"), Tag("b", "nsu=urn:u;i=2")
REBIRTH = number_field(1, 1) + field(2, field(1, b"Node Control/Rebirth") + number_field(4, 11) + number_field(14, 1))


@pytest.fixture(scope="module")
def reader() -> Iterator[Tahu]:
    with tahu() as found:
        yield found


def state(online: bool, at_ms: int) -> bytes:
    return json.dumps({"online": online, "timestamp": at_ms}).encode()


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await body()

    asyncio.run(bounded())


def put(plant: Plant, *values: float, tags: tuple[Tag, ...] = (A,), at: int = 0, handle: int = 0) -> None:
    ticks = [TICKS + 10_000_000 * (at + n) for n in range(len(values))]
    plant.store(batch_of([(11, v) for v in values], tags=list(tags), handles=[handle] * len(values), ticks=ticks))


def host_of(wire: Wire) -> SparkplugHost:
    assert wire.host is not None
    return wire.host


def data(wire: Wire, name: str = "line-1/a") -> list[tuple[object, bool]]:
    """Values and flags of a metric, births left out."""
    return [(change.value, change.historical) for change in host_of(wire).values.get(name, []) if change.verb == "data"]


def test_births_come_first_and_a_row_that_a_birth_contains_is_historical(reader: Tahu, tmp_path: Path) -> None:
    """tck-id-message-flow-edge-node-ncmd-subscribe, tck-id-payloads-nbirth-bdseq, tck-id-payloads-nbirth-bdseq-repeat,
    tck-id-payloads-nbirth-rebirth-req, tck-id-payloads-nbirth-timestamp, tck-id-payloads-nbirth-seq,
    tck-id-payloads-dbirth-timestamp, tck-id-payloads-dbirth-seq, tck-id-payloads-dbirth-seq-inc,
    tck-id-payloads-ddata-timestamp, tck-id-payloads-ddata-seq, tck-id-payloads-ddata-seq-inc,
    tck-id-payloads-ddata-order, tck-id-payloads-dbirth-order, tck-id-payloads-name-requirement,
    tck-id-payloads-alias-birth-requirement, tck-id-payloads-alias-data-cmd-requirement,
    tck-id-payloads-metric-datatype-req, tck-id-payloads-metric-datatype-not-req, tck-id-payloads-timestamp-in-UTC,
    tck-id-topics-nbirth-metrics, tck-id-topics-nbirth-metric-reqs, tck-id-topics-nbirth-timestamp,
    tck-id-topics-dbirth-metrics, tck-id-topics-dbirth-metric-reqs, tck-id-topics-dbirth-timestamp,
    tck-id-topics-ddata-payload, tck-id-topics-ddata-timestamp,
    tck-id-operational-behavior-data-publish-dbirth, tck-id-operational-behavior-data-publish-dbirth-change,
    tck-id-operational-behavior-data-publish-dbirth-values, tck-id-operational-behavior-data-publish-nbirth,
    tck-id-operational-behavior-data-publish-nbirth-values, tck-id-operational-behavior-data-publish-nbirth-order,
    tck-id-operational-behavior-data-commands-rebirth-name,
    tck-id-operational-behavior-data-commands-rebirth-name-aliases,
    tck-id-operational-behavior-data-commands-rebirth-datatype,
    tck-id-operational-behavior-data-commands-rebirth-value,
    tck-id-message-flow-edge-node-birth-publish-nbirth-topic,
    tck-id-message-flow-edge-node-birth-publish-nbirth-payload,
    tck-id-message-flow-edge-node-birth-publish-nbirth-payload-bdSeq,
    tck-id-message-flow-edge-node-birth-publish-nbirth-payload-seq,
    tck-id-message-flow-device-birth-publish-nbirth-wait, tck-id-message-flow-device-birth-publish-dbirth-topic,
    tck-id-message-flow-device-birth-publish-dbirth-match-edge-node-topic,
    tck-id-message-flow-device-birth-publish-dbirth-payload,
    tck-id-message-flow-device-birth-publish-dbirth-payload-seq
    """
    plant = Plant(tmp_path)

    async def body() -> None:
        put(plant, 1.0)
        async with plant.session(reader) as (session, wire):
            assert NCMD in wire.topics
            assert wire.got[0][0] == BARRIER
            sent = plant.forward(session)
            await asyncio.wait(sent)
            put(plant, 2.0, at=1)
            await asyncio.wait(plant.forward(session))
        assert wire.verbs == ["NBIRTH", "DBIRTH", "DDATA", "DDATA"]
        assert data(wire) == [(1.0, True), (2.0, False)]
        assert not host_of(wire).violations
        assert not plant.stored

    run(body)


def test_a_row_leaves_the_outbox_when_the_barrier_behind_it_is_acknowledged(tmp_path: Path) -> None:
    plant = Plant(tmp_path)

    async def body() -> None:
        put(plant, 1.0)
        async with plant.session() as (session, wire):
            await asyncio.wait(plant.forward(session))
            wire.answers_at_once = False
            put(plant, 2.0, at=1)
            first = plant.forward(session)
            await settled()
            put(plant, 3.0, at=2)
            second = plant.forward(session)[-1]
            await settled()
            assert [message.topic for message, _ in wire.open] == [BARRIER]
            assert not any(future.done() for future in (*first, second))
            wire.acknowledge()
            await settled()
            assert first[0].result() is DELIVERED
            assert not second.done()
            wire.acknowledge()
            await settled()
            assert second.result() is DELIVERED

    run(body)


def test_what_no_barrier_confirmed_comes_again_after_the_births_as_historical(reader: Tahu, tmp_path: Path) -> None:
    plant = Plant(tmp_path)

    async def body() -> None:
        async with plant.session(reader) as (session, wire):
            put(plant, 1.0)
            await asyncio.wait(plant.forward(session))
            wire.answers_at_once = False
            put(plant, 2.0, 3.0, at=1)
            sent = plant.forward(session)
            await settled()
            wire.cut()
            await settled()
            assert all(isinstance(future.exception(), Unavailable) for future in sent)
        assert len(plant.stored) == 1
        put(plant, 4.0, at=5)
        async with plant.session(reader) as (session, wire):
            await asyncio.wait(plant.forward(session))
            put(plant, 5.0, at=6)
            await asyncio.wait(plant.forward(session))
        assert wire.verbs[:2] == ["NBIRTH", "DBIRTH"]
        assert data(wire) == [(2.0, True), (3.0, True), (4.0, True), (5.0, False)]
        assert host_of(wire).values["line-1/a"][0].value == 4.0
        assert not host_of(wire).violations

    run(body)


def test_after_a_restart_rows_find_their_table_and_come_before_a_death_if_the_server_is_away(
    reader: Tahu, tmp_path: Path
) -> None:
    """tck-id-operational-behavior-device-ddeath, tck-id-payloads-ddeath-timestamp, tck-id-payloads-ddeath-seq,
    tck-id-payloads-ddeath-seq-inc, tck-id-payloads-ddeath-seq-number
    """
    plant = Plant(tmp_path)

    async def body() -> None:
        async with plant.session() as (session, wire):
            put(plant, 1.0)
            await asyncio.wait(plant.forward(session))
        put(plant, 2.0, at=1)
        plant.start()
        plant.link(False)
        async with plant.session(reader) as (session, wire):
            await asyncio.wait(plant.forward(session))
        assert wire.verbs == ["NBIRTH", "DBIRTH", "DDATA", "DDEATH"]
        assert data(wire) == [(2.0, True)]
        assert not host_of(wire).violations

    run(body)


def test_a_server_that_goes_and_comes_back_is_a_death_and_a_birth(reader: Tahu, tmp_path: Path) -> None:
    plant = Plant(tmp_path)

    async def body() -> None:
        async with plant.session(reader) as (session, wire):
            put(plant, 1.0)
            await asyncio.wait(plant.forward(session))
            plant.link(False)
            await asyncio.wait(plant.forward(session))
            assert wire.verbs[-1] == "DDEATH"
            plant.link(True)
            await asyncio.wait(plant.forward(session))
            assert wire.verbs[-1] == "DBIRTH"
            put(plant, 2.0, at=1)
            await asyncio.wait(plant.forward(session))
            assert data(wire)[-1] == (2.0, False)
        assert not host_of(wire).violations

    run(body)


def test_a_host_that_asks_gets_all_births_and_a_storm_of_requests_gets_two(reader: Tahu, tmp_path: Path) -> None:
    """tck-id-operational-behavior-data-commands-rebirth-action-1,
    tck-id-operational-behavior-data-commands-rebirth-action-2,
    tck-id-operational-behavior-data-commands-rebirth-action-3
    """
    plant = Plant(tmp_path, rebirth_interval="200ms")

    async def body() -> None:
        async with plant.session(reader) as (session, wire):
            put(plant, 1.0)
            await asyncio.wait(plant.forward(session))
            for _ in range(100):
                wire.say(NCMD, REBIRTH)
            wire.say(NCMD, b"\xff\xff nonsense")
            wire.say(NCMD, number_field(1, 1))
            await wire.wait(lambda: wire.verbs.count("NBIRTH") == 3)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await wire.wait(lambda: wire.verbs.count("NBIRTH") > 3)
            assert wire.verbs == ["NBIRTH", "DBIRTH", "DDATA", *["NBIRTH", "DBIRTH"] * 2]
        assert not host_of(wire).violations
        assert {host_of(wire).bd_seq} == {0}

    run(body)


def test_more_tags_have_the_node_born_again_and_at_most_every_interval(reader: Tahu, tmp_path: Path) -> None:
    plant = Plant(tmp_path, rebirth_interval="200ms")
    more = tuple(Tag(f"t{n}", f"i={n}") for n in range(20))

    async def body() -> None:
        async with plant.session(reader) as (session, wire):
            put(plant, 1.0)
            await asyncio.wait(plant.forward(session))
            sent = []
            for count in range(1, 21):
                put(plant, float(count), tags=(A, *more[:count]), at=count, handle=count)
                sent += plant.forward(session)[-2:]
            await asyncio.wait(sent)
        births = wire.verbs.count("NBIRTH")
        assert 2 <= births <= 4
        found = host_of(wire)
        assert [data(wire, f"line-1/t{n}")[0][0] for n in range(20)] == [float(n) for n in range(1, 21)]
        assert not found.violations

    run(body)


def test_rows_of_an_older_table_come_after_a_birth_of_that_table(reader: Tahu, tmp_path: Path) -> None:
    plant = Plant(tmp_path, rebirth_interval="10ms")

    async def body() -> None:
        put(plant, 1.0, tags=(A, B))
        put(plant, 2.0, tags=(A, B), handle=1, at=1)
        plant.start()
        put(plant, 3.0, tags=(A,), at=2)
        async with plant.session(reader) as (session, wire):
            await asyncio.wait(plant.forward(session))
        assert data(wire, "line-1/b") == [(2.0, True)]
        assert [value for value, _ in data(wire)] == [1.0, 3.0]
        assert {metric["name"] for metric in host_of(wire).devices["line-1"].values()} == {"a", "Gateway/Gaps"}
        assert not host_of(wire).violations

    run(body)


def test_a_device_whose_birth_the_broker_cannot_take_is_refused_and_the_others_go_on(tmp_path: Path) -> None:
    plant = Plant(tmp_path, device="{machine}")
    many = [Tag(f"a-long-name-of-a-metric-{n}", f"i={n}", {"machine": "big"}) for n in range(100)]
    tags = [*many, Tag("x", "i=x", {"machine": "small"})]

    async def body() -> None:
        async with plant.session(wire=Wire(None, most_bytes=2000)) as (session, wire):
            plant.store(batch_of([(6, 1), (6, 2)], tags=tags, handles=[0, 100]))
            done, _ = await asyncio.wait(plant.forward(session))
            outcomes = [future.result() for future in done]
            assert {outcome.verdict for outcome in outcomes} == {Verdict.DELIVERED, Verdict.NEVER}
            assert {o.reason for o in outcomes if o.verdict is Verdict.NEVER} == {"too_large"}
            assert "DDATA" in wire.verbs

    run(body)


def test_nothing_is_born_before_the_primary_host_is_online_and_its_end_ends_the_session(
    reader: Tahu, tmp_path: Path
) -> None:
    """tck-id-message-flow-edge-node-birth-publish-phid-wait, tck-id-operational-behavior-edge-node-birth-sequence-wait,
    tck-id-message-flow-edge-node-birth-publish-phid-offline,
    tck-id-operational-behavior-edge-node-termination-host-offline,
    tck-id-operational-behavior-primary-application-state-with-multiple-servers-state-subs
    """
    plant, link = Plant(tmp_path, primary_host="scada"), Link("broker", "mqtt://h")
    put(plant, 1.0)

    async def used(session: Session, wire: Wire) -> None:
        await asyncio.wait(plant.forward(session))
        wire.say(STATE, state(False, 4))
        wire.say(STATE, state(True, 5))
        await settled()
        assert host_of(wire).is_online
        wire.say(STATE, state(False, 7))
        with pytest.raises(Unavailable, match="'scada' is offline"):
            await session.wait_closed()
        assert wire.verbs[-1] == "NDEATH"
        put(plant, 2.0, at=1)
        futures = plant.forward(session)
        await settled()
        assert wire.verbs[-1] == "NDEATH"
        assert not futures[-1].done()

    async def body() -> None:
        wire = Wire(SparkplugHost(reader))

        async def say_later() -> None:
            await wire.wait(lambda: bool(wire.got))
            await settled()
            wire.say(STATE, state(False, 4))
            await settled()
            assert not wire.verbs
            wire.say(STATE, state(True, 5))

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(say_later())
            async with plant.session(wire=wire, link=link) as (session, _):
                await used(session, wire)
        assert link.turn == 1
        assert not host_of(wire).violations

    run(body)


def test_a_host_that_never_comes_is_told_and_another_address_is_tried(tmp_path: Path) -> None:
    """tck-id-operational-behavior-edge-node-termination-host-offline-reconnect,
    tck-id-operational-behavior-primary-application-state-with-multiple-servers-walk
    """
    plant, link = Plant(tmp_path, primary_host="scada", host_timeout="50ms"), Link("broker", "mqtt://h")

    async def body() -> None:
        with pytest.raises(Unavailable, match="primary host 'scada' has not said that it is online"):
            async with plant.session(link=link):
                pass
        assert link.turn == 1

    run(body)


def test_a_refused_subscription_ends_the_session(tmp_path: Path) -> None:
    plant = Plant(tmp_path)

    async def body() -> None:
        wire = Wire(None)
        wire.refuses_subscription = True
        with pytest.raises(Unavailable, match="refuses the subscription"):
            async with plant.session(wire=wire) as (session, _):
                await session.wait_closed()

    run(body)


def test_a_command_reaches_the_desk_with_the_node_and_the_value_it_means(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    topic = "spBv1.0/factory/DCMD/edge/line-1"

    async def body() -> None:
        async with plant.session(topics=["spBv1.0/factory/DCMD/edge/+"]) as (session, wire):
            put(plant, 1.0)
            await asyncio.wait(plant.forward(session))
            table = plant.node.devices["line-1"].table
            assert table is not None
            arrivals = session.arrivals()
            value = double_field(13, 2.5)
            for metric in (number_field(2, table.metrics[0].alias), field(1, b"a"), field(1, b"nothing")):
                wire.say(topic, number_field(1, 7) + field(2, metric + value))
            wire.say(topic, field(2, field(1, b"a") + value))
            assert list(session.arrived()) == []  # nothing gets around its translation
            told = [json.loads((await anext(arrivals)).payload) for _ in range(4)]
            await arrivals.aclose()
        right = {"source": "line-1", "device": "line-1", "timestamp": 7, "writes": [["nsu=urn:u;i=1", 2.5]]}
        assert told[:2] == [right, right]
        assert "no metric nothing" in told[2]["error"]
        assert "timestamp" in told[3]["error"]

    run(body)


def test_another_node_of_the_same_name_is_told(tmp_path: Path) -> None:
    """tck-id-payloads-nbirth-edge-node-descriptor, tck-id-topic-structure-namespace-unique-edge-node-descriptor"""
    plant = Plant(tmp_path)

    async def body() -> None:
        with capture_logs() as logs:
            async with plant.session() as (_, wire):
                own = next(payload for topic, payload in wire.got if "NBIRTH" in topic)
                wire.say("spBv1.0/factory/NBIRTH/edge", own)
                await settled()
                assert not any("same name" in log["event"] for log in logs)
                wire.say("spBv1.0/factory/NBIRTH/edge", number_field(1, 5) + number_field(3, 0))
                await settled()
                assert any("another edge node has the same name" in log["event"] for log in logs)

    run(body)


@pytest.mark.parametrize("compression", ["none", "deflate", "gzip"])
def test_a_structure_that_changes_has_the_node_born_again_with_its_definition(
    reader: Tahu, tmp_path: Path, compression: str
) -> None:
    """tck-id-payloads-template-definition-nbirth, tck-id-payloads-template-instance-members-birth,
    tck-id-operational-behavior-data-publish-dbirth-change
    """
    plant = Plant(tmp_path, rebirth_interval="100ms", compression=compression)

    def put_recipe(at: int, **fields: float) -> None:
        value = Structure("nsu=urn:u;i=9", {name: Typed(11, each) for name, each in fields.items()})
        plant.store(batch_of([(22, value)], tags=[A], ticks=[TICKS + 10_000_000 * at]))

    async def body() -> None:
        async with plant.session(reader) as (session, wire):
            for at, fields in enumerate(
                ({"x": 1.0}, {"x": 2.0}, {"x": 3.0, "y": 1.0}, {"x": 4.0}, {"x": 5.0, "z": 0.0})
            ):
                put_recipe(at, **fields)
                await asyncio.wait(plant.forward(session))
            births = [list(host_of(wire).templates)]
            plant.forward(session)
            got = [change.value for change in host_of(wire).values["line-1/a"]]
            assert got[-1] == {"x": 5.0, "y": None, "z": 0.0}
            assert {"x": 4.0, "y": None} in got
            assert births == [["nsu=urn:u;i=9~3"]]
            assert [verb for verb in wire.verbs if verb == "NBIRTH"] == ["NBIRTH"] * 4
            own = [payload for topic, payload in wire.got if "NBIRTH" in topic]
            with capture_logs() as logs:
                wire.say("spBv1.0/factory/NBIRTH/edge", own[-1])
                await settled()
            assert not any("same name" in log["event"] for log in logs)
        assert not host_of(wire).violations
        assert not plant.stored

    run(body)


def test_figures_of_the_node_are_in_its_birth_and_told_when_they_change(reader: Tahu, tmp_path: Path) -> None:
    """tck-id-payloads-ndata-timestamp, tck-id-payloads-ndata-seq, tck-id-payloads-ndata-seq-inc,
    tck-id-payloads-ndata-order, tck-id-payloads-ndata-qos, tck-id-payloads-ndata-retain, tck-id-topics-ndata-mqtt,
    tck-id-topics-ndata-seq-num, tck-id-topics-ndata-timestamp, tck-id-topics-ndata-topic, tck-id-topics-ndata-payload,
    tck-id-operational-behavior-data-publish-nbirth-change
    """
    plant = Plant(tmp_path, node_interval="10ms")

    async def body() -> None:
        put(plant, 1.0)
        async with plant.session(reader) as (session, wire):
            await asyncio.wait(plant.forward(session))
            plant.figures = {"Gateway/Sources": 2, "Gateway/Backlog": 0}
            await wire.wait(lambda: "NDATA" in wire.verbs)
            plant.figures = {"Gateway/Sources": 2, "Gateway/Backlog": 9}
            await wire.wait(lambda: wire.verbs.count("NDATA") == 2)
            told = host_of(wire).values
            assert [(change.value, change.verb) for change in told["/Gateway/Sources"]] == [
                ("1", "birth"),
                ("2", "data"),
            ]
            assert [(change.value, change.verb) for change in told["/Gateway/Backlog"]] == [
                ("0", "birth"),
                ("9", "data"),
            ]
            assert all(topic == "spBv1.0/factory/NDATA/edge" for topic, _ in wire.got if "NDATA" in topic)
        assert not host_of(wire).violations

    run(body)


def test_with_qos_1_a_row_has_the_verdict_of_its_own(tmp_path: Path) -> None:
    plant = Plant(tmp_path, qos=1)

    async def body() -> None:
        async with plant.session() as (session, wire):
            put(plant, 1.0)
            wire.answers_at_once = False
            sent = plant.forward(session)
            await settled()
            assert [message.topic.split("/")[2] for message, _ in wire.open if "spBv" in message.topic] == ["DDATA"]
            wire.acknowledge()
            await settled()
            assert sent[-1].result() is DELIVERED

    run(body)


def test_rows_without_a_table_are_dead_letters(tmp_path: Path) -> None:
    plant = Plant(tmp_path)

    async def body() -> None:
        put(plant, 1.0)
        plant.stored = plant.stored[1:]  # a full outbox dropped it
        plant.start()
        async with plant.session() as (session, _):
            [future] = plant.forward(session)
            assert (await future).reason == "payload_invalid"

    run(body)
