"""Does a figure grow?  A straight line through samples that are not independent, and how sure its slope is.

Memory measured every few seconds is strongly correlated in time: an ordinary least-squares interval over thousands of
samples would be far too narrow.  So the samples are averaged over blocks that are longer than a disturbance and its
after-effects, the line goes through the block means, and the interval is Student's over the few blocks there are.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Slope:
    """Change per hour with its 95 % confidence interval."""

    per_h: float
    low: float
    high: float
    blocks: int

    @property
    def text(self) -> str:
        return f"{self.per_h:+.1f} per hour (95 %: {self.low:+.1f} to {self.high:+.1f}, {self.blocks} blocks)"


def slope_of(times_s: Floats, figures: Floats, block_s: float) -> Slope:
    """The slope of the line through the means of blocks of `block_s` seconds.  Raises `ValueError` below 4 blocks."""
    number = ((times_s - times_s[0]) // block_s).astype(int)
    full = [n for n in np.unique(number) if (number == n).sum() * 2 > (number == 0).sum()]
    if len(full) < 4:
        raise ValueError(f"{len(full)} blocks of {block_s:g} s are too few for a slope")
    hours = np.array([times_s[number == n].mean() for n in full]) / 3600.0
    means = np.array([figures[number == n].mean() for n in full])
    off = hours - hours.mean()
    slope = float((off * means).sum() / (off**2).sum())
    rest = means - means.mean() - slope * off
    free = len(full) - 2
    error = float(np.sqrt((rest**2).sum() / free / (off**2).sum()))
    width = student_975(free) * error
    return Slope(slope, slope - width, slope + width, len(full))


def student_975(degrees: int) -> float:
    """The 97.5 % quantile of Student's t (Cornish-Fisher expansion; within 1 % from 4 degrees of freedom on)."""
    if degrees < 4:
        return {1: 12.706, 2: 4.303, 3: 3.182}[degrees]
    z, n = 1.959964, float(degrees)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / n ** (k + 1) for k, term in enumerate(terms))
