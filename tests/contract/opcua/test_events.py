"""Events of servers, as rows beside the values."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import pytest

from gateway.config import SourceConfig
from gateway.link import Link
from gateway.metrics import Metrics
from gateway.opcua import open_source
from gateway.values import LocalizedText, Structure, Typed
from tests.support.opcua_peers import stack_server
from tests.support.opcua_server import NAMESPACE


def run(body: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(body(), 60))


def config(url: str, **changes: object) -> SourceConfig:
    select = [{"events": "i=2253", "name": "Alarms", **changes}, {"node": f"nsu={NAMESPACE};s=press-1.Counter"}]
    return SourceConfig.model_validate(
        {"name": "line", "url": url, "insecure": True, "select": select, "publishing_interval": 0.05, "keep_alive": 1}
    )


@pytest.mark.parametrize("stack", ["asyncua", "node-opcua"])
def test_events_come_beside_values_with_their_fields_and_time(stack: str) -> None:
    async def body() -> None:
        async with stack_server(stack) as server:
            made = config(server.url, least_severity=300, event_types=["i=2041"])
            series = Metrics().for_source("line")
            async with (
                open_source(made, series, Link("line", made.url), b"") as source,
                aclosing(source.batches()) as batches,
            ):
                await anext(batches)
                await server.tell("event 200 small")
                await server.tell("event 700 hot")
                async for batch in batches:
                    rows = [n for n, handle in enumerate(batch.handles.tolist()) if handle == 0]
                    if rows:
                        break
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
