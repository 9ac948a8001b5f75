"""History and alarms of a server of another stack, which has both."""

import asyncio
import time
from pathlib import Path

import orjson

from gateway.commands.forms import instant_of
from gateway.run.gateway import Gateway
from tests.support.brokers import mosquitto
from tests.support.commanded import Body, config_of, requester, running
from tests.support.mqtt_collect import Collected, collecting
from tests.support.opcua_peers import node_opcua_server

RULES: list[Body] = [
    {"source": "shop", "subtree": "/Objects/line-1", "history": {"span": "1h"}},
    {"source": "shop", "subtree": "/Objects/line-1", "acknowledge": True, "confirm": True},
    {"source": "shop", "node": "/Objects/line-1/press-1/Temperature", "name": "heat", "acknowledge": True},
    {"source": "shop", "node": "i=2253", "name": "alarms", "subscribe": {"events": True}},
    {"source": "shop", "node": "/Objects/Server/ServerCapabilities", "name": "place", "subscribe": {"events": True}},
]


def test_history_and_alarms_of_node_opcua(tmp_path: Path) -> None:
    """Raw values and aggregates; an alarm by the EventId of its message, once; its events are subscribed to at run
    time."""

    async def body() -> None:
        async with node_opcua_server(1, history="press-1.Counter", alarm="to confirm") as server:
            with mosquitto(tmp_path) as broker:
                config = config_of(tmp_path, broker.url, server.url, {"rules": RULES})
                async with (
                    collecting(broker.port, "values/#") as got,
                    running(config) as gateway,
                    requester("mes", broker.url) as mes,
                ):
                    begin_s = time.time()
                    await server.tell("count 1 9")
                    span = {"start": _instant(begin_s - 60), "end": _instant(begin_s + 60)}
                    seen, after = [], ""
                    for _ in range(3):
                        answer = await mes.ask("history", tag="press-1/Counter", limit=3, after=after, **span)
                        [page] = answer["results"]  # type: ignore[misc]
                        seen += [each["value"] for each in page["values"]]  # type: ignore[has-type]
                        after = page.get("next", "")  # type: ignore[has-type]
                    assert seen[-8:] == list(range(1, 9))
                    answer = await mes.ask("history", tag="press-1/Counter", aggregate="Maximum", **span)
                    assert answer["results"][0]["values"][0]["value"] == 8, answer  # type: ignore[index]
                    answer = await mes.ask("history", tag="press-1/State", **span)
                    assert answer["outcome"] == "failed"
                    assert (await mes.ask("subscribe", tags=["place"]))["reason"] == "not_allowed"  # has no events
                    assert (await mes.ask("subscribe", tags=["alarms"]))["outcome"] == "done"
                    await _subscribed(gateway)
                    await server.tell("set press-1.Temperature 95")
                    event = await _event(got)
                    for condition, operation, outcome in (
                        ("Hot", "acknowledge", "done"),
                        ("heat", "acknowledge", "failed"),  # BadEventIdUnknown: it has got another by that
                        ("Hot", "confirm", "done"),
                        ("press-1/Temperature", "confirm", "not_allowed"),
                    ):
                        event = await _event(got, is_acknowledged=True) if operation == "confirm" else event
                        answer = await mes.ask(operation, condition=condition, event=event, comment="seen")
                        assert answer.get("reason", answer["outcome"]) == outcome, f"{condition} {answer}"
                    assert "true" in await server.tell("acknowledged")

    asyncio.run(asyncio.wait_for(body(), 120))


async def _subscribed(gateway: Gateway) -> None:
    """The second item, which was asked for at run time, is there."""
    items = gateway.metrics.registry
    async with asyncio.timeout(30):
        while items.get_sample_value("gateway_source_monitored_items", {"source": "shop", "state": "good"}) != 2:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def _event(got: Collected, is_acknowledged: bool = False) -> str:
    """The EventId of the latest message of the alarm in this state."""
    while True:
        rows = [row["value"] for each in got.payloads for row in orjson.loads(each).get("values", ())]
        states = [row for row in rows if isinstance(row, dict) and row.get("ConditionName") == "Hot"]
        found = [str(row["EventId"]) for row in states if row["AckedState/Id"] is is_acknowledged]
        if found:
            return found[-1]
        await got.wait_count(len(got.messages) + 1)


def _instant(at_s: float) -> str:
    return instant_of(int(at_s * 1e9))
