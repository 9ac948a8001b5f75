"""Who asks sees what passes inside, through every stage, and nothing of it is left when the last one has gone."""

from pathlib import Path

import aiohttp
import pytest

from gateway.config import HttpConfig
from gateway.run.tapping import MOST_TAPS
from gateway.web.models import Tapped
from tests.support.forwarding import until
from tests.unit.web.test_live import Asked, asking


async def _until(answer: aiohttp.ClientResponse, values: int, messages: int) -> Tapped:
    """All that came until there were so many."""
    found = Tapped(tags=0, values=[], messages=[], left_out=0, dropped=0)
    while len(found.values) < values or len(found.messages) < messages:
        event = await answer.content.readuntil(b"\n\n")
        assert event.startswith(b"event: tapped\ndata: {")
        more = Tapped.model_validate_json(event.split(b"data: ")[1])
        found = more.model_copy(
            update={"values": found.values + more.values, "messages": found.messages + more.messages}
        )
    return found


def test_what_passes_is_seen_at_every_stage_by_as_many_as_may(tmp_path: Path) -> None:
    async def check(asked: Asked) -> None:
        taps = asked.made.gateway.taps
        looking = [await asked.get("/api/v1/tap", params={"source": "s", "tag": "count"}) for _ in range(MOST_TAPS)]
        async with asked.get("/api/v1/tap") as answer:
            assert (answer.status, "most" in await answer.text()) == (503, True)
        asked.made.produce(2)
        seen = await _until(looking[0], 4, 1)
        assert [(each.stage, each.value, each.type, each.status) for each in seen.values] == [
            (stage, value, "Int32", "Good (0x00000000)") for stage in ("decode", "shape") for value in ("1", "2")
        ]
        [message] = seen.messages
        assert seen.tags == 1
        assert (message.source, message.topic, message.count) == ("s", "x/s", 2)
        assert f'"seq":{message.seq}' in message.payload
        for each in looking:
            each.close()
        asked.made.produce(1)
        await until(lambda: not taps)

    asking(tmp_path, check)


@pytest.mark.parametrize(
    ("query", "page", "status"),
    [("?stage=x", "open", 400), ("?source=nobody", "open", 404), ("", "off", 404), ("", "token", 401)],
)
def test_who_may_not_look_and_what_makes_no_sense(tmp_path: Path, query: str, page: str, status: int) -> None:
    token = tmp_path / "token"
    token.write_text("right\n")
    token.chmod(0o600)
    http = HttpConfig.model_validate({"page": page, "token": {"file": str(token)}})

    async def check(asked: Asked) -> None:
        async with asked.get(f"/api/v1/tap{query}") as answer:
            assert answer.status == status

    asking(tmp_path, check, http)
