"""Completion for `gateway command`: gateways, their sources, and what the rules name there, from retained presence.

Nothing is asked of a gateway.  A broker that cannot be reached within `WITHIN_S` completes nothing.
"""

import asyncio
import logging
import uuid
from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress

import orjson
import typer

from gateway.cli.command_broker import broker_of
from gateway.cli.verbs import Verb
from gateway.commands.request import ITSELF
from gateway.config import BrokerConfig
from gateway.config.broker import PRESENCE_TOPIC
from gateway.delivery import Packet
from gateway.errors import ConfigError, Rejected, Unavailable
from gateway.link import Link
from gateway.logs import set_up_logs
from gateway.run.sink_kinds import kind_of

WITHIN_S = 1.5
_KINDS: Mapping[str, tuple[str, ...]] = {
    Verb.CALL: ("method",), Verb.BROWSE: ("place",), Verb.SUBSCRIBE: ("variable", "notifier"),
    Verb.UNSUBSCRIBE: ("variable", "notifier"),
    **dict.fromkeys((Verb.ACKNOWLEDGE, Verb.ACK, Verb.CONFIRM), ("condition",)),
}  # fmt: skip
"""What a verb is done with, where that is no variable."""
_ONE_NODE = (Verb.CALL, Verb.BROWSE, Verb.HISTORY, Verb.ACKNOWLEDGE, Verb.ACK, Verb.CONFIRM)
Names = Mapping[str, Mapping[str, list[str]]]
"""By source and kind."""
Presences = dict[str, dict[str, object]]
"""By name of the gateway."""


def gateways(context: typer.Context, incomplete: str) -> list[str]:
    told = _presences(context, "+")
    return sorted(name for name in told if name.startswith(incomplete))


def sources(context: typer.Context, incomplete: str) -> list[str]:
    names = _names(context)
    return sorted(name for name in {*names, ITSELF} if name.startswith(incomplete))


def items_of(context: typer.Context, incomplete: str) -> list[str]:
    """Names for the verb that stands before; nothing where a value is due."""
    verb, given = str(context.params.get("verb") or ""), list(context.params.get("items") or ())
    verb = Verb(verb) if verb in list(Verb) else verb
    if (verb == Verb.WRITE and len(given) % 2) or (verb in _ONE_NODE and given):
        return []
    known = _names(context).get(str(context.params.get("source")), {})
    found = {name for kind in _KINDS.get(verb, ("variable",)) for name in known.get(kind, ())}
    return sorted(name for name in found - set(given) if name.startswith(incomplete))


def _names(context: typer.Context) -> Names:
    gateway = str(context.params.get("gateway") or "")
    names = _presences(context, gateway).get(gateway, {}).get("commands")
    return names if isinstance(names, dict) else {}


def _presences(context: typer.Context, gateway: str) -> Presences:
    """The retained presence of this gateway, or of all (`+`), by name."""
    given = context.params
    set_up_logs("console", logging.CRITICAL + 1)
    with suppress(ConfigError, Unavailable, Rejected, TimeoutError, OSError, ValueError):
        config = broker_of(str(given.get("broker") or ""), given.get("username"), given.get("ca"))
        return asyncio.run(_read(config, PRESENCE_TOPIC.replace("{gateway}", gateway)))
    return {}


async def _read(config: BrokerConfig, topic: str) -> Presences:
    found: Presences = {}
    link, client_id = Link("broker", config.url), f"gateway-completion-{uuid.uuid4().hex[:12]}"
    with suppress(TimeoutError):
        async with (
            asyncio.timeout(WITHIN_S), kind_of(config).open_sink(config, link, client_id) as session,
            aclosing(session.arrivals(topic)) as packets,
        ):  # fmt: skip
            async for packet in packets:
                found |= _online([packet, *session.arrived()])
                if "+" not in topic:
                    break
    return found


def _online(packets: Sequence[Packet]) -> Presences:
    """What gateways say of themselves that are there."""
    told = [orjson.loads(packet.payload) for packet in packets]
    return {str(each.get("gateway")): each for each in told if isinstance(each, dict) and each.get("state") == "online"}
