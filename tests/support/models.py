"""Tables and descriptions for tests of models: of the shipped plants, and of what servers may say at worst."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gateway.config import Config
from gateway.metrics import Metrics
from gateway.model import DataField, DataType, Priority, Tag, TagFacts, VariableType
from gateway.modelling.commanded import commands_at
from gateway.modelling.describe import describe
from gateway.modelling.description import CommandTarget, Description, SourceTable
from gateway.opcua.codec.wire import Dialect
from gateway.opcua.explore import connected
from gateway.opcua.facts import described
from gateway.opcua.operations.server import ServerOperations
from gateway.operations import Argument, Form
from simulators.plant import load
from simulators.server.endpoint import MODEL_URI
from tests.support.served import plant_served

ROOT = Path(__file__).parents[2]
PLANTS = [ROOT / "config/plant.yaml", *sorted((ROOT / "config/plants").glob("*.yaml"))]


def config_of(url: str = "opc.tcp://127.0.0.1:4840", site: str = "i=85", **more: object) -> Config:
    """A gateway for all machines of a plant, with commands."""
    source = {
        "name": "shop", "url": url, "insecure": True, "fields": {"site": "hall-1"},
        "select": [{"subtree": site, "levels": ["line", "machine"], "include": ["*/*/*", "*/*/Identification/*"]}],
    }  # fmt: skip
    rules = [
        {"source": "shop", "subtree": site, "include": ["**/SpeedFactor"], "read": True,
         "write": {"minimum": 0.5, "maximum": 2.0}},
        {"source": "shop", "subtree": site, "include": ["*/*/*"], "call": {}},
    ]  # fmt: skip
    return Config.model_validate(
        {
            "name": "edge-1", "sources": [source], "broker": {"url": "mqtt://127.0.0.1:1883"},
            "payload": {"topic": "factory/{site}/{line}/{machine}"},
            "commands": {"requesters": ["mes"], "rules": rules},
        } | more
    )  # fmt: skip


async def described_plant(path: Path) -> Description:
    """A shipped plant, served, read as `gateway model` does it."""
    async with plant_served(path) as plant:
        config = config_of(plant.url, f"nsu={MODEL_URI};s={load(path).site}")
        [source] = config.sources
        async with connected(source, Metrics().for_source("shop")) as session:
            found = await described(session, source)
            assert config.commands is not None
            commands = await commands_at(ServerOperations(session, Dialect(session.uris)), "shop", config.commands)
    return describe(config, [SourceTable("shop", plant.url, found.tags, found.facts, commands)], "1.2.3")


# -- what servers may say at worst ------------------------------------------------------------------------------------

_DOUBLE = VariableType(-1, (DataType("i=11", "", 11),))
_ENUM = VariableType(-1, (DataType("nsu=urn:x;i=3002", "Mode", 6, ((0, "Off"), (1, "On"), (2, "off"), (7, "")), 0),))
_INNER = DataType("nsu=urn:x;i=3004", "Inner Type", 22, fields=(
    DataField("x y", "i=11", -1), DataField("X_Y", "i=10", 1), DataField("self", "nsu=urn:x;i=3003", -1, True),
))  # fmt: skip
_OUTER = DataType("nsu=urn:x;i=3003", "Outer/Type", 22, fields=(
    DataField("inner", "nsu=urn:x;i=3004", -1), DataField("unknown", "nsu=urn:nowhere;i=1", 2),
    DataField("text", "i=21", -1),
))  # fmt: skip
_STRUCTURE = VariableType(-1, (_OUTER, _INNER))
"""A structure that contains itself by way of another."""

WORST_NAMES = (
    "Temperature", "temperature", "TEMPERATURE", "Tempe rature", "Tempe_rature", "a/b/c", "a/b", "1st", "-", "_", "äöü",
    "温度", "x" * 600, "quote\"s\\and\nlines\t", "<xml>&amp;", "${jndi}", "{braces}", "dot.dot", "#", "%41", "~1", "id",
    "$ref", "@type", "constructor", "__proto__", "\U0001f600", "end\u2028line",
)  # fmt: skip


def worst_tags() -> tuple[list[Tag], list[TagFacts]]:
    """Names that collide, every built-in type and rank, units nobody knows, structures that contain themselves."""
    fields = {"site": "hall 1", "line": "line/1", "machine": "Press-1"}
    tags = [Tag(name, f"nsu=urn:x;s={name}", fields, "°C", 0, variable_type=_DOUBLE) for name in WORST_NAMES]
    facts = [TagFacts("", 3, -5.0, 120.5, "CEL")] * len(tags)
    for number, said in enumerate((_ENUM, _STRUCTURE, replace(_STRUCTURE, rank=1), replace(_ENUM, rank=2), None)):
        tags.append(Tag(f"Special{number}", f"nsu=urn:x;i={number}", fields, None, 0, variable_type=said))
        facts.append(TagFacts('a "description" with <marks> &\nlines ‘’ \u0007'))
    for built_in in range(1, 26):
        for rank in (-1, 1) if built_in % 2 else (-1, 0, 2):
            said = VariableType(rank, (DataType(f"i={built_in}", "", built_in),))
            name, other = f"T{built_in}r{rank + 1}", {**fields, "machine": "press-1"}
            tags.append(Tag(name, f"ns=7;s={name}", other, "furlong", 0, variable_type=said))
            facts.append(TagFacts("", 1, unit_code="ZZ9" if built_in == 4 else ""))
    tags.append(Tag("Alarms", "i=2253", fields, None, 0, Priority.EVENT))
    facts.append(TagFacts())
    tags += [Tag("Time", "i=2258", {}, None, 0, Priority.STATE, VariableType(-1, (DataType("i=13", "", 13),))),
             Tag("Temperature", "nsu=urn:x;s=Temperature", {}, None, 0)]  # fmt: skip
    return tags, [*facts, TagFacts(), TagFacts()]


WORST_COMMANDS = (
    CommandTarget("Press-1/Speed", "nsu=urn:x;s=Temperature", ("read", "write"), ("mes",), 11, -1, 0.5, 2.0),
    CommandTarget("Press-1/Mode", "nsu=urn:x;i=0", ("write",), ("mes", "scada"), 6, -1, None, None, (1, 2)),
    CommandTarget("Press-1/Start!", "nsu=urn:x;i=77", ("call",), ("mes",), inputs=(
        Argument("Factor", form=Form(11)), Argument("Text", 1, form=Form(12)), Argument("any"),
    )),
)  # fmt: skip


def worst_description(**more: object) -> Description:
    """All of that at once."""
    select = [{"subtree": "i=85"}]
    sources = [
        {"name": name, "url": f"opc.tcp://127.0.0.1:{port}", "insecure": True, "select": select}
        for name, port in (("a", 4840), ("A", 4841))
    ]
    rules = [{"source": "a", "subtree": "i=85", "read": True}]
    commands = {"requesters": ["mes", "scada"], "rules": rules}
    payload = {"topic": "plant/{source}", "events_topic": "plant/{source}/alarms"}
    chosen: dict[str, object] = {"sources": sources, "payload": payload, "commands": commands} | more
    config = Config.model_validate(config_of().model_dump(exclude_unset=True) | chosen)
    return describe(config, tables_of_worst(), "1.2.3")


def tables_of_worst() -> Sequence[SourceTable]:
    tags, facts = worst_tags()
    return [SourceTable("a", "opc.tcp://127.0.0.1:4840", tags, facts, WORST_COMMANDS),
            SourceTable("A", "opc.tcp://127.0.0.1:4841", tags[:40], facts[:40])]  # fmt: skip
