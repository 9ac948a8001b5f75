"""The state of a running gateway as the API tells it: one function over what exists.

Nothing is collected for it beforehand, except the counts at the last looks, from which rates follow.
"""

import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from gateway.advice import advice_for
from gateway.happened import Happened, Line, command_for
from gateway.link import Link
from gateway.metrics import value_of
from gateway.model import TICKS_PER_SECOND, UNIX_EPOCH_TICKS
from gateway.payload.layout import topic_of
from gateway.payload.timestamps import text_of
from gateway.pipeline.broker_queue import BrokerQueue
from gateway.run.gateway import Gateway, own_version
from gateway.web.models import (
    BrokerState,
    Event,
    GroupState,
    MachineState,
    OutboxState,
    OwnedWork,
    RefusedTopic,
    SourceState,
    State,
    TagCounts,
    Verdict,
    WaitingCertificate,
)

RATE_OVER_S = 5.0
"""Rates are those of about the last so many seconds."""
MOST_TOPICS = 100
BEHIND_S = 2.0
"""Values that are not older than this on the disk are on their way, not late."""


class Rates:
    """Rates of counters between looks."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, dict[str, float]]] = deque()

    def note(self, now_s: float, counts: dict[str, float]) -> None:
        """Note the counts at a look."""
        self._looks.append((now_s, counts))
        while len(self._looks) > 2 and self._looks[1][0] <= now_s - RATE_OVER_S:
            self._looks.popleft()

    def per_second(self, name: str) -> float | None:
        """The rate of one counter since a look some seconds ago.  None: there was none."""
        (first_s, first), (last_s, last) = self._looks[0], self._looks[-1]
        if name not in first or last_s <= first_s:
            return None
        return round(max(0.0, last[name] - first[name]) / (last_s - first_s), 1)


def state_of(
    gateway: Gateway, rates: Rates, happened: Happened, certificates: Sequence[WaitingCertificate], file: str = "FILE"
) -> State:
    """Everything at a glance.  `file` is the configuration's, for the commands that help."""
    now_s = time.time()
    received = {name: value_of(gateway.metrics.for_source(name).received) for name in gateway.sources}
    delivered = {name: float(gateway.queues[name].delivered_values) for name in gateway.brokers}
    counts = {f"s {name}": count for name, count in received.items()}
    rates.note(time.monotonic(), counts | {f"b {name}": count for name, count in delivered.items()})
    sources = [_source(gateway, link, rates, now_s, round(received[name])) for name, link in gateway.sources.items()]
    brokers = [_broker(gateway, link, rates, now_s) for link in gateway.brokers.values()]
    outbox = _outbox(gateway)
    return State(
        name=gateway.config.name,
        version=own_version(),
        time=instant(now_s),
        started=instant(value_of(gateway.metrics.started)),
        configuration=gateway.configuration_hash,
        may_act=gateway.config.http.token is not None,
        verdict=verdict_of(sources, brokers, outbox.trouble),
        sources=sources,
        brokers=brokers,
        outbox=outbox,
        machines=_machines(gateway),
        group=_group(gateway),
        certificates=list(certificates),
        events=[_event(line, file, outbox.path) for line in reversed(happened.lines)],
    )


def instant(unix_s: float) -> str:
    """RFC 3339, UTC, milliseconds."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _peer(link: Link, now_s: float) -> dict[str, object]:
    return {
        "name": link.peer, "address": link.address, "state": link.state.value, "reason": link.reason,
        "advice": advice_for(link.reason, link.cause) if link.reason else "", "since": instant(now_s - link.since_s),
        "for_s": round(link.since_s, 1), "connects": link.connects,
    }  # fmt: skip


def _source(gateway: Gateway, link: Link, rates: Rates, now_s: float, received: int) -> SourceState:
    metrics, standing = gateway.metrics.for_source(link.peer), gateway.standing_of(link.peer)
    refused = round(value_of(metrics.items_failed))
    total = round(value_of(metrics.items_good)) + refused
    uncertain, bad = standing.counts
    newest = standing.newest_ticks
    newest_age_s = now_s - (newest - UNIX_EPOCH_TICKS) / TICKS_PER_SECOND
    return SourceState.model_validate({
        **_peer(link, now_s),
        "is_polled": bool(value_of(metrics.polled)),
        "tags": TagCounts(
            total=total, good=max(0, total - refused - uncertain - bad), uncertain=uncertain, bad=bad, refused=refused
        ),
        "received_values": received,
        "values_per_second": rates.per_second(f"s {link.peer}"),
        "newest": text_of(newest) if newest else None,
        "newest_age_s": round(newest_age_s, 1) if newest else None,
        "gaps_24h": len(standing.gaps_within()),
        "held_values": round(value_of(metrics.held)),
        "filtered_values": round(sum(value_of(each) for each in metrics.filtered.values())),
    })  # fmt: skip


def _broker(gateway: Gateway, link: Link, rates: Rates, now_s: float) -> BrokerState:
    name = link.peer
    queue, imbalance = gateway.queues[name], gateway.metrics.imbalance_of(name)
    return BrokerState.model_validate({
        **_peer(link, now_s),
        "route": queue.reader.route,
        "stored_values": queue.stored_values,
        "stored_messages": queue.reader.messages + queue.refused_reader.messages,
        "oldest_age_s": round(queue.oldest_age_s, 1),
        "in_flight": queue.in_flight,
        "delivered_values": queue.delivered_values,
        "values_per_second": rates.per_second(f"b {name}"),
        "dropped_values": gateway.metrics.dropped_of(name),
        "refused_messages": queue.refused_reader.messages,
        "refused_topics": _refused_topics(queue),
        "dead_letters": queue.dead.messages,
        "imbalance_values": 0 if math.isnan(imbalance) else round(imbalance),
    })  # fmt: skip


def _refused_topics(queue: BrokerQueue) -> list[RefusedTopic]:
    streams = sorted(queue.held)[:MOST_TOPICS]
    return [RefusedTopic(topic=topic_of(stream), reason=queue.why.get(stream, "")) for stream in streams]


def _outbox(gateway: Gateway) -> OutboxState:
    outbox = gateway.outbox
    return OutboxState(
        path=str(gateway.config.outbox.path),
        bytes=round(value_of(gateway.metrics.stored_bytes)),
        capacity_bytes=gateway.config.outbox.max_bytes,
        oldest_age_s=round(outbox.oldest_age_s, 1),
        trouble=outbox.trouble or "",
    )


def _machines(gateway: Gateway) -> list[MachineState]:
    return [
        MachineState(
            machine=each.machine, line=each.line, source=each.source, state=each.state, for_s=round(each.for_s, 1),
            good_parts=round(each.good), scrap_parts=round(each.scrap),
        )
        for each in sorted(gateway.tags.machines.present(), key=lambda each: (each.line, each.machine))
    ]  # fmt: skip


def _group(gateway: Gateway) -> GroupState | None:
    if gateway.group is None or gateway.config.group is None:
        return None
    member, config = gateway.group[0], gateway.configured
    works = [("source", each.name) for each in config.sources] + [("broker", each.name) for each in config.all_brokers]
    owned = [owner_of(f"{kind}/{name}", member.others) for kind, name in works]
    return GroupState(
        name=gateway.config.group.name,
        member=member.name,
        works=[
            OwnedWork.model_validate({"kind": kind, "name": name, "member": who, "since": since})
            for (kind, name), (who, since) in zip(works, owned, strict=True)
        ],
    )


def owner_of(work: str, members: Mapping[str, Mapping[str, object]]) -> tuple[str, str | None]:
    """Which member has a work, and since when: the one with the latest epoch, where two show it."""
    best = -1
    found: tuple[str, str | None] = ("", None)
    for name, shown in members.items():
        holds, since = shown.get("holds"), shown.get("since")
        epoch = holds.get(work) if isinstance(holds, dict) else None
        if isinstance(epoch, int) and epoch > best:
            at_s = since.get(work) if isinstance(since, dict) else None
            best, found = epoch, (name, instant(at_s) if isinstance(at_s, int | float) else None)
    return found


def _event(line: Line, file: str, outbox: str) -> Event:
    return Event(
        time=instant(line.at_s), level=line.level, event=line.event, peer=line.peer, reason=line.reason,
        advice=line.advice, command=command_for(line, file=file, outbox=outbox), more=dict(line.more),
    )  # fmt: skip


# -- the verdict


def verdict_of(sources: Sequence[SourceState], brokers: Sequence[BrokerState], trouble: str = "") -> Verdict:
    """The state of everything, in a sentence."""
    sources_away = sum(each.state != "up" for each in sources)
    brokers_away = sum(each.state != "up" for each in brokers)
    dropped: dict[str, int] = {}
    for broker in brokers:
        for reason, values in broker.dropped_values.items():
            dropped[reason] = dropped.get(reason, 0) + values
    imbalance = max((abs(broker.imbalance_values) for broker in brokers), default=0)
    behind_s = max((broker.oldest_age_s for broker in brokers if broker.stored_values), default=0.0)
    refused = sum(len(broker.refused_topics) for broker in brokers)
    bad = sum(source.tags.bad + source.tags.refused for source in sources if source.state == "up")
    parts = [_away("source", sources_away, len(sources))]
    if brokers_away:
        parts.append(_away("broker", brokers_away, len(brokers)))
    if trouble:
        parts.append(f"nothing can be stored: {trouble}")
    if bad:
        parts.append(f"{bad} {_are(bad, 'tag')} bad")
    if refused:
        parts.append(f"{refused} {_are(refused, 'topic')} refused")
    parts.append(_lost(dropped, imbalance))
    parts.append(f"{span(behind_s)} behind" if behind_s >= BEHIND_S else "0 s behind")
    is_bad = bool(dropped or imbalance or trouble) or sources_away == len(sources) or brokers_away == len(brokers)
    is_late = bool(sources_away or brokers_away or bad or refused) or behind_s >= 60.0
    return Verdict(level="bad" if is_bad else "warning" if is_late else "good", text="; ".join(parts))


def _away(kind: str, away: int, count: int) -> str:
    if not away:
        return f"the {kind} is connected" if count == 1 else f"all {count} {kind}s are connected"
    if count == 1:
        return f"the {kind} is away"
    return f"{away} of {count} {kind}s {'is' if away == 1 else 'are'} away"


def _are(count: int, kind: str) -> str:
    return f"{kind} is" if count == 1 else f"{kind}s are"


def _lost(dropped: dict[str, int], imbalance: int) -> str:
    if imbalance:
        return f"{imbalance} values are missing in the books"
    if not dropped:
        return "nothing is lost"
    count = sum(dropped.values())
    return f"{count} {'value was' if count == 1 else 'values were'} lost since the start ({', '.join(sorted(dropped))})"


def span(seconds: float) -> str:
    """A duration for people: `41 s`, `12 min`, `3 h`, `2 d`."""
    for unit, length in (("d", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
