"""Panels with few numbers as SVG: stat, gauge, bars.  Functions of the responses of Prometheus."""

import math
from collections.abc import Sequence
from html import escape

from docker.grafana.render.ask import Series
from docker.grafana.render.board import Curve, Panel
from docker.grafana.render.look import Theme, color_of, solid_of, step_color, text_of

ARC = (0.75 * math.pi, 2.25 * math.pi)
"""Where a gauge begins and ends, clockwise from the right."""


def svg(width: float, height: float, inner: str) -> str:
    return f'<svg width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">{inner}</svg>'


def words(x: float, y: float, text: str, color: str, size: float = 12, anchor: str = "start", weight: int = 400) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{color}" font-size="{size:.1f}" text-anchor="{anchor}" '
        f'font-weight="{weight}">{escape(text)}</text>'
    )


def shortened(text: str, size: float, width: float) -> str:
    """The text, cut to the width; a letter takes about 0.55 of its size."""
    most = max(3, int(width / (0.55 * size)))
    return text if len(text) <= most else text[: most - 1] + "…"


def _shown(panel: Panel, value: float) -> tuple[str, str]:
    """The text of a value and the name of its colour."""
    if value in panel.names:
        return panel.names[value]
    shown = value if panel.decimals is None else round(value, panel.decimals)
    return text_of(shown, panel.unit), step_color(value, panel.steps)


def stat(panel: Panel, curves: Sequence[Curve], width: float, height: float, theme: Theme) -> str:
    """Big numbers side by side, or one above the other where they can be larger then."""
    longest = max(len(_shown(panel, curve.series.last)[0]) for curve in curves)

    def letters(across: int, down: int) -> float:
        return min(0.42 * height / down, width / across / (0.68 * max(4, longest)), 46)

    across, down = max(((len(curves), 1), (1, len(curves))), key=lambda layout: letters(*layout))
    w, h, size = width / across, height / down, letters(across, down)
    tiles = []
    for n, curve in enumerate(curves):
        x, y = n % across * w, n // across * h
        tiles.append(f'<g transform="translate({x:.1f},{y:.1f})">{_tile(panel, curve, w, h, size, theme)}</g>')
    return svg(width, height, "".join(tiles))


def _tile(panel: Panel, curve: Curve, w: float, h: float, size: float, theme: Theme) -> str:
    text, color = _shown(panel, curve.series.last)
    back = f'<rect x="2" y="2" width="{w - 4:.1f}" height="{h - 4:.1f}" rx="3" fill="{solid_of(color)}"/>'
    ink = "#ffffff" if panel.is_solid else color_of(color)
    name_ink = "#ffffff" if panel.is_solid else theme.faint
    spark = _spark(curve.series, w, h, color_of(color)) if panel.has_spark else ""
    middle = h * (0.45 if panel.has_spark else 0.52)
    return (
        (back if panel.is_solid else spark)
        + words(w / 2, middle + 0.36 * size, text, ink, size, "middle", 600)
        + words(w / 2, middle - 0.62 * size, shortened(curve.name, 13, w - 12), name_ink, 13, "middle")
    )


def _spark(series: Series, w: float, h: float, color: str) -> str:
    found = [(at, value) for at, value in series.points if math.isfinite(value)]
    if len(found) < 2:
        return ""
    low, high = min(v for _, v in found), max(v for _, v in found)
    first, last = found[0][0], found[-1][0]
    base, top = h - 2, 0.68 * h
    across, up = (w - 8) / (last - first), (base - 4 - top) / ((high - low) or 1)
    path = " ".join(f"{4 + across * (at - first):.1f},{base - 4 - up * (v - low):.1f}" for at, v in found)
    return (
        f'<polygon points="4,{base:.1f} {path} {w - 4:.1f},{base:.1f}" fill="{color}" fill-opacity="0.15"/>'
        f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.5"/>'
    )


def gauge(panel: Panel, curves: Sequence[Curve], width: float, height: float, theme: Theme) -> str:
    """Dials side by side."""
    w = width / len(curves)
    dials = [
        f'<g transform="translate({n * w:.1f},0)">{_dial(panel, curve, w, height, theme)}</g>'
        for n, curve in enumerate(curves)
    ]
    return svg(width, height, "".join(dials))


def _dial(panel: Panel, curve: Curve, w: float, h: float, theme: Theme) -> str:
    low, high = panel.least or 0.0, panel.most or 1.0
    value = curve.series.last
    text, color = _shown(panel, value)
    r = min(0.44 * w, 0.52 * h) - 6
    cx, cy = w / 2, 0.56 * h

    def arc(from_value: float, to_value: float, radius: float, thick: float, ink: str) -> str:
        a, b = (ARC[0] + (ARC[1] - ARC[0]) * (v - low) / (high - low) for v in (from_value, to_value))
        large = int(b - a > math.pi)
        return (
            f'<path d="M {cx + radius * math.cos(a):.1f} {cy + radius * math.sin(a):.1f} A {radius:.1f} {radius:.1f} 0 '
            f'{large} 1 {cx + radius * math.cos(b):.1f} {cy + radius * math.sin(b):.1f}" fill="none" stroke="{ink}" '
            f'stroke-width="{thick:.1f}"/>'
        )

    starts = [low if v is None else min(max(v, low), high) for v, _ in panel.steps]
    rim = [
        arc(start, end, r, 4, color_of(ink))
        for (_, ink), start, end in zip(panel.steps, starts, [*starts[1:], high], strict=True)
    ]
    shown = min(max(value, low + 0.001 * (high - low)), high) if math.isfinite(value) else low
    thick = 0.22 * r
    return (
        arc(low, high, r - 0.5 * thick - 5, thick, theme.track)
        + arc(low, shown, r - 0.5 * thick - 5, thick, color_of(color))
        + "".join(rim)
        + words(cx, cy + 0.14 * r, text, color_of(color), min(1.9 * r / max(4, len(text)), 34), "middle", 600)
        + words(cx, min(h - 6, cy + 0.95 * r), shortened(curve.name, 13, w), theme.text, 13, "middle")
    )


def bars(panel: Panel, curves: Sequence[Curve], width: float, height: float, theme: Theme) -> str:
    """One bar per series, the name before it, the value behind it."""
    most = panel.most or max((c.series.last for c in curves if math.isfinite(c.series.last)), default=1.0) or 1.0
    fit = max(1, int(height / 22))
    left_out = len(curves) - fit
    rows = curves[: fit - 1] if left_out > 0 else curves
    h = min(height / (len(rows) + (left_out > 0)), 52)
    label_w = min(0.42 * width, 14 + 7.2 * max(len(c.name) for c in rows))
    value_w = 16 + 8.4 * max(6, *(len(_shown(panel, c.series.last)[0]) for c in rows))
    bar_w = width - label_w - value_w
    made = []
    for n, curve in enumerate(rows):
        text, color = _shown(panel, curve.series.last)
        y, full = n * h + 3, max(0.0, min(1.0, curve.series.last / most)) if math.isfinite(curve.series.last) else 0.0
        made += [
            words(label_w - 8, y + h / 2, shortened(curve.name, 13, label_w - 8), theme.text, 13, "end"),
            _bar(label_w, y, bar_w, h - 7, theme.track),
            _bar(label_w, y, max(2.0, bar_w * full), h - 7, color_of(color)),
            words(width - 4, y + h / 2, text, color_of(color), 14, "end", 600),
        ]
    if left_out > 0:
        made.append(words(label_w, len(rows) * h + 16, f"… and {len(curves) - len(rows)} more", theme.faint))
    return svg(width, height, "".join(made))


def _bar(x: float, y: float, w: float, h: float, ink: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" rx="2" fill="{ink}"/>'
