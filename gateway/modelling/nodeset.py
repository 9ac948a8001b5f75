"""An OPC UA NodeSet (UANodeSet.xsd) of the selected variables, for servers that load one: simulators, aggregators.

Variables keep their node ids and the URIs of their namespaces, with type, ValueRank, AccessLevel, EURange and unit; so
do data types.  Folders follow fields and names.  What lies in a namespace of the OPC Foundation, or has no URI, goes
into a namespace of ours: a nodeset must not define what belongs to others.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from xml.sax.saxutils import escape, quoteattr

from gateway.model import DataType, Priority, Tag, TagFacts
from gateway.modelling.description import Description, SourceTable, Told
from gateway.modelling.units import Unit, unit_of

STANDARD = "http://opcfoundation.org/"
_FOLDER, _VARIABLE, _ANALOG, _PROPERTY, _ENCODING = "i=61", "i=63", "i=17497", "i=68", "i=76"
_STRUCTURE = "i=22"
_UN_CEFACT = "http://www.opcfoundation.org/UA/units/un/cefact"
_PUBLISHED = "2026-01-01T00:00:00Z"
_NUMBERS = range(2, 12)
_FORBIDDEN = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not have."""
_NOT_IN_ID = re.compile("[\t\n\r\x85\u2028\u2029]")
"""What readers of nodesets take for the end of a node id."""
_NODE = re.compile(r"^(?:nsu=([^;]+);)?([isgb]=.*)$", re.DOTALL)
_REFERENCES = {"HasComponent": "i=47", "HasProperty": "i=46", "Organizes": "i=35", "HasTypeDefinition": "i=40",
               "HasSubtype": "i=45", "HasEncoding": "i=38"}  # fmt: skip


def nodeset(description: Description, told: Told) -> Iterator[str]:
    """The document in pieces."""
    return _Writer(description, told).document()


class _Writer:
    def __init__(self, description: Description, told: Told) -> None:
        self._description = description
        self._told = told
        self._own_uri = f"urn:connected-factory:model:{description.gateway}"
        self._uris = self._namespaces()
        self._taken: set[str] = set()
        """Node ids that are in use."""
        self._types: dict[tuple[str, str], str] = {}
        """By source and data type: its node id here."""

    def _namespaces(self) -> dict[str, int]:
        found = {self._own_uri: 1}
        for table in self._description.sources:
            for tag in table.tags:
                types = tag.variable_type.types if tag.variable_type is not None else ()
                for text in (tag.node_id, *(each.type_id for each in types)):
                    match = _NODE.match(text)
                    if match is not None and match[1] and not match[1].startswith(STANDARD):
                        found.setdefault(match[1], len(found) + 1)
        return found

    def document(self) -> Iterator[str]:
        yield '<?xml version="1.0" encoding="utf-8"?>\n'
        yield (
            '<UANodeSet xmlns="http://opcfoundation.org/UA/2011/03/UANodeSet.xsd" '
            'xmlns:uax="http://opcfoundation.org/UA/2008/02/Types.xsd">\n'
        )
        yield f"<NamespaceUris>{''.join(f'<Uri>{_text(_plain(uri))}</Uri>' for uri in self._uris)}</NamespaceUris>\n"
        yield "<Models>\n"
        for uri in self._uris:
            yield (
                f'<Model ModelUri={quoteattr(_clean(_plain(uri)))} Version="1.0.0" PublicationDate="{_PUBLISHED}">'
                f'<RequiredModel ModelUri="http://opcfoundation.org/UA/"/></Model>\n'
            )
        yield "</Models>\n<Aliases>\n"
        for name, node in _REFERENCES.items():
            yield f'<Alias Alias="{name}">{node}</Alias>\n'
        yield "</Aliases>\n"
        root = self._id_of("", "gateway")
        yield from self._object(root, self._description.gateway, "Organizes", "i=85", _FOLDER)
        for table in self._description.sources:
            yield from self._source(table, root)
        yield "</UANodeSet>\n"

    def _source(self, table: SourceTable, root: str) -> Iterator[str]:
        top = self._id_of(table.name, "source")
        yield from self._object(top, table.name, "Organizes", root, _FOLDER)
        folders: dict[tuple[str, ...], str] = {(): top}
        for tag, facts in zip(table.tags, table.facts, strict=True):
            if tag.priority is Priority.EVENT:
                self._told.add("a nodeset of variables has no events", tag.name)
                continue
            path = (*tag.fields.values(), *tag.name.split("/"))
            for depth in range(1, len(path)):
                if path[:depth] not in folders:
                    folders[path[:depth]] = node = self._id_of(table.name, "/".join(path[:depth]) + "/")
                    yield from self._object(node, path[depth - 1], "Organizes", folders[path[: depth - 1]], _FOLDER)
            yield from self._data_types(table.name, tag)
            yield from self._variable(table.name, tag, facts, folders[path[:-1]], path[-1])

    # -- nodes --------------------------------------------------------------------------------------------------------

    def _object(self, node: str, name: str, reference: str, parent: str, definition: str) -> Iterator[str]:
        yield (
            f"<UAObject NodeId={_attribute(node)} BrowseName={_name(name)}>{_display(name)}"
            f"{_references((reference, parent, False), ('HasTypeDefinition', definition, True))}</UAObject>\n"
        )

    def _variable(self, source: str, tag: Tag, facts: TagFacts, parent: str, name: str) -> Iterator[str]:
        node = self._node_of(tag.node_id, source)
        said = tag.variable_type
        data_type = self._types.get((source, said.types[0].type_id), said.types[0].type_id) if said else "i=24"
        rank = said.rank if said is not None else -2
        unit = unit_of(facts.unit_code, tag.unit) or (Unit("", tag.unit, tag.unit) if tag.unit else None)
        has_range = facts.low is not None and facts.high is not None
        is_number = said is not None and said.types[0].built_in in _NUMBERS and not said.types[0].members
        is_analog = is_number and has_range and unit is not None
        sizes = f' ArrayDimensions="{",".join(["0"] * rank)}"' if rank > 0 else ""
        about = f"<Description>{_text(facts.description)}</Description>" if facts.description else ""
        yield (
            f"<UAVariable NodeId={_attribute(node)} BrowseName={_name(name)} DataType={_attribute(data_type)} "
            f'ValueRank="{rank}"{sizes} AccessLevel="{facts.access & 3 or 1}">{_display(name)}{about}'
        )
        definition = _ANALOG if is_analog else _VARIABLE
        yield _references(("HasComponent", parent, False), ("HasTypeDefinition", definition, True)) + "</UAVariable>\n"
        if has_range:
            body = f"<uax:Range><uax:Low>{facts.low}</uax:Low><uax:High>{facts.high}</uax:High></uax:Range>"
            yield from self._property(source, node, "EURange", "i=884", "i=885", body)
        if unit is not None:
            yield from self._property(source, node, "EngineeringUnits", "i=887", "i=888", _unit(unit))

    def _property(self, source: str, parent: str, name: str, kind: str, encoding: str, body: str) -> Iterator[str]:
        node = self._id_of(source, f"{parent} {name}")
        yield (
            f'<UAVariable NodeId={_attribute(node)} BrowseName="{name}" DataType="{kind}">{_display(name)}'
            f"{_references(('HasProperty', parent, False), ('HasTypeDefinition', _PROPERTY, True))}"
            f"<Value><uax:ExtensionObject><uax:TypeId><uax:Identifier>{encoding}</uax:Identifier></uax:TypeId>"
            f"<uax:Body>{body}</uax:Body></uax:ExtensionObject></Value></UAVariable>\n"
        )

    # -- data types ---------------------------------------------------------------------------------------------------

    def _data_types(self, source: str, tag: Tag) -> Iterator[str]:
        """The types of a tag that are not of the standard, each once."""
        types = tag.variable_type.types if tag.variable_type is not None else ()
        fresh = [each for each in types if "=" in each.type_id and not each.type_id.startswith("i=")]
        fresh = [each for each in fresh if (source, each.type_id) not in self._types]
        for each in fresh:
            self._types[source, each.type_id] = self._node_of(each.type_id, source)
        known = {
            each.type_id: self._types[source, each.type_id] for each in types if (source, each.type_id) in self._types
        }
        places = {each.type_id: place for place, each in enumerate(types)}
        for each in fresh:
            back = {f.type_id for f in each.fields if places.get(f.type_id, len(places)) <= places[each.type_id]}
            back = {type_id for type_id in back if each.type_id in _inside(type_id, types)}
            if back:
                self._told.add("a structure that contains itself has any structure there", each.name or each.type_id)
            yield from self._data_type(source, each, {**known, **dict.fromkeys(back, _STRUCTURE)}, known[each.type_id])

    def _data_type(self, source: str, each: DataType, known: Mapping[str, str], node: str) -> Iterator[str]:
        name = each.name or each.type_id
        above = "i=29" if each.members else f"i={each.built_in}"
        yield (
            f"<UADataType NodeId={_attribute(node)} BrowseName={_name(name)}>{_display(name)}"
            f"{_references(('HasSubtype', above, False))}"
        )
        if each.members:
            values = "".join(f'<Field Name={_attribute(text or str(n))} Value="{n}"/>' for n, text in each.members)
            yield f"<Definition Name={_name(name)}>{values}</Definition>"
        elif each.fields:
            union = ' IsUnion="true"' if each.kind == 2 else ""
            yield f"<Definition Name={_name(name)}{union}>"
            for field in each.fields:
                kind = known.get(field.type_id) or (field.type_id if field.type_id.startswith("i=") else "i=24")
                rank = f' ValueRank="{field.rank}"' if field.rank != -1 else ""
                optional = ' IsOptional="true"' if field.is_optional else ""
                yield f"<Field Name={_attribute(field.name)} DataType={_attribute(kind)}{rank}{optional}/>"
            yield "</Definition>"
        yield "</UADataType>\n"
        if each.fields:
            encoding = self._id_of(source, f"{node} Default Binary")
            yield (
                f'<UAObject NodeId={_attribute(encoding)} BrowseName="Default Binary" SymbolicName="DefaultBinary">'
                f"{_display('Default Binary')}"
                f"{_references(('HasEncoding', node, False), ('HasTypeDefinition', _ENCODING, True))}</UAObject>\n"
            )
        if each.members:
            yield from self._members(source, node, each)

    def _members(self, source: str, parent: str, each: DataType) -> Iterator[str]:
        """EnumValues, which readers of version 1.03 look for."""
        values = "".join(
            "<uax:ExtensionObject><uax:TypeId><uax:Identifier>i=7616</uax:Identifier></uax:TypeId><uax:Body>"
            f"<uax:EnumValueType><uax:Value>{number}</uax:Value><uax:DisplayName><uax:Text>{_text(text)}</uax:Text>"
            "</uax:DisplayName></uax:EnumValueType></uax:Body></uax:ExtensionObject>"
            for number, text in each.members
        )
        node = self._id_of(source, f"{parent} EnumValues")
        yield (
            f'<UAVariable NodeId={_attribute(node)} BrowseName="EnumValues" DataType="i=7594" ValueRank="1" '
            f'ArrayDimensions="{len(each.members)}">{_display("EnumValues")}'
            f"{_references(('HasProperty', parent, False), ('HasTypeDefinition', _PROPERTY, True))}"
            f"<Value><uax:ListOfExtensionObject>{values}</uax:ListOfExtensionObject></Value></UAVariable>\n"
        )

    # -- node ids -----------------------------------------------------------------------------------------------------

    def _node_of(self, text: str, source: str) -> str:
        """The node id of a variable or a type of a server, here."""
        match = _NODE.match(text)
        index = self._uris.get(match[1] or "") if match is not None else None
        if match is not None and index is not None and match[2] != "i=0":  # some readers take that for no node id
            node = f"ns={index};{match[2]}"
            if node not in self._taken and _FORBIDDEN.search(node) is None and _NOT_IN_ID.search(node) is None:
                self._taken.add(node)
                return node
        return self._id_of(source, text)

    def _id_of(self, source: str, text: str) -> str:
        """A node id of ours."""
        base = "ns=1;s=" + _NOT_IN_ID.sub("_", _clean(f"{source} {text}".lstrip())).replace("=", ":")
        node, number = base, 1
        while node in self._taken:
            number += 1
            node = f"{base} {number}"
        self._taken.add(node)
        return node


def _inside(type_id: str, types: Sequence[DataType]) -> set[str]:
    """A type and the types of its parts, theirs included."""
    fields = {each.type_id: {field.type_id for field in each.fields} for each in types}
    found, following = {type_id}, [type_id]
    while following:
        fresh = fields.get(following.pop(), set()) - found
        found |= fresh
        following += fresh
    return found


def _unit(unit: Unit) -> str:
    uri = f"<uax:NamespaceUri>{_UN_CEFACT}</uax:NamespaceUri>" if unit.code else ""
    return (
        f"<uax:EUInformation>{uri}<uax:UnitId>{unit.opcua_id}</uax:UnitId>"
        f"<uax:DisplayName><uax:Text>{_text(unit.symbol)}</uax:Text></uax:DisplayName>"
        f"<uax:Description><uax:Text>{_text(unit.name)}</uax:Text></uax:Description></uax:EUInformation>"
    )


def _references(*said: tuple[str, str, bool]) -> str:
    lines = (
        f'<Reference ReferenceType="{kind}"{"" if forward else " IsForward=" + chr(34) + "false" + chr(34)}>'
        f"{_text(node)}</Reference>"
        for kind, node, forward in said
    )
    return f"<References>{''.join(lines)}</References>"


def _display(name: str) -> str:
    return f"<DisplayName>{_text(name)}</DisplayName>"


def _name(name: str) -> str:
    """A browse name in our namespace."""
    return _attribute(f"1:{name[:500]}")


def _plain(uri: str) -> str:
    """A URI as node ids have it, without its escapes."""
    return uri.replace("%3B", ";").replace("%25", "%")


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text.encode("utf-8", "replace").decode())


def _text(text: str) -> str:
    return escape(_clean(text), {"\r": "&#13;"})


def _attribute(text: str) -> str:
    return quoteattr(_clean(text))
