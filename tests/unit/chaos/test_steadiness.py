"""The soak's verdict on growth: neither blind nor trigger-happy."""

import numpy as np
import pytest

from tests.chaos.steadiness import Floats, slope_of, student_975

HOURS_2 = np.arange(0.0, 7200.0, 5.0)


def wandering(rng: np.random.Generator, correlation: float) -> Floats:
    """Noise that remembers, as memory does."""
    noise = rng.normal(size=len(HOURS_2))
    for n in range(1, len(noise)):
        noise[n] += correlation * noise[n - 1]
    return noise


def test_the_confidence_interval_covers_the_truth_at_its_level_with_correlated_samples() -> None:
    rng = np.random.default_rng(1)
    slopes = [slope_of(HOURS_2, 50.0 * HOURS_2 / 3600 + wandering(rng, 0.9), 300.0) for _ in range(300)]
    held = sum(slope.low <= 50.0 <= slope.high for slope in slopes)
    assert 0.90 <= held / 300 <= 0.99


def test_a_leak_is_detected_under_noise() -> None:
    slope = slope_of(HOURS_2, 500.0 * HOURS_2 / 3600 + 40 * wandering(np.random.default_rng(2), 0.9), 300.0)
    assert slope.low > 0


def test_a_short_run_has_no_slope() -> None:
    with pytest.raises(ValueError, match="too few"):
        slope_of(HOURS_2[:100], HOURS_2[:100], 300.0)


@pytest.mark.parametrize(("degrees", "quantile"), [(2, 4.303), (4, 2.776), (10, 2.228), (22, 2.074), (120, 1.980)])
def test_the_quantiles_are_those_of_the_tables(degrees: int, quantile: float) -> None:
    assert student_975(degrees) == pytest.approx(quantile, rel=0.01)
