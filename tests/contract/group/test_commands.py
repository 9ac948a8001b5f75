"""Commands in a group, with a real server, broker and log: done once, by who has the source, across take-overs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from gateway.config import Config
from gateway.run.gateway import Gateway
from tests.contract.commands.test_kills import SET_POINT, Books, judge
from tests.contract.group.test_log import in_cluster
from tests.support.brokers import mosquitto
from tests.support.commanded import Requester, config_of, in_s, requester
from tests.support.commanded import running as gateway_runs
from tests.support.nats_cluster import Cluster

RULES = [{"source": "shop", "node": SET_POINT, "name": "SetPoint", "write": {}}]


def member_config(folder: Path, cluster: Cluster, broker: str, server: str, member: str, group: str) -> Config:
    return config_of(
        folder, broker, server, {"rules": RULES, "verify_within": "10ms"},
        group={
            "name": group, "servers": cluster.servers, "monitoring": cluster.monitoring, "member": member,
            "presence": "12s", "rebalance_after": "1h",
        },
    )  # fmt: skip


@asynccontextmanager
async def two_members(
    folder: Path, cluster: Cluster, broker: str, server: str, group: str
) -> AsyncIterator[dict[str, Gateway]]:
    """`a` has the source, `b` the broker."""
    async with AsyncExitStack() as stack:
        found: dict[str, Gateway] = {}
        for name in "ab":
            config = member_config(folder, cluster, broker, server, name, group)
            found[name] = await stack.enter_async_context(gateway_runs(config))
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


async def move(gateway: Gateway, work: str, member: str) -> None:
    assert gateway.group is not None
    log = gateway.group[0].log  # type: ignore[attr-defined]
    await log.wish(work, {"member": member})
    await log.nudge()


async def written(mes: Requester, books: Books, number: int) -> object:
    """A write with an id of its own; its latest outcome.  Asked again, as requesters do, until it is answered."""
    name, writes = str(number), [{"tag": "SetPoint", "value": float(number)}]
    books.answers.pop(name, None)
    while name not in books.answers:
        await mes.send({"id": name, "operation": "write", "deadline": in_s(60), "writes": writes})
        await books.wait([name], 1.0)
    return books.answers[name][-1]["outcome"]


def test_a_command_is_done_once_by_who_has_the_source_and_a_repeat_is_answered_by_the_next(
    cluster: Cluster, tmp_path: Path
) -> None:
    @in_cluster
    async def body(cluster: Cluster) -> None:
        async with (
            judge() as (server, given),
            requester("mes", broker.url) as mes,
            two_members(tmp_path, cluster, broker.url, server, "asked") as members,
        ):
            books = Books()
            reading = asyncio.create_task(books.read(mes), name="answers")
            assert await written(mes, books, 1) == "done"
            await move(members["a"], "source/shop", "b")
            await wait_with(members["b"], "source/shop")
            assert await written(mes, books, 1) == "done"
            number = 2
            while (
                outcome := await written(mes, books, number)
            ) == "refused":  # it is being connected: nothing was sent
                number += 1
            reading.cancel()
            await asyncio.wait([reading])
            assert (outcome, given) == ("done", [1.0, float(number)])
            audited = sorted(tmp_path.glob("outbox/*/commands/audit-*.jsonl"))
            assert [path.parts[-3] for path in audited] == ["a", "b"]

    with mosquitto(tmp_path) as broker:
        body(cluster)
