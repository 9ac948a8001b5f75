"""Batches to encode, an outbox that counts, and a reader of values written from the table in the documentation."""

import base64
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import numpy as np
from hypothesis import strategies as st

from gateway.config import Config, PayloadConfig, Route
from gateway.model import IS_ARRAY, IS_MATRIX, Batch, Gap, Message, Tag
from gateway.payload.format import Encoder
from gateway.pipeline.routing import Routing, SourceRoutes
from gateway.values import LocalizedText, QualifiedName, Structure, Typed

TICKS = 134_000_000_001_234_567  # 2025-08-18T14:13:20.1234567Z
LAST_TICKS = 2_650_467_743_999_999_999


class Counting:
    """A stand-in for the outbox's numbering: what was appended counts, and must go on without a hole."""

    def __init__(self) -> None:
        self.last: Counter[str] = Counter()

    def next_seq(self, stream: str) -> int:
        return self.last[stream] + 1

    def append(self, messages: list[Message]) -> list[Message]:
        for message in messages:
            assert message.seq == self.last[message.stream] + 1
            self.last[message.stream] = message.seq
        return messages


def tags_of(count: int, machine: Callable[[int], str] = lambda n: "press") -> list[Tag]:
    return [Tag(f"tag{n}", f"nsu=urn:u;i={n}", {"machine": machine(n)}, "°C" if n % 2 else None) for n in range(count)]


def batch_of(
    rows: Sequence[tuple[int, object]],
    *,
    tags: Sequence[Tag] | None = None,
    handles: list[int] | None = None,
    statuses: list[int] | None = None,
    ticks: list[int] | None = None,
    gaps: tuple[Gap, ...] = (),
) -> Batch:
    n = len(rows)
    return Batch(
        source="line-1",
        tags=tags_of(n) if tags is None else tags,
        handles=np.array(handles if handles is not None else range(n), np.uint32),
        types=np.array([t for t, _ in rows], np.uint8),
        values=[v for _, v in rows],
        statuses=np.array(statuses or [0] * n, np.uint32),
        source_ticks=np.array(ticks or [TICKS + i for i in range(n)], np.int64),
        server_ticks=np.array([t + 1 for t in ticks or range(TICKS, TICKS + n)], np.int64),
        gaps=gaps,
    )


def config_of(payload: dict[str, object]) -> Config:
    return Config.model_validate(
        {
            "sources": [{"name": "line-1", "url": "opc.tcp://h", "insecure": True, "select": [{"node": "i=1"}]}],
            "broker": {"url": "mqtt://h", "version": "5"},
            "payload": {"topic": "factory/{machine}", **payload},
        }
    )


_INTEGERS = {2: (-128, 127), 3: (0, 255), 4: (-(2**15), 2**15 - 1), 5: (0, 2**16 - 1), 6: (-(2**31), 2**31 - 1),
             7: (0, 2**32 - 1), 8: (-(2**63), 2**63 - 1), 9: (0, 2**64 - 1)}  # fmt: skip


def _typed(kind: int, values: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[int, object]]:
    return st.tuples(st.just(kind), values)


plain_values: st.SearchStrategy[tuple[int, object]] = st.one_of(
    _typed(0, st.none()),
    _typed(1, st.booleans()),
    *(_typed(kind, st.integers(*bounds)) for kind, bounds in _INTEGERS.items()),
    _typed(10, st.floats(width=32)),
    _typed(11, st.floats()),
    _typed(12, st.text(max_size=20)),
    _typed(13, st.integers(0, LAST_TICKS)),
    _typed(14, st.uuids()),
    _typed(15, st.binary(max_size=20)),
    _typed(17, st.just("nsu=urn:x;s=a")),
    _typed(20, st.builds(QualifiedName, st.just("urn:x"), st.text(max_size=5))),
    _typed(21, st.builds(LocalizedText, st.none() | st.just("de"), st.none() | st.text(max_size=5))),
)
typed_values: st.SearchStrategy[tuple[int, object]] = st.one_of(
    plain_values,
    _typed(8 | IS_ARRAY, st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4)),
    _typed(11 | IS_ARRAY, st.lists(st.floats(), max_size=4)),
    _typed(6 | IS_ARRAY | IS_MATRIX, st.just([[1, 2, 3], [4, 5, 6]])),
    _typed(22, st.builds(lambda x, y: Structure("i=5", {"x": Typed(9, x), "y": Typed(11, y)}),
                         st.integers(0, 2**64 - 1), st.floats())),
)  # fmt: skip


@st.composite
def batches(draw: st.DrawFn, values: st.SearchStrategy[tuple[int, object]] = typed_values) -> Batch:
    """Batches of one source: several machines, changes of one tag more than once, bad values, missing times."""
    tags = tags_of(draw(st.integers(1, 6)), lambda n: "press" if n % 3 else "oven")
    rows = draw(st.lists(values, min_size=1, max_size=12))
    n = len(rows)
    handles = draw(st.lists(st.integers(0, len(tags) - 1), min_size=n, max_size=n))
    statuses = draw(st.lists(st.sampled_from([0, 0, 0x80310000, 0x480, 2**32 - 1]), min_size=n, max_size=n))
    ticks = draw(st.lists(st.sampled_from([0, 1, TICKS]) | st.integers(TICKS, TICKS + 10**7), min_size=n, max_size=n))
    return batch_of(rows, tags=tags, handles=handles, statuses=statuses, ticks=ticks)


def read_instant(text: str) -> int:
    """Ticks of an RFC 3339 text with seven digits."""
    assert len(text) == 28
    assert text[-1] == "Z"
    whole = datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S") - datetime(1601, 1, 1)
    return whole // timedelta(microseconds=1) * 10 + int(text[20:27])


_BUILT_IN: dict[int, Callable[[object], object]] = {
    8: lambda form: int(str(form)),
    9: lambda form: int(str(form)),
    10: lambda form: float(np.float32(str(form))),
    11: lambda form: float(str(form)),
    13: lambda form: read_instant(str(form)),
    14: lambda form: uuid.UUID(str(form)),
    15: lambda form: base64.b64decode(str(form), validate=True),
}


def read_form(kind: int, form: object) -> object:
    """A value back from its form in `json`; what has no class of its own comes as plain data."""
    if form is None:
        return None
    if isinstance(form, list):
        return [read_form(kind & 0x3F, each) for each in form]
    if isinstance(form, dict) and kind == 22:
        return {"x": int(form["x"]), "y": float(form["y"])}
    read = _BUILT_IN.get(kind)
    return read(form) if read else form


def plain(value: object) -> object:
    """A value of a batch as `read_form` gives it; NaN becomes a text, because it is not equal to itself."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, QualifiedName):
        return f"{value.namespace}:{value.name}"
    if isinstance(value, LocalizedText):
        return {k: v for k, v in (("locale", value.locale), ("text", value.text)) if v is not None}
    if isinstance(value, Structure):
        return {name: plain(field.value) for name, field in value.fields.items()}
    return "not a number" if value != value else value


Seen = tuple[str, object, int, int]
"""Name, value, status, source ticks."""


def sent(batch: Batch, machine: str) -> dict[str, list[Seen]]:
    """What of a batch is one machine's: the changes of each tag, in order."""
    found: dict[str, list[Seen]] = {}
    columns = zip(
        batch.handles.tolist(), batch.values, batch.statuses.tolist(), batch.source_ticks.tolist(), strict=True
    )
    for handle, value, status, ticks in columns:
        tag = batch.tags[handle]
        if tag.fields["machine"] == machine:
            found.setdefault(tag.name, []).append((tag.name, plain(value), status, ticks))
    return found


def types_of(batch: Batch, machine: str) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for handle, kind in zip(batch.handles.tolist(), batch.types.tolist(), strict=True):
        tag = batch.tags[handle]
        if tag.fields["machine"] == machine:
            found.setdefault(tag.name, []).append(kind)
    return found


def by_tag(rows: list[Seen]) -> dict[str, list[Seen]]:
    found: dict[str, list[Seen]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(row)
    return found


def one_route(encoder: Encoder, payload: PayloadConfig | None = None) -> SourceRoutes:
    """One route, for all tags, of a source whose messages this encoder makes."""
    route = Route("", payload or PayloadConfig(), None, ())
    return SourceRoutes("", Routing([route], [], lambda route, source: encoder))
