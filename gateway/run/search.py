"""Search for tags: what each is now, where its values go, and what its rules hold back.

The last values are kept only while somebody looks.  What did not come since then is read from the server, once.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from gateway.config import Config, SourceConfig
from gateway.errors import Unavailable
from gateway.in_thread import in_thread
from gateway.model import IS_ARRAY, IS_MATRIX, UNIX_EPOCH_TICKS, Tag, TagFacts
from gateway.modelling.describe import describe
from gateway.modelling.description import SourceTable
from gateway.operations import Readable, Target
from gateway.payload.forms import json_of
from gateway.payload.timestamps import text_of
from gateway.pipeline.standing import LastValue, Seen, Standing
from gateway.run.gateway import Gateway
from gateway.run.source_unit import in_words
from gateway.shaping.table import rule_of, shape_of
from gateway.values import NAMES_OF_TYPES
from gateway.web.models import HeldBack, Tags, TagState, Way

READ_WITHIN_S = 3.0
MOST_TEXT = 300
"""The longest value, as text."""
SEVERITIES = ("good", "uncertain", "bad", "bad")

Key = tuple[str, str, int]
"""Source, node id and selection."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag of one source."""

    source: str
    handle: int
    tag: Tag
    """As consumers get it."""
    ways: Sequence[Way]
    text: str
    """What is searched, in lower case."""


@dataclass(slots=True)
class Directory:
    """All tags of a gateway, made anew when configuration or tables have changed."""

    _made_of: tuple[object, ...] = ()
    _entries: Sequence[Entry] = ()
    _making: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def entries(self, gateway: Gateway) -> Sequence[Entry]:
        """Every tag, in the order of the sources and their tables."""
        async with self._making:
            tables = {name: standing.tags for name, standing in gateway.standing.items()}
            made_of = (gateway.config, *tables.values())
            if len(made_of) != len(self._made_of) or any(
                a is not b for a, b in zip(made_of, self._made_of, strict=True)
            ):
                self._entries = await in_thread(partial(_entries, gateway.config, tables), "list the tags")
                self._made_of = made_of
            return self._entries


def _entries(config: Config, tables: Mapping[str, Sequence[Tag]]) -> list[Entry]:
    known = [
        SourceTable(source.name, source.url, tables[source.name], [TagFacts()] * len(tables[source.name]))
        for source in config.sources
        if source.name in tables
    ]
    ways: dict[Key, list[Way]] = {}
    shown: dict[Key, Tag] = {}
    for topic in describe(config, known, "").topics:
        way = Way(route=topic.route, topic=topic.topic, brokers=list(topic.brokers))
        for point in topic.points:
            key = point.source, point.tag.node_id, point.tag.selection
            shown.setdefault(key, point.tag)
            if way not in ways.setdefault(key, []):
                ways[key].append(way)
    return [
        _entry(table.name, handle, shown.get(key, tag), ways.get(key, ()))
        for table in known
        for handle, tag in enumerate(table.tags)
        for key in [(table.name, tag.node_id, tag.selection)]
    ]


def _entry(source: str, handle: int, tag: Tag, ways: Sequence[Way]) -> Entry:
    text = " ".join((source, tag.name, tag.node_id, *tag.fields.values(), *(way.topic for way in ways)))
    return Entry(source, handle, tag, ways, text.lower())


async def search(gateway: Gateway, directory: Directory, words: str, severity: str, limit: int) -> Tags:
    """The tags that contain every word, the first of them with all that is known."""
    looks = {name: standing.look() for name, standing in gateway.standing.items()}
    wanted = words.lower().split()
    found = [entry for entry in await directory.entries(gateway) if all(word in entry.text for word in wanted)]
    if severity:
        found = [entry for entry in found if _severity(gateway, entry) == severity]
    shown = found[:limit]
    read = await _read(gateway, [entry for entry in shown if _last(looks, entry) is None])
    tags = [_told(gateway, looks, entry, read.get((entry.source, entry.handle))) for entry in shown]
    return Tags(matches=len(found), tags=tags)


def _severity(gateway: Gateway, entry: Entry) -> str:
    standing = gateway.standing.get(entry.source)
    link = gateway.sources.get(entry.source)
    if standing is None or link is None or not link.is_up:
        return "unknown"
    return SEVERITIES[standing.status_of(entry.handle) >> 30]


def _last(looks: Mapping[str, Seen], entry: Entry) -> LastValue | None:
    seen = looks.get(entry.source)
    return seen.values.get(entry.handle) if seen is not None else None


async def _read(gateway: Gateway, entries: Sequence[Entry]) -> Mapping[tuple[str, int], LastValue]:
    """Read these tags from their servers, those that are connected.  What cannot be read in time is left out."""
    found: dict[tuple[str, int], LastValue] = {}
    async with asyncio.TaskGroup() as tasks:
        for source in dict.fromkeys(entry.source for entry in entries):
            server, some = gateway.connected.get(source), [entry for entry in entries if entry.source == source]
            if isinstance(server, Readable) and server.is_open:
                tasks.create_task(_read_from(server, some, found), name=f"read tags of {source}")
    return found


async def _read_from(server: Readable, entries: Sequence[Entry], found: dict[tuple[str, int], LastValue]) -> None:
    targets = [Target(entry.tag.name, entry.tag.node_id, 0) for entry in entries]
    try:
        async with asyncio.timeout(READ_WITHIN_S):
            answers = await server.readings(targets)
    except (Unavailable, TimeoutError):
        return
    for entry, told in zip(entries, answers, strict=True):
        kind, value = (told.value.type, told.value.value) if told.value is not None else (0, None)
        found[entry.source, entry.handle] = LastValue(kind, value, told.status, told.source_ticks, told.server_ticks)


def _told(gateway: Gateway, looks: Mapping[str, Seen], entry: Entry, read: LastValue | None) -> TagState:
    last = _last(looks, entry) or read
    standing = gateway.standing.get(entry.source)
    status = last.status if last is not None else standing.status_of(entry.handle) if standing is not None else 0
    is_known = last is not None or bool(status)
    ticks = (last.source_ticks or last.server_ticks) if last is not None else 0
    return TagState(
        source=entry.source,
        name=entry.tag.name,
        node=entry.tag.node_id,
        unit=entry.tag.unit or "",
        value=value_text(last) if last is not None else None,
        type=type_text(last.type) if last is not None else "",
        status=in_words(status) if is_known else "no value yet",
        severity=SEVERITIES[status >> 30] if is_known else "unknown",
        source_time=text_of(last.source_ticks) if last is not None and last.source_ticks else None,
        server_time=text_of(last.server_ticks) if last is not None and last.server_ticks else None,
        age_s=round(time.time() - (ticks - UNIX_EPOCH_TICKS) / 1e7, 1) if ticks else None,
        ways=list(entry.ways),
        held_back=_held_back(gateway, standing, looks.get(entry.source), entry),
    )


def value_text(last: LastValue) -> str | None:
    """A value as text, cut where it is long.  None: it is null."""
    if last.value is None:
        return None
    told = json_of(last.type, last.value)
    return (told if isinstance(told, str) else str(told).replace("True", "true").replace("False", "false"))[:MOST_TEXT]


def type_text(type_id: int) -> str:
    """The name of a type of `Batch.types`."""
    name = NAMES_OF_TYPES[type_id & 0x3F] if type_id & 0x3F < len(NAMES_OF_TYPES) else str(type_id)
    return f"{name}[]" if type_id & (IS_ARRAY | IS_MATRIX) else name


def _held_back(gateway: Gateway, standing: Standing | None, seen: Seen | None, entry: Entry) -> HeldBack | None:
    source = next((each for each in gateway.config.sources if each.name == entry.source), None)
    rule = _rule(source, entry.tag) if source is not None else ""
    if not rule or standing is None or seen is None:
        return None
    return HeldBack(
        rule=rule, for_s=round(time.time() - seen.since_s, 1), arrived=seen.arrived.get(entry.handle, 0),
        passed=seen.passed.get(entry.handle, 0),
    )  # fmt: skip


def _rule(source: SourceConfig, tag: Tag) -> str:
    """The rule of a tag as it is configured, in one line; empty for none."""
    config = shape_of(source, tag)
    if config is None or rule_of(config) is None:
        return ""
    return ", ".join(_pairs(config.model_dump(exclude_none=True, exclude_defaults=True)))


def _pairs(values: Mapping[str, object]) -> Iterator[str]:
    for name, value in values.items():
        if name in ("fields", "rename", "unit", "scale", "offset"):
            continue
        yield f"{name} {', '.join(_pairs(value)) if isinstance(value, dict) else value}"
