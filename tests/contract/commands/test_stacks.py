"""Commands to servers of three stacks: their own types, ranks, ranges and definitions are what is gone by."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.support.brokers import mosquitto
from tests.support.commanded import Body, config_of, requester, running
from tests.support.mqtt_sessions import Session
from tests.support.opcua_peers import node_opcua_server, open62541_server
from tests.support.opcua_server import OpcuaServer, opcua_server

RULES: list[Body] = [
    {"source": "shop", "subtree": "/Objects/line-1", "read": True, "write": {}},
    {"source": "shop", "node": "i=2255", "name": "namespaces", "read": True, "write": {}},
    {"source": "shop", "node": "/Objects/Server/GetMonitoredItems", "call": {}},
]
RECIPES: list[Body] = [{"source": "shop", "subtree": "/Objects/recipes", "read": True, "write": {}, "call": {}}]
RECIPE = {
    "Id": 6, "Note": "new", "First": {"Name": "heat", "Seconds": 2.5}, "Steps": [{"Name": "a", "Seconds": 1.0}],
    "Speeds": [1.0, 2.5], "Limit": {"Celsius": 80.0},
}  # fmt: skip
AXIS = {
    "EngineeringUnits": {"NamespaceUri": "urn:x", "UnitId": 7, "DisplayName": {"text": "m"}, "Description": "metre"},
    "EURange": {"Low": -1.0, "High": 1.0}, "Title": {"locale": "de", "text": "Weg"}, "AxisScaleType": 1,
    "AxisSteps": [0.5, 1.0],
}  # fmt: skip
GRIDS = (("Grid", [[1, 2], [3, 5]], "done"), ("Grid", [1, 2, 3, 5], "rank"), ("Grid", [[1], [2]], "rank"))
PLAIN = (
    ("press-1/Temperature", 90, "done"), ("press-1/Temperature", "90", "type"), ("press-1/State", "Busy", "done"),
    ("press-1/State", 1, "type"), ("press-1/Running", False, "done"), ("press-1/Running", 0, "type"),
    ("press-1/Counter", 7, "done"), ("press-1/Counter", 7.5, "type"), ("namespaces", ["x"], "not_writable"),
)  # fmt: skip
WRITES: Mapping[str, tuple[tuple[str, object, str], ...]] = {
    "node-opcua": (
        *PLAIN, *GRIDS,
        ("press-1/Counter", 2**31, "out_of_range"), ("press-1/Temperature", 100.5, "out_of_range"),
        ("Rights", ["CurrentRead", "CurrentWrite"], "done"), ("Rights", ["All"], "not_in_enumeration"),
        ("Axis", AXIS, "done"), ("Axis", {**AXIS, "AxisSteps": [1, "x"]}, "type"),
        ("Axis", {**AXIS, "AxisScaleType": 9}, "not_in_enumeration"),
        ("Axis", {**AXIS, "EURange": {"Low": 1}}, "type"),
    ),
    "open62541": PLAIN,
    "asyncua": (
        *GRIDS, ("Doors", ["Front", "Back"], "done"), ("Doors", 2, "not_in_enumeration"), ("Doors", 8, "done"),
        ("Recipe", RECIPE, "done"), ("Recipe", {**RECIPE, "Limit": {"Level": 1, "Celsius": 1.0}}, "type"),
        ("Recipe", {**RECIPE, "Steps": [{"Name": "a"}]}, "type"), ("Recipe", {**RECIPE, "More": 1}, "type"),
    ),
}  # fmt: skip
"""Of each stack: variable, value, and what is said to it."""


def served(stack: str) -> AbstractAsyncContextManager[OpcuaServer]:
    if stack == "asyncua":
        return opcua_server()
    return node_opcua_server(1, shapes=True) if stack == "node-opcua" else open62541_server(1)


@pytest.mark.parametrize(
    ("stack", "session"), [("asyncua", "lean"), ("node-opcua", "general-3.1.1"), ("open62541", "lean")]
)
def test_commands_work_against_each_stack(stack: str, session: Session, tmp_path: Path) -> None:
    rules = RECIPES if stack == "asyncua" else RULES

    async def body() -> None:
        async with served(stack) as server:
            with mosquitto(tmp_path) as broker:
                config = config_of(tmp_path, broker.url, server.url, {"rules": rules})
                async with running(config), requester("mes", broker.url, session) as mes:
                    kept: dict[str, object] = {}
                    for tag, value, outcome in WRITES[stack]:
                        answer: Any = await mes.write(tag, value)
                        assert answer.get("reason", answer["outcome"]) == outcome, (tag, value, answer)
                        if outcome == "done":
                            [result] = answer["results"]
                            assert result["verified"], answer
                            kept[tag] = result["value"]
                    read: Any = await mes.ask("read", tags=list(kept))
                    assert {each["tag"]: each["value"] for each in read["results"]} == kept
                    if stack == "asyncua":
                        for recipe, reason in ((RECIPE, "done"), ({**RECIPE, "Id": -1}, "out_of_range")):
                            answer = await mes.ask("call", method="Cook", arguments={"Recipe": recipe})
                            assert answer.get("reason", answer["outcome"]) == reason, answer
                    else:
                        answer = await mes.ask("call", method="GetMonitoredItems", arguments={"SubscriptionId": 999})
                        assert (answer["outcome"], answer["status"]) == ("failed", 0x8028_0000)  # BadSubscriptionId…

    asyncio.run(asyncio.wait_for(body(), 60))
