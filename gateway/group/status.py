"""What people ask a group, and what they wish of it: from its log, without being a member."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from gateway.config import Config, GroupConfig
from gateway.errors import ConfigError, Unavailable
from gateway.group.entry import decode
from gateway.group.log import Json, Log, open_log
from gateway.group.servers import look, monitoring_url, problem_with
from gateway.in_thread import in_thread
from gateway.link import Link

CONNECT_S = 20.0


@dataclass(frozen=True, slots=True)
class Row:
    """A work, and who does it."""

    work: str
    member: str
    """Empty: nobody."""
    since_s: float
    """Unix time; 0: nobody says."""
    epoch: int
    behind: int
    """For a broker: records without a verdict.  For a source: records that some broker has not acknowledged."""


@asynccontextmanager
async def asked(config: GroupConfig) -> AsyncIterator[Log]:
    """The log of a group that runs.  Raises `Unavailable` when it cannot be had in time."""
    opening = open_log(config, f"{config.name}/gateway-group", Link("group", ""))
    try:
        async with asyncio.timeout(CONNECT_S):
            log = await opening.__aenter__()
    except TimeoutError as error:
        raise Unavailable(f"the group's log does not answer: {', '.join(config.servers)}", "timeout") from error
    try:
        yield log
    finally:
        await opening.__aexit__(None, None, None)


async def rows_of(log: Log, works: Mapping[str, str]) -> list[Row]:
    """Every work of the configuration, and what the members say of it.  Raises `Unavailable`."""
    members, lasts = await log.members(), await log.last_of_all(f"{log.names.root}.log.>")
    cursors = {work: decode(lasts[work].body).cursor for work in lasts if work.startswith("broker/")}
    acknowledged = min((cursors.get(work, 0) for work in works if work.startswith("broker/")), default=0)
    newest = max((stored.mark.seq for work, stored in lasts.items() if work.startswith("source/")), default=0)
    return [_row(work, members, lasts[work].mark.seq if work in lasts else 0, cursors, acknowledged, newest)
            for work in sorted(works)]  # fmt: skip


def _row(
    work: str, members: Mapping[str, Json], last: int, cursors: Mapping[str, int], acknowledged: int, newest: int
) -> Row:
    holders = [
        (int(holds[work]), name, facts)
        for name, facts in members.items()
        if isinstance(holds := facts.get("holds"), dict) and work in holds
    ]
    behind = max(0, newest - cursors[work]) if work in cursors else max(0, last - acknowledged)
    if not holders:
        return Row(work, "", 0.0, 0, behind)
    epoch, name, facts = max(holders, key=lambda each: each[0])
    since = facts.get("since")
    return Row(work, name, float(since.get(work, 0)) if isinstance(since, dict) else 0.0, epoch, behind)


async def told_of_log(log: Log) -> dict[str, object]:
    """Which NATS server leads, how the others are, and what the log holds.  Raises `Unavailable`."""
    found = await log.state()
    cluster, state = found.get("cluster") or {}, found.get("state") or {}
    assert isinstance(cluster, dict)
    assert isinstance(state, dict)
    replicas = {each["name"]: "current" if each.get("current") else f"{each.get('lag', 0)} behind"
                for each in cluster.get("replicas") or ()}  # fmt: skip
    return {"leader": cluster.get("leader", ""), "replicas": replicas, "records": state.get("messages", 0),
            "bytes": state.get("bytes", 0)}  # fmt: skip


async def problems_of(log: Log, config: Config) -> list[str]:
    """What is not as a group needs it: versions, servers, clocks, the shared identity.  Raises `Unavailable`."""
    group, problems = config.group, list[str]()
    if group is None:
        raise ConfigError(["the configuration has no group"])
    members = await log.members()
    if not members:
        problems.append("no member is there")
    for what in ("version", "identity"):
        said = {name: str(facts.get(what, "")) for name, facts in members.items()}
        if len(set(said.values())) > 1:
            told = ", ".join(f"{name} {text}" for name, text in sorted(said.items()))
            problems.append(f"members differ in {what}: {told}")
    for name, facts in members.items():
        shown, skew = facts.get("shown_at"), facts.get("presence")
        if isinstance(shown, int | float) and isinstance(skew, int | float) and shown > time.time() + skew:
            problems.append(f"the clock of {name} is {shown - time.time():.0f} s ahead")
    if group.monitoring == 0:
        problems.append("nobody checks sync_interval: group.monitoring is 0")
        return problems
    urls = [monitoring_url(server, group.monitoring) for server in group.servers]
    for url, answer in zip(urls, await _all(look, urls), strict=True):
        text = problem_with(url, answer) if answer is not None else f"{url} does not answer"
        problems += [text] if text else []
    return problems


async def _all(work: Callable[[str], dict[str, object] | None], urls: list[str]) -> list[dict[str, object] | None]:
    return list(await asyncio.gather(*(in_thread(partial(work, url), "ask a NATS server") for url in urls)))


def as_json(rows: list[Row], log: Mapping[str, object], members: Mapping[str, Json]) -> str:
    works = [{"work": r.work, "member": r.member or None, "since": r.since_s, "epoch": r.epoch, "behind": r.behind}
             for r in rows]  # fmt: skip
    return json.dumps({"works": works, "members": members, "log": log}, indent=2)
