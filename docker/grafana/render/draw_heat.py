"""Heat maps as SVG: how many values fell into each bucket of a histogram, at each instant."""

import math
from collections.abc import Sequence

from docker.grafana.render.board import Curve, Panel, Span
from docker.grafana.render.draw import svg, words
from docker.grafana.render.draw_time import BOTTOM_H, time_axis
from docker.grafana.render.look import Theme, text_of

INK = "#5794f2"


def heat(panel: Panel, curves: Sequence[Curve], width: float, height: float, theme: Theme, span: Span) -> str:
    """A row for each bucket that holds anything and those between, the lowest at the bottom, and its upper bound."""
    buckets = _buckets(curves)
    used = [n for n, (_, cells) in enumerate(buckets) if any(v > 0 for v in cells.values())]
    shown = buckets[min(used) : max(used) + 1] if used else buckets[:1]
    left, plot_h = 70.0, height - BOTTOM_H
    h = (plot_h - 4) / len(shown)
    most = max((v for _, cells in shown for v in cells.values()), default=0.0) or 1.0
    w = (width - left - 8) * span.step_s / (span.until_s - span.since_s)
    made = time_axis(span, left, width, plot_h, theme)
    for n, (bound, cells) in enumerate(shown):
        y = plot_h - (n + 1) * h
        text = "more" if math.isinf(bound) else f"≤ {text_of(bound, panel.unit)}"
        made.append(words(left - 6, y + h / 2 + 4, text, theme.faint, 11, "end"))
        for t, v in cells.items():
            x = left + (width - left - 8) * (t - span.since_s) / (span.until_s - span.since_s)
            made.append(
                f'<rect x="{x:.1f}" y="{y + 0.5:.1f}" width="{w:.2f}" height="{h - 1:.1f}" fill="{INK}" '
                f'fill-opacity="{math.sqrt(max(0.0, v) / most):.2f}"/>'
            )
    return svg(width, height, "".join(made))


def _buckets(curves: Sequence[Curve]) -> list[tuple[float, dict[float, float]]]:
    """Upper bounds and how many fell below each but not below the one before, by time."""
    ordered = sorted((float(curve.series.labels["le"]), dict(curve.series.points)) for curve in curves)
    found, below = [], dict[float, float]()
    for bound, points in ordered:
        found.append((bound, {t: v - below.get(t, 0.0) for t, v in points.items() if math.isfinite(v)}))
        below = points
    return found
