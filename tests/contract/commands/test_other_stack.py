"""Commands to a server of another stack: its own types, ranges and access levels are what is gone by."""

import asyncio
from pathlib import Path

import pytest

from tests.support.brokers import mosquitto
from tests.support.commanded import Body, config_of, requester, running
from tests.support.mqtt_sessions import Session
from tests.support.opcua_peers import node_opcua_server

RULES: list[Body] = [
    {"source": "shop", "subtree": "/Objects/line-1", "include": ["press-1/*"], "read": True, "write": {}},
    {"source": "shop", "node": "i=2255", "name": "namespaces", "read": True, "write": {}},
    {"source": "shop", "node": "/Objects/Server/GetMonitoredItems", "call": {}},
]


@pytest.mark.parametrize("session", ["lean", "general-3.1.1"])
def test_commands_work_against_node_opcua(session: Session, tmp_path: Path) -> None:
    async def body() -> None:
        async with node_opcua_server(1) as server:
            with mosquitto(tmp_path) as broker:
                config = config_of(tmp_path, broker.url, server.url, {"rules": RULES})
                async with running(config), requester("mes", broker.url, session) as mes:
                    for tag, value, outcome in (
                        ("Counter", 7, "done"), ("Counter", 7.5, "type"), ("Counter", 2**31, "out_of_range"),
                        ("Temperature", 90, "done"), ("Temperature", 100.5, "out_of_range"), ("State", "Busy", "done"),
                        ("State", 1, "type"), ("Running", False, "done"), ("Running", 0, "type"),
                    ):  # fmt: skip
                        answer = await mes.write(f"press-1/{tag}", value)
                        assert answer.get("reason", answer["outcome"]) == outcome, answer
                        assert outcome != "done" or answer["results"][0]["verified"], answer  # type: ignore[index]
                    assert (await mes.write("namespaces", ["x"]))["reason"] == "not_writable"
                    answer = await mes.ask("read", tags=["press-1/Counter", "press-1/Temperature", "press-1/State"])
                    assert [each["value"] for each in answer["results"]] == [7, 90.0, "Busy"]  # type: ignore[attr-defined]
                    answer = await mes.ask("call", method="GetMonitoredItems", arguments={"SubscriptionId": 999})
                    assert (answer["outcome"], answer["status"]) == ("failed", 0x8028_0000)  # BadSubscriptionIdInvalid

    asyncio.run(asyncio.wait_for(body(), 120))
