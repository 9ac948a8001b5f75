"""One dashboard as one HTML page that needs nothing else: no script, no font, no network."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from html import escape

from docker.grafana.render import draw, draw_heat, draw_table, draw_time
from docker.grafana.render.board import Board, Curve, Mark, Panel, Span, answers, curves, happened
from docker.grafana.render.look import Theme, color_of

CELL, GAP, BAR, HEAD = 30, 8, 48, 32
"""Pixels: a row of the grid, between panels, above them all, a panel's title."""


def height_of(board: Board) -> int:
    """Pixels the page needs."""
    return BAR + max(p.y + p.height for p in board.panels) * (CELL + GAP) + GAP


def page(board: Board, url: str, span: Span, chosen: Mapping[str, str], width: int, theme: Theme) -> str:
    """The page, with what Prometheus at `url` answers to every panel."""
    chosen = {**board.asked, **chosen}
    marks = [(mark, happened(mark, url, span, chosen)) for mark in board.marks]
    span = replace(span, marks=tuple((at_s, color_of(mark.color)) for mark, times in marks for at_s in times))
    panels = "".join(_panel(p, url, chosen, span, width, theme) for p in board.panels)
    said = " ".join(f"<em>{escape(name)}</em> {escape(chosen.get(name, 'All'))}" for name in board.variables)
    legend = "".join(_named(mark, times) for mark, times in marks if times)
    times = [datetime.fromtimestamp(t, UTC).strftime("%H:%M:%S") for t in (span.since_s, span.until_s)]
    return (
        f'<!doctype html><html><head><meta charset="utf-8"><title>{escape(board.title)}</title>'
        f"<style>{_style(theme)}</style></head><body>"
        f"<header><b>{escape(board.title)}</b><span>{said}</span><span>{legend}</span>"
        f"<time>{times[0]} to {times[1]} UTC</time></header>"
        f"{panels}</body></html>"
    )


def _named(mark: Mark, times: Sequence[float]) -> str:
    return f'<i style="color:{color_of(mark.color)}">▲</i> {escape(mark.name)} ({len(times)}) '


def _panel(panel: Panel, url: str, chosen: Mapping[str, str], span: Span, page_width: int, theme: Theme) -> str:
    column = (page_width - 2 * GAP + GAP) / 24
    width, height = panel.width * column - GAP, panel.height * (CELL + GAP) - GAP
    left, top = GAP + panel.x * column, BAR + panel.y * (CELL + GAP)
    if panel.kind == "table":
        rows = answers(panel, url, span, chosen)
        body, count = draw_table.table(panel, rows, height - HEAD - 10), len(rows)
    else:
        found = curves(panel, url, span, chosen)
        body, count = _body(panel, found, width - 20, height - HEAD - 10, span, theme), len(found)
    if not count:
        body = f'<div class="nothing" style="height:{height - HEAD - 10:.0f}px">{escape(panel.nothing)}</div>'
    return (
        f'<section data-kind="{panel.kind}" data-series="{count}" style="left:{left:.0f}px;top:{top:.0f}px;'
        f'width:{width:.0f}px;height:{height:.0f}px"><h2>{escape(panel.title)}</h2>{body}</section>'
    )


def _body(panel: Panel, found: list[Curve], width: float, height: float, span: Span, theme: Theme) -> str:
    if not found:
        return ""
    if panel.kind in _OVER_TIME:
        return _OVER_TIME[panel.kind](panel, found, width, height, theme, span)
    return _AT_ONCE[panel.kind](panel, found, width, height, theme)


_OVER_TIME = {"timeseries": draw_time.lines, "state-timeline": draw_time.states, "heatmap": draw_heat.heat}
_AT_ONCE = {"stat": draw.stat, "gauge": draw.gauge, "bargauge": draw.bars}


def _style(theme: Theme) -> str:
    box = f"background: {theme.panel}; border: 1px solid {theme.border}; border-radius: 3px;"
    return f"""
* {{ box-sizing: border-box; margin: 0; font-family: Inter, "DejaVu Sans", sans-serif; }}
body {{ background: {theme.page}; color: {theme.text}; position: relative; }}
header {{ height: {BAR}px; padding: 15px 12px; font-size: 15px; display: flex; gap: 24px; }}
header span, header time {{ font-size: 12px; color: {theme.faint}; padding-top: 3px; }}
header em {{ font-style: normal; {box} padding: 2px 6px; margin-left: 8px; }}
header time {{ margin-left: auto; }}
section {{ position: absolute; {box} padding: 0 10px; overflow: hidden; }}
h2 {{ font-size: 13px; font-weight: 600; height: {HEAD}px; line-height: {HEAD}px; white-space: nowrap; }}
svg {{ display: block; }}
.legend {{ font-size: 11px; color: {theme.text}; overflow: hidden; line-height: 20px; }}
.legend span {{ margin-right: 14px; white-space: nowrap; display: inline-block; }}
.legend i {{ display: inline-block; width: 12px; height: 4px; border-radius: 2px; margin-right: 5px; }}
.legend i {{ vertical-align: middle; }}
.beside {{ display: flex; }}
.beside svg {{ flex: none; }}
.names {{ align-self: flex-start; }}
.names td, .names th {{ padding: 2px 4px; height: 19px; font-size: 11px; border: 0; }}
.names td + td, .names th + th {{ text-align: right; }}
.names i {{ display: inline-block; width: 12px; height: 4px; border-radius: 2px; margin-right: 5px; }}
header i {{ font-style: normal; margin-left: 8px; }}
.nothing {{ display: flex; align-items: center; justify-content: center; color: {theme.faint}; font-size: 15px; }}
table {{ width: 100%; border-collapse: collapse; font-size: 12px; }}
th {{ text-align: left; color: {theme.faint}; font-weight: 600; }}
th, td {{ padding: 5px 8px 5px 0; border-bottom: 1px solid {theme.border}; height: 27px; white-space: nowrap; }}
.faint {{ color: {theme.faint}; font-size: 12px; padding-top: 6px; }}
"""
