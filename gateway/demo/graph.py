"""The last minutes as a text graph: values delivered, values on the disk, and whether the broker was connected.

Stop the broker: the first curve falls to zero and the second climbs.  Start it again: the first rises until the second
is empty.  In the end, the number of delivered values equals that of received ones.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.text import Text

from gateway.metrics import Books

SLICE_S = 1.0
KEPT_S = 600
COLUMNS = 80
HEIGHT = 4
_EIGHTHS = " ▁▂▃▄▅▆▇█"


@dataclass(slots=True)
class Slice:
    """The figures of one second."""

    delivered: int = 0
    """Values delivered in this second."""
    stored: int = 0
    """Values on the disk at its end."""
    is_up: bool = True
    """Whether the broker was connected all the time."""


class History:
    """The last minutes, second by second."""

    def __init__(self) -> None:
        self.slices: deque[Slice] = deque(maxlen=int(KEPT_S / SLICE_S))
        self._delivered = 0
        self._ends_s: float | None = None
        self._is_up = True
        self._kept = self._delivered_at_end = 0
        self._dropped_before = self._dropped = 0

    def update(self, at_s: float, books: Books, is_up: bool) -> None:
        """Add the present figures.  Values delivered since the last call belong to this slice."""
        if self._ends_s is None:
            self._ends_s = at_s
        while at_s >= self._ends_s:
            self._ends_s += SLICE_S
            self.slices.append(Slice(stored=self.slices[-1].stored if self.slices else 0, is_up=is_up))
        latest = self.slices[-1]
        latest.delivered += books.delivered - self._delivered
        latest.stored = books.stored
        latest.is_up &= is_up
        self._delivered = books.delivered
        self._follow_outage(books, is_up)

    def _follow_outage(self, books: Books, is_up: bool) -> None:
        if self._is_up and not is_up:
            self._kept, self._dropped_before = 0, books.dropped
        if not is_up:
            self._kept, self._delivered_at_end = max(self._kept, books.stored), books.delivered
        self._is_up, self._dropped = is_up, books.dropped

    @property
    def outage(self) -> str:
        """What became of the last outage, in a sentence; empty: there was none."""
        if not self._kept:
            return ""
        if not self._is_up:
            return f"the broker is away: {self._kept} values wait on the disk"
        left = self._kept - (self._delivered - self._delivered_at_end)
        if left > 0:
            return f"the broker is back: {left} of {self._kept} values are still on the disk"
        if lost := self._dropped - self._dropped_before:
            return f"the outage is over: {self._kept} values were kept, and {lost} dropped"
        return f"the outage is over: {self._kept} values were kept and delivered, in order"

    def columns(self, most: int = COLUMNS) -> list[Slice]:
        """The slices, merged if there are more than `most`; `delivered` is then the mean."""
        slices = list(self.slices)
        size = max(1, -(-len(slices) // most))
        return [_merged(slices[start : start + size]) for start in range(0, len(slices), size)]

    def summary(self) -> dict[str, object]:
        """The data of the graph, second by second."""
        return {
            "slice_s": SLICE_S,
            "delivered": [each.delivered for each in self.slices],
            "stored": [each.stored for each in self.slices],
            "broker_up": [each.is_up for each in self.slices],
        }


def _merged(slices: Sequence[Slice]) -> Slice:
    mean = round(sum(each.delivered for each in slices) / len(slices))
    return Slice(mean, max(each.stored for each in slices), all(each.is_up for each in slices))


def bars(numbers: Sequence[int], height: int) -> list[str]:
    """One column per number, in `height` lines, the highest first.  Any number above 0 shows at least a trace."""
    most = max(numbers, default=0)
    eighths = [max(1, round(8 * height * n / most)) if n > 0 else 0 for n in numbers]
    return ["".join(_EIGHTHS[min(8, max(0, n - 8 * line))] for n in eighths) for line in reversed(range(height))]


def graph(history: History, books: Books, width: int = COLUMNS, height: int = HEIGHT) -> RenderableType:
    """Delivered above, stored below, and the broker as a line in between; each curve with so many lines."""
    columns = history.columns(width)
    delivered, stored = [each.delivered for each in columns], [each.stored for each in columns]
    broker = Text().join(Text("─" if each.is_up else "╳", style="" if each.is_up else "bold red") for each in columns)
    return Group(
        Text(f"delivered per second, at most {max(delivered, default=0)}", style="bold"),
        *(Text(line, style="green") for line in bars(delivered, height)),
        broker,
        Text(f"on disk, at most {max(stored, default=0)}", style="bold"),
        *(Text(line, style="yellow") for line in bars(stored, height)),
        Text(f"the last {len(history.slices) * SLICE_S:.0f} s; {verdict(books)}"),
        *([Text(history.outage, style="bold")] if history.outage else []),
    )


def verdict(books: Books) -> str:
    """Whether values are missing, as text."""
    if not books.balance:
        return "the books do not balance"
    left = f", {books.stored} of them on disk" if books.stored else ""
    lost = f"{books.dropped} dropped" if books.dropped else "nothing is missing"
    return f"{books.received + books.recovered} values received{left}, {lost}"
