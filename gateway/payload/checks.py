"""What of a configuration cannot work with the chosen format: topics, fields, versions of MQTT.

Templates are checked against what the selections name and what the brokers take, before anything runs.
"""

from collections.abc import Iterator

from gateway.config import BrokerConfig, Config, PayloadConfig, Selection, SourceConfig
from gateway.config.payload import LOSSES_TOPIC
from gateway.payload.choose import FORMATS, format_of
from gateway.topics import ANY_BROKER, Rules, problems_of
from gateway.yaml_positions import Place, Problem, dotted

_OWN = ("gateway",)
_EVERYWHERE = frozenset(("gateway", "source", "tag"))


def problems_with_payload(config: Config) -> list[Problem]:
    """Each problem with its place in the file."""
    payload, place = config.payload, ("payload",)
    return [
        *_topics(config, payload, place),
        *_fields(config, payload, place),
        *_fit_of_format(payload, place),
        *_losses_topic(payload, place),
        *(problem for where, broker in _brokers(config) for problem in _broker(broker, where, payload)),
    ]


def _topics(config: Config, payload: PayloadConfig, place: Place) -> Iterator[Problem]:
    """What is wrong with the topic templates, given the fields the selections name."""
    found: dict[Problem, list[str]] = {}
    for where, source, selection in _selections(config):
        template, key = payload.topic, "topic"
        if selection.events is not None:
            template, key = payload.topic_of_events, "events_topic" if payload.events_topic else "topic"
        at: Place = (*place, key) if key in payload.model_fields_set else where
        for problem in _template(template, payload, _names(source, selection), selection.priority == "state"):
            found.setdefault((at, problem), []).append(dotted(where))
    for (at, problem), selections in found.items():
        yield at, f"for {_first_of(selections)}: {problem}"


def _template(template: str, payload: PayloadConfig, known: frozenset[str], has_states: bool) -> list[str]:
    """What is wrong with a template as it is, and as the format makes it."""
    rules = payload.rules_of_templates
    longest = format_of(payload).longest_topic(template, payload, has_states)
    told = problems_of(template, known, rules if longest == template else ANY_BROKER)
    made = [problem for problem in problems_of(longest, known, rules) if problem not in told]
    return told + [f"{problem}, as {payload.format} makes it: {longest}" for problem in made]


def _first_of(selections: list[str]) -> str:
    more = len(selections) - 1
    return f"{selections[0]} and {more} more" if more else selections[0]


def _fields(config: Config, payload: PayloadConfig, place: Place) -> Iterator[Problem]:
    """Fields that are to be told and that no selection names."""
    names = (_names(source, selection) for _, source, selection in _selections(config))
    given = frozenset[str]().union(*names) - _EVERYWHERE
    for name in payload.fields:
        if name not in given:
            known = ", ".join(sorted(given)) or "none"
            yield (*place, "fields"), f"{name!r} is not a field of any selection: there are {known}"


def _fit_of_format(payload: PayloadConfig, place: Place) -> Iterator[Problem]:
    """What the format cannot do."""
    form, name = format_of(payload), payload.format
    if "{tag}" in f"{payload.topic} {payload.events_topic}" and not form.takes_topic_per_tag:
        others = " or ".join(each for each, other in FORMATS.items() if other.takes_topic_per_tag)
        text = f"{name} puts many tags into a message: leave {{tag}} out of the topic, or use {others}"
        yield (*place, "topic"), text
    if payload.compress != "none" and not form.takes_compression:
        yield (*place, "compress"), f"{name} has no word for compression: leave compress out"


def _losses_topic(payload: PayloadConfig, place: Place) -> Iterator[Problem]:
    for problem in problems_of(LOSSES_TOPIC, _OWN, payload.rules_of_templates):
        yield place, f"{LOSSES_TOPIC}, where losses are told: {problem}"


def _broker(broker: BrokerConfig, place: Place, payload: PayloadConfig) -> Iterator[Problem]:
    """What does not fit between a broker and what it is to be sent."""
    form, topic = format_of(payload), broker.presence.topic
    for problem in _own_topic(topic, payload.rules_of_templates) if form.presence is None and topic else ():
        yield (*place, "presence", "topic"), problem
    if broker.version == "3.1.1" and (why := form.why_mqtt_5(payload)):
        yield (*place, "version"), f"{broker.name!r} is to speak 3.1.1, and {why}, or version to 5"


def _own_topic(topic: str, rules: Rules) -> list[str]:
    return [f"{problem}: {topic}" for problem in problems_of(topic, _OWN, rules)]


def _brokers(config: Config) -> list[tuple[Place, BrokerConfig]]:
    if config.brokers:
        return [(("brokers", n), broker) for n, broker in enumerate(config.brokers)]
    return [(("broker",), config.broker)] if config.broker is not None else []


def _selections(config: Config) -> Iterator[tuple[Place, SourceConfig, Selection]]:
    for s, source in enumerate(config.sources):
        for n, selection in enumerate(source.select):
            yield ("sources", s, "select", n), source, selection


def _names(source: SourceConfig, selection: Selection) -> frozenset[str]:
    """The fields that variables of a selection have, and those that everything has."""
    shape = selection.shape if selection.shape is not None else source.shape
    own = {*source.fields, *selection.fields, *selection.levels, *(shape.fields if shape is not None else ())}
    return _EVERYWHERE | own
