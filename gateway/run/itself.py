"""The gateway as commands see it: its state, and its configuration taken anew."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from functools import partial

from gateway.commands.forms import instant_of
from gateway.commands.itself import Wanted
from gateway.commands.outcome import Refused
from gateway.errors import ConfigError, Unavailable
from gateway.in_thread import in_thread
from gateway.link import Link
from gateway.payload.checks import problems_with_payload
from gateway.payload.forms import Json
from gateway.payload.presence import hash_of
from gateway.pipeline.broker_queue import BrokerQueue
from gateway.run.added import Added, joined, key_of
from gateway.run.added_file import save_added
from gateway.run.gateway import Gateway, Membership
from gateway.run.taking import Reload


class ItselfOf:
    """Of a running gateway."""

    def __init__(self, gateway: Gateway, reload: Reload) -> None:
        self._gateway = gateway
        self._reload = reload
        self._began_s = time.monotonic()
        self._selecting = asyncio.Lock()

    def diagnostics(self) -> Mapping[str, Json]:
        gateway = self._gateway
        outbox, queues = gateway.outbox, gateway.queues
        oldest_s = outbox.oldest_age_s
        return {
            "configuration": hash_of(gateway.configured),
            "running_s": round(time.monotonic() - self._began_s, 1),
            "sources": {name: _state(link) for name, link in gateway.sources.items()},
            "brokers": {name: {**_state(link), **_backlog(queues[name])} for name, link in gateway.brokers.items()},
            "subscribed": [each.model_dump(mode="json", exclude_none=True) for each in gateway.selected],
            "outbox": {
                "bytes": outbox.bytes, "capacity": gateway.config.outbox.max_bytes, "oldest_s": round(oldest_s, 1),
            },
            **({"group": _group(gateway.group[0])} if gateway.group is not None else {}),
        }  # fmt: skip

    async def subscribe(self, wanted: Sequence[Wanted]) -> None:
        since = instant_of(time.time_ns())
        new = [
            Added(
                source=each.rule.source or "", node=each.target.node_id, name=each.target.name,
                requester=each.requester, since=since, publishing_interval=each.publishing_s,
                sampling_interval=each.sampling_s, heartbeat=each.heartbeat_s,
                events=each.target.kind == "notifier", rule=key_of(each.rule),
                fields=each.rule.subscribe.fields if each.rule.subscribe is not None else {},
            )
            for each in wanted
        ]  # fmt: skip
        async with self._selecting:
            places = {(each.source, each.node): each for each in self._gateway.selected}
            same = [each for each in new if _is_same(places.get((each.source, each.node)), each)]
            places |= {(each.source, each.node): each for each in new if each not in same}
            await self._select(tuple(places.values()))

    async def unsubscribe(self, source: str, nodes: Sequence[str]) -> None:
        gone = {(source, node) for node in nodes}
        async with self._selecting:
            await self._select(tuple(each for each in self._gateway.selected if (each.source, each.node) not in gone))

    def is_subscribed(self, source: str, node: str) -> bool:
        return any((each.source, each.node) == (source, node) for each in self._gateway.selected)

    async def _select(self, added: tuple[Added, ...]) -> None:
        """Keep these from now on, and let the sources follow."""
        gateway, commands = self._gateway, self._gateway.configured.commands
        most = commands.subscriptions if commands is not None else 0
        for name in {each.source for each in added}:
            if sum(each.source == name for each in added) > most:
                raise Refused("too_many", f"at most {most} of one source are subscribed to at run time")
        if problems := problems_with_payload(joined(gateway.configured, added)):
            raise Refused("unsupported", f"it has no place among the topics: {problems[0][1]}"[:500])
        try:
            await in_thread(partial(save_added, gateway.config.outbox.path, added), "keep the selections")
        except OSError as error:
            raise Refused("journal_full", f"it cannot be kept: {error.strerror or error}") from error
        gateway.selected = added
        self._reload.regroup.set()

    async def reload(self) -> Mapping[str, Json]:
        if self._reload.read is None:
            raise Refused("unsupported", "this gateway has no configuration file to take anew")
        try:
            told = await self._reload.take()
        except (ConfigError, Unavailable) as error:
            problems = error.problems if isinstance(error, ConfigError) else [str(error)]
            raise Refused("configuration", "; ".join(problems)[:2000]) from error
        return told if self._gateway.group is None else {**told, **await self._passed_on(self._gateway.group[0])}

    async def _passed_on(self, member: Membership) -> Mapping[str, Json]:
        """Let the other members take it as well, each from its own file; who that is."""
        others: list[Json] = [name for name in sorted(member.others) if name != member.name]
        try:
            await member.tell_reload()
        except Unavailable as error:
            return {"member": member.name, "not_told": others, "detail": str(error)}
        return {"member": member.name, "told": others}


def _is_same(before: Added | None, now: Added) -> bool:
    """Whether it is subscribed to in this way already, by whomever."""
    return before is not None and before.selection == now.selection and before.rule == now.rule


def _group(member: Membership) -> dict[str, Json]:
    """Who answers, and who has what: this member's sources and brokers are above."""
    members: dict[str, Json] = {}
    for name, facts in member.others.items():
        holds = facts.get("holds")
        works: list[Json] = [*sorted(map(str, holds))] if isinstance(holds, Mapping) else []
        members[name] = works
    return {"member": member.name, "members": members}


def _state(link: Link) -> dict[str, Json]:
    told: dict[str, Json] = {
        "state": link.state.value, "for_s": round(link.since_s, 1), "connects": link.connects, "address": link.address,
    }  # fmt: skip
    return {**told, "reason": link.reason} if link.reason else told


def _backlog(queue: BrokerQueue) -> dict[str, Json]:
    return {"stored_values": queue.stored_values, "in_flight": queue.in_flight}
