"""Checks a configuration against its format: topics, fields, MQTT versions.

Templates are checked against the fields of the selections and the limits of the brokers, before anything runs.
"""

from collections.abc import Iterator, Mapping

from gateway.config import BrokerConfig, Config, PayloadConfig, Route, Selection, SourceConfig, TagsConfig
from gateway.config.payload import LOSSES_TOPIC
from gateway.payload.choose import FORMATS, format_of
from gateway.payload.splitting import UNIT
from gateway.profiles.wire import Wire
from gateway.topics import ANY_BROKER, Rules, problems_of
from gateway.yaml_positions import Place, Problem, dotted

_OWN = ("gateway",)
_EVERYWHERE = frozenset(("gateway", "source", "tag"))


def problems_with_payload(config: Config) -> list[Problem]:
    """Each problem with its place in the file."""
    brokers, routes = brokers_of(config), config.routes
    places = {route.name: _place_of(route, brokers) for route in routes.values()}
    found = [problem for route in config.distinct_routes for problem in _route(config, route, places[route.name])]
    for place, broker in brokers:
        found += _broker(broker, place, routes[broker.name].payload)
        found += _tags(config, broker, place)
    found += _twice(brokers, routes)
    return list(dict.fromkeys(found))


def _place_of(route: Route, brokers: list[tuple[Place, BrokerConfig]]) -> Place:
    """Where the payload of a route stands in the file: at its first broker, or at the top."""
    place, broker = next((place, broker) for place, broker in brokers if broker.name == route.brokers[0])
    return (*place, "payload") if broker.payload is not None else ("payload",)


def _route(config: Config, route: Route, place: Place) -> Iterator[Problem]:
    yield from _topics(config, route, place)
    yield from _fields(config, route, place)
    yield from _fit_of_format(route.payload, place)
    yield from _names_of_variables(config, route)
    yield from _losses_topic(route.payload, place)


def _topics(config: Config, route: Route, place: Place) -> Iterator[Problem]:
    """Problems of the topic templates, given the fields of the selections."""
    found: dict[Problem, list[str]] = {}
    payload = route.payload
    if not format_of(payload).uses_topic:
        yield from _own_topics(config, route, place)
        return
    for where, source, selection in _selections(config, route):
        template, key = payload.topic, "topic"
        if selection.events is not None:
            template, key = payload.topic_of_events, "events_topic" if payload.events_topic else "topic"
        at: Place = (*place, key) if key in payload.model_fields_set else where
        for problem in _template(template, payload, _names(source, selection), selection.priority == "state"):
            found.setdefault((at, problem), []).append(dotted(where))
    for (at, problem), selections in found.items():
        yield at, f"for {_first_of(selections)}: {problem}"


def _own_topics(config: Config, route: Route, place: Place) -> Iterator[Problem]:
    """Problems of the topics of a format that has its own."""
    payload = route.payload
    for _, source, selection in _selections(config, route):
        template = format_of(payload).longest_topic("", payload, selection.priority == "state")
        for problem in problems_of(template, _names(source, selection), payload.rules_of_templates):
            yield (*place, payload.format), f"{problem}: {template}"


def _template(template: str, payload: PayloadConfig, known: frozenset[str], has_states: bool) -> list[str]:
    """Problems of a template as written, and as the format extends it."""
    rules = payload.rules_of_templates
    longest = format_of(payload).longest_topic(template, payload, has_states)
    told = problems_of(template, known, rules if longest == template else ANY_BROKER)
    made = [problem for problem in problems_of(longest, known, rules) if problem not in told]
    return told + [f"{problem}, as {payload.format} makes it: {longest}" for problem in made]


def _first_of(selections: list[str]) -> str:
    more = len(selections) - 1
    return f"{selections[0]} and {more} more" if more else selections[0]


def _fields(config: Config, route: Route, place: Place) -> Iterator[Problem]:
    """Fields in `fields` that no selection has."""
    given = _given(config, route)
    for name in route.payload.fields:
        if name not in given | {UNIT}:
            yield (*place, "fields"), _unknown_field(name, given)


def _names_of_variables(config: Config, route: Route) -> Iterator[Problem]:
    """Names in the file that the format cannot use.  `gateway plan` looks at those of the server."""
    for place, source, selection in _selections(config, route):
        shape = selection.shape if selection.shape is not None else source.shape
        for name in (selection.name, *(shape.rename.values() if shape is not None else ())):
            if name is not None and (problem := format_of(route.payload).problem_with_name(route.payload, name)):
                yield place, problem


def _unknown_field(name: str, given: frozenset[str]) -> str:
    known = ", ".join(sorted(given)) or "none"
    return f"{name!r} is not a field of any selection: there are {known}"


def _given(config: Config, route: Route | None = None) -> frozenset[str]:
    """The fields of the selections."""
    names = (_names(source, selection) for _, source, selection in _selections(config, route))
    return frozenset[str]().union(*names) - _EVERYWHERE


def _fit_of_format(payload: PayloadConfig, place: Place) -> Iterator[Problem]:
    """Settings that the format does not support."""
    form, name = format_of(payload), payload.format
    if "{tag}" in f"{payload.topic} {payload.events_topic}" and not form.takes_topic_per_tag:
        others = " or ".join(each for each, other in FORMATS.items() if other.takes_topic_per_tag)
        text = f"{name} puts many tags into a message: remove {{tag}} from the topic, or use {others}"
        yield (*place, "topic"), text
    if payload.compress != "none" and not form.takes_compression:
        yield (*place, "compress"), f"{name} cannot mark compressed payloads: remove compress"
    if payload.server_time and not form.takes_server_time:
        yield (*place, "server_time"), f"{name} has no place for server timestamps: remove server_time"


def _losses_topic(payload: PayloadConfig, place: Place) -> Iterator[Problem]:
    for problem in problems_of(LOSSES_TOPIC, _OWN, payload.rules_of_templates):
        yield place, f"{LOSSES_TOPIC}, the topic of losses: {problem}"


def _broker(broker: BrokerConfig, place: Place, payload: PayloadConfig) -> Iterator[Problem]:
    """Conflicts between a broker and its payload."""
    form, topic = format_of(payload), broker.presence.topic
    for problem in _own_topic(topic, payload.rules_of_templates) if form.presence is None and topic else ():
        yield (*place, "presence", "topic"), problem
    if broker.version == "3.1.1" and (why := form.why_mqtt_5(payload)):
        yield (*place, "version"), f"{broker.name!r} has version 3.1.1, and {why}, or version to 5"
    if form.session is not None:
        yield from _own_sessions(broker, place, payload)
        if not broker.is_mqtt:
            yield (*place, "url"), f"{payload.format} is a protocol of MQTT: name a broker at mqtt:// or mqtts://"


def _own_sessions(broker: BrokerConfig, place: Place, payload: PayloadConfig) -> Iterator[Problem]:
    """What a format with a form of sessions cannot be sent with."""
    if broker.replay.order != "in-order":
        yield (*place, "replay", "order"), f"{payload.format} flags what is old itself: remove order"
    if broker.table is not None and not Wire(broker.table, broker.who(broker.name), broker.wire_topic).is_plain:
        yield (*place, "profile"), f"{payload.format} has topics of its own, and this cloud changes them"


def _twice(brokers: list[tuple[Place, BrokerConfig]], routes: Mapping[str, Route]) -> Iterator[Problem]:
    """Two sessions of one name at one address: each would be taken for the other."""
    seen: dict[tuple[object, str], str] = {}
    for place, broker in brokers:
        payload = routes[broker.name].payload
        if format_of(payload).session is None:
            continue
        key = (format_of(payload).longest_topic("", payload, False).rsplit("/", 1)[0], broker.url)
        if key in seen:
            yield (*place, "payload", payload.format), f"has the same group and node as {seen[key]!r} at {broker.url}"
        seen.setdefault(key, broker.name)


def _own_topic(topic: str, rules: Rules) -> list[str]:
    return [f"{problem}: {topic}" for problem in problems_of(topic, _OWN, rules)]


def brokers_of(config: Config) -> list[tuple[Place, BrokerConfig]]:
    """Each broker with its place in the file."""
    if config.brokers:
        return [(("brokers", n), broker) for n, broker in enumerate(config.brokers)]
    return [(("broker",), config.broker)] if config.broker is not None else []


def _selections(config: Config, route: Route | None = None) -> Iterator[tuple[Place, SourceConfig, Selection]]:
    """All selections, or those that a route may want."""
    for s, source in enumerate(config.sources):
        for n, selection in enumerate(source.select):
            if route is None or route.tags is None or any(_may_apply(w, source, selection) for w in route.tags):
                yield ("sources", s, "select", n), source, selection


def _may_apply(wish: TagsConfig, source: SourceConfig, selection: Selection) -> bool:
    """Whether a route may want variables of a selection, as far as the file shows."""
    priority = "event" if selection.events is not None else selection.priority
    return (
        (wish.sources is None or source.name in wish.sources)
        and (wish.priorities is None or priority in wish.priorities)
        and _names(source, selection).issuperset(wish.fields)
    )


def _tags(config: Config, broker: BrokerConfig, place: Place) -> Iterator[Problem]:
    """Sources and fields that a broker asks for and nothing provides."""
    given, sources = _given(config), [source.name for source in config.sources]
    for n, wish in enumerate(broker.tags or ()):
        here = (*place, "tags", n)
        for name in wish.sources or ():
            if name not in sources:
                yield (*here, "sources"), f"no source is named {name!r}: there are {', '.join(sources)}"
        unknown = [name for name in wish.fields if name not in given]
        for name in unknown:
            yield (*here, "fields"), _unknown_field(name, given)
        known = not unknown and set(wish.sources or sources) <= {*sources}
        if known and not any(_may_apply(wish, source, each) for _, source, each in _selections(config)):
            yield here, "no selection matches all of these: nothing would be sent"


def _names(source: SourceConfig, selection: Selection) -> frozenset[str]:
    """The fields that the variables of a selection have, including those that every variable has."""
    shape = selection.shape if selection.shape is not None else source.shape
    own = {*source.fields, *selection.fields, *selection.levels, *(shape.fields if shape is not None else ())}
    return _EVERYWHERE | own
