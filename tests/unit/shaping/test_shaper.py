"""Columns in, columns out: names, scales, gaps, tables; and the cost of nothing."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from gateway.config import SourceConfig
from gateway.model import Batch, Gap, Tag
from gateway.shaping import Shaper
from gateway.shaping.checkpoint import lost, unwrap, wrap

S = 10_000_000
TAGS = (Tag("T", "s=T", {"line": "1"}), Tag("P", "s=P", {"line": "1"}, selection=1))


def source(*shapes: object, **keys: object) -> SourceConfig:
    select = [{"node": f"i={n}", **({"shape": shape} if shape is not None else {})} for n, shape in enumerate(shapes)]
    made = {"name": "s", "url": "opc.tcp://h:1", "insecure": True, "select": select, **keys}
    return SourceConfig.model_validate(made)


def batch(rows: Sequence[tuple[int, float, object]], tags: Sequence[Tag] = TAGS, gaps: tuple[Gap, ...] = ()) -> Batch:
    ticks = np.array([round(second * S) for _, second, _ in rows], np.int64)
    kinds = np.full(len(rows), 11, np.uint8)
    zeros = np.zeros(len(rows), np.uint32)
    handles = np.array([h for h, _, _ in rows], np.uint32)
    return Batch("s", tags, handles, kinds, [v for *_, v in rows], zeros, ticks, ticks, gaps, b"mark")


def shown(made: Batch) -> list[tuple[str, object]]:
    return [(made.tags[h].name, v) for h, v in zip(made.handles.tolist(), made.values, strict=True)]


def test_a_batch_without_rules_is_handed_on_as_it_is() -> None:
    one = batch([(1, 1, 5.0), (1, 2, 5.0)])
    (same,) = Shaper(source({"deadband": 1}, None)).take(one, 0).batches
    assert same is one
    assert not source(None, {}).is_shaped


def test_scale_comes_before_the_dead_band_and_names_come_last() -> None:
    shaper = Shaper(source({"scale": 0.1, "offset": 1, "deadband": 1, "rename": {"T": "Temp"}, "unit": "K"}, None))
    shaped = shaper.take(batch([(0, 1, 10.0), (1, 1, 7.0), (0, 2, 15.0), (0, 3, 40.0)]), 0)
    assert shown(shaped.batches[0]) == [("Temp", 2.0), ("P", 7.0), ("Temp", 5.0)]
    assert (shaped.received, shaped.filtered) == (4, {"deadband": 1})
    assert shaped.batches[0].tags[0].unit == "K"


def test_numbers_in_one_array_are_scaled_at_once() -> None:
    one = batch([(0, 1, 1.0), (0, 2, 2.0)])
    one = replace(one, types=np.full(2, 6, np.uint8), values=np.array([3, 4], np.int32))
    made = Shaper(source({"scale": 2}, None)).take(one, 0)
    assert made.batches[0].types.tolist() == [11, 11]
    assert list(made.batches[0].values) == [6.0, 8.0]


def test_aggregates_have_the_unit_of_their_tag_but_a_number_of_values_has_none() -> None:
    shaper = Shaper(source({"unit": "K", "aggregate": {"window": "1min", "functions": ["mean", "count"]}}, None))
    shaper.take(batch([(0, 1, 1.0)]), 0)
    (made,) = shaper.drain().batches
    assert [(tag.name, tag.unit) for tag in made.tags[2:]] == [("T.mean", "K"), ("T.count", None)]


def test_a_selections_own_shape_replaces_that_of_the_source() -> None:
    shaper = Shaper(source(None, {}, shape={"deadband": 5}))
    shaped = shaper.take(batch([(0, 1, 1.0), (0, 2, 2.0), (1, 1, 1.0), (1, 2, 2.0)]), 0)
    assert shown(shaped.batches[0]) == [("T", 1.0), ("P", 1.0), ("P", 2.0)]


def test_a_gap_ends_the_window_before_it_is_announced() -> None:
    shaper = Shaper(source({"aggregate": {"window": "1min", "functions": ["mean"]}}, None))
    shaper.take(batch([(0, 1, 1.0), (0, 2, 3.0)]), 0)
    assert shaper.held == 2
    before, after = shaper.take(batch([(0, 9, 50.0)], gaps=(Gap("sequence_gap", "x"),)), 0).batches
    assert shown(before) == [("T.mean", 2.0)]
    assert before.gaps == ()
    assert len(after) == 0
    assert len(after.gaps) == 1
    assert shaper.held == 1


def test_a_new_tag_table_loses_nothing_that_was_held() -> None:
    shaper = Shaper(source({"aggregate": {"window": "1min", "functions": ["max", "count"]}}, None))
    shaper.take(batch([(0, 1, 1.0), (0, 2, 3.0)]), 0)
    shaped = shaper.take(batch([(0, 3, 4.0)], tuple(reversed(TAGS))), 0)
    assert shown(shaped.batches[0]) == [("T.max", 3.0), ("T.count", 2)]
    assert shown(shaped.batches[1]) == [("P", 4.0)]
    assert (shaped.received, shaped.derived, shaped.filtered) == (5, 2, {"aggregate": 2})


def test_the_number_of_held_values_is_stored_with_the_checkpoint() -> None:
    assert wrap(b"mark", 0, 0) == b"mark"
    stored = wrap(b"mark", 7, 123)
    assert unwrap(stored) == b"mark"
    (gap,) = lost(stored)
    assert (gap.cause, gap.count, gap.from_ticks) == ("held_lost", 7, 123)
    assert lost(b"mark") == ()


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ({"deadband": 1, "deadband_percent_of_last": 1}, "contradict"),
        ({"swinging_door": 1, "rate_limit": 1}, "contradict"),
        ({"swinging_door": 1, "aggregate": {"window": 1, "functions": ["min"]}}, "contradict"),
        ({"deadband_percent": 1}, "range need each other"),
        ({"deadband_percent": 1, "range": [5, 5]}, "lowest, highest"),
        ({"scale": 0}, "the same"),
        ({"at_least": 5}, "needs a dead-band"),
        ({"rename": {"a": "c", "b": "c"}}, "must be different"),
        ({"aggregate": {"window": 1, "functions": ["min", "min"]}}, "each function once"),
        ({"deadband": float("nan")}, "finite number"),
    ],
)
def test_contradicting_rules_are_refused(shape: object, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        source(shape)


def test_history_beside_live_values_is_scaled_and_not_filtered_by_later_values() -> None:
    for backfill, expected in (("beside", [1.0, 2.0]), ("before", [])):
        shaper = Shaper(source({"deadband": 5.0, "scale": 0.5}, None, backfill=backfill))
        shaper.take(batch([(0, 9.0, 1)]), 0)
        past = replace(batch([(0, 1.0, 2), (0, 2.0, 4)]), historical=True)
        [made] = shaper.take(past, 0).batches
        assert [value for _, value in shown(made)] == expected
