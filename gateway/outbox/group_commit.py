"""Groups of appends that become durable together, and the order in which their records are written.  Pure."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from gateway.model import Loss, Message
from gateway.outbox.writer import Checkpoint, Part

COMMIT_BYTES = 4 * 2**20
"""The approximate limit of what becomes durable at once."""


@dataclass(slots=True)
class Append:
    """One append on its way to the disk."""

    messages: dict[int, list[Message]]
    """By lane."""
    checkpoint: Checkpoint | None
    losses: tuple[Loss, ...]
    """The losses that its last message announces.  Without messages: losses that another outbox has announced."""
    most_bytes: dict[int, int]
    """An upper bound of the size of its records, by lane."""
    lane: int
    """The last of its lanes."""
    done: "asyncio.Future[None]"
    on_stored: Callable[[], None]
    follow: tuple[str, str] | None = None
    """A reader and the route that it follows from the next append on."""

    @property
    def is_last(self) -> bool:
        """Whether it must be the last of its group: what it does depends on the end of its lanes."""
        return bool(self.losses) or self.follow is not None


def next_group(pending: deque[Append], half_bytes: int) -> list[Append]:
    """Take the appends that become durable together, at most as many as fit an outbox of twice `half_bytes`.

    Each append takes at most half of that outbox.

    Lanes are written one after another.  An append waits for the next group if its checkpoint would otherwise become
    durable before the messages of an earlier append.  An append that announces losses is the last one, so that the
    place of its last record is known.  So is one after which a reader follows another route.
    """
    group, size, lane, enough = [pending.popleft()], 0, 0, min(COMMIT_BYTES, half_bytes)
    while pending and not group[-1].is_last and (size := size + sum(group[-1].most_bytes.values())) < enough:
        lane = max(lane, group[-1].lane)
        if pending[0].lane < lane and pending[0].checkpoint is not None:
            break
        group.append(pending.popleft())
    return group


def parts_of(group: list[Append]) -> list[Part]:
    """One part per lane, to be written in this order.

    A checkpoint goes into the last lane of its append, so that it is not durable before the messages it stands for.
    The last record of an append in a lane is marked; where a checkpoint follows, that is the checkpoint.
    """
    items: dict[int, list[tuple[Message | Checkpoint, bool]]] = {}
    for append in group:
        own: dict[int, list[Message | Checkpoint]] = {lane: [*some] for lane, some in append.messages.items()}
        if append.checkpoint is not None:
            own.setdefault(append.lane, []).append(append.checkpoint)
        for lane, each in own.items():
            items.setdefault(lane, []).extend((item, n == len(each)) for n, item in enumerate(each, 1))
    return [Part(lane, items[lane], sum(append.most_bytes.get(lane, 0) for append in group)) for lane in sorted(items)]
