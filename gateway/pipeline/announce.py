"""Losses after storing, told in the stream itself: what was dropped by policy or damaged on disk.

A loss stays in a ledger until the message that announces it is delivered: it is told again after a crash in between,
and when the policy drops the announcement as well.

It is told on the topic of the stream that lost something, in the route of that stream.  Where the stream is not known,
or a reader has gone over to another route meanwhile, it is told on the topic of losses of the route that the reader
follows.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import msgspec

from gateway.config import PayloadConfig
from gateway.errors import Unavailable
from gateway.model import Loss, Message
from gateway.outbox import Outbox
from gateway.payload.choose import announcement_for
from gateway.payload.layout import prefix_of, priority_of, route_of, stream_of

INTERVAL_S = 1.0


@dataclass(frozen=True, slots=True)
class Teller:
    """How losses are told."""

    gateway: str
    stream_prefix: str
    payload_of: Callable[[str], PayloadConfig]
    """The payload of a route, given its name, at that moment."""

    def message(self, loss: Loss, route: str, next_seq: Callable[[str], int]) -> Message:
        """The message for the readers of a route."""
        payload = self.payload_of(route)
        if loss.stream:
            _, source, topic = loss.stream.split("/", 2)
        else:
            source, topic = "gateway", payload.losses_topic(self.gateway)
        priority = priority_of(loss.stream)
        stream = stream_of(prefix_of(self.stream_prefix, route), source, topic, priority)
        told = announcement_for(payload, self.gateway)(loss, stream, topic, next_seq(stream))
        return msgspec.structs.replace(told, priority=priority)


async def announce(losers: Sequence[Outbox], outbox: Outbox, teller: Teller) -> None:
    """Announce for ever, through `outbox`, what any of the `losers` lost."""
    while True:
        for loser in tuple(losers):
            for loss in loser.take_losses():
                await _tell(loss, loser, outbox, teller)
        await asyncio.sleep(INTERVAL_S)


async def _tell(loss: Loss, loser: Outbox, outbox: Outbox, teller: Teller) -> None:
    parts = list(_parts(loss, outbox))
    for route, part in parts:
        made = [teller.message(part, route, outbox.next_seq)]
        await outbox.append([] if route else made, others={route: made} if route else {}, losses=[part])
    if loser is not outbox or parts[0][1] is not loss:
        with suppress(Unavailable):  # its broker was taken out of the configuration meanwhile
            await loser.append([], losses=[loss])


def _parts(loss: Loss, outbox: Outbox) -> Iterator[tuple[str, Loss]]:
    """A loss as each route has to tell it; as it is where that is one, as it nearly always is."""
    routes = {name: outbox.reader(name).route for name in loss.readers if name in outbox.readers}
    its_own = route_of(loss.stream)
    if loss.stream and all(route == its_own for route in routes.values()):
        yield its_own, loss
        return
    for route in sorted(set(routes.values())) or [its_own]:
        readers = tuple(name for name, each in routes.items() if each == route)
        if len(readers) == len(loss.readers) and (not loss.stream or route == its_own):
            yield route, loss
        elif loss.stream and route == its_own:
            yield route, replace(loss, readers=readers)
        else:
            yield route, replace(loss, stream="", from_seq=0, to_seq=0, readers=readers)
