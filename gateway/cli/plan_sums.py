"""What `gateway plan` says beside the settings of each variable: where it goes, what it is now, what all of it makes.

The load is the most that this configuration can make: every variable changes at every sample (`gateway/cloud_load.py`).
"""

import shutil
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson

from gateway.advice import advice_for
from gateway.cloud_load import Group, load_on
from gateway.config import BrokerConfig, Config, SourceConfig
from gateway.config.routes import Route
from gateway.delivery import Verdict
from gateway.errors import ConfigError, Unavailable
from gateway.link import Link
from gateway.model import Message, Priority, Tag
from gateway.opcua.explore import Plan, PlannedTag
from gateway.opcua.session.asyncua_edge import status_text
from gateway.payload.choose import format_of
from gateway.payload.forms import json_of
from gateway.payload.layout import Layout, Topics
from gateway.pipeline.choice import applies
from gateway.run.sink_kinds import kind_of
from gateway.shaping.table import shape_of

VALUE_LENGTH = 24
_UNITS = ((86_400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))


def goals_of(config: Config, source: str, tags: Sequence[Tag]) -> list[str]:
    """For each tag its topics, each with the route, where there are several, and the format."""
    found: list[list[str]] = [[] for _ in tags]
    routes = config.distinct_routes
    for route in routes:
        for place, topic in _topics(config, route, source, tags).items():
            named = f"{', '.join(route.brokers)}: " if len(routes) > 1 else ""
            found[place].append(f"{named}{topic} ({route.payload.format})")
    return ["; ".join(each) or "no broker wants it" for each in found]


def _topics(config: Config, route: Route, source: str, tags: Sequence[Tag]) -> dict[int, str]:
    """By the place of a tag: its topic on this route."""
    payload, form = route.payload, format_of(route.payload)
    wanted = [n for n, tag in enumerate(tags) if route.tags is None or any(applies(w, source, tag) for w in route.tags)]
    templates = Topics(payload.topic, payload.events_topic or "", payload.rules)
    layout = Layout([tags[n] for n in wanted], source, templates, config.name, config.name)
    groups = layout.group_of.tolist()
    return {
        n: form.places(payload, config.name, source, layout.places[group].topic)[0]
        for n, group in zip(wanted, groups, strict=True)
    }


def now_of(planned: PlannedTag) -> str:
    """The present value with its unit, or its status in words."""
    if planned.read is None:
        return ""
    if planned.read.status:
        return status_text(planned.read.status)
    value = json_of(planned.read.type, planned.read.value)
    text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    shown = text if len(text) <= VALUE_LENGTH else f"{text[: VALUE_LENGTH - 1]}…"
    return f"{shown} {planned.tag.unit}" if planned.tag.unit else shown


def names_refused(config: Config, source: SourceConfig, found: Plan) -> Iterator[str]:
    """The variables whose names a format cannot use."""
    told = set[str]()
    for planned in found.tags:
        shape = shape_of(source, planned.tag)
        name = shape.rename.get(planned.tag.name, planned.tag.name) if shape is not None else planned.tag.name
        for route in config.distinct_routes:
            problem = format_of(route.payload).problem_with_name(route.payload, name)
            if problem and problem not in told:
                told.add(problem)
                yield f"{planned.tag.node_id}: {problem}"


def statuses_told(found: Plan) -> Iterator[str]:
    """How many variables have a value that is not Good, by status."""
    counts = Counter(each.read.status for each in found.tags if each.read is not None and each.read.status)
    for status, count in counts.most_common():
        words = "not readable" if status & 0x8000_0000 else "uncertain"
        example = next(each.tag.name for each in found.tags if each.read is not None and each.read.status == status)
        yield f"{count} {'is' if count == 1 else 'are'} {words}: {status_text(status)}, such as {example}"


def groups_of_plan(source: str, found: Plan) -> list[Group]:
    """The variables by how often they are sent."""
    groups: dict[tuple[float, int], list[Tag]] = {}
    for each in found.tags:
        if each.problem or each.tag.priority is Priority.EVENT:
            continue
        sampling_s = each.got.sampling_ms / 1000.0
        samples = max(1, round(each.every_s / sampling_s)) if sampling_s else 1
        groups.setdefault((each.every_s, samples), []).append(each.tag)
    return [Group(source, tuple(tags), every_s, samples) for (every_s, samples), tags in groups.items()]


def load_told(config: Config, groups: Sequence[Group]) -> Iterator[str]:
    """Messages and bytes of each broker, and the outage that the disk bridges."""
    if not groups:
        return
    for broker in config.all_brokers:
        load = load_on(config, broker, config.routes[broker.name].payload, groups)
        yield (
            f"{broker.name}: at most {load.messages_per_s:.3g} messages/s and {_bytes(load.bytes_per_s)}/s "
            f"of {load.tags} variables, the largest {_bytes(load.largest_bytes)}"
        )
    brokers = {broker.name: broker for broker in config.all_brokers}
    stored = [load_on(config, brokers[r.brokers[0]], r.payload, groups) for r in config.distinct_routes]
    per_s = sum(each.bytes_per_s for each in stored)
    free = max(0, _free(config.outbox.path) - config.outbox.min_free)
    room = min(free, config.outbox.max_bytes)
    why = f"of which {_bytes(free)} are free" if free < config.outbox.max_bytes else f"and {_bytes(free)} are free"
    yield (
        f"the disk bridges {_duration(room / per_s)} if all of them change all the time: "
        f"outbox.max_bytes is {_bytes(config.outbox.max_bytes)}, {why}"
    )


def _free(folder: Path) -> int:
    there = next((each for each in (folder, *folder.absolute().parents) if each.exists()), Path("/"))
    return shutil.disk_usage(there).free


def _bytes(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("there is always a last unit")


def _duration(seconds: float) -> str:
    size, name = next(((size, name) for size, name in _UNITS if seconds >= 2 * size), _UNITS[-1])
    return f"{seconds / size:.0f} {name}"


async def brokers_told(config: Config, groups: Sequence[Group], publish: bool) -> list[str]:
    """What each broker says to a session beside the gateway's, which may be running."""
    return [await _broker_told(config, broker, groups, publish) for broker in config.all_brokers]


async def _broker_told(config: Config, broker: BrokerConfig, groups: Sequence[Group], publish: bool) -> str:
    if broker.profile is not None:
        return f"{broker.name}: not tried: {broker.profile} knows this gateway by its client id alone"
    test_id = f"{config.name}-plan-{uuid.uuid4().hex[:6]}"
    alone = broker.model_copy(update={"client_id": test_id})
    try:
        async with kind_of(broker).open_sink(alone, Link(broker.name, broker.url), test_id) as session:
            told = f"{broker.name}: logged in at {broker.url}; messages up to {_bytes(session.most_bytes)}, "
            told += f"{session.window} at once"
            if not publish:
                return told
            route = config.routes[broker.name]
            topics = [_topics(config, route, each.source, each.tags) for each in groups if each.tags]
            topic = next((name for each in topics for name in each.values()), f"gateways/{config.name}/test")
            body = orjson.dumps({"stream": f"{test_id}/plan", "seq": 1, "values": []})
            outcome = await session.send(Message(topic, body, f"{test_id}/plan", 1, 0))
            taken = "takes" if outcome.verdict is Verdict.DELIVERED else "refuses"
            return f"{told}; {taken} a message on {topic}: {outcome.detail}"
    except (Unavailable, ConfigError) as error:
        advice = advice_for(str(error), error.cause if isinstance(error, Unavailable) else "")
        return f"{broker.name}: {error}{': ' if advice else ''}{advice}"
