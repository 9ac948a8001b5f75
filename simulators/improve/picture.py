"""The result as a picture (SVG): good parts per hour, and where the time of each machine went, before and after."""

from collections.abc import Mapping, Sequence
from html import escape
from statistics import fmean

from simulators.improve.compare import Gain, Guesses, Interval, mean_states

COLOURS = {
    "working": "#2f9e44", "setup": "#1c7ed6", "down": "#e03131", "maintenance": "#7048e8", "blocked": "#f59f00",
    "starved": "#ffd43b", "held": "#c2255c", "off": "#adb5bd",
}  # fmt: skip
WIDTH, BAR, LEFT = 860, 22, 190
MOST_MACHINES = 16


def picture(name: str, gain: Gain, guesses: Guesses | None) -> str:
    """The text of an SVG file."""
    before = fmean(run.good_per_h for run in gain.before)
    after = fmean(run.good_per_h for run in gain.after)
    most = max(before, after) * 1.25
    parts, y = [_text(16, 30, f"{name}: {gain.gain} more good parts at unchanged speed", 18, "bold")], 56
    bars: list[tuple[str, float, str, Interval | None]] = [
        ("before", before, "#868e96", None), ("after", after, "#2f9e44", gain.gain)
    ]  # fmt: skip
    if guesses is not None:
        bars.append(("random guess", before * (1 + guesses.gain.mean), "#f59f00", guesses.gain))
    for label, value, colour, spread in bars:
        parts += _bar(label, value, colour, spread, most=most, before=before, y=y)
        y += BAR + 10
    y += 16
    for label, runs in (("before", gain.before), ("after", gain.after)):
        parts.append(_text(16, y, f"time of each machine, {label}", 14, "bold"))
        y += 12
        for path, shares in list(mean_states(runs).items())[:MOST_MACHINES]:
            parts += _shares(path, shares, y)
            y += 20
        y += 22
    parts += _legend(y)
    height = y + 24
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
        f' font-family="sans-serif"><rect width="{WIDTH}" height="{height}" fill="white"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _text(x: float, y: float, words: str, size: int = 12, weight: str = "normal", anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}">'
        f"{escape(words)}</text>"
    )


def _bar(
    label: str, value: float, colour: str, spread: Interval | None, *, most: float, before: float, y: float
) -> list[str]:
    scale = (WIDTH - LEFT - 20) / most
    parts = [
        _text(LEFT - 10, y + 16, label, anchor="end"),
        f'<rect x="{LEFT}" y="{y}" width="{value * scale:.1f}" height="{BAR}" fill="{colour}"/>',
        _text(LEFT + 6, y + 16, f"{value:.1f} per hour", weight="bold"),
    ]
    if spread is not None and spread.half < 10:
        ends: Sequence[float] = [LEFT + before * (1 + end) * scale for end in (spread.low, spread.high)]
        middle = y + BAR / 2
        parts.append(f'<path d="M{ends[0]:.1f} {middle}H{ends[1]:.1f}" stroke="black" stroke-width="2"/>')
        parts += [f'<path d="M{end:.1f} {middle - 6}v12" stroke="black" stroke-width="2"/>' for end in ends]
    return parts


def _shares(path: str, shares: Mapping[str, float], y: float) -> list[str]:
    parts, x = [_text(LEFT - 10, y + 12, path, anchor="end")], float(LEFT)
    for state, colour in COLOURS.items():
        width = shares.get(state, 0.0) * (WIDTH - LEFT - 20)
        parts.append(f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="15" fill="{colour}"/>')
        x += width
    return parts


def _legend(y: float) -> list[str]:
    parts: list[str] = []
    for number, (state, colour) in enumerate(COLOURS.items()):
        x = 16 + number * 104
        parts.append(f'<rect x="{x}" y="{y - 10}" width="12" height="12" fill="{colour}"/>')
        parts.append(_text(x + 17, y, state))
    return parts
