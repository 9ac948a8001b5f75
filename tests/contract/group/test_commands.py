"""Commands in a group, with a real server, broker and log: done once, by who has the source, across take-overs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from gateway.config import Config
from gateway.model import Message
from gateway.run.gateway import Gateway
from gateway.run.taking import Reload
from tests.contract.commands.test_kills import SET_POINT, Books, judge
from tests.contract.group.test_log import in_cluster
from tests.support.brokers import mosquitto
from tests.support.commanded import Body, Requester, config_of, in_s, requester
from tests.support.commanded import running as gateway_runs
from tests.support.nats_cluster import Cluster

RULES = [
    {"source": "shop", "node": SET_POINT, "name": "SetPoint", "write": {}},
    {"requesters": ["mes"], "diagnostics": True, "reload": True},
]
CODECS = [
    {"format": name, "topic": f"{name}/service", "requester": "other", "replies": "gateways/edge/replies/other"}
    for name in ("alibaba", "aws-shadow")
]
ITSELF = "source/_gateway"


def member_config(folder: Path, cluster: Cluster, broker: str, server: str, member: str, group: str) -> Config:
    return config_of(
        folder, broker, server, {"rules": RULES, "codecs": CODECS, "verify_within": "10ms"},
        group={
            "name": group, "servers": cluster.servers, "monitoring": cluster.monitoring, "member": member,
            "presence": "12s", "rebalance_after": "1h",
        },
    )  # fmt: skip


@asynccontextmanager
async def two_members(
    folder: Path, cluster: Cluster, broker: str, server: str, group: str, reads: list[str]
) -> AsyncIterator[dict[str, Gateway]]:
    """`a` has the source, `b` the broker.  Who takes its configuration anew is in `reads`."""
    async with AsyncExitStack() as stack:
        found: dict[str, Gateway] = {}
        for name in "ab":
            config = member_config(folder, cluster, broker, server, name, group)

            def read(name: str = name, config: Config = config) -> Config:
                reads.append(name)
                return config

            found[name] = await stack.enter_async_context(gateway_runs(config, Reload(asyncio.Event(), read)))
        await move(found["a"], "source/shop", "a")
        await move(found["a"], "broker/broker", "b")
        await wait_with(found["a"], "source/shop")
        await wait_with(found["b"], "broker/broker")
        yield found


async def wait_with(gateway: Gateway, work: str) -> None:
    """Wait until this member has a work, and is connected for it."""
    name, links = work.partition("/")[2], gateway.sources if work.startswith("source") else gateway.brokers
    async with asyncio.timeout(20):
        while not (gateway.owns(work) and name in links and links[name].is_up):  # noqa: ASYNC110 - two things to wait for
            await asyncio.sleep(0.02)


async def wait_until(holds: Callable[[], bool]) -> None:
    """Of what members do by themselves."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.02)


async def asked_of_a_cloud(other: Requester, topic: str, body: Body) -> Body:
    await other.sink.send(Message(topic, orjson.dumps(body), "", 0, 0))
    return (await other.next())[0]


async def move(gateway: Gateway, work: str, member: str) -> None:
    assert gateway.group is not None
    log = gateway.group[0].log  # type: ignore[attr-defined]
    await log.wish(work, {"member": member})
    await log.nudge()


async def told(mes: Requester, books: Books, name: str, operation: str, source: str, **more: object) -> Body:
    """The latest answer to a request with this id.  Asked again, as requesters do, until it is answered."""
    books.answers.pop(name, None)
    while name not in books.answers:
        body = {"id": name, "operation": operation, "deadline": in_s(60), **more}
        await mes.send(body, source=source)
        await books.wait([name], 1.0)
    return books.answers[name][-1]


async def written(mes: Requester, books: Books, number: int) -> object:
    writes = [{"tag": "SetPoint", "value": float(number)}]
    return (await told(mes, books, str(number), "write", "shop", writes=writes))["outcome"]


def test_a_command_is_done_once_by_who_has_the_source_and_a_repeat_is_answered_by_the_next(
    cluster: Cluster, tmp_path: Path
) -> None:
    @in_cluster
    async def body(cluster: Cluster) -> None:
        reads = list[str]()
        async with (
            judge() as (server, given),
            requester("mes", broker.url) as mes,
            requester("other", broker.url) as other,
            two_members(tmp_path, cluster, broker.url, server, "asked", reads) as members,
        ):
            books = Books()
            reading = asyncio.create_task(books.read(mes), name="answers")
            assert await written(mes, books, 1) == "done"

            # the forms of clouds: by the name of a variable alone, and several properties in one message
            topic, code, number = "alibaba/service/property/set", 403, 100
            while code == 403:  # who has the broker does not know the names yet
                number += 1
                answer = await asked_of_a_cloud(other, topic, {"id": str(number), "params": {"SetPoint": 7.0}})
                assert answer["id"] == str(number)
                code = int(str(answer["code"]))
            assert code == 200
            delta: dict[str, Any] = {"version": 8, "state": {"shop": {"SetPoint": 8.0}, "_gateway": {"reload": "now"}}}
            for _ in range(2):
                await other.sink.send(Message("aws-shadow/service/update/delta", orjson.dumps(delta), "", 0, 0))
                reports = [str((await other.next())[0]["state"]) for _ in delta["state"]]
                assert any("8.0" in each for each in reports)
                assert any("not_allowed" in each for each in reports)
            assert given == [1.0, 7.0, 8.0]
            given[1:] = []

            # the gateway itself: one member is asked, all take their configuration
            await wait_until(lambda: any(each.owns(ITSELF) for each in members.values()))
            first, second = sorted("ab", key=lambda name: not members[name].owns(ITSELF))
            answer = await told(mes, books, "look", "diagnostics", "_gateway")
            assert isinstance(answer["results"], list)
            value = answer["results"][0]["value"]
            assert value["group"]["member"] == first
            assert value["group"]["members"]["a"].count("source/shop") == 1
            assert (await told(mes, books, "reload", "reload", "_gateway"))["outcome"] == "done"
            await wait_until(lambda: sorted(reads) == ["a", "b"])
            await move(members["a"], ITSELF, second)
            await wait_until(lambda: members[second].owns(ITSELF))
            assert (await told(mes, books, "reload", "reload", "_gateway"))["outcome"] == "done"
            assert sorted(reads) == ["a", "b"], "the repeat was answered and not done"
            await move(members["a"], "source/shop", "b")
            await wait_with(members["b"], "source/shop")
            assert await written(mes, books, 1) == "done"
            number, lost = 2, set[float]()
            while (outcome := await written(mes, books, number)) != "done":  # it is being connected
                assert outcome in ("refused", "unknown")
                lost |= {float(number)} if outcome == "unknown" else set()  # its connection ended: it may be done, once
                number += 1
            reading.cancel()
            await asyncio.wait([reading])
            assert [value for value in given if value not in lost] == [1.0, float(number)]
            assert len(set(given)) == len(given)
            audited = sorted(tmp_path.glob("outbox/*/commands/audit-*.jsonl"))
            assert [path.parts[-3] for path in audited] == ["a", "b"]

    with mosquitto(tmp_path) as broker:
        body(cluster)
