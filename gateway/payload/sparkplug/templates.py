"""Templates: structures of OPC UA as Sparkplug has them.  Pure.

The definition is in NBIRTH, under the name of the data type: every member with its name and datatype.  An instance has
every member, too; one that the structure does not have at the moment is null.  A structure in a structure is an
instance in an instance.  Arrays of structures, and a type within itself, are texts with the JSON that `json` has.

A definition never changes.  What a server defines anew, and what a value has beyond its definition, makes another
definition with a number behind its name (`Recipe~2`), so that stored instances of the former one can still be read.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from gateway.model import IS_ARRAY, IS_MATRIX, VariableType
from gateway.model import DataType as OpcType
from gateway.payload.sparkplug.datatypes import Datatype, datatype_of, value_field
from gateway.payload.sparkplug.wire import NULL, field, number_field
from gateway.values import Structure, Typed

STRUCTURE = 22
DEEPEST = 8
"""Structures within structures; what is deeper is text."""
_BUILT_IN = 25
_TEMPLATE_VALUE = 18


class Member(msgspec.Struct, frozen=True, array_like=True):
    """One member of a definition."""

    name: str
    datatype: int
    template: str = ""
    """The definition of a member that is a structure."""


class Template(msgspec.Struct, frozen=True, array_like=True):
    """One definition.  Its name stands for its content for ever."""

    name: str
    alias: int
    version: str
    members: tuple[Member, ...]


Templates = Mapping[str, Template]
Named = Callable[[str, Sequence[Member]], Template]
"""The definition with these members, given the name that is wanted for it."""


def described(said: VariableType, named: Named) -> Template | None:
    """The definition of a variable's type, as its server describes it; None where it describes none."""
    known = {each.type_id: each for each in said.types}
    return _described(said.types[0], known, named, ()) if said.types else None


def _described(one: OpcType, known: Mapping[str, OpcType], named: Named, within: tuple[str, ...]) -> Template | None:
    if one.built_in != STRUCTURE or not one.fields or one.type_id in within or len(within) >= DEEPEST:
        return None
    members = []
    for each in one.fields:
        part = known.get(each.type_id)
        kind = part.built_in if part is not None else _built_in(each.type_id)
        inner = _described(part, known, named, (*within, one.type_id)) if part is not None and each.rank < 0 else None
        flags = 0 if each.rank < 0 else IS_ARRAY if each.rank == 1 else IS_ARRAY | IS_MATRIX
        datatype = Datatype.TEMPLATE if inner is not None else _plain(kind | flags)
        members.append(Member(each.name, datatype, inner.name if inner is not None else ""))
    return named(one.name or one.type_id, members)


def _built_in(type_id: str) -> int:
    """The number of a built-in type; 0 for all others, whose values may have any type."""
    number = type_id.removeprefix("i=")
    return int(number) if number.isdecimal() and 0 < int(number) < _BUILT_IN else 0


def _plain(kind: int) -> int:
    """The datatype of a member that is no structure."""
    found = datatype_of(kind)
    return Datatype.STRING if found in (Datatype.TEMPLATE, Datatype.UNKNOWN) else found


def widened(value: Structure, former: Template | None, known: Templates, named: Named, depth: int = 1) -> Template:
    """A definition that has what the former one has, and everything that a value has."""
    members = {each.name: each for each in former.members} if former is not None else {}
    for key, typed in value.fields.items():
        before, inner = members.get(key), typed.value
        may_nest = depth < DEEPEST and (before is None or before.datatype == Datatype.TEMPLATE)
        if isinstance(inner, Structure) and may_nest:
            there = known.get(before.template) if before is not None else None
            made = widened(inner, there, known, named, depth + 1)
            members[key] = Member(key, Datatype.TEMPLATE, made.name)
        elif before is None:
            members[key] = Member(key, _plain(typed.type))
        elif not _takes(before, typed, known):
            members[key] = Member(key, Datatype.STRING)
    return named(former.name.partition("~")[0] if former is not None else value.type_id, tuple(members.values()))


def takes(template: Template, value: Structure, known: Templates) -> bool:
    """Whether an instance of a definition can hold a value."""
    members = {each.name: each for each in template.members}
    return all(
        (found := members.get(name)) is not None and _takes(found, each, known) for name, each in value.fields.items()
    )


def _takes(member: Member, typed: Typed, known: Templates) -> bool:
    if typed.value is None or not typed.type or member.datatype == Datatype.STRING:
        return True
    if member.datatype != Datatype.TEMPLATE:
        return datatype_of(typed.type) == member.datatype
    inner = known.get(member.template)
    return inner is not None and isinstance(typed.value, Structure) and takes(inner, typed.value, known)


def instance(template: Template, value: Structure | None, ms: int, known: Templates) -> bytes:
    """The field of a metric with an instance.  `value` must be one that the definition takes; None: all is null."""
    fields: Mapping[str, Typed] = value.fields if value is not None else {}
    found = b"".join(
        field(2, _head(member, ms) + _content(member, fields.get(member.name), ms, known))
        for member in template.members
    )
    return field(_TEMPLATE_VALUE, found + field(4, template.name.encode(errors="replace")) + number_field(5, 0))


def definition(template: Template, ms: int, known: Templates) -> bytes:
    """The field of a metric with the definition itself."""
    members = b"".join(field(2, _head(member, ms) + _content(member, None, ms, known)) for member in template.members)
    return field(_TEMPLATE_VALUE, field(1, template.version.encode()) + members + number_field(5, 1))


def _head(member: Member, ms: int) -> bytes:
    """Members have no aliases, and readers have nothing but the member itself to learn its type from."""
    return field(1, member.name.encode(errors="replace")) + number_field(3, ms) + number_field(4, member.datatype)


def _content(member: Member, typed: Typed | None, ms: int, known: Templates) -> bytes:
    value = typed.value if typed is not None else None
    if member.datatype == Datatype.TEMPLATE:
        return instance(known[member.template], value if isinstance(value, Structure) else None, ms, known)
    if typed is None or value is None or not typed.type:
        return NULL
    return value_field(member.datatype, typed.type, value)


def used_by(names: Sequence[str], known: Templates) -> Iterator[Template]:
    """The definitions of these names, each after those that it uses itself."""
    seen = set[str]()

    def walk(name: str) -> Iterator[Template]:
        if not name or name in seen:
            return
        seen.add(name)
        for member in known[name].members:
            yield from walk(member.template)
        yield known[name]

    for name in names:
        yield from walk(name)
