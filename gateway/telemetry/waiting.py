"""What waits for the collector: bounded, the newest kept, the others counted.  Lines come from any thread."""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Waiting(Generic[T]):
    """At most `most` items, oldest first."""

    def __init__(self, most: int, dropped: Callable[[int], None]) -> None:
        self._most = most
        self._dropped = dropped
        self._items: deque[T] = deque()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        """Add the newest; without room the oldest is dropped and counted."""
        self._items.append(item)
        while len(self._items) > self._most:
            self._items.popleft()
            self._dropped(1)

    def take(self, most: int) -> list[T]:
        """The oldest, no longer waiting."""
        return [self._items.popleft() for _ in range(min(most, len(self._items)))]

    def give_back(self, items: list[T]) -> None:
        """What could not be sent waits again, as far as there is room."""
        room = max(0, self._most - len(self._items))
        kept = items[len(items) - min(room, len(items)) :]
        self._items.extendleft(reversed(kept))
        if len(items) > len(kept):
            self._dropped(len(items) - len(kept))
