"""What is too much for the outbox is halved in every column."""

from dataclasses import fields

import numpy as np
import pytest

from gateway.model import Batch, Tag
from gateway.pipeline.halves import halves

COLUMNS = {"handles", "types", "values", "statuses", "source_ticks", "server_ticks", "time_sources"}


@pytest.mark.parametrize("values", [np.arange(5.0), ["a", 1, None, 2.0, b"x"]], ids=["array", "list"])
def test_each_half_of_a_split_batch_has_its_rows_of_every_column(values: object) -> None:
    numbers = np.arange(5)
    batch = Batch(
        "s", [Tag(f"t{n}", f"i={n}") for n in range(5)], numbers.astype(np.uint32), numbers.astype(np.uint8), values,  # type: ignore[arg-type]
        numbers.astype(np.uint32), numbers + 100, numbers + 200, time_sources=numbers.astype(np.uint8),
    )  # fmt: skip
    found = halves([batch])
    assert found is not None
    (first,), (second,) = found
    for field in fields(Batch):
        whole, parts = getattr(batch, field.name), [getattr(each, field.name) for each in (first, second)]
        if field.name in COLUMNS:
            assert [*parts[0], *parts[1]] == list(whole), field.name
        else:
            assert not isinstance(whole, np.ndarray), f"{field.name} is a column: say so in COLUMNS"
            assert parts == [whole, whole], field.name
