"""Panels over time as SVG: lines, stacked or not, and state timelines."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from html import escape

from docker.grafana.render.board import Curve, Panel, Span
from docker.grafana.render.draw import shortened, svg, words
from docker.grafana.render.look import PALETTE, Theme, color_of, step_color, text_of, ticks

BOTTOM_H = 22
LEGEND_H = 20
Points = list[tuple[float, float]]


def lines(panel: Panel, curves: Sequence[Curve], width: float, height: float, theme: Theme, span: Span) -> str:
    """Curves over time, with thresholds as dashed lines."""
    inks = {c.name: _ink(panel, c.name, n) for n, c in enumerate(curves)}
    if panel.is_beside:
        return _with_names_beside(panel, curves, width, height, theme, span)
    legend, legend_h = _legend([(c.name, inks[c.name]) for c in curves], width)
    plot_h = height - legend_h - BOTTOM_H
    runs = _stacked(curves, span) if panel.is_stacked else [_runs(c, span) for c in curves]
    low, high = _reach(panel, [v for found in runs for run in found for _, v, _ in run])
    marks = ticks(low, high, max(2, int(plot_h / 32)), panel.unit)
    left = 14 + 6.6 * max(len(text_of(v, panel.unit)) for v in marks)

    def at(t: float, v: float) -> str:
        return f"{left + (width - left - 8) * (t - span.since_s) / (span.until_s - span.since_s):.1f},{y_of(v):.1f}"

    def y_of(v: float) -> float:
        return 4 + (plot_h - 8) * (1 - (min(max(v, low), high) - low) / (high - low))

    made = [_level(left, width, y_of(v), text_of(v, panel.unit), theme) for v in marks]
    made += time_axis(span, left, width, plot_h, theme)
    made += [
        f'<line x1="{left:.1f}" x2="{width - 8:.1f}" y1="{y_of(v):.1f}" y2="{y_of(v):.1f}" stroke="{color_of(ink)}" '
        'stroke-dasharray="8 6" stroke-opacity="0.7"/>'
        for v, ink in panel.steps
        if v is not None and low <= v <= high and len(panel.steps) > 1
    ]
    for curve, found in zip(curves, runs, strict=True):
        for run in found:
            top = " ".join(at(t, v) for t, v, _ in run)
            base = " ".join(at(t, max(low, b)) for t, _, b in reversed(run))
            ink = inks[curve.name]
            dashes = ' stroke-dasharray="8 6"' if panel.dashed and re.search(panel.dashed, curve.name) else ""
            if panel.fill:
                made.append(f'<polygon points="{top} {base}" fill="{ink}" fill-opacity="{panel.fill / 100:g}"/>')
            made.append(
                f'<polyline points="{top}" fill="none" stroke="{ink}" stroke-linejoin="round" '
                f'stroke-width="{1 if panel.is_stacked else 1.6}"{dashes}/>'
            )
    return svg(width, height - legend_h, "".join(made)) + legend


def _with_names_beside(
    panel: Panel, curves: Sequence[Curve], width: float, height: float, theme: Theme, span: Span
) -> str:
    """The curves, and right of them a table of their names and last values."""
    rows = "".join(
        f'<tr><td><i style="background:{_ink(panel, c.name, n)}"></i>{escape(c.name)}</td>'
        f"<td>{text_of(c.series.last, panel.unit)}</td></tr>"
        for n, c in enumerate(curves)
    )
    name_w = min(0.45 * width, 110 + 6.4 * max(len(c.name) for c in curves))
    below_h = _legend([(c.name, "") for c in curves], width - name_w)[1]  # which is not drawn
    alone = lines(replace(panel, is_beside=False), curves, width - name_w, height + below_h, theme, span)
    plot = alone[: alone.index("</svg>") + len("</svg>")]
    return f'<div class="beside">{plot}<table class="names"><tr><th></th><th>Last</th></tr>{rows}</table></div>'


def _ink(panel: Panel, name: str, number: int) -> str:
    return color_of(panel.colors.get(name, PALETTE[number % len(PALETTE)]))


def _runs(curve: Curve, span: Span) -> list[list[tuple[float, float, float]]]:
    """(time, value, base) of a curve, split where values are missing."""
    found: list[list[tuple[float, float, float]]] = []
    before_s = -math.inf
    for t, v in curve.series.points:
        if not math.isfinite(v):
            continue
        if t - before_s > 1.5 * span.step_s:
            found.append([])
        found[-1].append((t, v, -math.inf))
        before_s = t
    return found


def _stacked(curves: Sequence[Curve], span: Span) -> list[list[list[tuple[float, float, float]]]]:
    """Curves stacked on each other; missing values count as 0."""
    base: dict[float, float] = {}
    stacked = []
    for curve in curves:
        run = []
        for t, v in curve.series.points:
            low = base.get(t, 0.0)
            base[t] = low + (v if math.isfinite(v) else 0.0)
            run.append((t, base[t], low))
        stacked.append([run] if run else [])
    return stacked


def _reach(panel: Panel, values: Sequence[float]) -> tuple[float, float]:
    """The lowest and the highest value of the axis."""
    low = panel.least if panel.least is not None else min(values, default=0.0)
    high = panel.most if panel.most is not None else max(values, default=1.0) * 1.05
    if panel.least is None:
        low, high = low - 0.1 * abs(high - low), high + 0.1 * abs(high - low)
    return (low, high) if high > low else (low, low + 1.0)


def _level(left: float, width: float, y: float, text: str, theme: Theme) -> str:
    return f'<line x1="{left:.1f}" x2="{width - 8:.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke="{theme.grid}"/>' + words(
        left - 6, y + 4, text, theme.faint, 11, "end"
    )


def time_axis(span: Span, left: float, width: float, plot_h: float, theme: Theme) -> list[str]:
    """Vertical lines at round times, these times below, and what is marked."""
    total_s = span.until_s - span.since_s
    most = max(2, int((width - left) / 90))
    step_s = next((s for s in (15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200) if total_s / s <= most), 14400)
    form = "%H:%M:%S" if step_s < 60 else "%H:%M"
    made = []
    for n in range(math.ceil(span.since_s / step_s), math.floor(span.until_s / step_s) + 1):
        x = left + (width - left - 8) * (n * step_s - span.since_s) / total_s
        if x > width - 22 or x < left + 10:
            continue
        made.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{plot_h:.1f}" stroke="{theme.grid}"/>')
        text = datetime.fromtimestamp(n * step_s, UTC).strftime(form)
        made.append(words(x, plot_h + 15, text, theme.faint, 11, "middle"))
    for at_s, ink in span.marks:
        x = left + (width - left - 8) * (at_s - span.since_s) / total_s
        made.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{plot_h:.1f}" stroke="{ink}" stroke-dasharray="3 3"/>')
        made.append(f'<path d="M {x - 4:.1f} {plot_h:.1f} h 8 l -4 -6 z" fill="{ink}"/>')
    return made


def _legend(named: Sequence[tuple[str, str]], width: float) -> tuple[str, float]:
    """Names and colours in one or two lines, and the height they take."""
    unique = list(dict.fromkeys(named))
    needed = sum(30 + 6.4 * len(name) for name, _ in unique)
    height = LEGEND_H * min(2, math.ceil(needed / width)) + 2
    inner = "".join(f'<span><i style="background:{ink}"></i>{escape(name)}</span>' for name, ink in unique)
    return f'<div class="legend" style="height:{height}px">{inner}</div>', height


def states(panel: Panel, curves: Sequence[Curve], width: float, height: float, theme: Theme, span: Span) -> str:
    """One bar per series, coloured by state."""
    seen = {v for c in curves for _, v in c.series.points}
    known = [(name, color_of(ink)) for number, (name, ink) in panel.names.items() if number in seen]
    legend, legend_h = _legend(known, width)
    plot_h = height - legend_h - BOTTOM_H
    left = min(0.3 * width, 18 + 7.0 * max(len(c.name) for c in curves))
    h = plot_h / len(curves)
    bar_h = min(0.8 * h, 34)
    made = time_axis(span, left, width, plot_h, theme)
    for n, curve in enumerate(curves):
        middle = (n + 0.5) * h
        made.append(words(left - 8, middle + 4, shortened(curve.name, 12, left - 8), theme.text, 12, "end"))
        for since_s, until_s, value in _stretches(curve, span):
            x, x2 = (left + (width - left - 8) * (t - span.since_s) / (span.until_s - span.since_s)
                     for t in (since_s, until_s))  # fmt: skip
            ink = color_of(panel.names[value][1] if value in panel.names else step_color(value, panel.steps))
            made.append(
                f'<rect x="{x:.1f}" y="{middle - bar_h / 2:.1f}" width="{max(0.6, x2 - x):.1f}" '
                f'height="{bar_h:.1f}" fill="{ink}" fill-opacity="0.85"/>'
            )
    return svg(width, height - legend_h, "".join(made)) + legend


def _stretches(curve: Curve, span: Span) -> list[tuple[float, float, float]]:
    """(since, until, value): equal neighbours merged, unknown times left out."""
    found: list[tuple[float, float, float]] = []
    for t, v in curve.series.points:
        if not math.isfinite(v):
            continue
        until_s = min(t + span.step_s, span.until_s)
        if found and found[-1][2] == v and t - found[-1][1] <= 0.5 * span.step_s:
            found[-1] = (found[-1][0], until_s, v)
        else:
            found.append((t, until_s, v))
    return found
