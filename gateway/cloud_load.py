"""How much a configuration sends to each broker with a profile, against what the cloud takes, and what it would cost.

The messages are not estimated but made: the broker's own encoder encodes a change of all variables, as often as the
server publishes.  So the figures are the most that this configuration can make, and they hold for every format.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from gateway.config import BrokerConfig, Config, PayloadConfig, Selection, SourceConfig, TagsConfig
from gateway.model import UNIX_EPOCH_TICKS, Batch, Message, Priority, Tag
from gateway.payload.choose import COMPACT, encoder_for, with_needs_of_format
from gateway.pipeline.choice import Choice
from gateway.profiles import Profile, profile_named
from gateway.profiles.wire import Wire

PER_LEVEL = 10
"""Of variables whose names only the server knows: so many for each machine, so many machines for each line."""
DAY_S, DAYS = 86_400, 30


@dataclass(frozen=True, slots=True)
class Group:
    """Variables that are published together."""

    source: str
    tags: tuple[Tag, ...]
    every_s: float
    values: int = 1
    """How many values of each are in a publish."""
    levels: Sequence[str] | None = None
    """Of variables whose names are assumed: the fields that are assumed as well.  None: everything is known."""

    @property
    def values_per_s(self) -> float:
        return len(self.tags) * self.values / self.every_s


@dataclass(frozen=True, slots=True)
class Load:
    """What goes to one broker when everything changes all the time."""

    broker: BrokerConfig
    payload: PayloadConfig
    tags: int
    values_per_s: float
    messages_per_s: float
    bytes_per_s: float
    largest_bytes: int
    units_per_s: float
    """Messages as the cloud counts them."""

    @property
    def usd_per_month(self) -> float | None:
        price = _table(self.broker).price
        return None if price is None else self.units_per_s * DAY_S * DAYS * price.usd / price.per_messages


def groups_of_file(config: Config, assumed: int = 0) -> tuple[list[Group], list[str]]:
    """The variables that the file names, and `assumed` ones for each selection that only the server can count.

    Returns the selections that are left out as well: nothing is assumed for them.
    """
    groups, unknown = list[Group](), list[str]()
    for source in config.sources:
        for selection in source.select:
            if selection.events is not None:
                continue
            every_s = selection.publishing_interval or source.publishing_interval
            sampling = every_s if selection.sampling_interval is None else selection.sampling_interval
            values = max(1, round(every_s / sampling)) if sampling else 1
            count = 1 if selection.node is not None else assumed
            if not count:
                unknown.append(f"{source.name}: {selection.subtree or selection.type}")
                continue
            levels = selection.levels if selection.node is None else None
            groups.append(Group(source.name, tuple(_assumed(source, selection, count)), every_s, values, levels))
    return groups, unknown


def _assumed(source: SourceConfig, selection: Selection, count: int) -> Iterator[Tag]:
    priority = Priority.STATE if selection.priority == "state" else Priority.TELEMETRY
    for n in range(count):
        fields = {**source.fields, **selection.fields}
        above = n
        for name in reversed(selection.levels):
            above //= PER_LEVEL
            fields[name] = f"{name}-{above}"
        named = selection.name or (selection.node or "").rpartition("=")[2].rpartition(".")[2]
        yield Tag(named or f"Variable{n % PER_LEVEL}", f"i={n}", fields, priority=priority)


def load_on(config: Config, broker: BrokerConfig, payload: PayloadConfig, groups: Sequence[Group]) -> Load:
    """What these variables make in this form."""
    profile = _table(broker)
    wire = Wire(profile, broker.who("device"), with_needs_of_format(broker, payload).wire_topic)
    unit = profile.price.unit_bytes if profile.price is not None else 2**62
    tags, sums, largest = 0, dict.fromkeys(("values", "messages", "bytes", "units"), 0.0), 0
    for group in groups:
        chosen, messages = _messages(config, broker, payload, group)
        tags += chosen
        sizes = [_size(wire.dress(each)) for each in messages]
        per_s = 1 / group.every_s
        sums["values"] += chosen * group.values * per_s
        sums["messages"] += len(messages) * per_s
        sums["bytes"] += sum(sizes) * per_s
        sums["units"] += sum(max(1, ceil(len(each.payload) / unit)) for each in messages) * per_s
        largest = max([largest, *(len(each.payload) for each in messages)])
    return Load(broker, payload, tags, sums["values"], sums["messages"], sums["bytes"], largest, sums["units"])


def _size(message: Message) -> int:
    """On the wire, with headers (MQTT 5, 3.3)."""
    properties = sum(5 + len(key.encode()) + len(value.encode()) for key, value in message.properties)
    return len(message.topic.encode()) + len(message.payload) + len(message.content_type) + properties + 16


def _messages(config: Config, broker: BrokerConfig, payload: PayloadConfig, group: Group) -> tuple[int, list[Message]]:
    """How many of the tags this broker gets, and the messages of the second change of all: the first describes."""
    wishes = _known_wishes(broker, group)
    choice = None if wishes is None else Choice(wishes, group.source)
    encoder = encoder_for(config, group.source, "gateway.k3x9q2", payload=payload)
    made: list[Message] = []
    chosen: Batch | None = None
    for turn in range(2):
        batch = _batch(group, turn)
        chosen = batch if choice is None else choice.of(batch)
        if chosen is None:
            return 0, []
        made = encoder.encode(chosen, lambda stream: 1000, broker.max_packet or 2**28)
    assert chosen is not None
    return len(chosen.tags), made


def _known_wishes(broker: BrokerConfig, group: Group) -> Sequence[TagsConfig] | None:
    """What the broker wants, without what is decided by names that are only assumed: those count as wanted."""
    if broker.tags is None or group.levels is None:
        return broker.tags
    return [
        wish.model_copy(update={
            "include": (), "exclude": (),
            "fields": {name: text for name, text in wish.fields.items() if name not in group.levels},
        })
        for wish in broker.tags
    ]  # fmt: skip


def assumptions(broker: BrokerConfig, groups: Sequence[Group]) -> str:
    """What the figures of a broker take for granted.  Empty: nothing."""
    for group in groups:
        known = _known_wishes(broker, group)
        if known is not None and list(known) != list(broker.tags or ()):
            return f"assumed: each of the variables that --tags counts has a name that `{broker.name}` wants"
    return ""


def _batch(group: Group, turn: int) -> Batch:
    rows = len(group.tags) * group.values
    ticks = UNIX_EPOCH_TICKS + 17_640_000_000_000_000 + turn * 10_000_000 + np.arange(rows, dtype=np.int64)
    return Batch(
        source=group.source,
        tags=group.tags,
        handles=np.tile(np.arange(len(group.tags), dtype=np.uint32), group.values),
        types=np.full(rows, 11, np.uint8),
        values=np.arange(rows) * 1.001 + 100.0 + turn,
        statuses=np.zeros(rows, np.uint32),
        source_ticks=ticks,
        server_ticks=ticks,
    )


def problems_with_load(config: Config, load: Load, groups: Sequence[Group]) -> list[str]:
    """What is more than the cloud takes, with a form that would do where there is one."""
    profile, found = _table(load.broker), list[str]()
    for limit, made, unit in (
        ("messages_per_s", load.messages_per_s, "messages/s"),
        ("bytes_per_s", load.bytes_per_s, "bytes/s"),
    ):
        most = profile.limit(limit)
        if most is not None and made > most:
            better = _better(config, load, groups) or ": fewer variables, a longer publishing_interval, or shape"
            told = f"make {_number(made)} {unit}, {profile.title} takes {_number(most)}"
            found.append(f"{_who(load, groups)} {told}{better}")
    return found


def _is_within(load: Load) -> bool:
    profile = _table(load.broker)
    messages, octets = profile.limit("messages_per_s"), profile.limit("bytes_per_s")
    return load.messages_per_s <= (messages or 1e12) and load.bytes_per_s <= (octets or 1e12)


def _who(load: Load, groups: Sequence[Group]) -> str:
    intervals = sorted({group.every_s for group in groups})
    every = f"{1000 * intervals[0]:g} ms" if len(intervals) == 1 else f"{intervals[0]:g} to {intervals[-1]:g} s"
    by = "by tag" if "{tag}" in load.payload.topic else f"on `{load.payload.topic}`"
    return f"{load.tags} tags at {every} in format `{load.payload.format}` {by}"


def _better(config: Config, load: Load, groups: Sequence[Group]) -> str:
    """The first form that would do: the same with fewer levels, then columns."""
    for form in (load.payload.format, COMPACT):
        topic = load.payload.topic
        while True:
            topic = topic.replace("/{tag}", "").replace("{tag}", "all")
            payload = load.payload.model_copy(update={"format": form, "topic": topic, "retain": None})
            other = load_on(config, load.broker, payload, groups)
            if _is_within(other):
                return f": use `{form}` on `{topic}` ({_number(other.messages_per_s)}/s)"
            shorter = re.sub(r"/\{[^{}/]*\}$", "", topic)
            if shorter == topic:
                break
            topic = shorter
    return ""


def told_of_load(load: Load) -> str:
    """The figures on one line."""
    profile = _table(load.broker)
    rate, octets = profile.limit("messages_per_s"), profile.limit("bytes_per_s")
    parts = [
        f"{load.tags} tags",
        f"{_number(load.values_per_s)} values/s",
        f"{_number(load.messages_per_s)} messages/s" + (f" of {_number(rate)}" if rate else ""),
        f"{_number(load.bytes_per_s)} bytes/s" + (f" of {_number(octets)}" if octets else ""),
        f"largest payload {load.largest_bytes} bytes",
        f"{_number(load.messages_per_s * DAY_S)} messages/day",
    ]
    if (usd := load.usd_per_month) is not None and profile.price is not None:
        date = profile.sources[profile.price.source].date
        parts.append(f"{_number(usd)} USD in {DAYS} days at the list prices of {date}")
    return ", ".join(parts)


def _number(value: float) -> str:
    """With spaces between thousands."""
    return f"{value:,.0f}".replace(",", " ") if value >= 10 else f"{value:.2g}"


def _table(broker: BrokerConfig) -> Profile:
    return broker.table or profile_named("generic")


def with_profiles(config: Config) -> Mapping[str, BrokerConfig]:
    """The brokers with a profile, by name."""
    return {broker.name: broker for broker in config.all_brokers if broker.profile is not None}
