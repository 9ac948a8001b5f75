"""Distributions by name: what they say of themselves is what they draw; streams stay apart."""

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from simulators.distributions import Distribution, Law, duration_s
from simulators.streams import stream, uniform

ADAPTER: TypeAdapter[Law] = TypeAdapter(Distribution)
LAWS: list[dict[str, object]] = [
    {"law": "constant", "value": "2s"},
    {"law": "exponential", "mean": "6s"},
    {"law": "uniform", "low": 1, "high": 4},
    {"law": "normal", "mean": 10, "sd": 2},
    {"law": "lognormal", "mean": 5, "sd": 4},
    {"law": "triangular", "low": 1, "mode": 2, "high": 6},
    {"law": "gamma", "mean": 3, "cv": 0.4},
    {"law": "erlang", "mean": 4, "phases": 3},
    {"law": "weibull", "shape": 1.5, "scale": 8},
    {"law": "geometric", "p": 0.2, "step": 2},
    {"law": "empirical", "values": ["1s", "2s", "6s"]},
]


def draws(written: object, path: str = "line/a", count: int = 20_000) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    sample = ADAPTER.validate_python(written).sampler(1, path, "cycle")
    return np.array([sample() for _ in range(count)])


@pytest.mark.parametrize("written", LAWS, ids=lambda law: law["law"])
def test_mean_and_spread_are_what_the_law_says_and_nothing_is_negative(written: dict[str, object]) -> None:
    law, values = ADAPTER.validate_python(written), draws(written)
    error = np.sqrt(law.cv2 / len(values))
    assert values.mean() / law.mean_s == pytest.approx(1.0, abs=4 * error + 1e-12)
    assert values.var() / law.mean_s**2 == pytest.approx(law.cv2, rel=0.1, abs=1e-12)
    assert values.min() >= 0


@pytest.mark.parametrize("written", LAWS[1:], ids=lambda law: law["law"])
def test_the_same_component_draws_the_same_again_and_another_draws_others(written: dict[str, object]) -> None:
    assert (draws(written, count=300) == draws(written, count=300)).all()
    assert (draws(written, count=300) != draws(written, "line/b", count=300)).any()


def test_streams_differ_by_seed_path_and_purpose_and_do_not_depend_on_the_interpreter() -> None:
    numbers = {uniform(*key)() for key in ((1, "a", "x"), (2, "a", "x"), (1, "b", "x"), (1, "a", "y"), (1, "ax", ""))}
    assert len(numbers) == 5
    assert stream(1, "line-1/press", "cycle").integers(0, 10**9) == 905_376_893


def test_a_plain_time_is_the_constant_law() -> None:
    assert ADAPTER.validate_python("1.5min").mean_s == 90
    assert [duration_s(text) for text in ("250ms", "5s", "2h", "7d", 3)] == [0.25, 5, 7200, 604_800, 3]


@pytest.mark.parametrize(
    "written",
    [
        "2 parsecs", -1, float("nan"), {"law": "normal", "mean": 1, "sd": 1}, {"law": "uniform", "low": 2, "high": 1},
        {"law": "triangular", "low": 3, "mode": 1, "high": 5}, {"law": "empirical", "values": []}, {"mean": 1},
        {"law": "gamma", "mean": 1, "cv": 0}, None, [1, 2],
    ],
)  # fmt: skip
def test_an_invalid_distribution_is_refused(written: object) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(written)
