"""A variable that does not change is read and yielded when it is asked for, whichever way its source is read."""

from contextlib import aclosing

import pytest

from tests.support.opcua_source import Seen, any_source, config, run
from tests.support.served import served


@pytest.mark.parametrize("mode", ["subscribe", "poll"])
def test_a_tag_is_sent_again_on_demand(mode: str) -> None:
    async def body() -> None:
        async with served(2) as server:
            tag = "nsu=urn:connected-factory:simulator;s=V0"
            made = config(server.server.endpoint.geturl(), mode=mode, select=[{"node": tag}])
            async with any_source(made) as source, aclosing(source.batches()) as batches:
                seen = await Seen(batches).until(lambda seen: len(seen.values) == 1)
                assert await source.send_again([tag, tag.replace("V0", "V1"), "x"]) == [True, False, False]
                await seen.until(lambda seen: len(seen.values) == 2)
                first, again = [batch for batch in seen.batches if len(batch)]
                assert again.values[0] == first.values[0] == 0.0
                assert again.source_ticks[0] == first.source_ticks[0]  # nothing is invented

    run(body, 60)


@pytest.mark.parametrize("mode", ["subscribe", "poll"])
def test_a_selection_that_is_added_is_read_on_the_same_connection(mode: str) -> None:
    async def body() -> None:
        async with served(2) as server:
            tags = [{"node": f"nsu=urn:connected-factory:simulator;s=V{n}"} for n in (0, 1)]
            url = server.server.endpoint.geturl()
            async with any_source(config(url, mode=mode, select=tags[:1])) as source, aclosing(source.batches()) as all:
                seen = await Seen(all).until(lambda seen: len(seen.values) == 1)
                source.grow(config(url, mode=mode, select=tags))
                await seen.until(lambda seen: len(seen.of("V1")) == 1)
                assert not seen.causes

    run(body, 60)
