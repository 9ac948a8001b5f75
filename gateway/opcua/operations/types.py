"""The built-in type of a variable or an argument, and the members of an enumeration."""

from asyncua import ua

from gateway.opcua.codec.node_ids import text_of_node
from gateway.opcua.operations.targets import inverse
from gateway.opcua.session.session import Session
from gateway.opcua.space.data_types import Members, members_of
from gateway.opcua.space.structures import built_in

_HAS_SUBTYPE = ua.NodeId(ua.Int32(ua.ObjectIds.HasSubtype), ua.Int16(0))
_DATA_TYPE = 64
"""Node class bit."""
_MAX_LEVELS = 50

Kind = tuple[int, Members]
"""Built-in type (0: one of several), and members of an enumeration."""


class DataTypes:
    """The data types of a server, each read once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[str, Kind] = {}

    async def of(self, data_type: ua.NodeId) -> Kind:
        text = text_of_node(data_type, self._session.uris)
        if text not in self._known:
            kind = await self._built_in(data_type)
            members = await members_of(self._session, data_type) if kind == _INT32 and text != f"i={_INT32}" else ()
            self._known[text] = kind, members
        return self._known[text]

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


_INT32 = 6
