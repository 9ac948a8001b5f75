"""Clients act on the flow through methods and set-points, hear of it through events, and read what was."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from asyncua import ua
from asyncua.client import Client
from asyncua.ua.uaerrors import BadOutOfRange, BadTypeMismatch, BadUserAccessDenied, UaStatusCodeError

from simulators.flow.results import PartResult
from simulators.server.endpoint import Access
from tests.support.served import EPOCH, Plant, connected, plant_served, values

MIXED = Path(__file__).parent / "mixed.yaml"
FILLER, MILL = "line-1/filler", "line-1/mill"


def run(body: Callable[[Plant, Client], Awaitable[None]], access: Access | None = None) -> None:
    async def whole() -> None:
        async with plant_served(MIXED, access) as plant, connected(plant.url) as subscriber:
            await body(plant, subscriber.client)

    asyncio.run(asyncio.wait_for(whole(), 240))


async def call(plant: Plant, client: Client, machine: str, method: str, *arguments: ua.Variant) -> None:
    await client.get_node(plant.id(machine)).call_method(plant.id(f"{machine}/{method}"), *arguments)


async def read(plant: Plant, client: Client, variable: str) -> object:
    content: object = await client.get_node(plant.id(variable)).read_value()
    return content


def test_abort_stops_the_machine_until_it_is_cleared_reset_and_started() -> None:
    async def body(plant: Plant, client: Client) -> None:
        plant.run(30)
        await call(plant, client, FILLER, "Abort")
        plant.run(60)
        stopped_at = await read(plant, client, f"{FILLER}/Good")
        plant.run(90)
        assert await read(plant, client, f"{FILLER}/State") == "held"
        assert await read(plant, client, f"{FILLER}/Good") == stopped_at
        for method in ("Clear", "Reset", "Start"):
            await call(plant, client, FILLER, method)
        plant.run(120)
        assert await read(plant, client, f"{FILLER}/State") in ("working", "starved", "blocked")
        count = await read(plant, client, f"{FILLER}/Good")
        assert isinstance(count, int)
        assert isinstance(stopped_at, int)
        assert count >= stopped_at + 25

    run(body)


def test_illegal_command_is_refused_and_changes_nothing() -> None:
    async def body(plant: Plant, client: Client) -> None:
        plant.run(30)
        with pytest.raises(UaStatusCodeError) as caught:
            await call(plant, client, FILLER, "Clear")
        assert caught.value.code == ua.StatusCodes.BadInvalidState
        plant.run(60)
        good = await read(plant, client, f"{FILLER}/Good")
        assert isinstance(good, int)
        assert good > 50

    run(body)


def test_packml_variables_show_the_state_of_the_machine() -> None:
    async def body(plant: Plant, client: Client) -> None:
        async def names() -> list[object]:
            found: list[object] = []
            for level in ("", "/MachineState", "/MachineState/ExecuteState"):
                node = client.get_node(plant.id(f"{FILLER}/PackML/BaseStateMachine{level}/CurrentState"))
                value = await node.read_data_value(raise_on_bad_status=False)
                text = value.Value.Value if value.Value else None
                assert value.StatusCode
                found.append(text.Text if text else value.StatusCode.name)
            return found

        plant.run(30.5)
        assert await names() == ["Cleared", "Running", "Execute"]
        execute = f"{FILLER}/PackML/BaseStateMachine/MachineState/ExecuteState"
        await client.get_node(plant.id(execute)).call_method(plant.id(f"{execute}/Hold"))
        plant.run(31)
        assert await names() == ["Cleared", "Running", "Held"]
        await call(plant, client, FILLER, "Abort")
        plant.run(32)
        assert await names() == ["Aborted", "BadStateNotActive", "BadStateNotActive"]

    run(body)


def test_speed_set_point_is_checked_and_changes_the_rate() -> None:
    async def body(plant: Plant, client: Client) -> None:
        node = client.get_node(plant.id("line-1/plain/SpeedFactor"))
        for wrong, error in (
            (ua.Variant(9.0, ua.VariantType.Double), BadOutOfRange),
            (ua.Variant(float("nan"), ua.VariantType.Double), BadOutOfRange),
            (ua.Variant("fast", ua.VariantType.String), BadTypeMismatch),
        ):
            with pytest.raises(error):
                await node.write_value(wrong)
        assert await node.read_value() == 1.0
        plant.run(100)
        before = plant.factory.machines[0].cycles
        for path in ("plain", "filler", "mill"):
            await client.get_node(plant.id(f"line-1/{path}/SpeedFactor")).write_value(2.0)
        plant.run(200)
        assert plant.factory.machines[0].cycles - before == pytest.approx(2 * before, abs=4)
        assert await node.read_value() == 2.0

    run(body)


def test_packml_speed_is_in_parts_per_minute() -> None:
    async def body(plant: Plant, client: Client) -> None:
        packml = client.get_node(plant.id(f"{FILLER}/PackML"))
        method = plant.id(f"{FILLER}/PackML/SetMachSpeed")
        await packml.call_method(method, ua.Variant(90.0, ua.VariantType.Float))
        assert plant.factory.machine(FILLER).speed == pytest.approx(1.5)
        assert await read(plant, client, f"{FILLER}/PackML/Status/MachSpeed") == pytest.approx(90.0)
        with pytest.raises(BadOutOfRange):
            await packml.call_method(method, ua.Variant(900.0, ua.VariantType.Float))

    run(body)


def test_measurements_cannot_be_written() -> None:
    async def body(plant: Plant, client: Client) -> None:
        with pytest.raises(BadUserAccessDenied):
            await client.get_node(plant.id(f"{MILL}/Temperature")).write_value(1.0)

    run(body)


def test_anonymous_users_can_be_restricted_to_reading() -> None:
    async def body(plant: Plant, client: Client) -> None:
        assert await read(plant, client, f"{MILL}/State") == "starved"
        with pytest.raises(BadUserAccessDenied):
            await call(plant, client, MILL, "Abort")
        with pytest.raises(BadUserAccessDenied):
            await client.get_node(plant.id(f"{MILL}/SpeedFactor")).write_value(2.0)

    run(body, Access(anonymous_may_operate=False))


def test_breakdown_raises_an_alarm_that_is_acknowledged() -> None:
    class Heard:
        def __init__(self) -> None:
            self.events: asyncio.Queue[object] = asyncio.Queue()

        def event_notification(self, event: object) -> None:
            self.events.put_nowait(event)

    async def body(plant: Plant, client: Client) -> None:
        heard = Heard()
        subscription = await client.create_subscription(20, heard)
        await subscription.subscribe_events(ua.ObjectIds.Server, ua.ObjectIds.OffNormalAlarmType)
        mill = plant.plant_server.machines[MILL]
        plant.plant_server.conditions.broke_down(mill, "spindle", "abort", 0.0)
        event = await asyncio.wait_for(heard.events.get(), 30)
        found = {name: getattr(event, name) for name in ("SourceName", "Severity", "ActiveState/Id", "AckedState/Id")}
        assert found == {"SourceName": MILL, "Severity": 800, "ActiveState/Id": True, "AckedState/Id": False}
        acknowledge = ua.NodeId(ua.Int32(ua.ObjectIds.AcknowledgeableConditionType_Acknowledge))
        condition = client.get_node(plant.id(f"{MILL}/Breakdown"))
        comment = ua.Variant(ua.LocalizedText("seen"), ua.VariantType.LocalizedText)
        stale = ua.Variant(b"not this one", ua.VariantType.ByteString)
        with pytest.raises(UaStatusCodeError) as caught:
            await condition.call_method(acknowledge, stale, comment)
        assert caught.value.code == ua.StatusCodes.BadEventIdUnknown
        event_id = ua.Variant(getattr(event, "EventId"), ua.VariantType.ByteString)  # noqa: B009 - the library's object
        await condition.call_method(acknowledge, event_id, comment)
        again = await asyncio.wait_for(heard.events.get(), 30)
        assert getattr(again, "AckedState/Id") is True
        plant.plant_server.conditions.broke_down(mill, "", "", 0.0)
        over = await asyncio.wait_for(heard.events.get(), 30)
        assert (getattr(over, "ActiveState/Id"), getattr(over, "Retain")) == (False, False)  # noqa: B009

    run(body)


def test_history_gives_back_every_state_in_both_directions() -> None:
    async def body(plant: Plant, client: Client) -> None:
        plant.run(60)
        node = client.get_node(plant.id("line-1/plain/Good"))
        history = await node.read_raw_history(EPOCH, EPOCH + timedelta(seconds=61))
        counts = [value.Value.Value for value in history if value.Value]
        assert counts == list(range(len(counts)))
        assert len(counts) >= 55
        back = await node.read_raw_history(EPOCH + timedelta(seconds=61), EPOCH + timedelta(seconds=30))
        assert [v.Value.Value for v in back if v.Value] == [c for c in reversed(counts) if c >= 30]
        part = await node.read_raw_history(EPOCH, None, numvalues=10)
        assert [v.Value.Value for v in part if v.Value] == counts[:10]

    run(body)


def test_an_overloaded_simulation_still_answers_and_then_continues(tmp_path: Path) -> None:
    path = tmp_path / "load.yaml"
    path.write_text("name: load\nsite: b\nstress:\n  - {name: n, variables: 1000, rate: 1000}\n", encoding="utf-8")

    async def whole() -> None:
        async with plant_served(path) as plant:
            load = plant.plant_server.load
            assert load is not None
            load.publish(0.5)  # half a million changes: far more than fit into one go
            first = sum(float(str(variable.content)) for variable in load.variables)
            assert load.behind_s(0.5) > 0
            load.publish(0.5)
            assert sum(float(str(variable.content)) for variable in load.variables) > first > 0

    asyncio.run(asyncio.wait_for(whole(), 240))


def result_of(serial: str, verdict: str = "good") -> PartResult:
    return PartResult(0.0, serial, "pump", 0, "mill", verdict, "", 12.5, 1, 0, (), "", "", (), 0)


def test_every_operation_on_a_part_sends_an_event_with_its_verdict(tmp_path: Path) -> None:
    path = tmp_path / "rework.yaml"
    path.write_text(REWORK, encoding="utf-8")

    async def whole() -> None:
        async with plant_served(path) as plant, connected(plant.url) as subscriber:
            heard: list[Any] = []
            handler = SimpleNamespace(event_notification=heard.append)
            subscription = await subscriber.client.create_subscription(20, handler)
            await subscription.subscribe_events(ua.ObjectIds.Server, plant.plant_server.events.part_type)
            plant.run(400)
            line = plant.factory.lines[0]
            made = sum(machine.cycles for machine in line.machines)
            for _ in range(200):
                if len(heard) >= made - 1:
                    break
                await asyncio.sleep(0.05)
            told = [(e.SerialNumber, e.Station, e.Visit, e.Verdict, e.DefectCode) for e in heard]
            for part in line.finished:
                own = [each for each in told if each[0] == part.serial]
                codes = [visit.verdict for visit in part.visits]
                assert [each[4] for each in own] == codes
                assert [each[3] for each in own[:-1]] == ["rework" if code else "good" for code in codes[:-1]]
                assert own[-1][3] in ("good", "scrap")
            verdicts = Counter(each[3] for each in told)
            machines = line.machines
            for verdict in ("good", "rework", "scrap"):
                counted = sum(getattr(machine, verdict) for machine in machines)
                assert counted - 1 <= verdicts[verdict] <= counted
            assert min(verdicts["rework"], verdicts["scrap"]) > 3
            assert max(each[2] for each in told) > 1, "a part that was seen again"
            assert {e.Tool for e in heard if e.Station == "mill"} == set(range(1, 1 + max(e.Tool for e in heard)))
            found = Counter(code for _, _, _, _, code in told if code)
            assert found == sum((Counter(machine.defects) for machine in machines), Counter())
            last = next(e for e in reversed(heard) if e.Station == "test")
            assert (last.Product, last.Order, last.Good, last.Components[0]) == (
                "pump", 1, last.Verdict == "good", "l/mill/seal/1",
            )  # fmt: skip

    asyncio.run(asyncio.wait_for(whole(), 240))


REWORK = """
name: p
site: s
lines:
  - name: l
    source: {kind: orders, orders: [{product: pump, quantity: 1000}]}
    stations:
      - {name: mill, cycle: 2, signals: [], tool: {life: 20, change: 3}, components: [{name: seal, lot: 500}]}
      - name: test
        cycle: 2
        signals: []
        defects:
          - {code: leak, probability: 0.15, to: mill, at_most: 1}
          - {code: crack, probability: 0.05}
"""


def test_a_full_event_queue_reports_the_overflow() -> None:
    async def body(plant: Plant, client: Client) -> None:
        subscription = await client.create_subscription(100_000, None)
        heard: asyncio.Queue[list[ua.EventFieldList]] = asyncio.Queue()
        await subscription.subscribe_events(ua.ObjectIds.Server, queuesize=3)
        inner = next(iter(plant.plant_server.endpoint.iserver.subscriptions.subscriptions.values()))
        mill = plant.plant_server.machines[MILL]
        for n in range(6):
            plant.plant_server.events.part_done(mill, result_of(f"part-{n}"), EPOCH)
        heard.put_nowait(next(iter(inner._triggered_events.values())))
        kinds = [fields.EventFields[1].Value for fields in await heard.get()]
        overflow = ua.NodeId(ua.Int32(ua.ObjectIds.EventQueueOverflowEventType))
        assert kinds == [overflow, plant.plant_server.events.part_type, plant.plant_server.events.part_type]

    run(body)


def test_load_variables_change_at_their_configured_rate_without_loss(tmp_path: Path) -> None:
    path = tmp_path / "load.yaml"
    path.write_text(
        "name: load\nsite: bench\nstress:\n  - {name: n, variables: 3, rate: 10, type: uint32}\n", encoding="utf-8"
    )

    async def whole() -> None:
        async with plant_served(path) as plant, connected(plant.url) as client:
            await client.subscribe(plant.id("n/n-00001"), queue=1000)
            for now_s in (0.35, 2.0, 2.05, 10.0):
                plant.run(now_s)
            assert values(await client.publish()) == list(range(101))

    asyncio.run(asyncio.wait_for(whole(), 240))


def test_packml_counts_keeps_time_and_takes_modes_products_and_parameters() -> None:
    async def body(plant: Plant, client: Client) -> None:
        admin = f"{FILLER}/PackML/Admin"
        plant.run(60.0)
        unit = plant.plant_server.information.shown[FILLER].unit
        current, total = [await read(plant, client, f"{admin}/State{kind}Time") for kind in ("Current", "Cumulative")]
        assert isinstance(total, list)
        assert isinstance(current, list)
        assert sum(map(sum, total)) in (58, 59, 60)  # whole seconds, each rounded down
        assert total[1][6] == int(unit.cumulative_s(60.0)[unit.mode, unit.state])
        assert current[1][6] == int(unit.state_s(60.0))
        modes = await read(plant, client, f"{admin}/ModeCumulativeTime")
        assert modes == [0, 60, 0, 0]
        processed: Any = await read(plant, client, f"{admin}/ProdProcessedCount")
        [count] = processed
        good = unit.machine.good.to_bytes(4, "little")
        assert count.TypeId.Identifier == 69
        assert count.Body.startswith(bytes(4) + b"\x04\0\0\0part")
        assert count.Body.endswith(2 * good)

        packml = f"{FILLER}/PackML"

        async def ask(method: str, *arguments: ua.Variant) -> int:
            try:
                await call(plant, client, packml, method, *arguments)
            except UaStatusCodeError as error:
                return int(error.code)
            return 0

        def whole(number: int) -> ua.Variant:
            return ua.Variant(number, ua.VariantType.Int32)

        assert await ask("SetUnitMode", whole(2)) == ua.StatusCodes.BadInvalidState
        await call(plant, client, FILLER, "Stop")
        assert await ask("SetUnitMode", whole(9)) == ua.StatusCodes.BadOutOfRange
        assert await ask("SetUnitMode", whole(2)) == 0
        assert await read(plant, client, f"{packml}/Status/UnitModeCurrent") == 2
        await call(plant, client, FILLER, "Reset")
        with pytest.raises(UaStatusCodeError):
            await call(plant, client, FILLER, "Start")
        assert await ask("SetUnitMode", whole(1)) == 0
        await call(plant, client, FILLER, "Start")
        index = await client.get_namespace_index("http://opcfoundation.org/UA/PackML/")
        encoded = ua.ExtensionObject(ua.NodeId(ua.Int32(81), ua.Int16(index)), ua.ByteString(b"\x07" + bytes(11)))
        for method, wanted in (("SetProduct", 0), ("SetParameter", ua.StatusCodes.BadTypeMismatch)):
            given = ua.Variant([encoded], ua.VariantType.ExtensionObject)
            assert await ask(method, given) == wanted
        span = await client.get_node(plant.id(f"{FILLER}/CycleTime/EURange")).read_value()
        assert (span.Low, span.High) == (0.0, 10.0)

    run(body)
