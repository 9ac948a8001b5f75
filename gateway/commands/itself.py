"""What the gateway itself is asked for: its state, and to take its configuration anew."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from gateway.commands.allowed import Allowed
from gateway.commands.outcome import Refused, Result, refused
from gateway.commands.request import Request
from gateway.payload.forms import Json


class Itself(Protocol):
    """The gateway, as commands see it."""

    def diagnostics(self) -> Mapping[str, Json]:
        """The state of sources, brokers, outbox and commands."""

    async def reload(self) -> Mapping[str, Json]:
        """Take the configuration file as it is now; what has changed.  Raises `Refused` with every mistake in it."""


class Nobody:
    """A gateway that tells nothing of itself."""

    def diagnostics(self) -> Mapping[str, Json]:
        return {}

    async def reload(self) -> Mapping[str, Json]:
        raise Refused("unsupported", "this gateway has no configuration file to take anew")


async def ask_itself(
    itself: Itself, allowed: Allowed, requester: str, request: Request, before_sending: Callable[[], Awaitable[None]]
) -> Result:
    """Its state, or what a reload has changed.  Raises `Refused`."""
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
