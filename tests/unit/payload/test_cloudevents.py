"""CloudEvents: what the SDK of the specification's authors reads, in both modes."""

import json
from dataclasses import replace

import pytest
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given, settings

from gateway.model import Batch, Gap, Loss, Message, Tag
from gateway.payload.cloudevents import EventEnvelope, Mode
from gateway.payload.frames import FramesEncoder
from gateway.payload.splitting import FormatSettings
from tests.support.cloud_events import read_event
from tests.support.part6 import as_read, data_value
from tests.support.payloads import TICKS, Counting, batch_of, batches

SOURCE = "urn:connected-factory:edge:line-1"


def form(mode: Mode, every: int = 100) -> FramesEncoder:
    return FramesEncoder(
        FormatSettings("edge.e1", "factory/{machine}", "edge"), EventEnvelope(SOURCE, mode),
        key_frame_every=every, now=lambda: TICKS + 10**7,
    )  # fmt: skip


def event_of(message: Message) -> CloudEvent:
    return read_event(message.payload, message.content_type, message.properties)


@settings(max_examples=30)
@given(batches())
def test_the_sdk_reads_every_value_in_both_modes(batch: Batch) -> None:
    expected: dict[str, list[tuple[object, int, int]]] = {}
    kinds: dict[str, list[int]] = {}
    for row, handle in enumerate(batch.handles.tolist()):
        kind = int(batch.types[row])
        kinds.setdefault(batch.tags[handle].name, []).append(kind & 0x3F)
        read = as_read(batch.values[row], kind)
        expected.setdefault(batch.tags[handle].name, []).append(
            (read, int(batch.statuses[row]), int(batch.source_ticks[row]))
        )
    modes: tuple[Mode, Mode] = ("binary", "structured")
    for mode in modes:
        left = {name: list(each) for name, each in kinds.items()}
        seen: dict[str, list[tuple[object, int, int]]] = {}
        counting = Counting()
        for message in counting.append(form(mode, every=0).encode(batch, counting.next_seq)):
            event = event_of(message)
            if event.get_type() == "ua-metadata":
                continue
            data = event.get_data()
            assert isinstance(data, dict)
            for name, field in data.items():
                seen.setdefault(name, []).append(data_value(field, left[name].pop(0)))
        assert seen == expected


def test_the_attributes_are_those_of_the_extension() -> None:
    event = event_of(form("binary").encode(batch_of([(11, 61.5)]), lambda stream: 17)[-1])
    assert event.get_id() == "edge.e1/line-1/factory/press#17"
    assert (event.get_source(), event.get_type(), event.get_subject()) == (SOURCE, "ua-keyframe", "factory.press")
    assert event.get_datacontenttype() == "application/json"
    assert event.get_extension("sequence") == "17"
    assert event.get_extension("opcuametadatamajorversion") == event.get_extension("opcuametadataminorversion")
    assert str(event.get_extension("traceparent")).count("-") == 3
    assert event.get_data() == {"tag0": {"Value": 61.5, "SourceTimestamp": "2025-08-18T14:13:20.1234567Z"}}


def test_both_modes_have_equal_content() -> None:
    batch = batch_of([(11, 61.5), (12, "x")], statuses=[0, 0x80310000])
    pairs = zip(
        form("binary").encode(batch, lambda stream: 1), form("structured").encode(batch, lambda stream: 1), strict=True
    )
    for binary, structured in pairs:
        a, b = event_of(binary), event_of(structured)
        assert a.get_data() == b.get_data()
        assert {k: str(v) for k, v in a.get_attributes().items()} == {k: str(v) for k, v in b.get_attributes().items()}


def test_an_event_keeps_its_id_when_it_is_encoded_again() -> None:
    def ids() -> list[str]:
        return [event_of(m).get_id() for m in form("binary").encode(batch_of([(6, 1)]), lambda stream: 5)]

    assert ids() == ids()


def test_gaps_and_losses_are_announced() -> None:
    gap = Gap("server_overflow", "the queue ran over", TICKS, TICKS, None, (0,))
    batch = replace(batch_of([(6, 1)]), gaps=(gap,))
    told = event_of(form("binary").encode(batch, lambda stream: 1)[-1]).get_extension("gaps")
    assert json.loads(str(told))[0]["cause"] == "server_overflow"
    loss = Loss(1, "edge.e1/line-1/factory/press", 3, 5, 3, 30, "outbox_full", 10**18, 10**18, ("broker",))
    event = event_of(EventEnvelope(SOURCE, "structured").announcement(loss, loss.stream, "factory/press", 9))
    assert json.loads(str(event.get_extension("gaps")))[0]["from_seq"] == 3


@pytest.mark.parametrize(("names", "gaps_told"), [(1, 400), (3000, 3)])
def test_gaps_fit_a_user_property_whatever_the_tags_are_called(names: int, gaps_told: int) -> None:
    tags = [Tag(f"\x85\ufffe{'x' * 20}{n}", f"i={n}", {"machine": "press"}) for n in range(names)]
    gap = Gap("server_overflow", "the \x9f queue", TICKS, TICKS, None, tuple(range(names)))
    batch = replace(batch_of([(6, 1)], tags=tags), gaps=(gap,) * gaps_told)
    event = form("binary").encode(batch, lambda stream: 1)[-1]
    text = dict(event.properties)["gaps"]
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 65_535
    assert json.loads(text)[0]["cause"] == "server_overflow"
