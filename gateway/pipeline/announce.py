"""Announces losses of stored messages (dropped by policy, or damaged on the disk) in the stream itself.

A loss stays in the ledger until the message that announces it is delivered.  After a crash in between it is announced
again, and also when the policy drops the announcement.

It is announced on the topic of the stream that lost messages, in the route of that stream.  If the stream is unknown,
or a reader has another route by now, it is announced on the topic of losses of the reader's route.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import msgspec

from gateway.config import PayloadConfig
from gateway.errors import Unavailable
from gateway.model import Loss, Message
from gateway.outbox import Buffer
from gateway.payload.choose import announcement_for
from gateway.payload.layout import prefix_of, priority_of, route_of, stream_of

INTERVAL_S = 1.0


@dataclass(frozen=True, slots=True)
class Teller:
    """Makes the messages that announce losses."""

    gateway: str
    stream_prefix: str
    payload_of: Callable[[str], PayloadConfig]
    """Returns the present payload of a route, given its name."""

    def message(self, loss: Loss, route: str, next_seq: Callable[[str], int]) -> Message:
        """The announcement for the readers of a route."""
        payload = self.payload_of(route)
        if loss.stream:
            _, source, topic = loss.stream.split("/", 2)
        else:
            source, topic = "gateway", payload.losses_topic(self.gateway)
        priority = priority_of(loss.stream)
        stream = stream_of(prefix_of(self.stream_prefix, route), source, topic, priority)
        told = announcement_for(payload, self.gateway)(loss, stream, topic, next_seq(stream))
        return msgspec.structs.replace(told, priority=priority)


async def announce(
    losers: Sequence[Buffer], outbox: Buffer, teller: Teller, on_loss: Callable[[Loss], None] = lambda loss: None
) -> None:
    """Announce the losses of all `losers` through `outbox`, until cancelled.  `on_loss` sees each first."""
    while True:
        for loser in tuple(losers):
            for loss in loser.take_losses():
                on_loss(loss)
                await _tell(loss, loser, outbox, teller)
        await asyncio.sleep(INTERVAL_S)


async def _tell(loss: Loss, loser: Buffer, outbox: Buffer, teller: Teller) -> None:
    parts = list(_parts(loss, outbox))
    for route, part in parts:
        made = [teller.message(part, route, outbox.next_seq)]
        await outbox.append([] if route else made, others={route: made} if route else {}, losses=[part])
    if loser is not outbox or parts[0][1] is not loss:
        with suppress(Unavailable):  # its broker was removed from the configuration meanwhile
            await loser.append([], losses=[loss])


def _parts(loss: Loss, outbox: Buffer) -> Iterator[tuple[str, Loss]]:
    """A loss as each route must announce it.  Usually there is one route, and the loss is unchanged."""
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
