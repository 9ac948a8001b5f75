"""From a configuration and the tables of its servers to the neutral description.  Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from gateway.commands.codecs.native import TOPIC as REQUESTS
from gateway.config import Config, SourceConfig
from gateway.config.routes import Route
from gateway.model import Priority, Tag, TagFacts
from gateway.modelling.description import Description, Point, SourceTable, Topic
from gateway.payload.choose import format_of
from gateway.payload.layout import Layout, Topics
from gateway.pipeline.choice import applies
from gateway.shaping.table import shape_of, shapes_of
from gateway.topics import expand

_COUNT = ".count"


def describe(config: Config, tables: Sequence[SourceTable], version: str) -> Description:
    """What this configuration makes of these servers."""
    sources = {source.name: source for source in config.sources}
    if config.commands is None:  # a table may be older than that
        tables = [replace(table, commands=()) for table in tables]
    topics: dict[tuple[str, str, bool], Topic] = {}
    for table in tables:
        points = _shaped(sources[table.name], table)
        for route in config.distinct_routes:
            for topic in _topics(config, route, table.name, points):
                _join(topics, topic)
    presence, is_own = _presence(config)
    commands = config.commands
    names = {table.name: {"gateway": config.name, "source": table.name, "requester": "{requester}"} for table in tables}
    return Description(
        config.name, version, config.all_brokers, tuple(tables), tuple(topics.values()), presence, is_own,
        {name: _with_requester(REQUESTS, known) for name, known in names.items()} if commands else {},
        _with_requester(commands.replies, {"gateway": config.name}) if commands else "",
    )  # fmt: skip


def _join(topics: dict[tuple[str, str, bool], Topic], topic: Topic) -> None:
    """Add a topic.  States and telemetry, and several servers, may share one."""
    key = topic.topic, topic.route, topic.is_of_events
    before = topics.get(key)
    topics[key] = replace(before, points=[*before.points, *topic.points]) if before is not None else topic


def _with_requester(template: str, known: dict[str, str]) -> str:
    """The topic, in which the requester stays a parameter."""
    mark = "\ue000"
    return expand(template, {**known, "requester": mark}).replace(mark, "{requester}")


def _shaped(source: SourceConfig, table: SourceTable) -> list[Point]:
    """The tags as consumers see them: renamed, with the aggregates in place of the values they are made of."""
    shapes = shapes_of(source, table.tags)
    points = []
    for handle, (tag, facts) in enumerate(zip(table.tags, table.facts, strict=True)):
        config = shape_of(source, tag)
        changed = config is not None and (config.scale != 1.0 or config.offset != 0.0 or config.unit is not None)
        if config is not None and changed:
            facts = _scaled(facts, config.scale, config.offset, has_unit=config.unit is not None)
        # Values that are not Good pass an aggregate as they are, under the old name.
        points.append(Point(table.name, shapes.tags[handle], facts))
        first = shapes.aggregates.get(handle)
        for tag in shapes.tags[first : first + len(_functions(source, table.tags[handle]))] if first else ():
            points.append(Point(table.name, tag, _plain(facts) if tag.name.endswith(_COUNT) else facts))
    return points


def _functions(source: SourceConfig, tag: Tag) -> Sequence[str]:
    config = shape_of(source, tag)
    return config.aggregate.functions if config is not None and config.aggregate is not None else ()


def _scaled(facts: TagFacts, scale: float, offset: float, *, has_unit: bool) -> TagFacts:
    """The facts after scaling; the rule's own unit is a text, its code follows from that."""
    ends = sorted(each * scale + offset for each in (facts.low, facts.high) if each is not None)
    low, high = ends if len(ends) == 2 else (None, None)
    return TagFacts(facts.description, facts.access, low, high, "" if has_unit else facts.unit_code)


def _plain(facts: TagFacts) -> TagFacts:
    return TagFacts(facts.description, facts.access)


def _topics(config: Config, route: Route, source: str, every: Sequence[Point]) -> Iterator[Topic]:
    """The topics of one source on one route, with their points."""
    points = [p for p in every if route.tags is None or any(applies(wish, source, p.tag) for wish in route.tags)]
    payload, form = route.payload, format_of(route.payload)
    template = form.template(payload)
    templates = Topics(template, (payload.events_topic or "") if form.uses_topic else template, payload.rules)
    layout = Layout([point.tag for point in points], source, templates, config.name, config.name)
    members: list[list[Point]] = [[] for _ in layout.places]
    for point, group in zip(points, layout.group_of.tolist(), strict=True):
        members[group].append(point)
    for place, some in zip(layout.places, members, strict=True):
        data, described_on = form.places(payload, config.name, source, place.topic)
        is_event = place.priority is Priority.EVENT and form.uses_topic
        retained = payload.retains and not is_event
        yield Topic(data, source, route.name, payload, route.brokers, some, described_on, is_event, retained)


def _presence(config: Config) -> tuple[dict[str, str], bool]:
    found, is_own = {}, True
    for broker in config.all_brokers:
        payload = config.routes[broker.name].payload
        if broker.presence.topic is not None and format_of(payload).presence is None:
            found[broker.name] = expand(broker.presence.topic, {"gateway": config.name}, payload.rules)
        else:
            is_own = False
    return found, is_own
