"""The output of `gateway watch`: a table of all streams that stays in place, or a line per message."""

from collections import deque
from collections.abc import Callable
from itertools import compress
from typing import Protocol

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gateway.cli.streams import Stream, Streams
from gateway.link import Link
from gateway.payload.read import Reading

SHOWN_VALUES = 4
SHOWN_STREAMS = 30
SHOWN_EVENTS = 8


class View(Protocol):
    """Shows messages and statistics."""

    def message(self, topic: str, reading: Reading | None, odd: str) -> None:
        """A message has come.  `reading` None: it cannot be read, and `odd` says why."""

    def draw(self, streams: Streams, link: Link, now_s: float) -> None:
        """Show the present statistics."""


class LineView:
    """One line per message."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def message(self, topic: str, reading: Reading | None, odd: str) -> None:
        self._say(line_of(topic, reading, odd))

    def draw(self, streams: Streams, link: Link, now_s: float) -> None:
        return


def line_of(topic: str, reading: Reading | None, odd: str) -> str:
    """A message in one line: topic, number, the first values, gaps, and what is unusual about it."""
    if reading is None:
        return f"{topic}  {odd}"
    number = f"#{reading.seq}" if reading.stream else ""
    gaps = "  ".join(f"GAP {gap}" for gap in reading.gaps)
    whose = f"time of {' and '.join(sorted(reading.time_sources))}" if reading.time_sources else ""
    parts = (topic, number, _values(reading.values), reading.note, whose, gaps, odd.upper())
    return "  ".join(part for part in parts if part)


class PictureView:
    """A table of the streams, with the latest remarkable events below it."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._events: deque[str] = deque(maxlen=SHOWN_EVENTS)

    def message(self, topic: str, reading: Reading | None, odd: str) -> None:
        if reading is None or reading.gaps or odd not in ("", "retained"):
            self._events.append(line_of(topic, reading, odd))

    def draw(self, streams: Streams, link: Link, now_s: float) -> None:
        shown = picture(streams, link, now_s, list(self._events), self._live.console.width)
        self._live.update(shown, refresh=True)


_COLUMNS = (
    ("stream", 0), ("messages", 0), ("values", 90), ("values/s", 0), ("delay", 0), ("missing", 0), ("repeats", 70),
    ("late", 90), ("latest", 110),
)  # fmt: skip
"""The columns, and the terminal width from which each is shown."""
_WIDTH_OF_FIGURES = 45
"""Of the columns that a terminal of 80 columns shows beside the name."""


def picture(streams: Streams, link: Link, now_s: float, events: list[str], width: int) -> RenderableType:
    """Rate, delay, gaps and repeats of each stream, for a terminal of this width."""
    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    fits = [width >= least for _, least in _COLUMNS]
    for column, _ in compress(_COLUMNS, fits):
        is_text = column in ("stream", "latest")
        table.add_column(column, justify="left" if is_text else "right", no_wrap=True, ratio=2 if is_text else None)
    shown = sorted(streams.by_name.values(), key=lambda stream: (-stream.missing, stream.name))
    names, common = what_differs([stream.name for stream in shown[:SHOWN_STREAMS]], max(20, width - _WIDTH_OF_FIGURES))
    for name, stream in zip(names, shown, strict=False):
        table.add_row(*compress([name, *_row(stream, now_s)], fits))
    more = len(shown) - SHOWN_STREAMS
    why = f": {link.reason}" if link.reason else ""
    state = Text(f"{link.address} {link.state.value}{why}", style="green" if link.is_up else "bold red")
    parts: list[RenderableType] = [state, Text(streams.summary), Text(), table]
    if common:
        parts.insert(2, Text(f"… is {common}", style="dim", no_wrap=True, overflow="ellipsis"))
    if more > 0:
        parts.append(Text(f"… and {more} more streams", style="dim"))
    return Group(*parts, Text(), *(Text(event, style="yellow", no_wrap=True) for event in events))


def what_differs(names: list[str], most: int) -> tuple[list[str], str]:
    """The names without the levels that all have in common, cut from the left to `most` characters; and these."""
    levels = [name.split("/") for name in names]
    shared = 0
    while len(names) > 1 and all(len(each) > shared + 1 and each[shared] == levels[0][shared] for each in levels):
        shared += 1
    short = [f"…/{'/'.join(each[shared:])}" if shared else "/".join(each) for each in levels]
    cut = [name if len(name) <= most else f"…{name[1 - most :]}" for name in short]
    return cut, "/".join(levels[0][:shared]) if shared else ""


def _row(stream: Stream, now_s: float) -> list[RenderableType]:
    _, values_per_s, delay_s = stream.rates(now_s)
    delay = "–" if delay_s is None else f"{delay_s * 1000:.0f} ms" if delay_s < 10 else f"{delay_s:.0f} s"
    return [
        str(stream.messages),
        str(stream.values),
        f"{values_per_s:.1f}",
        delay,
        Text(str(stream.missing), style="bold red" if stream.missing else "dim"),
        Text(str(stream.repeats), style="yellow" if stream.repeats else "dim"),
        Text(str(stream.late), style="yellow" if stream.late else "dim"),
        Text(_values(stream.latest), style="dim"),
    ]


def _values(values: object) -> str:
    rows = list(values) if isinstance(values, list | tuple) else []
    more = f"  (+{len(rows) - SHOWN_VALUES})" if len(rows) > SHOWN_VALUES else ""
    return "  ".join(f"{name} {_short(value)}" for name, value in rows[:SHOWN_VALUES]) + more


def _short(value: object) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else text[:59] + "…"
