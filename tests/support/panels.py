"""The committed dashboards as tests ask for them: panels and their queries, by title."""

import json
import re

from docker.grafana.render.board import Span, filled
from tests.support.programs import ROOT

BOARDS = sorted((ROOT / "docker" / "grafana" / "dashboards").glob("*.json"))
LIVE = Span(0.0, 60.0, 2.5)
"""What `$__rate_interval` (10 s) and `$__range` become against a young server."""


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
        (f"{board}: {panel['title']}", filled(target["expr"], LIVE, {}))
        for board, panel in panels()
        for target in targets(panel)
    ]


def variables() -> list[tuple[str, str, str]]:
    """(dashboard, series, label) of every variable: Grafana offers the label's values."""
    found = []
    for path in BOARDS:
        for variable in json.loads(path.read_text(encoding="utf-8"))["templating"]["list"]:
            match = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"])
            found += [(path.stem, match[1], match[2])] if match else []
    return found


def query(title: str) -> str:
    """The first query of one panel."""
    return next(expr for found, expr in queries() if found == title)
