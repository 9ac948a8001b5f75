"""The ledger: what was lost, why, and whether it has been announced.

A loss is written to the ledger before the bytes go.  It stays there until the message that announces it is
acknowledged:

    pending ─► taken ─► told, by a message in the outbox ─► settled: no reader waits for that message any more
       ▲                             │
       └──── that message is lost ◄──┘

After a crash, taken losses are pending again: a loss is rather announced twice than never.  Each stream has at most one
announcement on its way, and adjoining ranges are merged meanwhile.  So after a long outage, in which announcements are
lost as well, the ledger is short and does not fill the outbox.
"""

import contextlib
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import orjson

from gateway.model import Loss, LossCause
from gateway.outbox.files import Files

Position = tuple[int, int]
"""The position of a record: lane, and number in the lane."""
REWRITE_BYTES = 2**20
"""A ledger file longer than this is rewritten with the unsettled losses only."""


@dataclass(frozen=True, slots=True)
class Item:
    """A stored message, as the ledger needs it."""

    number: int
    """Its number in the lane; -1 where the damage hides it."""
    stream: str
    seq: int
    values: int
    appended_ns: int
    oldest_ns: int = 0
    """Source time of its oldest value, nanoseconds since 1970; 0 where unknown."""


def losses_of(
    items: Iterable[tuple[Item, tuple[str, ...]]], cause: LossCause, next_id: Callable[[], int]
) -> list[Loss]:
    """Contiguous ranges of each stream among lost messages, each with the readers that lose it."""
    done: list[Loss] = []
    open_: dict[tuple[str, tuple[str, ...]], Loss] = {}
    for item, readers in items:
        if not readers:
            continue
        key = (item.stream, readers)
        loss = open_.get(key)
        if loss is None or item.seq != loss.to_seq + 1:
            done += [loss] if loss else []
            loss = Loss(next_id(), item.stream, item.seq, item.seq - 1, 0, 0, cause, _since(item), 0, readers)
        open_[key] = replace(
            loss,
            to_seq=item.seq,
            messages=loss.messages + 1,
            values=loss.values + item.values,
            from_ns=min(loss.from_ns, _since(item)),
            to_ns=item.appended_ns,
        )
    return sorted([*done, *open_.values()], key=lambda loss: loss.id)


def _since(item: Item) -> int:
    return item.oldest_ns or item.appended_ns


class Ledger:
    """The losses that are not settled yet, in a file with a JSON line for each loss and each step on its way.

    `write` brings the lines to the disk (writing thread).  All other methods only change memory (event loop).
    """

    def __init__(self, files: Files, path: Path) -> None:
        self._files = files
        self._path = path
        self._fd = files.open(path, create=True)
        self._size = files.size(self._fd)
        self._pending, self._told = _read(files.read(self._fd, self._size, 0))
        self._taken: set[int] = set()
        self._queue: deque[bytes] = deque()
        self._rewrite_at = REWRITE_BYTES
        told = (loss for losses in self._told.values() for loss in losses)
        self._next = max((loss.id for loss in (*self._pending.values(), *told)), default=0) + 1
        if self._size:
            self._queue.append(b"\n")  # keeps a torn last line apart from the next one

    def next_id(self) -> int:
        self._next += 1
        return self._next - 1

    def note(self, losses: Iterable[Loss]) -> None:
        """Add losses that must be announced."""
        for loss in losses:
            self._pending[loss.id] = loss
            self._queue.append(_line(loss))

    def take(self) -> list[Loss]:
        """The losses to announce now: not taken yet, and in streams without an announcement on its way."""
        busy = {loss.stream for losses in self._told.values() for loss in losses if loss.stream}
        due = [loss for loss in self._pending.values() if loss.id not in self._taken and loss.stream not in busy]
        taken: list[Loss] = []
        for merged, parts in joined(due):
            if len(parts) > 1:
                self.settle(parts)
                merged = replace(merged, id=self.next_id())
                self.note([merged])
            taken.append(merged)
        self._taken.update(loss.id for loss in taken)
        return sorted(taken, key=lambda loss: loss.id)

    def tell(self, losses: Iterable[Loss], position: Position) -> None:
        """The record at this position announces these losses.  They may come from the ledger of another outbox."""
        own = [loss if self._pending.get(loss.id) == loss else replace(loss, id=self.next_id()) for loss in losses]
        self.note(loss for loss in own if loss.id not in self._pending)
        for loss in own:
            del self._pending[loss.id]
            self._taken.discard(loss.id)
        self._told[position] = tuple(own)
        self._queue.append(_told_line(position, own))

    def settle(self, losses: Iterable[Loss]) -> None:
        """These losses need no announcement any more."""
        for loss in losses:
            self._pending.pop(loss.id, None)
            self._taken.discard(loss.id)
            self._queue.append(orjson.dumps({"settled": loss.id}) + b"\n")

    def review(self, waiting: Callable[[Position, Loss], tuple[str, ...]]) -> None:
        """Settle the announced losses for whose record no reader waits any more."""
        for position, losses in list(self._told.items()):
            if not any(waiting(position, loss) for loss in losses):
                self.settle(self._told.pop(position))

    def take_back(self, lane: int, first: int, end: int, waiting: Callable[[Position, Loss], tuple[str, ...]]) -> None:
        """Records from `first` up to `end` are lost: what they announced is pending again, for the waiting readers."""
        for position in [position for position in self._told if position[0] == lane and first <= position[1] < end]:
            losses = self._told.pop(position)
            again = [(loss, waiting(position, loss)) for loss in losses]
            self.note(replace(loss, id=self.next_id(), readers=readers) for loss, readers in again if readers)
            self.settle(losses)

    def write(self) -> None:
        """Bring the noted lines to the disk.  What a full disk refuses is kept and tried again with the next."""
        lines: list[bytes] = []
        while self._queue:
            lines.append(self._queue.popleft())
        if not lines:
            return
        try:
            self._write(b"".join(lines))
        except OSError:
            self._queue.extendleft(reversed(lines))

    def _write(self, data: bytes) -> None:
        if not self._pending and not self._told and not self._queue:
            self._files.truncate(self._fd, 0)
            self._size = 0
            return
        if self._size > self._rewrite_at:
            self._rewrite()
            return
        self._files.write(self._fd, data, self._size)
        self._size += len(data)
        self._files.sync(self._fd)

    def _rewrite(self) -> None:
        """Replace a long file by one with the unsettled losses.  A queued step that is already in the new file has no
        effect when it is read again."""
        data = self._whole()
        fd = self._files.put(self._path, data)
        self._files.close(self._fd)
        self._fd, self._size, self._rewrite_at = fd, len(data), max(REWRITE_BYTES, 2 * len(data))

    def _whole(self) -> bytes:
        pending = list(self._pending.values())  # first: a loss announced meanwhile is in both lists, not in none
        told = list(self._told.items())
        losses = [*pending, *(loss for _, each in told for loss in each)]
        return b"".join([*map(_line, losses), *(_told_line(position, each) for position, each in told)])

    def close(self) -> None:
        self.write()
        self._files.close(self._fd)


def joined(losses: Iterable[Loss]) -> list[tuple[Loss, list[Loss]]]:
    """Merge adjoining ranges of the same stream, cause and readers.  Each result comes with the losses it replaces."""
    found: list[tuple[Loss, list[Loss]]] = []
    for loss in sorted(losses, key=lambda loss: (loss.stream, loss.readers, loss.cause, loss.from_seq)):
        before, parts = found[-1] if found else (None, [])
        if before is None or not _adjoin(before, loss):
            found.append((loss, [loss]))
            continue
        messages, values = before.messages + loss.messages, before.values + loss.values
        since_ns, until_ns = min(before.from_ns, loss.from_ns), max(before.to_ns, loss.to_ns)
        both = replace(
            before, to_seq=loss.to_seq, messages=messages, values=values, from_ns=since_ns, to_ns=until_ns
        )  # fmt: skip
        found[-1] = both, [*parts, loss]
    return found


def _adjoin(a: Loss, b: Loss) -> bool:
    same = (a.stream, a.readers, a.cause) == (b.stream, b.readers, b.cause)
    return same and a.stream != "" and a.to_seq > 0 and a.to_seq + 1 == b.from_seq


def _line(loss: Loss) -> bytes:
    return orjson.dumps(asdict(loss)) + b"\n"


def _told_line(position: Position, losses: Iterable[Loss]) -> bytes:
    return orjson.dumps({"told": [loss.id for loss in losses], "at": position}) + b"\n"


def _read(ledger: bytes) -> tuple[dict[int, Loss], dict[Position, tuple[Loss, ...]]]:
    """The pending losses, and the announced ones by position.  A torn or damaged line is ignored."""
    known: dict[int, Loss] = {}
    places: dict[int, Position] = {}
    for line in ledger.split(b"\n"):
        with contextlib.suppress(orjson.JSONDecodeError, TypeError, KeyError, ValueError):
            record = orjson.loads(line)
            if "settled" in record:
                known.pop(record["settled"], None)
            elif "told" in record:
                lane, number = record["at"]
                places |= {int(told): (int(lane), int(number)) for told in record["told"]}
            else:
                loss = Loss(**{**record, "readers": tuple(record["readers"])})
                known[int(loss.id)] = loss
                places.pop(loss.id, None)
    told: dict[Position, tuple[Loss, ...]] = {}
    for loss in known.values():
        if loss.id in places:
            told[places[loss.id]] = (*told.get(places[loss.id], ()), loss)
    return {loss.id: loss for loss in known.values() if loss.id not in places}, told


def stored_losses(ledger: bytes) -> tuple[Loss, ...]:
    """The unannounced losses of a ledger."""
    return tuple(_read(ledger)[0].values())
