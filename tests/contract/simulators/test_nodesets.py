"""Our tables of published types say what the official NodeSet files say: compared node by node."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path

import pytest

from simulators.server.models import HOW, TABLES, Ref, Row, table
from simulators.server.server_object import PUBLISHED

FOLDER = Path(__file__).parents[2] / "peers" / "node_modules" / "node-opcua-nodesets" / "nodesets"
FILES = {
    "di": "Opc.Ua.Di.NodeSet2.xml",
    "machinery": "Opc.Ua.Machinery.NodeSet2.xml",
    "packml": "Opc.Ua.PackML.NodeSet2.xml",
    "machinetool": "Opc.Ua.MachineTool.NodeSet2.xml",
}
NODES = "{http://opcfoundation.org/UA/2011/03/UANodeSet.xsd}"
TYPES = "{http://opcfoundation.org/UA/2008/02/Types.xsd}"
HOW_OF: dict[object, str] = {node_id.Identifier: name for name, node_id in HOW.items()}
RULES = {78: "M", 80: "O", 11508: "OP", 11510: "MP"}
ANYTHING = ("i", 24)
COMPLETE = ("di", "machinery", "packml")
"""Tables that have every declaration of the types in them; the one of MachineTool has the mandatory ones."""

pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="needs tests/peers: run tests/install-peers")


@dataclass
class Official:
    """One node of a NodeSet file."""

    ref: Ref
    node_class: str
    name: tuple[str, str]
    data: Ref | None
    rank: int
    abstract: bool
    notifier: bool
    value: ET.Element | None
    type: Ref | None = None
    rule: str = ""
    parents: set[tuple[str, Ref]] = field(default_factory=set)
    references: set[tuple[Ref, Ref]] = field(default_factory=set)
    hierarchical: set[tuple[Ref, Ref]] = field(default_factory=set)


class NodeSet:
    def __init__(self, name: str) -> None:
        root = ET.parse(FOLDER / FILES[name]).getroot()
        letters = {table(each).uri: table(each).letter for each in TABLES}
        uris = [uri.text or "" for uri in root.findall(f"{NODES}NamespaceUris/{NODES}Uri")]
        self.letters = ["i", *(letters.get(uri, uri) for uri in uris)]
        self._aliases = {a.get("Alias"): a.text or "" for a in root.findall(f"{NODES}Aliases/{NODES}Alias")}
        elements = [element for element in root if element.tag.startswith(f"{NODES}UA")]
        self.nodes = {node.ref: node for node in map(self._node, elements)}
        for element in elements:
            self._link(element)

    def ref(self, text: str) -> Ref:
        match = re.fullmatch(r"(?:ns=(\d+);)?i=(\d+)", self._aliases.get(text, text))
        assert match, text
        return self.letters[int(match[1] or 0)], int(match[2])

    def _node(self, element: ET.Element) -> Official:
        match = re.fullmatch(r"(?:(\d+):)?(.*)", element.get("BrowseName") or "")
        assert match
        data = element.get("DataType")
        return Official(
            ref=self.ref(element.get("NodeId") or ""),
            node_class=element.tag.removeprefix(f"{NODES}UA"),
            name=(self.letters[int(match[1] or 0)], match[2]),
            data=self.ref(data) if data else None,
            rank=int(element.get("ValueRank", "-1")),
            abstract=element.get("IsAbstract") == "true",
            notifier=element.get("EventNotifier", "0") != "0",
            value=next(iter(element.find(f"{NODES}Value") or []), None),
        )

    def _link(self, element: ET.Element) -> None:
        ref = self.ref(element.get("NodeId") or "")
        for each in element.findall(f"{NODES}References/{NODES}Reference"):
            kind, target = self.ref(each.get("ReferenceType") or ""), self.ref(each.text or "")
            forward = each.get("IsForward") != "false"
            source, goal = (ref, target) if forward else (target, ref)
            if kind[0] == "i" and kind[1] in HOW_OF and goal in self.nodes:
                self.nodes[goal].parents.add((HOW_OF[kind[1]], source))
            if source in self.nodes:
                self._keep(self.nodes[source], kind, goal)

    def _keep(self, node: Official, kind: Ref, goal: Ref) -> None:
        if kind == ("i", 40):
            node.type = goal
        elif kind == ("i", 37):
            node.rule = RULES[goal[1]]
        else:
            node.references.add((kind, goal))


@cache
def nodeset(name: str) -> NodeSet:
    return NodeSet(name)


def differences(row: Row, official: Official | None, letters: list[str]) -> Iterator[str]:
    if official is None:
        yield "is not in the official file"
        return
    for what, ours, theirs in (
        ("class", row.node_class, official.node_class),
        ("name", row.name, official.name),
        ("type", row.type, official.type),
        ("data type", row.data, official.data or (ANYTHING if row.node_class.startswith("Variable") else None)),
        ("rank", row.rank, official.rank),
        ("rule", row.rule, official.rule),
        ("abstract", row.abstract, official.abstract),
        ("notifier", row.notifier, official.notifier),
        ("value", row.value, plain(official.value, letters)),
    ):
        if ours != theirs:
            yield f"{what}: {ours!r}, official is {theirs!r}"
    if (row.how, row.parent) not in official.parents:
        yield f"parent: {row.how} of {row.parent}, official are {official.parents}"
    for reference in row.references:
        if reference not in official.references:
            yield f"reference {reference} is not in the official file"


def plain(value: ET.Element | None, letters: list[str]) -> object:
    """A value in the form of the tables; None for kinds of values that they leave out."""
    if value is None:
        return None
    kind = value.tag.removeprefix(TYPES)
    if kind == "UInt32":
        return int(value.text or 0)
    if kind == "QualifiedName":
        index = int(value.findtext(f"{TYPES}NamespaceIndex") or 0)
        return f"{letters[index]}:{value.findtext(f'{TYPES}Name')}"
    if kind == "LocalizedText":
        return value.findtext(f"{TYPES}Text")
    if kind == "ListOfExtensionObject":
        enums = [
            [int(v.findtext(f"{TYPES}Value") or 0), v.findtext(f"{TYPES}DisplayName/{TYPES}Text")]
            for v in value.iter(f"{TYPES}EnumValueType")
        ]
        return enums or [argument(v) for v in value.iter(f"{TYPES}Argument")]
    return value.text


def argument(value: ET.Element) -> list[object]:
    data = (value.findtext(f"{TYPES}DataType/{TYPES}Identifier") or "").removeprefix("ns=1;i=").replace("i=", "i:")
    return [value.findtext(f"{TYPES}Name"), data, int(value.findtext(f"{TYPES}ValueRank") or 0)]


@pytest.mark.parametrize("name", TABLES)
def test_every_node_is_as_published(name: str) -> None:
    official = nodeset(name)
    wrong = [
        f"{row.ref} {row.name[1]}: {difference}"
        for row in table(name).rows
        for difference in differences(row, official.nodes.get(row.ref), official.letters)
    ]
    assert not wrong, "\n".join(wrong)
    assert len(table(name).rows) > 20


@pytest.mark.parametrize("name", TABLES)
def test_every_declaration_of_the_types_is_instantiated(name: str) -> None:
    official = nodeset(name)
    ours = {row.ref for row in table(name).rows}
    missing = [
        f"{node.ref} {node.name[1]} of {parent}"
        for node in official.nodes.values()
        for how, parent in node.parents
        if how != "subtype" and parent in ours and node.ref not in ours
        and (name in COMPLETE or node.rule == "M")
    ]  # fmt: skip
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("name", TABLES)
def test_namespace_is_the_published_one(name: str) -> None:
    root = ET.parse(FOLDER / FILES[name]).getroot()
    first = root.find(f"{NODES}NamespaceUris/{NODES}Uri")
    assert first is not None
    assert first.text == table(name).uri


def test_the_comparison_notices_a_wrong_node() -> None:
    row = next(row for row in table("packml").rows if row.name[1] == "Held")
    official = nodeset("packml")
    moved = Row(row.ref, row.node_class, ("p", "Halted"), row.how, row.parent, row.type)
    assert list(differences(row, official.nodes[row.ref], official.letters)) == []
    assert len(list(differences(moved, official.nodes[row.ref], official.letters))) == 1


@pytest.mark.parametrize("name", TABLES)
def test_the_server_tells_the_version_and_the_publication_of_the_official_file(name: str) -> None:
    model = ET.parse(FOLDER / FILES[name]).getroot().find(f"{NODES}Models/{NODES}Model")
    assert model is not None
    version, published = PUBLISHED[str(model.get("ModelUri"))]
    assert (version, published) == (model.get("Version"), datetime.fromisoformat(str(model.get("PublicationDate"))))
