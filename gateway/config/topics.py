"""Topic templates against what the brokers take and the selections name.

Looks at the file as it was read, so that these mistakes are told together with all others.
"""

from gateway.config.broker import PRESENCE_TOPIC
from gateway.config.payload import LOSSES_TOPIC, PayloadConfig, longest_topic
from gateway.located import Place, dotted
from gateway.topics import ANY_BROKER, MAX_TOPIC_BYTES, Rules, problems_of

_OWN = ("gateway",)


def topic_problems(raw: object) -> list[tuple[Place, str]]:
    """What is wrong with the topic templates, given the fields the selections name."""
    values = _at(raw, "payload", "topic") or PayloadConfig().topic
    events = _at(raw, "payload", "events_topic") or f"{values}/events"
    if not isinstance(values, str) or not isinstance(events, str):
        return []
    given = "events_topic" if _at(raw, "payload", "events_topic") else "topic"
    rules = _rules(raw)
    form, prefix = (
        str(_at(raw, "payload", *keys) or default)
        for keys, default in ((("format",), "json"), (("pubsub", "prefix"), "opcua"))
    )
    sources = _at(raw, "sources")
    found: dict[tuple[Place, str], list[str]] = {}
    given_fields: set[str] = set()
    for s, source in enumerate(sources if isinstance(sources, list) else []):
        selections = _at(source, "select")
        for n, selection in enumerate(selections if isinstance(selections, list) else []):
            known = {"gateway", "source", "tag", *_names(source, "fields"), *_names(selection, "fields", "levels")}
            known |= _names(_at(selection, "shape") or _at(source, "shape"), "fields")
            given_fields |= known - {"gateway", "source", "tag"}
            template, key = (events, given) if _at(selection, "events") else (values, "topic")
            longest = longest_topic(template, form, prefix, _at(selection, "priority") == "state")
            told = problems_of(template, known, rules if longest == template else ANY_BROKER)
            told += [f"{p}, as {form} makes it: {longest}" for p in problems_of(longest, known, rules) if p not in told]
            place: Place = ("payload", key) if _at(raw, "payload", key) else ("sources", s, "select", n)
            for p in told:
                found.setdefault((place, p), []).append(dotted(("sources", s, "select", n)))
    problems = [(place, f"for {_first_of(selections)}: {p}") for (place, p), selections in found.items()]
    problems += _own_topics(raw, rules)
    wanted = _at(raw, "payload", "fields")
    for name in wanted if isinstance(wanted, list) else []:
        if name not in given_fields:
            known_here = ", ".join(sorted(given_fields)) or "none"
            problems.append(
                (("payload", "fields"), f"{name!r} is not a field of any selection: there are {known_here}")
            )
    return problems


def _first_of(selections: list[str]) -> str:
    more = len(selections) - 1
    return f"{selections[0]} and {more} more" if more else selections[0]


def _own_topics(raw: object, rules: Rules) -> list[tuple[Place, str]]:
    """What is wrong with the topics on which the gateway speaks of itself."""
    several = _at(raw, "brokers")
    brokers: list[tuple[Place, object]] = [(("broker",), _at(raw, "broker"))]
    brokers += [(("brokers", n), each) for n, each in enumerate(several if isinstance(several, list) else [])]
    problems: list[tuple[Place, str]] = [
        (("payload",), f"{LOSSES_TOPIC}, where losses are told: {p}") for p in problems_of(LOSSES_TOPIC, _OWN, rules)
    ]
    for place, broker in brokers if _at(raw, "payload", "format") != "opcua-pubsub" else ():
        presence = _at(broker, "presence")
        topic = presence.get("topic", PRESENCE_TOPIC) if isinstance(presence, dict) else PRESENCE_TOPIC
        told = problems_of(topic, _OWN, rules) if isinstance(broker, dict) and isinstance(topic, str) else []
        problems += [((*place, "presence", "topic"), f"{p}: {topic}") for p in told]
    return problems


def _rules(raw: object) -> Rules:
    levels, size, forbidden = (
        _at(raw, "payload", key) for key in ("max_topic_levels", "max_topic_bytes", "topic_escape")
    )
    return Rules(
        size if isinstance(size, int) else MAX_TOPIC_BYTES,
        forbidden if isinstance(forbidden, str) else "",
        levels if isinstance(levels, int) else None,
    )


def _at(raw: object, *keys: str) -> object:
    for key in keys:
        raw = raw.get(key) if isinstance(raw, dict) else None
    return raw


def _names(raw: object, *keys: str) -> set[str]:
    found = [_at(raw, key) for key in keys]
    return {str(name) for part in found if isinstance(part, dict | list) for name in part}
