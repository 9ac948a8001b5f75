"""The output of `gateway fleet`: a table of all gateways, or a line for each."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gateway.fleet import Fault, Fleet, Level, Row
from gateway.fleet.judging import span, text_of
from gateway.fleet.reading import clean

COLOURS = {Level.GOOD: "green", Level.WARNING: "yellow", Level.BAD: "bold red"}
_COLUMNS = ("gateway", "state", "heard", "sources", "backlog", "last gap", "version", "configuration")
_NEEDED = 6
"""Lines of a screen beside the rows."""


def screen(fleet: Fleet, now_s: float, height: int = 100_000, away: str = "") -> RenderableType:
    """All of it, the worst first, for so many lines.  `away`: why the broker cannot be asked."""
    verdict = fleet.verdict(now_s)
    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    for name in _COLUMNS:
        table.add_column(name, no_wrap=True, ratio=3 if name == "state" else 1 if name == "gateway" else None)
    ordered = fleet.ordered(now_s)
    room = max(3, height - _NEEDED - len(fleet.problems))
    for row, faults in ordered[:room]:
        level = faults[0].level if faults else Level.GOOD
        state = Text(_state(faults), style=COLOURS[level], overflow="ellipsis")
        table.add_row(row.told.name, state, span(max(0.0, now_s - row.heard_s)), *_figures(row))
    parts: list[RenderableType] = [Text(verdict.text, style=COLOURS[verdict.level]), table]
    if away:
        parts.insert(0, Text(f"the broker is away, this is old: {away}", style="bold red"))
    if len(ordered) > room:
        parts.append(Text(f"… and {len(ordered) - room} more", style="dim"))
    return Group(*parts, *(Text(line, style="yellow") for line in _problems(fleet)))


def lines_of(fleet: Fleet, now_s: float) -> list[str]:
    """A line for each gateway, and the verdict.  The same line: nothing has changed."""
    lines = []
    for row, faults in fleet.ordered(now_s):
        sources, backlog, gap, version, configuration = _figures(row)
        figures = f"sources {sources or '-'}  backlog {backlog or '-'}  last gap {gap or '-'}"
        lines.append(f"{row.told.name}  {_state(faults)}  {figures}  {version or '-'}  {configuration or '-'}")
    return [*lines, *_problems(fleet), fleet.verdict(now_s).text]


def _state(faults: Sequence[Fault]) -> str:
    return "; ".join(fault.text for fault in faults) or "fine"


def _figures(row: Row) -> tuple[str, str, str, str, str]:
    told, now = row.told, row.told.condition
    outcome = f" {now.pulled[1]}" if now is not None and now.pulled is not None else ""
    common = told.version, f"{told.config.removeprefix('sha256:')}{outcome}"
    if now is None:
        return "", "", "", *common
    backlog = f"{now.backlog_values} ({span(now.backlog_age_s)})" if now.backlog_values else "0"
    return f"{now.sources.up}/{now.sources.all}", backlog, text_of(now.gap[0]) if now.gap else "", *common


def _problems(fleet: Fleet) -> list[str]:
    return [f"no presence: {clean(topic)}: {why}" for topic, why in fleet.problems.items()]
