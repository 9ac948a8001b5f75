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
