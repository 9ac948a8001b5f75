"""The tags of a configuration with all that their server says of them, for `gateway model`.

The tags are those of a running gateway (`selection.py`), with their types (`data_types.py`).  Beside these the server
is asked for descriptions, access levels, EURange and EngineeringUnits.  Nothing is subscribed to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from asyncua import ua

from gateway.config import SourceConfig
from gateway.model import Priority, Tag, TagFacts
from gateway.opcua.codec.namespaces import printable
from gateway.opcua.codec.node_ids import node_of
from gateway.opcua.codec.standard import EU_INFORMATION, range_of
from gateway.opcua.explore import Progress, counted
from gateway.opcua.session.refusals import Refusal
from gateway.opcua.session.session import Session
from gateway.opcua.space.browse import VARIABLE, children
from gateway.opcua.space.data_types import with_types
from gateway.opcua.space.selection import resolve
from gateway.opcua.space.structures import types_or_none
from gateway.values import LocalizedText, Structure

_HAS_PROPERTY = ua.NodeId(ua.Int32(ua.ObjectIds.HasProperty), ua.Int16(0))
_RANGE, _UNIT = "EURange", "EngineeringUnits"
_UN_CEFACT = "un/cefact"
"""In the NamespaceUri of an EUInformation whose UnitId is a UNECE code (Part 8, 5.6.3)."""
_AT_ONCE = 5_000
"""Variables whose answers are in memory at a time."""


@dataclass(frozen=True, slots=True)
class Described:
    """The tags of one server."""

    tags: tuple[Tag, ...]
    facts: tuple[TagFacts, ...]
    """Of each tag."""
    missing: tuple[str, ...] = ()
    """Selections without variables."""
    refused: tuple[Refusal, ...] = ()
    """What the server would not tell."""


async def described(session: Session, config: SourceConfig, progress: Progress = lambda what, done: None) -> Described:
    """Resolve the configuration, and ask about each variable.  Raises `Unavailable`."""
    table = await resolve(session, config, counted(progress, "nodes browsed"))
    tags = await with_types(session, table.tags, await types_or_none(session, config.structures))
    more = counted(progress, "variables described")
    facts: list[TagFacts] = []
    for start in range(0, len(tags), _AT_ONCE):
        some = tags[start : start + _AT_ONCE]
        facts += await _facts_of(session, some)
        more(len(some))
    missing = tuple(str(each.subtree or each.type) for each in table.missing)
    return Described(tags, tuple(facts), missing, tuple(session.refused))


async def _facts_of(session: Session, tags: Sequence[Tag]) -> list[TagFacts]:
    nodes = {tag.node_id: node for tag in tags if (node := _variable(tag, session)) is not None}
    names = {nodes[tag.node_id]: tag.name for tag in tags if tag.node_id in nodes}
    if not nodes:
        return [TagFacts()] * len(tags)
    texts = await session.look_up("Description", names, ua.AttributeIds.Description)
    access = await session.look_up("UserAccessLevel", names, ua.AttributeIds.UserAccessLevel)
    properties = await _properties(session, list(names))
    found = {}
    for text, node in nodes.items():
        low, high, code = properties.get(node, (None, None, ""))
        said, level = texts[node].good, access[node].good
        shown = printable(said.text) if isinstance(said, LocalizedText) and said.text else ""
        found[text] = TagFacts(shown, level if isinstance(level, int) else 0, low, high, code)
    return [found.get(tag.node_id, TagFacts()) for tag in tags]


def _variable(tag: Tag, session: Session) -> ua.NodeId | None:
    """The node of a tag that is a variable; None for a notifier, and for a path that leads nowhere."""
    if tag.priority is Priority.EVENT or tag.node_id.startswith("/"):
        return None
    return node_of(tag.node_id, session.uris)


async def _properties(
    session: Session, nodes: Sequence[ua.NodeId]
) -> Mapping[ua.NodeId, tuple[float | None, float | None, str]]:
    """Range and code of the unit of each node that has any."""
    below = await children(session, nodes, reference=_HAS_PROPERTY, classes=VARIABLE)
    named = {
        (node, reference.name): reference.node
        for node, references in zip(nodes, below, strict=True)
        for reference in references
        if reference.name in (_RANGE, _UNIT)
    }
    values = dict(zip(named, await session.read_values(list(named.values())) if named else [], strict=True))
    found: dict[ua.NodeId, tuple[float | None, float | None, str]] = {}
    for (node, name), value in values.items():
        low, high, code = found.get(node, (None, None, ""))
        if name == _RANGE:
            low, high = said if (said := range_of(value.good))[0] < said[1] else (None, None)
        else:
            code = unit_code_of(value.good)
        found[node] = low, high, code
    return found


def unit_code_of(said: object) -> str:
    """The UNECE code in an EUInformation: its characters are the bytes of UnitId.  Empty where there is none."""
    if not isinstance(said, Structure) or said.type_id != EU_INFORMATION:
        return ""
    uri, number = said.fields["NamespaceUri"].value, said.fields["UnitId"].value
    if not isinstance(uri, str) or _UN_CEFACT not in uri.lower() or not isinstance(number, int) or number <= 0:
        return ""
    code = number.to_bytes(4, "big").lstrip(b"\0")
    return code.decode() if code.isalnum() and code.isascii() and len(code) <= 3 else ""
