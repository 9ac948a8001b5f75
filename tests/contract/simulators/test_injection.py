"""Faults happen to a running server as the file says, and the log and the record tell the truth about them."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from asyncua import ua
from asyncua.ua.uaerrors import BadNodeIdUnknown, BadSessionIdInvalid, BadTooManyOperations, BadTooManySessions, UaError

from simulators.faults import FaultLog, Schedule, load_faults
from simulators.server.injection import Injection
from simulators.server.nodes import text_id
from tests.support.programs import Factory, running, wait_until
from tests.support.served import Plant, connected, items, plant_served, until, values

MIXED = Path(__file__).parent / "mixed.yaml"
GOOD = "line-1/plain/Good"


def run(folder: Path, faults: str, body: Callable[[Plant, Injection], Awaitable[None]]) -> None:
    path = folder / "faults.yaml"
    path.write_text(f"faults:\n{faults}\n", encoding="utf-8")

    async def whole() -> None:
        async with plant_served(MIXED) as plant:
            schedule = Schedule(load_faults(path), 1)
            servers = [plant.plant_server]
            injection = Injection(schedule, FaultLog(None), servers, lambda *_: None, seed=1, count=lambda kind: None)
            work = asyncio.create_task(injection.work())
            await body(plant, injection)
            work.cancel()

    asyncio.run(asyncio.wait_for(whole(), 240))


def test_a_frozen_counter_keeps_its_value_and_then_shows_the_true_one(tmp_path: Path) -> None:
    async def body(plant: Plant, injection: Injection) -> None:
        async with connected(plant.url) as client:
            plant.run(10.5)
            await client.subscribe(plant.id(GOOD))
            assert values(await client.publish()) == [10]
            injection.step(11)
            plant.run(20.5)
            assert plant.factory.machine("line-1/plain").good == 20
            injection.step(21)
            plant.run(22.5)
            assert values(await client.publish()) == [20, 21, 22]

    run(tmp_path, f'  - {{kind: freeze, at: 11s, lasts: 10s, nodes: "{GOOD}"}}', body)


def test_a_removed_node_is_unknown_until_it_is_restored(tmp_path: Path) -> None:
    async def body(plant: Plant, injection: Injection) -> None:
        async with connected(plant.url) as client:
            plant.run(5.5)
            await client.subscribe(plant.id(GOOD))
            await client.publish()
            injection.step(6)
            node = client.client.get_node(plant.id(GOOD))
            with pytest.raises(BadNodeIdUnknown):
                await node.read_value()
            gone = items(await client.publish())
            assert [i.Value.StatusCode.value for i in gone] == [ua.StatusCodes.BadNodeIdUnknown]
            plant.run(9.5)
            injection.step(12)
            assert await node.read_value() == 9
            assert values(await client.publish()) == [9]

    run(tmp_path, f'  - {{kind: remove_node, at: 6s, lasts: 5s, nodes: "{GOOD}"}}', body)


def test_a_killed_subscription_sends_a_status_change_if_configured(tmp_path: Path) -> None:
    async def body(plant: Plant, injection: Injection) -> None:
        async with connected(plant.url) as client:
            await client.subscribe(plant.id(GOOD))
            await client.publish()
            waiting = asyncio.ensure_future(client.publish())
            await client.client.nodes.server_state.read_value()
            injection.step(1)
            notice = (await waiting).NotificationMessage.NotificationData
            assert [n.Status.value for n in notice] == [ua.StatusCodes.BadTimeout]
            await until(
                lambda: (
                    not plant.plant_server.endpoint.iserver.subscriptions.of(
                        plant.plant_server.endpoint.iserver.sessions[0]
                    )
                )
            )
            with pytest.raises(ua.uaerrors.BadNoSubscription):
                await client.publish()

    run(tmp_path, "  - {kind: kill_subscriptions, at: 1s, notice: true}", body)


def test_numbers_of_subscriptions_fall_back_and_go_on_from_there(tmp_path: Path) -> None:
    async def body(plant: Plant, injection: Injection) -> None:
        async with connected(plant.url) as client:
            await client.subscribe(plant.id(GOOD))
            numbers = []
            for now_s in (1.5, 2.5, 4.5):
                plant.run(now_s)
                injection.step(now_s)
                numbers.append((await client.publish()).NotificationMessage.SequenceNumber)
            assert numbers == [1, 2, 1]

    run(tmp_path, "  - {kind: numbers_fall_back, at: 3s}", body)


def test_killed_session_is_gone(tmp_path: Path) -> None:
    async def body(plant: Plant, injection: Injection) -> None:
        async with connected(plant.url) as client:
            injection.step(1)
            await until(lambda: not plant.plant_server.endpoint.iserver.sessions)
            with pytest.raises((BadSessionIdInvalid, UaError)):
                await client.client.nodes.server_state.read_value()

    run(tmp_path, "  - {kind: kill_sessions, at: 1s}", body)


def test_limits_and_refusals_last_for_the_configured_time(tmp_path: Path) -> None:
    async def body(plant: Plant, injection: Injection) -> None:
        injection.step(1)
        with pytest.raises(BadTooManySessions):
            async with connected(plant.url):
                pass
        injection.step(11)
        with pytest.raises((ConnectionError, TimeoutError, UaError)):
            async with connected(plant.url):
                pass
        injection.step(21)
        async with connected(plant.url) as client:
            assert await client.client.nodes.server_state.read_value() == 0

    faults = (
        "  - {kind: session_limit, at: 1s, lasts: 9s, limit: 0}\n  - {kind: refuse_connections, at: 11s, lasts: 9s}"
    )
    run(tmp_path, faults, body)


def test_error_responses_come_at_their_rate_and_slow_ones_late(tmp_path: Path) -> None:
    async def body(plant: Plant, injection: Injection) -> None:
        async with connected(plant.url) as client:
            injection.step(1)
            failed = 0
            for _ in range(200):
                try:
                    await client.client.nodes.server_state.read_value()
                except BadTooManyOperations:
                    failed += 1
            assert 70 <= failed <= 130
            injection.step(11)
            began = asyncio.get_running_loop().time()
            await client.client.nodes.server_state.read_value()
            assert asyncio.get_running_loop().time() - began >= 0.2
            injection.step(21)

    errors = "  - {kind: error_answers, at: 1s, lasts: 9s, rate: 0.5}"
    slow = "  - {kind: slow_answers, at: 11s, lasts: 9s, delay: 0.2}"
    run(tmp_path, f"{errors}\n{slow}", body)


def test_a_restarted_server_has_other_namespace_indexes_and_logs_begin_and_end(tmp_path: Path) -> None:
    faults, log = tmp_path / "faults.yaml", tmp_path / "faults.jsonl"
    faults.write_text(
        "faults:\n  - {kind: server_restart, at: 100s, lasts: 20s, namespaces: shuffled}\n", encoding="utf-8"
    )

    async def state_by_uri(url: str) -> tuple[int, object]:
        async with connected(url) as client:
            index = await client.client.get_namespace_index("urn:connected-factory:simulator")
            return index, await client.client.get_node(text_id("line-1/plain/State", index)).read_value()

    options = ("--speed", "20", "--faults", str(faults), "--fault-log", str(log))
    with running(Factory(tmp_path, *options, plant=MIXED)) as program:
        assert isinstance(program, Factory)
        program.wait_said("serving")
        before = asyncio.run(asyncio.wait_for(state_by_uri(program.url), 240))
        program.wait_said("server away")
        program.wait_said("serving", times=2)
        after = asyncio.run(asyncio.wait_for(state_by_uri(program.url), 240))
        wait_until(lambda: log.read_text(encoding="utf-8").count("\n") == 2, "both edges in the log")
        assert program.stop() == 0
    assert before[0] == 2
    assert after[0] != 2
    assert before[1] in ("working", "starved", "blocked")
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [(line["at_s"], line["event"]) for line in lines] == [(100.0, "begin"), (120.0, "end")]
    assert lines[0]["affected"] == [program.url]
