"""How a running gateway is, for its presence: figures that exist anyway, looked at every few seconds."""

from collections.abc import Collection
from datetime import UTC, datetime
from socket import gethostname

from gateway.link import Link
from gateway.payload.health import Health
from gateway.run.gateway import Gateway


def health_of(gateway: Gateway) -> Health:
    """How it is now."""
    config, queues = gateway.configured, gateway.queues
    group, refused = config.group, gateway.refused
    return Health(
        sources=_counted(gateway.sources.values()),
        brokers=_counted(gateway.brokers.values()),
        backlog_values=gateway.stored_values,
        backlog_age_s=max((each.oldest_age_s for each in queues.values() if each.stored_values), default=0.0),
        lost_values=sum(sum(gateway.metrics.dropped_of(name).values()) for name in queues),
        gap=_last_gap(gateway),
        group=(group.name, group.member or gethostname(), len(config.sources)) if group is not None else None,
        refused=(_instant(refused[0]), refused[1]) if refused is not None else None,
        pulled=gateway.reload.pulled() if gateway.reload is not None else None,
        trouble=gateway.outbox.trouble or "",
    )


def _counted(links: Collection[Link]) -> tuple[int, int]:
    return sum(link.is_up for link in links), len(links)


def _last_gap(gateway: Gateway) -> tuple[str, str, str] | None:
    found = [(*last, source) for source, each in gateway.standing.items() if (last := each.last_gap) is not None]
    if not found:
        return None
    at_s, gap, source = max(found, key=lambda each: each[0])
    return _instant(at_s), source, gap.cause


def _instant(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
