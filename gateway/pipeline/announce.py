"""Losses after storing, told in the stream itself: what was dropped by policy or damaged on disk.

A loss stays in a ledger until the message that announces it is delivered: it is told again after a crash in between,
and when the policy drops the announcement as well.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from msgspec.structs import replace

from gateway.errors import Unavailable
from gateway.model import Loss, Message
from gateway.outbox import Outbox
from gateway.payload.format import Announcement
from gateway.payload.json import announcement
from gateway.payload.layout import priority_of, stream_of

INTERVAL_S = 1.0


async def announce(
    losers: Sequence[Outbox],
    outbox: Outbox,
    stream_prefix: str,
    own_topic: Callable[[], str],
    told: Announcement = announcement,
) -> None:
    """Announce for ever, through `outbox`, what any of the `losers` lost, in the format of `told`.

    `own_topic` speaks for the gateway, where the stream is unknown.
    """
    while True:
        for loser in tuple(losers):
            for loss in loser.take_losses():
                await outbox.append([_message(outbox, loss, stream_prefix, own_topic, told)], losses=[loss])
                if loser is outbox:
                    continue
                with suppress(Unavailable):  # its broker was taken out of the configuration meanwhile
                    await loser.append([], losses=[loss])
        await asyncio.sleep(INTERVAL_S)


def _message(
    outbox: Outbox, loss: Loss, stream_prefix: str, own_topic: Callable[[], str], told: Announcement
) -> Message:
    """On the topic of the stream that lost something, where that is known."""
    if loss.stream:
        _, source, topic = loss.stream.split("/", 2)
    else:
        source, topic = "gateway", own_topic()
    priority = priority_of(loss.stream)
    stream = stream_of(stream_prefix, source, topic, priority)
    return replace(told(loss, stream, topic, outbox.next_seq(stream)), priority=priority)
