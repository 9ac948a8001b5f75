"""What passes, per tag: the bound of the swinging door, the truth about status, the fate of every value."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import AggregateConfig, ShapingConfig
from gateway.shaping.sample import Rule, Sample
from gateway.shaping.table import rule_of
from gateway.shaping.window import CALCULATED, PARTIAL

S = 10_000_000
BAD = 0x80000000
RULES = {
    "deadband": ShapingConfig(deadband=2, at_least=30),
    "percent": ShapingConfig(deadband_percent=5, range=(0, 20), rate_limit=3),
    "of last": ShapingConfig(deadband_percent_of_last=20),
    "rate": ShapingConfig(rate_limit=2),
    "door": ShapingConfig(swinging_door=1.5, at_least=20),
    "window": ShapingConfig(aggregate=AggregateConfig(window=5, functions=("min", "count", "time_weighted_mean"))),
}


def made_rule(config: ShapingConfig) -> Rule:
    made = rule_of(config)
    assert made is not None
    return made


def sample(second: float, value: object, status: int = 0, kind: int = 11) -> Sample:
    ticks = round(second * S)
    return Sample(ticks, value, status, kind, ticks, ticks)


def values_of(rows: list[Sample]) -> list[object]:
    return [row.value for row in rows]


@st.composite
def series(draw: st.DrawFn) -> list[Sample]:
    steps = draw(st.lists(st.sampled_from([-2, 0, 1, 1, 1, 2, 2, 3, 12, 40]), min_size=1, max_size=60))
    numbers = st.one_of(st.floats(-20, 20), st.sampled_from([None, math.nan, math.inf, "text", 2**60]))
    second, made = 1000.0, []
    for step in steps:
        second += step / 4
        value = draw(numbers)
        kind = 0 if value is None else 12 if isinstance(value, str) else 8 if isinstance(value, int) else 11
        made.append(sample(second, value, draw(st.sampled_from([0] * 8 + [BAD, 0x40000000, 0x00960000])), kind))
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
@given(samples=series(), flushes=st.sets(st.integers(0, 60)))
def test_every_value_is_passed_filtered_or_held_at_every_step(
    name: str, samples: list[Sample], flushes: set[int]
) -> None:
    made = made_rule(RULES[name])
    passed = filtered = 0
    for taken, one in enumerate(samples, 1):
        rows = made.take(one, one.ticks)
        rows += made.flush(one.ticks + 3 * S) if taken in flushes else []
        passed += sum(row.column == 0 for row in rows)
        filtered += sum(made.filtered().values())
        assert taken == passed + filtered + made.held
    passed += sum(row.column == 0 for row in made.cut())
    assert len(samples) == passed + filtered + sum(made.filtered().values())
    assert made.held == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in RULES if n not in ("rate", "percent")])
@given(samples=series())
def test_bad_values_non_numbers_and_changes_of_status_pass_in_order(name: str, samples: list[Sample]) -> None:
    made = made_rule(RULES[name])
    rows = [row for one in samples for row in made.take(one, one.ticks)] + made.cut()
    shown = [id(row) for row in rows if row.column == 0]
    must = [
        one
        for before, one in zip([None, *samples], samples, strict=False)
        if one.status >> 30
        or one.value is None
        or isinstance(one.value, str)
        or (name != "window" and before is not None and before.status != one.status)
    ]
    positions = [shown.index(id(one)) for one in must]
    assert positions == sorted(positions)


@given(
    st.lists(st.tuples(st.integers(1, 20), st.floats(-1.3, 1.3)), min_size=1, max_size=80),
    st.floats(1e-3, 1e5),
    st.floats(-10, 10),
    st.sets(st.integers(0, 80)),
)
def test_a_swinging_door_leaves_out_only_what_lies_within_its_error(
    steps: list[tuple[int, float]], error: float, drift: float, flushes: set[int]
) -> None:
    made = made_rule(ShapingConfig(swinging_door=error, at_least=1e6))
    ticks, samples, kept = S, [], []
    for n, (step, noise) in enumerate(steps):
        ticks += step
        value = error * (noise + drift * (ticks - S))  # close to a line, so that the bound is what decides
        samples.append(Sample(ticks, value, 0, 11, ticks, ticks))
        kept += made.take(samples[-1], ticks)
        kept += made.flush(ticks + 10**14) if n in flushes else []
    kept += made.cut()
    assert kept[0] is samples[0]
    assert kept[-1] is samples[-1]
    known = {row.ticks for row in kept}
    for one in samples:
        if one.ticks not in known:
            a = max((k for k in kept if k.ticks < one.ticks), key=lambda k: k.ticks)
            b = min((k for k in kept if k.ticks > one.ticks), key=lambda k: k.ticks)
            assert isinstance(a.value, float)
            assert isinstance(b.value, float)
            assert isinstance(one.value, float)
            line = a.value + (b.value - a.value) * ((one.ticks - a.ticks) / (b.ticks - a.ticks))
            assert abs(line - one.value) <= error * (1 + 1e-9) + 1e-8


def test_a_straight_line_is_compressed_to_its_ends() -> None:
    made = made_rule(ShapingConfig(swinging_door=0.01, at_least=1000))
    rows = [row for n in range(100) for row in made.take(sample(n + 1, n * 0.5), n)] + made.cut()
    assert values_of(rows) == [0.0, 49.5]


def test_a_dead_band_compares_with_the_last_value_that_passed() -> None:
    made = made_rule(ShapingConfig(deadband=1))
    assert values_of([r for n in range(6) for r in made.take(sample(n, n * 0.6), 0)]) == [0.0, 1.2, 2.4]


def test_at_least_lets_a_value_inside_the_band_pass_in_time() -> None:
    made = made_rule(ShapingConfig(deadband=1, at_least=10))
    assert [r.ticks // S for n in range(0, 25, 5) for r in made.take(sample(n, 0.0), 0)] == [0, 10, 20]


def test_a_rate_limit_ends_with_the_newest_value() -> None:
    made = made_rule(ShapingConfig(rate_limit=10))
    assert values_of([r for n in range(5) for r in made.take(sample(n, n), n * S)]) == [0]
    assert made.flush(9 * S) == []
    assert values_of(made.flush(10 * S)) == [4]
    assert made.filtered() == {"rate_limit": 3}


def test_a_rate_limit_lets_a_change_of_status_pass() -> None:
    made = made_rule(ShapingConfig(rate_limit=10))
    rows = [r for n, status in enumerate((0, 0, BAD, BAD, 0)) for r in made.take(sample(n, n, status), 0)]
    assert [r.status for r in rows] == [0, BAD, 0]


def test_a_window_gives_all_functions_of_source_time() -> None:
    functions = ("min", "max", "mean", "last", "count", "time_weighted_mean")
    made = made_rule(ShapingConfig(aggregate=AggregateConfig(window=10, functions=functions)))
    for second, value in ((0, 1.0), (5, 2.0), (9, 6.0)):
        assert made.take(sample(second, value), 0) == []
    rows = made.take(sample(10, 0.0), 0)
    assert values_of(rows) == [1.0, 6.0, 3.0, 6.0, 3, pytest.approx((5 * 1 + 4 * 2 + 1 * 6) / 10)]
    assert {(r.source_ticks, r.status) for r in rows} == {(0, CALCULATED)}
    assert made.filtered() == {"aggregate": 3}


@given(st.lists(st.tuples(st.integers(0, 7), st.floats(-100, 100)), min_size=1, max_size=40))
def test_aggregates_equal_those_of_the_values_in_each_window(steps: list[tuple[int, float]]) -> None:
    """Against the definitions, value by value: windows of ten seconds, the last value before a window holds into it."""
    functions = ("min", "max", "mean", "last", "count", "time_weighted_mean")
    made = made_rule(ShapingConfig(aggregate=AggregateConfig(window=10, functions=functions)))
    series, now = [], 1000
    for step, value in steps:
        now += step
        series.append((now, value))
    end = now - now % 10 + 10
    rows = [r for t, v in [*series, (end + 10, 0.0)] for r in made.take(sample(t, v), 0)]
    for start in range(1000, end, 10):
        inside = [(t, v) for t, v in series if start <= t < start + 10]
        told = [r.value for r in rows if r.ticks == start * S]
        if not inside:
            assert told == []
            continue
        values = [v for _, v in inside]
        before = [v for t, v in series if t < start][-1:]
        held = [(start, v) for v in before] + inside
        area = sum(v * (until - t) for (t, v), (until, _) in zip(held, [*held[1:], (start + 10, 0.0)], strict=True))
        expected = [
            min(values),
            max(values),
            sum(values) / len(values),
            values[-1],
            len(values),
            area / (start + 10 - held[0][0]),
        ]
        assert told == [pytest.approx(e, abs=1e-9) for e in expected]


def test_a_bad_value_ends_a_window_early_and_is_never_averaged() -> None:
    made = made_rule(ShapingConfig(aggregate=AggregateConfig(window=10, functions=("mean",))))
    made.take(sample(0, 1.0), 0)
    rows = made.take(sample(4, 99.0, BAD), 0)
    assert [(r.value, r.status, r.column) for r in rows] == [(1.0, CALCULATED | PARTIAL, 1), (99.0, BAD, 0)]
    made.take(sample(6, 3.0), 0)
    (rest,) = made.take(sample(12, 5.0), 0)
    assert (rest.value, rest.status, rest.ticks) == (3.0, CALCULATED | PARTIAL, 6 * S)


def test_a_window_closes_by_our_clock_even_if_the_servers_is_hours_off() -> None:
    made = made_rule(ShapingConfig(aggregate=AggregateConfig(window=10, functions=("last",), grace=1)))
    made.take(sample(7203, 1.0), 50 * S)
    assert made.flush(57 * S) == []
    assert values_of(made.flush(58 * S)) == [1.0]


@pytest.mark.parametrize("side", [-1, 1])
def test_a_swinging_door_keeps_what_is_barely_beyond_its_error(side: int) -> None:
    made = made_rule(ShapingConfig(swinging_door=1, at_least=1000))
    within = [r for n, v in enumerate((0, 0.999, 0)) for r in made.take(sample(n + 1, side * v), 0)] + made.cut()
    beyond = [r for n, v in enumerate((0, 1.001, 0)) for r in made.take(sample(n + 9, side * v), 0)] + made.cut()
    assert (len(within), len(beyond)) == (2, 3)
