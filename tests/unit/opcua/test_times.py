"""Every value has a time, and it is known whose: the source's, the server's, or that of receipt."""

from dataclasses import replace

import numpy as np
import pytest

from gateway.config import SourceConfig, TagsConfig
from gateway.metrics import Metrics
from gateway.model import Batch, Tag, TimeSource
from gateway.opcua.codec.columns import Changes
from gateway.opcua.codec.decode import read_publish
from gateway.opcua.codec.wire import Dialect
from gateway.opcua.space.selection import Asked, Item, Table
from gateway.opcua.subscription.batches import BatchBuilder
from gateway.opcua.subscription.times import Wish, with_times
from gateway.pipeline.choice import Choice
from gateway.shaping.shaper import Shaper
from tests.support import opcua_wire as wire

NOW = 134_000_000_000_000_000
SOURCE, SERVER, RECEIPT = TimeSource
COUNT = 4
TAGS = tuple(Tag(f"t{n}", f"i={n}") for n in range(COUNT))


def changes(source: list[int], server: list[int]) -> Changes:
    rows = len(source)
    none = np.zeros(rows, np.uint32)
    stamps = np.array(source, np.int64), np.array(server, np.int64)
    return Changes(np.arange(rows, dtype=np.uint32), none.astype(np.uint8), [None] * rows, none, *stamps)


@pytest.mark.parametrize(
    ("wish", "ticks", "sources"),
    [
        ("source", [5, 8, 7, NOW], [SOURCE, SERVER, SOURCE, RECEIPT]),
        ("server", [6, 8, 7, NOW], [SERVER, SERVER, SOURCE, RECEIPT]),
        ("source-only", [5, 0, 7, -3], None),
    ],
)
def test_a_missing_time_is_replaced_by_the_next_best_and_marked(
    wish: Wish, ticks: list[int], sources: list[int] | None
) -> None:
    timed = with_times(changes([5, 0, 7, -3], [6, 8, 0, -1]), wish, lambda: NOW)
    assert timed.source_ticks.tolist() == ticks
    assert (None if timed.time_sources is None else timed.time_sources.tolist()) == sources


@pytest.mark.parametrize("source", [[5, 6], []])
def test_a_batch_with_all_source_times_is_not_copied(source: list[int]) -> None:
    given = changes(source, [0] * len(source))
    assert with_times(given, "source", lambda: NOW) is given


def built(wish: Wish = "source") -> tuple[BatchBuilder, Batch]:
    table = Table(TAGS, tuple(Item(tag.node_id, Asked(100.0, 2, heartbeat_s=1e-9)) for tag in TAGS))
    builder = BatchBuilder("s", table, Metrics().for_source("s"), Dialect(), time_source=wish)
    stamps = [(5, 6), (None, 8), (None, None), (0, 0)]
    items = [wire.item(n, wire.double(n), None, *each) for n, each in enumerate(stamps)]
    return builder, builder.build(read_publish(wire.publish_response([wire.data_change(items)])), ())


def told(batch: Batch | None) -> list[int]:
    assert batch is not None
    assert batch.time_sources is not None
    return [int(source) for source in batch.time_sources]


def test_a_batch_marks_the_origin_of_its_times_and_a_heartbeat_keeps_it() -> None:
    builder, batch = built()
    assert told(batch) == [SOURCE, SERVER, RECEIPT, RECEIPT]
    assert batch.source_ticks[:2].tolist() == [5, 8]
    assert batch.source_ticks.min() > 0
    again = builder.heartbeats.due(1e9)
    assert again is not None
    repeated = builder.repeated(again)
    assert (told(repeated), repeated.source_ticks.tolist()) == (told(batch), batch.source_ticks.tolist())
    assert built("source-only")[1].time_sources is None


def test_selected_and_shaped_values_keep_the_origin_of_their_time() -> None:
    _, batch = built()
    chosen = Choice([TagsConfig(exclude=("t1",))], "s").of(replace(batch, gaps=()))
    assert told(chosen) == [SOURCE, RECEIPT, RECEIPT]
    plain = {"name": "s", "url": "opc.tcp://h:1", "insecure": True, "select": [{"node": "i=1"}]}
    shaper = Shaper(SourceConfig.model_validate(plain | {"shape": {"deadband": 0.5}}))
    [shaped] = shaper.take(batch, NOW).batches
    assert told(shaped) == [SOURCE, SERVER, RECEIPT, RECEIPT]
