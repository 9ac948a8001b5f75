"""The state of each request in the journal, and its records.  Pure.

    begun ─► executing ─► ended ─► told
      │                     ▲
      └─────────────────────┘   refused, expired, read

After a crash, `begun` alone means that nothing was sent; `executing` without `ended` means that it may have happened.
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gateway.commands.codec import Context

Key = tuple[str, str]
"""Requester and id."""
Record = Mapping[str, object]


@dataclass(slots=True)
class Entry:
    """One accepted request."""

    key: Key
    digest: str
    broker: str
    topic: str
    """The topic of the answer."""
    correlation: bytes
    source: str
    operation: str
    received_ns: int
    deadline_ns: int
    codec: str = "native"
    context: Context = field(default_factory=dict)
    is_executing: bool = False
    answer: Mapping[str, object] | None = None
    audit: Mapping[str, object] | None = None
    ended_ns: int = 0
    is_on_its_way: bool = False
    """Its answer is not on the disk yet, so nobody may be told."""
    is_told: bool = False
    size: int = 0
    """Size of its records in bytes."""

    @property
    def begun(self) -> Record:
        return {
            "k": "begun", "requester": self.key[0], "id": self.key[1], "digest": self.digest, "broker": self.broker,
            "topic": self.topic, "correlation": base64.b64encode(self.correlation).decode(), "source": self.source,
            "operation": self.operation, "received_ns": self.received_ns, "deadline_ns": self.deadline_ns,
            **({"codec": self.codec, "context": self.context} if self.codec != "native" else {}),
        }  # fmt: skip

    @property
    def ended(self) -> Record:
        return self.step("ended", answer=self.answer, audit=self.audit, ended_ns=self.ended_ns)

    def step(self, kind: str, **more: object) -> Record:
        return {"k": kind, "requester": self.key[0], "id": self.key[1], **more}

    @property
    def records(self) -> list[Record]:
        """The records that restore this entry."""
        found = [self.begun]
        if self.answer is not None:
            found.append(self.ended)
        elif self.is_executing:
            found.append(self.step("executing"))
        return [*found, self.step("told")] if self.is_told else found


@dataclass(slots=True)
class Known:
    """The content of all records."""

    entries: dict[Key, Entry] = field(default_factory=dict)
    doubtful_until_ns: int = 0
    """After damage: until then, a request may be a repeat of an executed one."""

    def take(self, record: Record) -> None:
        """Apply one record.  Raises `KeyError`, `TypeError` or `ValueError` if it is invalid."""
        kind = record["k"]
        if kind == "doubt":
            self.doubtful_until_ns = max(self.doubtful_until_ns, _whole(record["until_ns"]))
            return
        key = (str(record["requester"]), str(record["id"]))
        if kind == "begun":
            self.entries[key] = _entry(key, record)
            return
        entry = self.entries.get(key)
        if entry is None:
            return  # its `begun` was damaged
        if kind == "executing":
            entry.is_executing = True
        elif kind == "told":
            entry.is_told = True
        elif kind == "ended":
            answer, audit, ended_ns = _mapping(record["answer"]), _mapping(record["audit"]), _whole(record["ended_ns"])
            entry.answer, entry.audit, entry.ended_ns = answer, audit, ended_ns
        else:
            raise ValueError(f"a record of kind {kind!r}")


def known_of(records: Iterable[Record]) -> tuple[Known, int]:
    """The content of the records, and the number of invalid ones."""
    known, strange = Known(), 0
    for record in records:
        try:
            known.take(record)
        except (KeyError, TypeError, ValueError):
            strange += 1
    return known, strange


def _entry(key: Key, record: Record) -> Entry:
    return Entry(
        key, str(record["digest"]), str(record["broker"]), str(record["topic"]),
        base64.b64decode(str(record["correlation"]), validate=True), str(record["source"]), str(record["operation"]),
        _whole(record["received_ns"]), _whole(record["deadline_ns"]),
        str(record.get("codec", "native")), _mapping(record.get("context", {})),  # type: ignore[arg-type]  # from JSON
    )  # fmt: skip


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(value)
    return value


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise TypeError(value)
    return value
