"""The format `sparkplug`: how its parts are put together from the configuration."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from gateway.config import PayloadConfig
from gateway.model import Loss, Message
from gateway.payload.format import Announcement, EncoderContext, Format, SessionContext, SessionForm
from gateway.payload.gaps import loss_row
from gateway.payload.sparkplug.datatypes import AS_TEXT, DATATYPES
from gateway.payload.sparkplug.edge import EdgeForm
from gateway.payload.sparkplug.edge_settings import EdgeSettings
from gateway.payload.sparkplug.encoder import GAPS_TYPE, SparkplugEncoder
from gateway.payload.sparkplug.library import Library, LibraryOfLog
from gateway.payload.sparkplug.memory import Memory, first_alias
from gateway.payload.sparkplug.node import NAMESPACE, Names, Node
from gateway.topics import escape, expand

FOLDER = "sparkplug"


def names_of(payload: PayloadConfig, gateway: str) -> Names:
    """The names of the edge node."""
    fields, rules = {"gateway": gateway}, payload.rules
    return Names(expand(payload.sparkplug.group, fields, rules), expand(payload.sparkplug.node, fields, rules))


def topic_of(payload: PayloadConfig) -> str:
    """The topic template of the values of a device."""
    settings = payload.sparkplug
    return f"{NAMESPACE}/{settings.group}/DDATA/{settings.node}/{settings.device}"


def library_for(folder: Path, broker: str) -> Library:
    """The files of one broker, given the folder of the outbox."""
    return Library(folder / FOLDER / escape(broker))


def _memory(payload: PayloadConfig, gateway: str) -> Memory:
    return Memory(payload, names_of(payload, gateway), _datatypes(payload))


def _problem_in_group(payload: PayloadConfig, sources: Sequence[str]) -> str:
    if len(sources) > 1 and "{source}" not in payload.sparkplug.device:
        return "sources on several members make devices without asking each other: sparkplug.device needs {source}"
    places: dict[int, str] = {}
    for source in sources:
        other = places.setdefault(first_alias(source), source)
        if other != source:
            return f"the sources {other} and {source} would use the same aliases: rename one of them"
    return ""


def _node(payload: PayloadConfig, gateway: str, folder: Path, brokers: tuple[str, ...]) -> Node:
    tables = (table for broker in brokers for table in library_for(folder, broker).load())
    return Node(names_of(payload, gateway), tables, _datatypes(payload))


def _datatypes(payload: PayloadConfig) -> NDArray[np.uint8]:
    return AS_TEXT if payload.sparkplug.structures == "json" else DATATYPES


def _places(payload: PayloadConfig, gateway: str, source: str, topic: str) -> tuple[str, str]:
    """Data and birth of a device, given the topic of its data."""
    parts = names_of(payload, gateway).parts(topic)
    device = parts[1] if parts is not None else source
    return topic, names_of(payload, gateway).topic("DBIRTH", device)


def _encoder(context: EncoderContext) -> SparkplugEncoder:
    payload = context.payload.model_copy(update={"topic": topic_of(context.payload)})
    settings = EncoderContext(payload, context.gateway, context.source, context.sources, context.stream_prefix).settings
    shared = context.shared
    if isinstance(shared, Memory):
        node = shared.node_of(context.source)
    else:
        node = shared if isinstance(shared, Node) else Node(names_of(payload, context.gateway), (), _datatypes(payload))
    return SparkplugEncoder(settings, node, context.source, payload.sparkplug.source_time, context.latest_ns)


def _session(context: SessionContext) -> SessionForm:
    payload, settings, shared = context.payload, context.payload.sparkplug, context.shared
    node = shared.node if isinstance(shared, Memory) else shared
    assert isinstance(node, Node)
    library = library_for(context.folder, context.broker) if context.place is None else LibraryOfLog()
    for _ in library.load():
        pass  # it knows from now on what it has
    edge = EdgeSettings(
        expand(settings.barrier_topic, {"gateway": context.gateway}, payload.rules), settings.rebirth_interval,
        settings.qos, settings.source_time, settings.host_grace, (("Properties/Software", "connected-factory"),),
        context.figures, settings.node_interval, "" if settings.compression == "none" else settings.compression.upper(),
    )  # fmt: skip
    return EdgeForm(node, library, edge, settings.primary_host, settings.host_timeout, context.place)


def _announcement(payload: PayloadConfig, gateway: str) -> Announcement:
    def announced(loss: Loss, stream: str, topic: str, seq: int) -> Message:
        body = orjson.dumps([loss_row(loss)])
        return Message(topic, body, stream=stream, seq=seq, values=0, content_type=GAPS_TYPE)

    return announced


def _schema() -> dict[str, object]:
    """What a payload says, in JSON: protobuf has no JSON Schema."""
    whole = {"type": "integer", "minimum": 0}
    metric = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "Only in births."},
            "alias": {**whole, "description": "The metric, in data."},
            "timestamp": {**whole, "description": "Milliseconds since 1970."},
            "datatype": {**whole, "description": "Only in births."},
            "is_historical": {"type": "boolean"},
            "is_null": {"type": "boolean"},
            "properties": {
                "type": "object",
                "description": "Quality, StatusCode, engUnit, engLow, engHigh, sourceTime.",
            },
            "value": {},
        },
        "required": ["timestamp"],
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "description": "Sparkplug B 3.0, org.eclipse.tahu.protobuf.Payload, after decoding",
        "type": "object",
        "properties": {
            "timestamp": whole,
            "seq": {**whole, "maximum": 255},
            "metrics": {"type": "array", "items": metric},
        },
        "required": ["timestamp", "metrics"],
        "additionalProperties": False,
    }  # fmt: skip


SPARKPLUG = Format(
    encoder=_encoder,
    announcement=_announcement,
    schema=_schema,
    longest_topic=lambda template, payload, has_states: topic_of(payload),
    uses_topic=False,
    template=topic_of,
    takes_compression=False,
    describes_types=True,
    content_type="application/x-protobuf",
    places=_places,
    codec="sparkplug",
    shares=_node,
    session=_session,
    remembers=_memory,
    problem_in_group=_problem_in_group,
)
