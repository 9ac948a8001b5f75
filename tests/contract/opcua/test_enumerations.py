"""What the numbers of enumerations mean, as servers of several stacks tell it."""

import asyncio

import pytest

from gateway.config import SourceConfig
from gateway.link import Link
from gateway.metrics import Metrics
from gateway.model import Enumeration
from gateway.opcua import open_source
from tests.support.opcua_peers import STACKS, stack_server
from tests.support.opcua_server import NAMESPACE

STATE, COUNTER = "i=2259", f"nsu={NAMESPACE};s=press-1.Counter"
"""ServerStatus.State is of the data type ServerState (Part 5, 12.6), on every server."""


async def told(url: str, wanted: bool) -> list[Enumeration | None]:
    made = SourceConfig.model_validate(
        {"name": "line", "url": url, "insecure": True, "select": [{"node": STATE}, {"node": COUNTER}]}
    )
    series = Metrics().for_source("line")
    async with open_source(made, series, Link("line", url), b"", enumerations=wanted) as source:
        return [tag.enumeration for tag in source.table.tags]


@pytest.mark.parametrize("stack", STACKS)
def test_tags_say_what_their_numbers_mean_when_that_is_wanted(stack: str) -> None:
    async def body() -> None:
        async with stack_server(stack) as server:
            state, counter = await told(server.url, wanted=True)
            assert counter is None
            assert state is not None
            assert (state.type_id, state.name) == ("i=852", "ServerState")
            assert {(0, "Running"), (5, "Test")} <= set(state.members)
            assert await told(server.url, wanted=False) == [None, None]

    asyncio.run(asyncio.wait_for(body(), 240))
