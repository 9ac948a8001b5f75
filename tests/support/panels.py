"""The committed dashboards as tests ask for them: panels and their queries, by title."""

import json
import math
import re
from collections.abc import Mapping

from docker.grafana.render import ask
from docker.grafana.render.board import Span, filled, read
from tests.support.programs import ROOT, wait_until

BOARDS = sorted((ROOT / "docker" / "grafana" / "dashboards").glob("*.json"))
ASKED = {path.stem: read(path).asked for path in BOARDS}
"""By dashboard: what its variables that are no label's are at first."""
LIVE = Span(0.0, 60.0, 2.5)
"""What `$__rate_interval` (10 s) and `$__range` become against a young server."""

OF_GROUPS = "group"
"""The dashboard without series where no gateway is a member of a group."""
EMPTY_WHEN_WELL = ("plant: What wants attention?", "gateway: Why were connections lost?")
OF_COMMANDS = (
    "gateway: What became of commands?",
    "gateway: Why were commands refused?",
    "gateway: How long does a command take?",
)
"""Panels without series until the first command."""
BESIDE_IDEAL = "machine: How long is a cycle, beside its ideal?"
PLAUSIBLE: Mapping[str, tuple[float, float]] = {
    "percentunit": (0.0, 1.5),  # the first rates of a young server are extrapolated from two scrapes
    BESIDE_IDEAL: (0.0, 5.0),  # a machine that jams while it has hardly lived
    "s": (-60.0, 1e9),
    "short": (0.0, 1e9),
    "count": (0.0, 1e9),
    "watt": (0.0, 1e7),
    "bytes": (0.0, 1e11),
    "Bps": (0.0, 1e9),
}
"""By unit, or for one panel: what a figure of a test's plant can be."""


def panels() -> list[tuple[str, dict[str, object]]]:
    """(dashboard, panel) of every panel."""
    return [(path.stem, panel) for path in BOARDS for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]]


def targets(panel: dict[str, object]) -> list[dict[str, str]]:
    found = panel["targets"]
    assert isinstance(found, list)
    return found


def queries() -> list[tuple[str, str]]:
    """(`dashboard: title`, expression) of every query, with every variable at *All*."""
    return [
        (f"{board}: {panel['title']}", filled(target["expr"], LIVE, ASKED[board]))
        for board, panel in panels()
        for target in targets(panel)
    ]


def variables() -> list[tuple[str, str, str]]:
    """(dashboard, series, label) of every variable, but of groups: Grafana offers the label's values."""
    found = []
    for path in BOARDS:
        if path.stem == OF_GROUPS:
            continue
        for variable in json.loads(path.read_text(encoding="utf-8"))["templating"]["list"]:
            match = re.fullmatch(r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", variable["query"])
            found += [(path.stem, match[1], match[2])] if match else []
    return found


def query(title: str, letter: str = "A") -> str:
    """One query of one panel, the first if no other is asked for."""
    return [expr for found, expr in queries() if found == title][ord(letter) - ord("A")]


def wrong_answers(url: str, span: Span, *, in_group: bool = False) -> list[str]:
    """What is wrong with the answers of a Prometheus to the queries of all panels; nothing when all is well.

    `in_group`: of the dashboard of groups alone; otherwise of all others.
    """
    found = []
    for board, panel in panels():
        title = f"{board}: {panel['title']}"
        if title in OF_COMMANDS or (board == OF_GROUPS) is not in_group:
            continue
        unit = panel["fieldConfig"]["defaults"]["unit"].partition(":")[0]  # type: ignore[index]  # JSON
        low, high = PLAUSIBLE[title] if title in PLAUSIBLE else PLAUSIBLE[unit]
        for expr in (filled(target["expr"], span, ASKED[board]) for target in targets(panel)):
            values = [series.last for series in ask.instant(url, expr)]
            numbers = [value for value in values if math.isfinite(value)]
            if not all(low <= value <= high for value in numbers) or not (numbers or title in EMPTY_WHEN_WELL):
                found.append(f"{title}: {expr} is {values}")
            found += [f"{title}: there is no {name}" for name in names_of(expr) if not ask.instant(url, name)]
    return found


def wait_answers(url: str, span: Span, within_s: float, *, in_group: bool = False) -> None:
    """Wait until every query of every panel has a finite and plausible answer."""
    wrong: list[str] = []

    def answered() -> bool:
        wrong[:] = wrong_answers(url, span, in_group=in_group)
        return not wrong

    try:
        wait_until(answered, "every panel to have an answer", within_s)
    except AssertionError as error:
        raise AssertionError("\n".join(wrong)) from error


def names_of(expr: str) -> set[str]:
    """The series that an expression names; alerts are no series while none fires."""
    return set(re.findall(r"([a-z_][\w:]*)\{", expr)) - {"ALERTS"}
