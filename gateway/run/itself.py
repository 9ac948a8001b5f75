"""The gateway as commands see it: its state, and its configuration taken anew."""

import time
from collections.abc import Mapping

from gateway.commands.outcome import Refused
from gateway.errors import ConfigError, Unavailable
from gateway.link import Link
from gateway.payload.forms import Json
from gateway.payload.presence import hash_of
from gateway.pipeline.broker_queue import BrokerQueue
from gateway.run.gateway import Gateway
from gateway.run.taking import Reload


class ItselfOf:
    """Of a running gateway."""

    def __init__(self, gateway: Gateway, reload: Reload | None) -> None:
        self._gateway = gateway
        self._reload = reload
        self._began_s = time.monotonic()

    def diagnostics(self) -> Mapping[str, Json]:
        gateway = self._gateway
        outbox, queues = gateway.outbox, gateway.queues
        oldest_s = outbox.oldest_age_s
        return {
            "configuration": hash_of(gateway.config),
            "running_s": round(time.monotonic() - self._began_s, 1),
            "sources": {name: _state(link) for name, link in gateway.sources.items()},
            "brokers": {name: {**_state(link), **_backlog(queues[name])} for name, link in gateway.brokers.items()},
            "outbox": {
                "bytes": outbox.bytes, "capacity": gateway.config.outbox.max_bytes, "oldest_s": round(oldest_s, 1),
            },
        }  # fmt: skip

    async def reload(self) -> Mapping[str, Json]:
        if self._reload is None:
            raise Refused("unsupported", "this gateway has no configuration file to take anew")
        try:
            return await self._reload.take()
        except (ConfigError, Unavailable) as error:
            problems = error.problems if isinstance(error, ConfigError) else [str(error)]
            raise Refused("configuration", "; ".join(problems)[:2000]) from error


def _state(link: Link) -> dict[str, Json]:
    told: dict[str, Json] = {
        "state": link.state.value, "for_s": round(link.since_s, 1), "connects": link.connects, "address": link.address,
    }  # fmt: skip
    return {**told, "reason": link.reason} if link.reason else told


def _backlog(queue: BrokerQueue) -> dict[str, Json]:
    return {"stored_values": queue.stored_values, "in_flight": queue.in_flight}
