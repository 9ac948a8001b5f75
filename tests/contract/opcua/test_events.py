"""Events of servers, as rows beside the values."""

import pytest

from gateway.config import Config, SourceConfig
from gateway.model import Priority
from gateway.payload.choose import encoder_for
from gateway.values import LocalizedText, Structure, Typed
from tests.support.opcua_peers import node_opcua_server, stack_server
from tests.support.opcua_source import COUNTER, Seen, config, opened, reading, run
from tests.support.payloads import Counting


def with_events(url: str, **changes: object) -> SourceConfig:
    select = [{"events": "i=2253", "name": "Alarms", **changes}, {"node": COUNTER}]
    return config(url, select=select)


@pytest.mark.parametrize("stack", ["asyncua", "node-opcua"])
def test_events_come_beside_values_with_their_fields_and_time(stack: str) -> None:
    async def body() -> None:
        async with stack_server(stack) as server:
            made = with_events(server.url, least_severity=300, event_types=["i=2041"])
            async with opened(made) as source, reading(source) as seen:
                await seen.more(1)
                await server.tell("event 200 small")
                await server.tell("event 700 hot")
                await seen.until(lambda seen: 0 in seen.batches[-1].handles)
            batch = seen.batches[-1]
            rows = [n for n, handle in enumerate(batch.handles.tolist()) if handle == 0]
            [row] = rows
            value = batch.values[row]
            assert isinstance(value, Structure)
            assert value.type_id == "i=2041"
            assert value.fields["Severity"] == Typed(5, 700)
            text = value.fields["Message"].value
            assert isinstance(text, LocalizedText)
            assert text.text == "hot"
            assert "ActiveState/Id" not in value.fields
            assert batch.source_ticks[row] > 0
            assert batch.types[row] == 22
            assert source.table.tags[0].name == "Alarms"

    run(body)


ALARM_FIELDS = ("ConditionName", "ActiveState/Id", "AckedState/Id", "Retain")


def states(seen: Seen) -> list[tuple[object, ...]]:
    """What every alarm event said of its condition."""
    found = [value.fields for value in seen.values if isinstance(value, Structure) and "ConditionName" in value.fields]
    return [tuple(fields[name].value if name in fields else None for name in ALARM_FIELDS) for fields in found]


HOT = ("Hot", True, False, True)


def test_active_alarms_are_sent_again_after_every_reconnection() -> None:
    """Part 9, 5.5.7: ConditionRefresh, against the alarms of another stack."""

    async def body() -> None:
        async with node_opcua_server(alarm=True) as server:
            made = with_events(server.url)
            async with opened(made) as source, reading(source) as before:
                await before.until_value(0)
                await server.tell("set press-1.Temperature 95")
                await before.until(lambda seen: HOT in states(seen))
            async with opened(made, before.batches[-1].checkpoint) as source, reading(source) as after:  # taken up
                await after.until(lambda seen: HOT in states(seen))
            await server.tell("drop-subscriptions")
            async with opened(made, after.batches[-1].checkpoint) as source, reading(source) as anew:
                await anew.until(lambda seen: HOT in states(seen))
                assert anew.causes == ["subscription_recreated"]
                await server.tell("set press-1.Temperature 20")
                await anew.until(lambda seen: any(active is False for _, active, _, _ in states(seen)))

    run(body)


def test_alarms_come_on_their_own_topic_and_before_telemetry() -> None:
    async def body() -> None:
        async with node_opcua_server(alarm=True) as server:
            made = with_events(server.url)
            whole = Config.model_validate(
                {"sources": [made], "broker": {"url": "mqtt://localhost"}, "payload": {"topic": "plant/{source}"}}
            )
            form, counting = encoder_for(whole, "line", "gw.e1"), Counting()
            async with opened(made) as source, reading(source) as seen:
                await server.tell("set press-1.Temperature 95")
                await seen.until(lambda seen: HOT in states(seen))
            messages = [m for batch in seen.batches for m in counting.append(form.encode(batch, counting.next_seq))]
            assert {(m.topic, m.priority) for m in messages} == {
                ("plant/line", Priority.TELEMETRY), ("plant/line/events", Priority.EVENT)
            }  # fmt: skip

    run(body)
