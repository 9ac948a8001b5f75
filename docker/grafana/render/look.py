"""Colours and number formats, with Grafana's names, as far as our dashboards use them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

NAMED = {
    "green": "#73bf69", "yellow": "#fade2a", "orange": "#ff9830", "red": "#f2495c", "blue": "#5794f2",
    "purple": "#b877d9", "light-blue": "#8ab8ff",
}  # fmt: skip
SOLID = {"green": "#3d8b37", "yellow": "#b8860b", "orange": "#c4621a", "red": "#c4162a", "blue": "#1f60c4"}
"""Darker, for a background behind white text."""
PALETTE = (
    "#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0", "#37872d", "#fade2a",
    "#447ebc", "#c15c17",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Theme:
    """The background colours of page and panels."""

    page: str
    panel: str
    border: str
    text: str
    faint: str
    grid: str
    track: str


DARK = Theme("#111217", "#181b1f", "#2b2e35", "#d5d6de", "#8e9099", "#2a2d33", "#24272d")
LIGHT = Theme("#f4f5f5", "#ffffff", "#dfe1e4", "#24292e", "#6e7680", "#e6e8eb", "#eceef0")


def color_of(name: str) -> str:
    return NAMED.get(name, name)


def solid_of(name: str) -> str:
    return SOLID.get(name, NAMED.get(name, name))


_DURATIONS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_THOUSANDS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_BINARY = ((2.0**40, "Ti"), (2.0**30, "Gi"), (2.0**20, "Mi"), (2.0**10, "Ki"))
_COUNTED = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))
_SUFFIX = {"bytes": "B", "Bps": "B/s", "watt": "W", "short": ""}


def text_of(value: float, unit: str) -> str:
    """Format a value: `0.8312`, `percentunit` gives `83.1 %`; `0.0042`, `s` gives `4.2 ms`."""
    if math.isnan(value):
        return "–"
    if unit == "percentunit":
        return f"{digits(100 * value)} %"
    if unit == "s":
        size, name = next(((s, n) for s, n in _DURATIONS if abs(value) >= s), (1.0, "s"))
        return f"{digits(value / size)} {name}"
    if unit == "currencyUSD":
        return f"${value:,.2f}"
    if unit.startswith("count:"):  # such as 1.2K values
        size, prefix = next(((s, p) for s, p in _COUNTED if abs(value) >= s), (1.0, ""))
        return f"{digits(value / size)}{prefix} {unit.removeprefix('count:')}"
    steps = _BINARY if unit == "bytes" else _THOUSANDS
    size, prefix = next(((s, p) for s, p in steps if abs(value) >= s), (1.0, ""))
    suffix = f"{prefix}{_SUFFIX.get(unit, unit).strip()}"
    return f"{digits(value / size)}{' ' if suffix else ''}{suffix}".rstrip()


def digits(value: float) -> str:
    """Three significant digits, without trailing zeros."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{min(decimals, 6)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def step_color(value: float, steps: Sequence[tuple[float | None, str]]) -> str:
    """The colour of the highest threshold that is reached."""
    found = steps[0][1]
    for from_value, color in steps:
        if from_value is None or value >= from_value:
            found = color
    return found


def ticks(low: float, high: float, most: int, unit: str = "") -> list[float]:
    """Round numbers from `low` to `high`, at most `most` or so."""
    span = high - low
    if span <= 0:
        return [low]
    raw = span / max(1, most)
    scale = 60.0 if unit == "s" and raw > 30 else 2.0**10 if unit == "bytes" else 1.0
    power: float = scale ** math.floor(math.log(raw, scale)) if scale > 2 else 1.0
    power *= 10.0 ** math.floor(math.log10(raw / power))
    step = next(power * f for f in (1, 2, 2.5, 5, 10) if power * f >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]
