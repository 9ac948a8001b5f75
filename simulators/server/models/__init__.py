"""Tables of the published OPC UA types that our machines are instances of, and how they get onto a server.

`di.txt`, `machinery.txt`, `packml.txt`, `machinetool.txt` hold the nodes that we serve: every declaration of the types
we use of Machinery and PackML, and the mandatory ones of MachineTool.  Node ids, browse names, types and rules are
those of the specifications.  A test compares them, node by node, with the official NodeSet files.

A line of a table, separated by blanks:

    id class browse-name how<parent [type=…] [data=…] [rank=1] [rule=M|O|OP|MP] [abstract] [notifier]
        [reference>target …] [= value]

Ids are numbers in the table's own namespace, or in another one with a letter: `i:58`, `d:15035`.  The letters: i OPC UA
itself, d DI, m Machinery, p PackML, t MachineTool.  The first line that starts with `!` gives the table's letter and
namespace URI.  A value is JSON; the data type says how to read it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from asyncua import ua

from simulators.server.nodes import ObjectIds, localized, numeric, qualified
from simulators.server.space import HAS_COMPONENT, HAS_PROPERTY, ORGANIZES, Space

FOLDER = Path(__file__).parent
TABLES = ("di", "machinery", "packml", "machinetool")
"""In this order: a table refers only to itself and to earlier ones."""
HAS_SUBTYPE = numeric(ObjectIds.HasSubtype)
HAS_ADDIN = numeric(ObjectIds.HasAddIn)
HAS_RULE = numeric(ObjectIds.HasModellingRule)
HOW = {
    "component": HAS_COMPONENT,
    "property": HAS_PROPERTY,
    "organizes": ORGANIZES,
    "subtype": HAS_SUBTYPE,
    "addin": HAS_ADDIN,
}
RULES = {
    "M": ObjectIds.ModellingRule_Mandatory,
    "O": ObjectIds.ModellingRule_Optional,
    "OP": ObjectIds.ModellingRule_OptionalPlaceholder,
    "MP": ObjectIds.ModellingRule_MandatoryPlaceholder,
}
Ref = tuple[str, int]
"""A node: the letter of its namespace, and its number."""


@dataclass(frozen=True, slots=True)
class Row:
    """One node of a table."""

    ref: Ref
    node_class: str
    name: tuple[str, str]
    """The letter of the browse name's namespace, and the name."""
    how: str
    parent: Ref
    type: Ref | None = None
    data: Ref | None = None
    rank: int = -1
    rule: str = ""
    abstract: bool = False
    notifier: bool = False
    """Whether clients may subscribe to events at this node."""
    references: tuple[tuple[Ref, Ref], ...] = ()
    value: object = None


@dataclass(frozen=True, slots=True)
class Table:
    letter: str
    uri: str
    rows: tuple[Row, ...] = field(default_factory=tuple)


@cache
def table(name: str) -> Table:
    """Read one of `TABLES`."""
    lines = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    letter, uri = next(line for line in lines if line.startswith("!"))[1:].split()
    return Table(letter, uri, tuple(_row(line, letter) for line in lines if line[:1].isdigit()))


def _ref(text: str, home: str) -> Ref:
    letter, colon, number = text.rpartition(":")
    return (letter if colon else home, int(number))


def _row(line: str, home: str) -> Row:
    columns, _, value = line.partition(" = ")
    number, node_class, name, where, *rest = columns.split()
    letter, _, plain = name.rpartition(":")
    how, _, parent = where.partition("<")
    options = dict(option.split("=", 1) for option in rest if "=" in option)
    pairs = [option.split(">", 1) for option in rest if ">" in option]
    return Row(
        (home, int(number)), node_class, (letter or home, plain), how, _ref(parent, home),
        type=_ref(options["type"], home) if "type" in options else None,
        data=_ref(options["data"], home) if "data" in options else None,
        rank=int(options.get("rank", "-1")), rule=options.get("rule", ""), abstract="abstract" in rest,
        notifier="notifier" in rest,
        references=tuple((_ref(kind, home), _ref(target, home)) for kind, target in pairs),
        value=json.loads(value) if value else None,
    )  # fmt: skip


class Models:
    """The models on one server: maps the letters of the tables to its namespace indexes."""

    def __init__(self, space: Space, indexes: Mapping[str, int]) -> None:
        """`indexes`: the namespace indexes of the server by letter; i is 0."""
        self._space = space
        self.indexes = {"i": 0, **indexes}

    def id(self, ref: Ref) -> ua.NodeId:
        return numeric(ref[1], self.indexes[ref[0]])

    def name(self, letter: str, text: str) -> ua.QualifiedName:
        return qualified(text, self.indexes[letter])

    def add(self, rows: tuple[Row, ...]) -> None:
        """Add the nodes of one table."""
        types = [row for row in rows if row.how == "subtype"]
        for row in (*types, *(row for row in rows if row.how != "subtype")):
            self._add_node(row)
        for row in rows:
            if row.rule:
                self._space.refer(self.id(row.ref), numeric(RULES[row.rule]), HAS_RULE)
            for kind, target in row.references:
                self._space.refer(self.id(row.ref), self.id(target), self.id(kind))

    def _add_node(self, row: Row) -> None:
        node_id, name, parent = self.id(row.ref), self.name(*row.name), self.id(row.parent)
        how = HOW[row.how]
        type_id = self.id(row.type) if row.type else ua.NodeId()
        if row.node_class == "Object":
            self._space.add_object(node_id, name, parent, type_id, how, notifier=int(row.notifier))
        elif row.node_class == "Method":
            self._space.add_method(node_id, name, parent, None)
        elif row.node_class == "Variable" and row.data:
            kind, content = self._value(row)
            self._space.add_variable(
                node_id,
                name,
                parent,
                kind,
                content,
                type_id=type_id,
                reference=how,
                data_type=self.id(row.data),
                rank=row.rank,
            )
        else:
            self._space.add_type(node_id, name, parent, ua.NodeClass[row.node_class], row.abstract)

    def _value(self, row: Row) -> tuple[ua.VariantType, object]:
        """The value of a declaration, or a null when each instance has its own value."""
        kind = KINDS.get(row.data or ("i", 0), ua.VariantType.Null)
        if row.value is None:
            return ua.VariantType.Null, None
        if row.name[1] in ("InputArguments", "OutputArguments") and isinstance(row.value, list):
            return ua.VariantType.ExtensionObject, [self._argument(*each) for each in row.value]
        if isinstance(row.value, list):
            return ua.VariantType.ExtensionObject, [_enum_value(*each) for each in row.value]
        if kind is ua.VariantType.QualifiedName:
            letter, _, name = str(row.value).partition(":")
            return kind, self.name(letter, name)
        return kind, localized(str(row.value)) if kind is ua.VariantType.LocalizedText else row.value

    def _argument(self, name: str, data: str, rank: int) -> ua.Argument:
        letter, colon, number = data.partition(":")
        data_type = numeric(int(number), 0) if colon else numeric(int(letter), self.indexes["p"])
        dimensions = [ua.UInt32(0)] if rank == 1 else []
        return ua.Argument(ua.String(name), data_type, ua.Int32(rank), dimensions, localized(""))


KINDS: Mapping[Ref, ua.VariantType] = {
    ("i", 7): ua.VariantType.UInt32,
    ("i", 12): ua.VariantType.String,
    ("i", 20): ua.VariantType.QualifiedName,
    ("i", 21): ua.VariantType.LocalizedText,
}


def _enum_value(number: int, name: str) -> ua.EnumValueType:
    return ua.EnumValueType(ua.Int64(number), localized(name), localized(""))
