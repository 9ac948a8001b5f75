"""The data types of variables and arguments, as forms of the values that may be sent."""

from dataclasses import replace

from asyncua import ua

from gateway.opcua.codec.node_ids import node_of, text_of_node
from gateway.opcua.codec.standard import STRUCTURE_DEFINITION
from gateway.opcua.operations.targets import inverse
from gateway.opcua.session.session import Session
from gateway.opcua.space.browse import VARIABLE, children
from gateway.opcua.space.data_types import listed_members, members_of
from gateway.opcua.space.structures import Definition, built_in, definition_of, encodings_of, read_definitions
from gateway.operations import FieldForm, Form, Members
from gateway.values import Structure

_HAS_PROPERTY = ua.NodeId(ua.Int32(ua.ObjectIds.HasProperty), ua.Int16(0))
_HAS_SUBTYPE = ua.NodeId(ua.Int32(ua.ObjectIds.HasSubtype), ua.Int16(0))
_DATA_TYPE = 64
"""Node class bit."""
_MAX_LEVELS = 50
_MOST_PARTS = 1000
"""Data types inside one."""
_INT32, _STRUCTURE = 6, 22
_OPTION_SETS = (3, 5, 7, 9)
"""Byte, UInt16, UInt32, UInt64: the built-in types of option sets (Part 3, 8.40)."""
_NO_NODE = "i=0"


class DataTypes:
    """The data types of a server, each read once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.forms: dict[str, Form] = {}
        """By node id."""

    async def of(self, data_type: str) -> Form:
        """The form of this data type; those of everything inside it are in `forms` then.  Raises `Unavailable`."""
        wanted = [data_type]
        for text in wanted:
            if text not in self.forms:
                self.forms[text] = await self._read(text)
            if len(wanted) < _MOST_PARTS:
                wanted += {field.data_type for field in self.forms[text].fields} - set(wanted)
        return self.forms[data_type]

    async def _read(self, text: str) -> Form:
        node = node_of(text, self._session.uris)
        if node is None:
            return Form(0)
        kind = await self._built_in(node)
        if text == f"i={kind}":
            return Form(kind)
        if kind == _INT32:
            return Form(kind, members=await members_of(self._session, node))
        if kind in _OPTION_SETS:
            return Form(kind, options=await self._options(node))
        return await self._structure(text, node) if kind == _STRUCTURE else Form(kind)

    async def _options(self, node: ua.NodeId) -> Members:
        """The bits of an option set, by its definition, else by its property (Part 3, 5.8.3)."""
        defined = await members_of(self._session, node)
        if defined:
            return defined
        [properties] = await children(self._session, [node], reference=_HAS_PROPERTY, classes=VARIABLE)
        named = [each.node for each in properties if each.name == "OptionSetValues"]
        said = await self._session.read_values(named) if named else []
        return tuple(member for each in said for member in listed_members(each.good) if member[1])

    async def _structure(self, text: str, node: ua.NodeId) -> Form:
        [answer] = await read_definitions(self._session, [node])
        said = answer.good
        definition = None
        if isinstance(said, Structure) and said.type_id == STRUCTURE_DEFINITION:
            definition = definition_of(text, said)
        if definition is None or not isinstance(said, Structure):
            return Form(_STRUCTURE, data_type=text)
        encoding = str(said.fields["DefaultEncodingId"].value)
        if encoding == _NO_NODE:
            encoding = next(iter(await encodings_of(self._session, [node])), "")
        return _form_of(definition, encoding)

    async def _built_in(self, data_type: ua.NodeId) -> int:
        """The built-in type of the nearest supertype that has one.  0: an abstract type such as Number."""
        node = data_type
        for _ in range(_MAX_LEVELS):
            found = built_in(text_of_node(node, self._session.uris), 0)
            if found:
                return found
            above = await inverse(self._session, node, _HAS_SUBTYPE, _DATA_TYPE)
            if not above:
                return 0
            node = above[0]
        return 0


def _form_of(definition: Definition, encoding: str) -> Form:
    """A structure with a field of any type has no value that could be checked, so none can be made."""
    fields = tuple(FieldForm(f.name, f.data_type, f.dimensions, f.is_optional) for f in definition.fields)
    form = Form(_STRUCTURE, data_type=definition.data_type, encoding=encoding, kind=definition.kind, fields=fields)
    return replace(form, encoding="") if any(field.allows_subtypes for field in definition.fields) else form
