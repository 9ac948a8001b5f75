"""Tables as HTML: a row for the labels that the answers to all queries share."""

import math
from collections.abc import Mapping, Sequence
from html import escape

from docker.grafana.render.board import Column, Panel
from docker.grafana.render.look import color_of, step_color, text_of

Row = Mapping[str, str | float]
LINK = "#6e9fff"
ROW_H = 27
SEVERITIES = {"critical": "red", "warning": "orange", "info": "blue"}


def table(panel: Panel, rows: Sequence[Row], height: float) -> str:
    """Rows in the order of the panel.  Columns without values are left out."""
    columns = [column for column in panel.columns if any(row.get(column.field, "") != "" for row in rows)]
    head = "".join(f"<th>{escape(column.title)}</th>" for column in columns)
    fit = max(1, int(height / ROW_H) - 1)
    ordered = _sorted(panel, rows)
    cells = ["".join(f"<td>{_cell(column, row)}</td>" for column in columns) for row in ordered[:fit]]
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    more = f'<div class="faint">… and {len(rows) - fit} more</div>' if len(rows) > fit else ""
    return f"<table><tr>{head}</tr>{body}</table>{more}"


def _sorted(panel: Panel, rows: Sequence[Row]) -> list[Row]:
    title, greatest_first = panel.sort
    field = next((column.field for column in panel.columns if column.title == title), "")
    every = sorted(rows, key=lambda row: [str(row.get(column.field, "")) for column in panel.columns])
    return sorted(every, key=lambda row: _rank(row.get(field, "")), reverse=greatest_first)


def _rank(value: str | float) -> tuple[float, str]:
    return (value, "") if isinstance(value, float) else (-math.inf, value)


def _cell(column: Column, row: Row) -> str:
    value = row.get(column.field, "")
    if isinstance(value, float):
        text, ink = _number(column, value)
    else:
        ink = (
            {"critical": "red", "warning": "orange", "info": "blue"}.get(value, "")
            if column.title == "Severity"
            else ""
        )
        text = value
    ink = color_of(ink) if ink else LINK if column.is_link and text else ""
    return f'<b style="color:{ink}">{escape(text)}</b>' if ink else escape(text)


def _number(column: Column, value: float) -> tuple[str, str]:
    if value in column.names:
        return column.names[value]
    shown = value if column.decimals is None else round(value, column.decimals)
    return text_of(shown, column.unit), step_color(value, column.steps) if column.steps else ""
