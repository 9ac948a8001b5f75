"""Looking around, reading again, and the gateway itself: bounded, page by page, within the rules."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.commands.itself import Itself, Wanted
from gateway.commands.outcome import Refused
from gateway.config import CommandsConfig
from gateway.model import TICKS_PER_SECOND, UNIX_EPOCH_TICKS
from gateway.operations import PastValue
from gateway.payload.forms import Json
from gateway.values import Typed
from tests.support.commands import FakeServer, Office, commands, facts, office, press


def run(
    folder: Path, body: Callable[[Office], Awaitable[None]], config: CommandsConfig, server: FakeServer | None = None,
    itself: Itself | None = None,
) -> None:  # fmt: skip
    async def whole() -> None:
        async with office(folder, config, server, itself=itself) as each:
            await body(each)

    asyncio.run(asyncio.wait_for(whole(), 60))


def test_a_place_is_listed_page_by_page_within_the_bounds_of_its_rule(tmp_path: Path) -> None:
    rule: dict[str, object] = {
        "source": "shop", "subtree": "s=a", "exclude": ["secret/**"], "browse": {"levels": 2, "nodes": 900},
    }  # fmt: skip
    nodes = [f"s=a/{n:03}" for n in range(800)] + ["s=a/secret/x", "s=a/b/c/d", "s=z"]

    async def body(at: Office) -> None:
        seen, after, pages = [], "", 0
        while True:
            answer = await at.ask("browse", below="a", levels=2, limit=1000, after=after)
            [result] = answer["results"]  # type: ignore[misc]
            seen += [node["path"] for node in result["nodes"]]  # type: ignore[has-type]
            pages, after = pages + 1, result.get("next", "")  # type: ignore[has-type]
            if not after:
                break
        assert seen == [f"{n:03}" for n in range(800)]
        assert pages > 1  # an answer has a bound of its own
        for below, levels, reason in (("s=a", 3, "out_of_range"), ("z", 1, "not_allowed")):
            answer = await at.ask("browse", below=below, levels=levels)
            assert (answer["outcome"], answer["reason"]) == ("refused", reason)

    run(tmp_path, body, commands(rule), FakeServer({node: facts(11, 1.0) for node in nodes}))


def test_only_what_is_named_is_read_again(tmp_path: Path) -> None:
    async def body(at: Office) -> None:
        answer = await at.ask("refresh", tags=["Speed", "hidden"])
        assert [r["outcome"] for r in answer["results"]] == ["done", "refused"]  # type: ignore[attr-defined]
        assert (await at.ask("refresh", tags=["Speed"], dry_run=True))["outcome"] == "done"
        assert at.server.refreshed == ["s=press/Speed"]

    run(tmp_path, body, commands({"source": "shop", "subtree": "s=press", "refresh": True}), press())


class Self:
    def __init__(self) -> None:
        self.mistake = ""
        self.subscribed = set[str]()
        self.wanted: list[Wanted] = []

    def diagnostics(self) -> Mapping[str, Json]:
        return {"sources": {"shop": {"state": "up"}}}

    async def reload(self) -> Mapping[str, Json]:
        if self.mistake:
            raise Refused("configuration", self.mistake)
        return {"sources_begun": ["hall"]}

    async def subscribe(self, wanted: Sequence[Wanted]) -> None:
        if self.mistake:
            raise Refused("too_many", self.mistake)
        self.wanted += wanted
        self.subscribed |= {each.target.node_id for each in wanted}

    async def unsubscribe(self, source: str, nodes: Sequence[str]) -> None:
        self.subscribed -= set(nodes)

    def is_subscribed(self, source: str, node: str) -> bool:
        return node in self.subscribed


def test_the_gateway_itself_is_asked_by_those_whom_a_rule_lets(tmp_path: Path) -> None:
    itself = Self()
    rules: list[dict[str, object]] = [
        {"requesters": ["mes"], "diagnostics": True, "reload": True},
        {"diagnostics": True},
        {"source": "shop", "node": "s=press/Speed", "read": True},
    ]

    async def body(at: Office) -> None:
        for operation, requester, source, reason in (
            ("diagnostics", "mes", "_gateway", ""),
            ("diagnostics", "other", "_gateway", ""),
            ("reload", "mes", "_gateway", ""),
            ("reload", "other", "_gateway", "not_allowed"),
            ("diagnostics", "mes", "shop", "not_allowed"),
        ):
            answer = await at.ask(operation, requester, source)
            assert answer.get("reason", "") == reason, (operation, requester, source)
        assert (await at.ask("read", "mes", "_gateway", tags=["_gateway"]))["reason"] == "not_allowed"
        answer = await at.ask("reload", "mes", "_gateway")
        assert answer["results"][0]["value"] == {"sources_begun": ["hall"]}  # type: ignore[index]
        itself.mistake = "gateway.yaml:7: no"
        answer = await at.ask("reload", "mes", "_gateway")
        assert (answer["outcome"], answer["reason"], answer["detail"]) == ("refused", "configuration", itself.mistake)

    run(tmp_path, body, commands(*rules), itself=itself)


def test_a_history_is_read_page_by_page_and_each_value_is_told_once(tmp_path: Path) -> None:
    """Also where several values have the same instant, and a page ends between them."""
    rule: dict[str, object] = {"source": "shop", "subtree": "s=press", "history": {"span": "1h", "values": 7}}
    server = press()
    begin = UNIX_EPOCH_TICKS + 1_795_996_800 * TICKS_PER_SECOND  # 2026-11-30T00:00:00Z
    server.past = [PastValue(begin + n // 5 * 10_000, Typed(6, n), 0) for n in range(50)]
    hour = {"start": "2026-11-30T00:00:00Z", "end": "2026-11-30T01:00:00Z"}

    async def body(at: Office) -> None:
        seen, after = [], ""
        while True:
            answer = await at.ask("history", tag="Speed", after=after, **hour)
            [result] = answer["results"]  # type: ignore[misc]
            assert len(result["values"]) <= 7  # type: ignore[has-type]
            seen += [each["value"] for each in result["values"]]  # type: ignore[has-type]
            after = result.get("next", "")  # type: ignore[has-type]
            if not after:
                break
        assert seen == list(range(50))
        for tag, end, after, reason in (
            ("Speed", "2026-11-30T01:00:01Z", "", "out_of_range"),
            ("Speed", "2026-11-30T00:00:00Z", "", "invalid"),
            ("Speed", hour["end"], "x", "invalid"),
            ("Speed", hour["end"], "0:0", "invalid"),
            ("hidden", hour["end"], "", "not_allowed"),
        ):
            answer = await at.ask("history", tag=tag, start=hour["start"], end=end, after=after)
            assert (answer["outcome"], answer["reason"]) == ("refused", reason), (tag, end, after)

    run(tmp_path, body, commands(rule), server)


def test_variables_are_subscribed_to_at_run_time_all_of_them_or_none(tmp_path: Path) -> None:
    itself = Self()
    rule: dict[str, object] = {
        "source": "shop",
        "subtree": "s=press",
        "requesters": ["mes"],
        "subscribe": {"fastest": 1},
    }

    async def body(at: Office) -> None:
        async def told(operation: str, *tags: str, **more: object) -> list[str]:
            results: Any = (await at.ask(operation, tags=list(tags), **more))["results"]  # type: ignore[arg-type]
            return [each.get("reason", each["outcome"]) for each in results]

        assert await told("subscribe", "Speed", "hidden") == ["others_refused", "not_allowed"]
        assert await told("subscribe", "Speed", publishing_interval=0.5) == ["too_fast"]
        assert await told("subscribe", "Speed", dry_run=True) == ["done"]
        assert itself.subscribed == set()
        assert await told("subscribe", "Speed", "Count", sampling_interval=2) == ["done", "done"]
        assert itself.subscribed == {"s=press/Speed", "s=press/Count"}
        assert await told("unsubscribe", "Speed", "Mode", requester="other") == ["not_allowed"] * 2
        assert await told("unsubscribe", "Speed", "Mode") == ["done", "not_subscribed"]
        assert itself.subscribed == {"s=press/Count"}
        answer = await at.ask("unsubscribe", every="variables")
        assert (answer["outcome"], [each["node"] for each in answer["results"]]) == ("done", ["s=press/Count"])  # type: ignore[attr-defined]
        assert itself.subscribed == set()
        assert (await at.ask("unsubscribe", every="variables"))["outcome"] == "done"  # of nothing
        assert (await at.ask("unsubscribe", every="events", tags=["Speed"]))["reason"] == "invalid"
        itself.mistake = "at most 1"
        assert await told("subscribe", "Speed") == ["too_many"]

    run(tmp_path, body, commands(rule), itself=itself)
