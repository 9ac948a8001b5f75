"""Commands for the gateway itself: diagnostics and reload; and what it keeps for `subscribe`."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.commands.allowed import Allowed
from gateway.commands.outcome import Refused, Result, refused
from gateway.commands.request import Request
from gateway.config import CommandRule
from gateway.operations import Target
from gateway.payload.forms import Json


@dataclass(frozen=True, slots=True)
class Wanted:
    """A variable or a notifier of events to subscribe to, by a rule that allows it."""

    target: Target
    rule: CommandRule
    requester: str
    publishing_s: float | None
    sampling_s: float | None
    heartbeat_s: float | None = None
    """The last value is sent again when it has not changed for this long."""


class Itself(Protocol):
    """The gateway, as commands see it."""

    def diagnostics(self) -> Mapping[str, Json]:
        """The state of sources, brokers, outbox and commands."""

    async def reload(self) -> Mapping[str, Json]:
        """Read the configuration file again and apply it; the changes.  Raises `Refused` with every mistake."""

    async def subscribe(self, wanted: Sequence[Wanted]) -> None:
        """Add these to the values of their source, on disk when it returns.  Raises `Refused`: none is added."""

    async def unsubscribe(self, source: str, nodes: Sequence[str]) -> None:
        """Remove these again.  Raises `Refused`."""

    def is_subscribed(self, source: str, node: str) -> bool:
        """Whether it was added at run time."""


class Nobody:
    """A gateway without diagnostics, configuration file and subscriptions of requesters."""

    def diagnostics(self) -> Mapping[str, Json]:
        return {}

    async def reload(self) -> Mapping[str, Json]:
        raise Refused("unsupported", "this gateway has no configuration file to reload")

    async def subscribe(self, wanted: Sequence[Wanted]) -> None:
        raise Refused("unsupported", "this gateway keeps no subscriptions of requesters")

    async def unsubscribe(self, source: str, nodes: Sequence[str]) -> None:
        raise Refused("unsupported", "this gateway keeps no subscriptions of requesters")

    def is_subscribed(self, source: str, node: str) -> bool:
        return False


async def ask_itself(
    itself: Itself, allowed: Allowed, requester: str, request: Request, before_sending: Callable[[], Awaitable[None]]
) -> Result:
    """Execute `diagnostics` or `reload`.  Raises `Refused`."""
    permit = allowed.permit(requester, request.operation, request.tags[0])
    fields: dict[str, Json] = {}
    if request.operation == "diagnostics" and not request.dry_run:
        fields = {"value": dict(itself.diagnostics())}
    elif not request.dry_run:
        await before_sending()
        try:
            fields = {"value": dict(await itself.reload())}
        except Refused as error:
            return refused(permit.text, error, "", permit.number)
    return Result(permit.text, "done", fields=fields, rule=permit.number)
