"""What was lost, why, and that it has been said: the drop ledger.

A loss is written to the ledger before the bytes go, and stays until the messages that announce it are durable: after a
crash between the two it is announced again rather than never.
"""

import contextlib
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import orjson

from gateway.outbox.files import Files

Cause = Literal["outbox_full", "expired", "corrupt"]


@dataclass(frozen=True, slots=True)
class Loss:
    """A range of one stream that was stored and will not be delivered."""

    id: int
    stream: str
    """Empty where the damage does not tell."""
    from_seq: int
    to_seq: int
    """Inclusive; both 0 where unknown."""
    messages: int
    values: int
    cause: Cause
    from_ns: int
    """Source time of the oldest value in them, or when the first was appended where no value has one; nanoseconds since
    1970, 0 where unknown."""
    to_ns: int
    """When the last of them was appended: values are older."""
    readers: tuple[str, ...]
    """Who will not get them; others have had them already."""


@dataclass(frozen=True, slots=True)
class Item:
    """A stored message, as far as the ledger cares."""

    number: int
    """In its lane; -1 where the damage does not tell."""
    stream: str
    seq: int
    values: int
    appended_ns: int
    oldest_ns: int = 0
    """Source time of its oldest value, nanoseconds since 1970; 0 where unknown."""


def losses_of(items: Iterable[tuple[Item, tuple[str, ...]]], cause: Cause, next_id: Callable[[], int]) -> list[Loss]:
    """Contiguous ranges of each stream among lost messages, each with the readers who lose it."""
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
    """The losses not yet announced, in a file: one JSON line for each, one for each that is settled.

    `note` and `settle` only remember (event loop); `write` brings it to the disk (writing thread).
    """

    def __init__(self, files: Files, path: Path) -> None:
        self._files = files
        self._fd = files.open(path, create=True)
        self._pending: dict[int, Loss] = {}
        self._queue: deque[bytes] = deque()
        self._size = files.size(self._fd)
        self._next = 1
        for loss in stored_losses(files.read(self._fd, self._size, 0)):
            self._pending[loss.id] = loss
        self._next = max(self._pending, default=0) + 1
        if self._size:
            self._queue.append(b"\n")  # a torn last line must not spoil the next

    @property
    def pending(self) -> tuple[Loss, ...]:
        return tuple(self._pending.values())

    def next_id(self) -> int:
        self._next += 1
        return self._next - 1

    def note(self, losses: Iterable[Loss]) -> None:
        for loss in losses:
            self._pending[loss.id] = loss
            self._queue.append(orjson.dumps(asdict(loss)) + b"\n")

    def settle(self, ids: Iterable[int]) -> None:
        """They have been announced."""
        for settled in ids:
            if self._pending.pop(settled, None) is not None:
                self._queue.append(orjson.dumps({"settled": settled}) + b"\n")

    def write(self) -> None:
        """Bring what was noted to the disk.  What a full disk does not take is kept and tried with the next."""
        lines: list[bytes] = []
        while self._queue:
            lines.append(self._queue.popleft())
        if not lines:
            return
        try:
            if not self._pending and not self._queue:
                self._files.truncate(self._fd, 0)
                self._size = 0
                return
            data = b"".join(lines)
            self._files.write(self._fd, data, self._size)
            self._size += len(data)
            self._files.sync(self._fd)
        except OSError:
            self._queue.extendleft(reversed(lines))

    def close(self) -> None:
        self.write()
        self._files.close(self._fd)


def stored_losses(ledger: bytes) -> tuple[Loss, ...]:
    """The losses in a ledger that are not settled.  A torn or damaged line is lost with what it said."""
    pending: dict[int, Loss] = {}
    for line in ledger.split(b"\n"):
        with contextlib.suppress(orjson.JSONDecodeError, TypeError, KeyError):
            record = orjson.loads(line)
            if "settled" in record:
                pending.pop(record["settled"], None)
            else:
                pending[int(record["id"])] = Loss(**{**record, "readers": tuple(record["readers"])})
    return tuple(pending.values())
