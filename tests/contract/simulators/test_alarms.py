"""Alarms by Part 9, seen and operated by clients of two other stacks at once."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from simulators.alarms import load_alarms
from simulators.plant import load
from simulators.server.plant_server import PlantServer
from tests.support.clients import ForeignClient, foreign_client
from tests.support.served import Plant, plant_served

MIXED = Path(__file__).parent / "mixed.yaml"
FILE = """
alarms:
  - {name: Hot, kind: exclusive_limit, machine: line-1/mill, high: 60, high_high: 80, severity: 600}
  - {name: Pressure, kind: non_exclusive_limit, machine: line-1/mill, low: 2, high: 8, high_high: 9}
  - {name: Door, kind: off_normal, machine: line-1/mill, severity: 800}
  - {name: Drift, kind: discrepancy, machine: line-1/mill, target: 50, tolerance: 2, expected_time: 5s}
  - {name: Refill, kind: dialog, machine: line-1/mill, prompt: "Full?", options: ["Yes", "No"]}
script:
  - {at: 1s, alarm: Door, value: 1}
  - {at: 2s, alarm: Hot, value: 70}
  - {at: 3s, alarm: Hot, value: 85}
  - {at: 4s, alarm: Pressure, value: 9.5}
  - {at: 5s, alarm: Refill}
  - {at: 6s, alarm: Drift, value: 60}
  - {at: 20s, alarm: Hot, value: 50}
"""
FIELDS = [
    "EventId", "EventType", "SourceName", "Message", "Severity", "Retain", "EnabledState/Id", "ActiveState/Id",
    "AckedState/Id", "ConfirmedState/Id", "Comment", "ClientUserId", "LastSeverity", "ConditionClassName", "InputNode",
    "SuppressedOrShelved", "ShelvingState/CurrentState", "LimitState/CurrentState", "HighState/Id", "HighHighState/Id",
    "DialogState/Id", "LastResponse", "ConditionName", "NormalState",
]  # fmt: skip
ACK, CONFIRM, COMMENT, DISABLE, ENABLE = "i=9111", "i=9113", "i=9029", "i=9028", "i=9027"
SHELVE, ONE_SHOT, UNSHELVE, RESPOND, REFRESH, REFRESH2 = "i=2949", "i=2948", "i=2947", "i=9069", "i=3875", "i=12912"
START, END = "i=2787", "i=2788"
Seen = list[dict[str, Any]]


def with_alarms(tmp_path: Path, body: Callable[[Plant, ForeignClient, ForeignClient], Awaitable[None]]) -> None:
    file = tmp_path / "alarms.yaml"
    file.write_text(FILE, encoding="utf-8")
    alarms = load_alarms(file, load(MIXED))

    async def whole() -> None:
        async with (
            plant_served(MIXED, alarms=alarms) as plant,
            foreign_client("node-opcua", plant.url) as first,
            foreign_client("open62541", plant.url) as second,
        ):
            await body(plant, first, second)

    asyncio.run(asyncio.wait_for(whole(), 120))


async def both(*clients: ForeignClient) -> dict[str, Any]:
    """The next event, which every client gets, and the same."""
    events = [await client.event() for client in clients]
    assert all(event["EventId"] == events[0]["EventId"] for event in events)
    return events[0]


def play(server: PlantServer, until_s: float) -> None:
    server.conditions.play(until_s)
    server.conditions.look(until_s)


async def refreshed(client: ForeignClient, subscription: int) -> Seen:
    """The events between RefreshStart and RefreshEnd."""
    assert await client.call("i=2782", REFRESH, ("unsigned", subscription)) in GOOD
    first = await client.event()
    assert number(first["EventType"]) == START
    found: Seen = []
    while number((event := await client.event())["EventType"]) != END:
        found.append(event)
    return found


def number(node_id: str) -> str:
    return node_id.removeprefix("ns=0;")


GOOD = ("Good", "GOOD")


def same(status: str) -> str:
    """A status code's name as the specification writes it, without underscores, in lower case."""
    return status.replace("_", "").lower()


def test_two_foreign_clients_at_once_see_and_operate_every_kind_of_alarm(tmp_path: Path) -> None:
    async def body(plant: Plant, node: ForeignClient, o62541: ForeignClient) -> None:
        server = plant.plant_server
        ids = [
            await client.ask("monitor", node="i=2253", fields=FIELDS, type=kind)
            for client, kind in ((node, "i=2782"), (o62541, ""))
        ]
        mill = "ns=2;s=line-1/mill"

        async def told() -> dict[str, Any]:
            return await both(node, o62541)

        play(server, 1.0)
        door = await told()
        assert (door["SourceName"], door["Severity"], door["Retain"]) == ("line-1/mill/DoorInput", 800, True)
        assert (door["ConditionClassName"], door["NormalState"]) == ("Process", "ns=2;s=Constants/Door")
        assert door["InputNode"] == "ns=2;s=line-1/mill/DoorInput"
        play(server, 3.0)
        assert (await told())["LimitState/CurrentState"] == "High"
        hot = await told()
        assert (hot["LimitState/CurrentState"], hot["Severity"], hot["LastSeverity"]) == ("HighHigh", 700, 600)
        play(server, 4.0)
        pressure = await told()
        assert (pressure["HighState/Id"], pressure["HighHighState/Id"]) == (True, True)
        play(server, 5.0)
        assert (await told())["DialogState/Id"] is True
        play(server, 12.0)
        assert (await told())["ConditionName"] == "Drift"

        first, second = [
            await refreshed(client, each["subscription"]) for client, each in zip((node, o62541), ids, strict=True)
        ]
        latest = {event["ConditionName"]: event["EventId"] for event in first}
        assert latest == {event["ConditionName"]: event["EventId"] for event in second}
        assert set(latest) == {"Door", "Hot", "Pressure", "Refill", "Drift"}
        assert (latest["Door"], latest["Hot"]) == (door["EventId"], hot["EventId"])
        assert (
            same(await node.call("i=2782", REFRESH, ("unsigned", ids[1]["subscription"]))) == "badsubscriptionidinvalid"
        )
        item = [("unsigned", ids[1]["subscription"]), ("unsigned", ids[1]["item"])]
        assert await o62541.call("i=2782", REFRESH2, *item) in GOOD
        assert number((await o62541.event())["EventType"]) == START
        assert len([await o62541.event() for _ in range(5)]) == 5
        assert number((await o62541.event())["EventType"]) == END
        unknown = await o62541.call("i=2782", REFRESH2, item[0], ("unsigned", 1))
        assert same(unknown) == "badmonitoreditemidinvalid"

        seen = ("bytes", door["EventId"]), ("text", "looked at it")
        given: tuple[tuple[str, object], ...]
        for client, method, given, status in (
            (o62541, ACK, (("bytes", "00" * 16), seen[1]), "badeventidunknown"),
            (node, CONFIRM, seen, "badinvalidstate"),
            (node, ACK, seen, "good"),
            (o62541, ACK, seen, "badconditionbranchalreadyacked"),
            (o62541, CONFIRM, seen, "good"),
            (node, CONFIRM, seen, "badconditionbranchalreadyconfirmed"),
            (o62541, COMMENT, seen, "good"),
            (node, DISABLE, (), "good"),
            (o62541, DISABLE, (), "badconditionalreadydisabled"),
            (o62541, ACK, seen, "badconditiondisabled"),
            (o62541, ENABLE, (), "good"),
            (node, ENABLE, (), "badconditionalreadyenabled"),
        ):
            assert same(await client.call(f"{mill}/Door", method, *given)) == status, (method, status)
        events = [await told() for _ in range(5)]
        assert [e["AckedState/Id"] for e in events] == [True] * 5
        assert [e["ConfirmedState/Id"] for e in events] == [False, True, True, True, True]
        assert [e["EnabledState/Id"] for e in events] == [True, True, True, False, True]
        assert [e["Retain"] for e in events] == [True, True, True, False, True]
        assert {e["Comment"] for e in events} == {"looked at it"}
        assert {e["ClientUserId"] for e in events} == {"anonymous"}

        shelving = f"{mill}/Hot/ShelvingState"
        for client, method, given, status in (
            (node, UNSHELVE, (), "badconditionnotshelved"),
            (node, SHELVE, (("number", -1.0),), "badshelvingtimeoutofrange"),
            (o62541, SHELVE, (("number", 5000.0),), "good"),
            (node, ONE_SHOT, (), "badconditionalreadyshelved"),
        ):
            assert same(await client.call(shelving, method, *given)) == status, (method, status)
        assert (await told())["ShelvingState/CurrentState"] == "Timed Shelved"
        play(server, 18.0)
        assert (await told())["SuppressedOrShelved"] is False
        assert await node.call(shelving, ONE_SHOT) in GOOD
        assert (await told())["ShelvingState/CurrentState"] == "One Shot Shelved"
        play(server, 20.0)
        over = await told()
        assert (over["ActiveState/Id"], over["SuppressedOrShelved"], over["Retain"]) == (False, False, True)

        for client, option, status in (
            (node, 7, "baddialogresponseinvalid"), (o62541, 1, "good"), (node, 0, "baddialognotactive"),
        ):  # fmt: skip
            assert same(await client.call(f"{mill}/Refill", RESPOND, ("whole", option))) == status
        answered = await told()
        assert (answered["LastResponse"], answered["DialogState/Id"], answered["Retain"]) == (1, False, False)
        assert same(await node.call(f"{mill}/Refill", ACK, *seen)) == "badmethodinvalid"
        assert same(await node.call(mill, ACK, *seen)) == "badnodeidunknown"

    with_alarms(tmp_path, body)
