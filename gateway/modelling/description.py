"""The neutral description: brokers, topics with their points, commands, presence.  Plain data."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.config import BrokerConfig, PayloadConfig
from gateway.model import DataType, Tag, TagFacts
from gateway.operations import Argument


@dataclass(frozen=True, slots=True)
class CommandTarget:
    """A variable or method of a server that a rule allows commands for."""

    name: str
    """What requesters call it."""
    node_id: str
    operations: tuple[str, ...]
    requesters: tuple[str, ...]
    built_in: int = 0
    """Of a variable: the built-in type of its values; 0: unknown, or a method."""
    rank: int = -1
    low: float | None = None
    high: float | None = None
    """What may be written, by the rule."""
    values: tuple[bool | int | float | str, ...] = ()
    inputs: tuple[Argument, ...] = ()
    """Of a method."""

    @property
    def is_method(self) -> bool:
        return "call" in self.operations


@dataclass(frozen=True, slots=True)
class SourceTable:
    """What one server has for this configuration."""

    name: str
    url: str
    tags: Sequence[Tag]
    """As the source has them, before any rule of `shape`."""
    facts: Sequence[TagFacts]
    """Of each tag."""
    commands: Sequence[CommandTarget] = ()


@dataclass(frozen=True, slots=True)
class Point:
    """One variable as consumers get it."""

    source: str
    tag: Tag
    facts: TagFacts

    @property
    def data_type(self) -> DataType | None:
        """Its data type, where the server describes it."""
        return self.tag.variable_type.types[0] if self.tag.variable_type is not None else None

    @property
    def built_in(self) -> int:
        """The built-in type of its values; 24 (Variant) where nothing is known."""
        return self.data_type.built_in if self.data_type is not None else 24

    @property
    def rank(self) -> int:
        """ValueRank: -1 scalar, 1 and more: number of dimensions, others: open."""
        return self.tag.variable_type.rank if self.tag.variable_type is not None else -2

    @property
    def is_scalar(self) -> bool:
        return self.rank == -1

    @property
    def path(self) -> tuple[str, ...]:
        """Values of its fields, then the levels of its name: a place in the plant for people and models."""
        return (*self.tag.fields.values(), *self.tag.name.split("/"))


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic with values or events, of one route."""

    topic: str
    source: str
    route: str
    payload: PayloadConfig
    brokers: tuple[str, ...]
    points: Sequence[Point]
    described_on: str = ""
    """The topic with tag lists or metadata; empty where the format has none."""
    is_of_events: bool = False
    is_retained: bool = False


@dataclass(frozen=True, slots=True)
class Description:
    """Everything that the gateway sends and takes."""

    gateway: str
    version: str
    brokers: tuple[BrokerConfig, ...]
    sources: tuple[SourceTable, ...]
    topics: Sequence[Topic]
    presence: Mapping[str, str]
    """The topic of presence at each broker that has one, by the broker's name."""
    has_own_presence: bool
    """Whether presence is the message of `gateway/payload/presence.py`."""
    command_topics: Mapping[str, str] = field(default_factory=dict)
    """Topic of requests by source, with the parameter `{requester}`; empty: no commands."""
    replies: str = ""

    @property
    def points(self) -> Iterator[Point]:
        """Each variable once, of the first route that has it, in the order of topics."""
        seen: set[tuple[str, str, str]] = set()
        for topic in self.topics:
            for point in topic.points if not topic.is_of_events else ():
                key = point.source, point.tag.node_id, point.tag.name
                if key not in seen:
                    seen.add(key)
                    yield point

    @property
    def groups(self) -> Iterator[tuple[tuple[str, ...], list[Point]]]:
        """The points by machine: by the values of their fields.  Those without fields are of their source."""
        found: dict[tuple[str, ...], list[Point]] = {}
        for point in self.points:
            found.setdefault(tuple(point.tag.fields.values()) or (point.source,), []).append(point)
        yield from found.items()


class Told:
    """What a model cannot say, by kind, with an example: for one line each on standard error."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}

    def add(self, kind: str, example: str) -> None:
        count, first = self._found.get(kind, (0, example))
        self._found[kind] = (count + 1, first)

    @property
    def lines(self) -> list[str]:
        return [
            f"{kind}: {first}" if count == 1 else f"{kind}: {first} and {count - 1} more"
            for kind, (count, first) in self._found.items()
        ]
