"""The live page's API: what it tells is what the metrics tell, one state serves all, and strangers get nothing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import orjson
import pytest
from typer.testing import CliRunner

from gateway.cli import cli
from gateway.config import HttpConfig, Secret
from gateway.delivery import DELIVERED, Outcome, Verdict
from gateway.metrics import value_of
from gateway.model import Gap, Tag
from gateway.run.inside import InsideOf
from gateway.web import listening
from gateway.web.models import State
from gateway.web.openapi import ENDPOINTS
from tests.support.composition import Composition
from tests.support.forwarding import until
from tests.support.payloads import batch_of

Asks = Callable[["Asked"], Awaitable[None]]


class Asked:
    """A gateway whose port is asked."""

    def __init__(self, made: Composition, address: str, session: aiohttp.ClientSession) -> None:
        self.made, self.address, self._session = made, address, session

    def get(self, path: str, **more: object) -> "aiohttp.client._RequestContextManager":
        return self._session.get(f"{self.address}{path}", **more)  # type: ignore[arg-type]  # as the library takes them

    def post(self, path: str, **more: object) -> "aiohttp.client._RequestContextManager":
        return self._session.post(f"{self.address}{path}", **more)  # type: ignore[arg-type]  # the same

    async def state(self) -> State:
        async with self.get("/api/v1/state") as answer:
            assert answer.status == 200, await answer.text()
            return State.model_validate_json(await answer.read())


def asking(folder: Path, check: Asks, http: HttpConfig | None = None) -> None:
    """Ask a gateway of two servers and two brokers that obey physics."""

    @asynccontextmanager
    async def asked() -> AsyncIterator[Asked]:
        made = Composition(folder)
        config = (http or HttpConfig()).model_copy(update={"port": 0})
        async with made.running(made.config(http={**config.model_dump(mode="json", exclude_none=True)})):
            inside = InsideOf(made.gateway)
            async with (
                listening(config, {}, made.gateway.links, inside) as address,
                aiohttp.ClientSession() as session,
            ):
                yield Asked(made, address, session)

    async def run() -> None:
        async with asyncio.timeout(30), asked() as one:
            await check(one)

    asyncio.run(run())


def test_the_state_has_the_figures_of_the_metrics(tmp_path: Path) -> None:
    async def check(asked: Asked) -> None:
        made = asked.made
        made.produce(7)
        await made.everything_arrives()
        made.servers["t"].go()
        await until(lambda: made.gateway.sources["t"].reason == "nobody listens there")
        state = await asked.state()
        assert state.verdict.text == "1 of 2 sources is away; nothing is lost; 0 s behind"
        assert state.verdict.level == "warning"
        told = {source.name: source for source in state.sources}
        assert (told["t"].state, told["t"].reason) == ("down", "nobody listens there")
        assert told["t"].advice.startswith("no program listens there")
        assert told["s"].received_values == value_of(made.gateway.metrics.for_source("s").received) == 7
        for broker in state.brokers:
            books = made.books(broker.name)
            assert (broker.delivered_values, broker.stored_values) == (books.delivered, books.stored) == (14, 0)
            assert broker.imbalance_values == 0

    asking(tmp_path, check)


def _time_of(event: bytes) -> str:
    return State.model_validate_json(event.split(b"data: ")[1]).time


async def _event_after(time: str, answer: aiohttp.ClientResponse) -> bytes:
    while _time_of(event := await answer.content.readuntil(b"\n\n")) <= time:
        pass
    return event


def test_every_viewer_gets_the_same_state_made_once(tmp_path: Path) -> None:
    async def check(asked: Asked) -> None:
        answers = [await asked.get("/api/v1/stream") for _ in range(3)]
        heads = [await answer.content.readuntil(b"\n\n") for answer in answers]
        assert all(head.startswith(b"event: state\ndata: {") for head in heads)
        last = max(map(_time_of, heads))
        nexts = [await _event_after(last, answer) for answer in answers]
        assert nexts[0] == nexts[1] == nexts[2]
        for answer in answers:
            answer.close()

    asking(tmp_path, check)


@pytest.mark.parametrize(
    ("http", "headers", "looks", "acts"),
    [
        ({}, {}, 200, 403),
        ({"token": {"file": "TOKEN"}}, {}, 200, 401),
        ({"token": {"file": "TOKEN"}}, {"Authorization": "Bearer wrong"}, 200, 401),
        ({"token": {"file": "TOKEN"}}, {"Authorization": "Bearer right"}, 200, 404),
        ({"token": {"file": "TOKEN"}, "page": "token"}, {}, 401, 401),
        ({"token": {"file": "TOKEN"}, "page": "token"}, {"Authorization": "bearer right"}, 200, 404),
        ({"host": "0.0.0.0"}, {}, 404, 404),
        ({"host": "0.0.0.0", "token": {"file": "TOKEN"}}, {}, 401, 401),
        ({"host": "0.0.0.0", "page": "open"}, {}, 200, 403),
        ({"page": "off"}, {}, 404, 404),
        ({}, {"Host": "evil.example"}, 421, 421),
        ({"token": {"env": "GATEWAY_TEST_HAS_NO_SUCH_TOKEN"}}, {"Authorization": "Bearer right"}, 200, 503),
    ],
)
def test_who_may_look_and_who_may_act(
    tmp_path: Path, http: dict[str, object], headers: dict[str, str], looks: int, acts: int
) -> None:
    token = tmp_path / "token"
    token.write_text("right\n")
    token.chmod(0o600)
    config = HttpConfig.model_validate(orjson.loads(orjson.dumps(http).replace(b"TOKEN", str(token).encode())))

    async def check(asked: Asked) -> None:
        async with asked.get("/api/v1/state", headers=headers) as answer:
            assert answer.status == looks
        async with asked.post("/api/v1/certificates/00/trust", headers=headers) as answer:
            assert answer.status == acts
        async with asked.get("/", headers=headers) as answer:
            has_to_set = looks == 404 and "page" not in http
            assert ("set http.token" in await answer.text()) == has_to_set

    asking(tmp_path, check, config)


def test_nonsense_of_a_server_is_shown_and_harms_nobody(tmp_path: Path) -> None:
    """Times that no calendar has, and text that no encoding carries."""
    strange = "lone \ud800"

    async def check(asked: Asked) -> None:
        standing = asked.made.gateway.standing_of("s")
        tags = [Tag(strange, "ns=1;s=x", unit="\udfff")]
        gap = Gap("undecodable", strange, -5, 2**63 - 1, handles=(0,))
        standing.take(batch_of([(12, strange)], tags=tags, ticks=[2**63 - 2], statuses=[0xFFFF_FFFF], gaps=(gap,)))
        asked.made.gateway.sources["s"].reason = strange
        state = await asked.state()
        assert (state.sources[0].newest, state.sources[0].tags.bad) == ("9999-12-31T23:59:59.9999999Z", 1)
        for path in ("gaps", "tags", "tags?severity=bad"):
            async with asked.get(f"/api/v1/{path}") as answer:
                assert (answer.status, b"lone ?" in await answer.read()) == (200, True)

    asking(tmp_path, check)


def test_answers_forbid_a_browser_everything_foreign(tmp_path: Path) -> None:
    async def check(asked: Asked) -> None:
        paths = ["/", "/api/v1/openapi.json", "/api/v1/stream", "/api/v1/tags?limit=0"]
        paths += [f"/api/v1{each.path}" for each in ENDPOINTS if not each.acts and not each.is_stream]
        for path in paths:
            async with asked.get(path) as answer:
                assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert "Access-Control-Allow-Origin" not in answer.headers

    asking(tmp_path, check)


def test_every_act_does_what_it_says_and_leaves_lines_in_the_audit(tmp_path: Path) -> None:
    token, headers = tmp_path / "token", {"Authorization": "Bearer right"}
    token.write_text("right\n")
    token.chmod(0o600)

    async def check(asked: Asked) -> None:
        broker = asked.made.brokers["a"]
        broker.verdict = lambda message: Outcome(Verdict.LATER, "not_authorized", "the broker does not want it", 0x87)
        asked.made.produce(3)
        queue = asked.made.gateway.queues["a"]
        await until(lambda: len(queue.held) == 2 and queue.refused_reader.messages >= 2)
        [refused, _] = (await asked.state()).brokers
        assert {(each.topic, each.reason) for each in refused.refused_topics} == {
            ("x/s", "the broker does not want it"), ("x/t", "the broker does not want it"),
        }  # fmt: skip
        broker.verdict = lambda message: DELIVERED
        queue.held.update(dict.fromkeys(queue.held, float("inf")))  # nobody would offer them again by himself
        for path, status in (("brokers/a/release", 200), ("brokers/nobody/release", 404), ("reload", 404)):
            async with asked.post(f"/api/v1/{path}", headers=headers) as answer:
                assert answer.status == status, await answer.text()
        await asked.made.everything_arrives()

    asking(tmp_path, check, HttpConfig(token=Secret(file=token)))
    shown = CliRunner().invoke(cli, ["audit", "show", str(tmp_path / "outbox")])
    lines = [line.split("page 127.0.0.1 at _gateway: ")[1] for line in shown.output.splitlines()]
    assert lines == [
        "release a: accepted", "release a: done", "release nobody: accepted", "release nobody: refused",
        "reload : accepted", "reload : refused",
    ]  # fmt: skip
    assert CliRunner().invoke(cli, ["audit", "verify", str(tmp_path / "outbox")]).exit_code == 0
