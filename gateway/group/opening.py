"""Opens a group: connected, on its log, and seen by the others; handed over at the end."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from prometheus_client import CollectorRegistry

from gateway.config import GroupConfig
from gateway.group.judging import Judge
from gateway.group.log import open_log
from gateway.group.member import Member
from gateway.group.outbox import GroupOutbox
from gateway.link import Link
from gateway.metrics.group import GroupMetrics


def member_of(config: GroupConfig) -> str:
    """The name of this member."""
    return config.member or socket.gethostname()


@asynccontextmanager
async def open_group(
    config: GroupConfig,
    link: Link,
    presence_s: float | None = None,
    identity: str = "",
    metrics: GroupMetrics | None = None,
) -> AsyncIterator[Member]:
    """A member that may take part.  At the end it hands over what it has.

    `identity` is what it shows itself to OPC UA servers with, which all members should share.  `presence_s` instead of
    the configured time, for tests.  Raises `ConfigError` for NATS servers that cannot be used.
    """
    metrics = metrics or GroupMetrics(CollectorRegistry())
    name, presence_s = member_of(config), presence_s or config.presence
    async with open_log(config, f"{config.name}/{name}", link, presence_s) as log, asyncio.TaskGroup() as tasks:
        begun_s = asyncio.get_running_loop().time()
        judge = Judge(name, presence_s, config.rebalance_after, config.handover, begun_s)
        facts = {"version": version("connected-factory"), "host": socket.gethostname(), "identity": identity}
        member = Member(name, config.weight, log, GroupOutbox(log), judge, tasks, facts, config.max_bytes, metrics)
        try:
            yield member
        finally:
            await member.leave()
