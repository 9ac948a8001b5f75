"""What servers of several stacks say of their data types."""

import asyncio

import pytest

from gateway.config import SourceConfig
from gateway.metrics import Metrics
from gateway.model import VariableType
from gateway.opcua import open_source
from tests.support.opcua_peers import STACKS, standing_server
from tests.support.opcua_server import NAMESPACE

STATE, COUNTER = "i=2259", f"nsu={NAMESPACE};s=press-1.Counter"
"""ServerStatus.State is of the data type ServerState (Part 5, 12.6), on every server."""


async def told(url: str, *nodes: str, wanted: bool = True) -> list[VariableType | None]:
    select = [{"node": node} for node in nodes]
    made = SourceConfig.model_validate({"name": "line", "url": url, "insecure": True, "select": select})
    series = Metrics().for_source("line")
    async with open_source(made, series, b"", describe=wanted) as source:
        return [tag.variable_type for tag in source.table.tags]


@pytest.mark.parametrize("stack", STACKS)
def test_tags_have_types_and_enumeration_names_if_requested(stack: str) -> None:
    async def body() -> None:
        async with standing_server(stack) as url:
            state, counter = await told(url, STATE, COUNTER)
            assert state is not None
            assert counter is not None
            assert (state.rank in (-1, -2), counter.rank) == (True, -1)  # open62541: a scalar or anything
            (named,) = state.types
            assert (named.type_id, named.name, named.built_in) == ("i=852", "ServerState", 6)
            assert {(0, "Running"), (5, "Test")} <= set(named.members)
            assert [each.built_in for each in counter.types] == [8 if stack == "asyncua" else 6]
            assert await told(url, STATE, COUNTER, wanted=False) == [None, None]

    asyncio.run(asyncio.wait_for(body(), 240))


def test_a_structure_is_described_with_its_nested_types() -> None:
    async def body() -> None:
        async with standing_server() as url:
            (recipe, nowhere) = await told(url, f"nsu={NAMESPACE};s=Recipe", "/Objects/nowhere")
        assert nowhere is None
        assert recipe is not None
        whole, *inside = recipe.types
        assert (whole.name, whole.built_in, whole.kind) == ("Recipe", 22, 1)
        assert [(f.name, f.rank, f.is_optional) for f in whole.fields] == [
            ("Id", -1, False), ("Note", -1, True), ("Comment", -1, True), ("First", -1, False), ("Steps", 1, False),
            ("Speeds", 1, False), ("Limit", -1, False),
        ]  # fmt: skip
        shown = {each.type_id: each for each in inside}
        assert {each.name: (each.kind, [f.type_id for f in each.fields]) for each in inside} == {
            "Step": (0, ["i=12", "i=11"]), "Limit": (2, ["i=11", "i=6"]),
        }  # fmt: skip
        assert {f.type_id for f in whole.fields} == {"i=7", "i=12", "i=11", *shown}

    asyncio.run(asyncio.wait_for(body(), 240))
