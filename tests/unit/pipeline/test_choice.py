"""What a route wants of a batch is a batch of its own, and says what the whole one said of its tags."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gateway.config import TagsConfig
from gateway.model import Batch, Gap, Priority, Tag
from gateway.pipeline.choice import Choice, applies
from tests.support.payloads import TICKS, batch_of, batches

TAG = Tag("Line/Temperature", "i=1", {"machine": "press-1", "line": "line-2"})
EVENT = structs.replace(TAG, priority=Priority.EVENT)


@pytest.mark.parametrize(
    ("wish", "is_wanted"),
    [
        ({}, True),
        ({"sources": ["s"]}, True),
        ({"sources": ["t"]}, False),
        ({"fields": {"machine": "press-*", "line": "line-?"}}, True),
        ({"fields": {"machine": "press"}}, False),
        ({"fields": {"site": "*"}}, False),
        ({"include": ["*"]}, False),
        ({"include": ["**"]}, True),
        ({"include": ["*/Temp*"]}, True),
        ({"include": ["**"], "exclude": ["**/Temperature"]}, False),
        ({"priorities": ["telemetry"]}, True),
        ({"priorities": ["event", "state"]}, False),
    ],
)
def test_every_condition_of_a_choice_must_hold(wish: dict[str, object], is_wanted: bool) -> None:
    assert applies(TagsConfig.model_validate(wish), "s", TAG) == is_wanted


def test_events_are_selected_by_their_priority() -> None:
    assert applies(TagsConfig(priorities=("event",)), "s", EVENT)


def rows(batch: Batch) -> list[tuple[str, str, int, int, int, int]]:
    columns = (batch.handles, batch.types, batch.statuses, batch.source_ticks, batch.server_ticks)
    return [
        (batch.tags[handle].node_id, str(value), *rest)
        for value, handle, *rest in zip(batch.values, *(column.tolist() for column in columns), strict=True)
    ]


@given(batches(), st.lists(st.sampled_from(["press", "oven", "nobody"]), min_size=1, max_size=2))
def test_exactly_the_selected_rows_are_kept_in_order(batch: Batch, machines: list[str]) -> None:
    choice = Choice([TagsConfig(fields={"machine": each}) for each in machines], "line-1")
    chosen = choice.of(batch)
    wanted = [row for row, h in zip(rows(batch), batch.handles.tolist(), strict=True)
              if batch.tags[h].fields["machine"] in machines]  # fmt: skip
    assert (rows(chosen) if chosen is not None else []) == wanted
    if chosen is not None:
        assert all(tag.fields["machine"] in machines for tag in chosen.tags)
        again = choice.of(batch)
        assert again is not None
        assert again.tags is chosen.tags, "what is derived from a table is derived once"


def test_numbers_stay_an_array_and_a_fully_selected_batch_is_not_copied() -> None:
    tags = [Tag("a", "i=1", {"machine": "m"}), Tag("b", "i=2", {"machine": "n"})]
    batch = replace(batch_of([(11, 1.0), (11, 2.0)], tags=tags), values=np.array([1.0, 2.0]))
    chosen = Choice([TagsConfig(include=("b",))], "s").of(batch)
    assert chosen is not None
    assert isinstance(chosen.values, np.ndarray)
    assert chosen.values.tolist() == [2.0]
    assert Choice([TagsConfig(include=("?",))], "s").of(batch) is batch


def test_gaps_are_limited_to_the_selected_tags() -> None:
    tags = [Tag("a", "i=1", {}), Tag("b", "i=2", {}), Tag("c", "i=3", {})]
    gaps = tuple(Gap("server_overflow", "x", TICKS, TICKS, handles=handles) for handles in ((), (0,), (1, 2), (2,)))
    batch = batch_of([(6, 1)], tags=tags, handles=[0], gaps=gaps)
    chosen = Choice([TagsConfig(include=("c",))], "s").of(batch)
    assert chosen is not None
    assert (len(chosen), [gap.handles for gap in chosen.gaps]) == (0, [(), (0,), (0,)])
    assert Choice([TagsConfig(include=("nobody",))], "s").of(batch) is None


def test_a_grown_table_is_examined_again() -> None:
    tags = [Tag("a", "i=1", {})]
    choice = Choice([TagsConfig(include=("b",))], "s")
    assert choice.of(batch_of([(6, 1)], tags=tags)) is None
    grown = choice.of(batch_of([(6, 1), (6, 2)], tags=[*tags, Tag("b", "i=2", {})]))
    assert grown is not None
    assert rows(grown)[0][:2] == ("i=2", "2")
