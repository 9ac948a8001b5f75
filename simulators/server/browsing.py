"""Browse and BrowseNext (OPC UA Part 4, 5.8.2 and 5.8.3): pages with continuation points, and the fields asked for.

Differences from asyncua's own: RequestedMaxReferencesPerNode and the result mask are honoured, and what does not exist
is refused with the code of the specification.
"""

import os
from collections.abc import Sequence

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.address_space import AddressSpace, ViewService

from simulators.server.limits import MOST_POINTS, bounded
from simulators.server.nodes import AttributeIds, StatusCodes, numeric, status

ALL_FIELDS = 63
"""A result mask that asks for every field of a reference."""
NONE = numeric(0)


class Browsing:
    """The browsing of one session, with its continuation points."""

    def __init__(self, store: AddressSpace) -> None:
        self._store = store
        self._views = ViewService(store)
        self._points: dict[bytes, tuple[list[ua.ReferenceDescription], int]] = {}

    def browse(self, params: ua.BrowseParameters) -> list[ua.BrowseResult]:
        bounded(params.NodesToBrowse)
        if not params.View.ViewId.is_null():
            raise ServiceError(StatusCodes.BadViewIdUnknown)
        most = int(params.RequestedMaxReferencesPerNode)
        return [self._browse(each, most) for each in params.NodesToBrowse]

    def next(self, params: ua.BrowseNextParameters) -> list[ua.BrowseResult]:
        bounded(params.ContinuationPoints)
        return [self._next(bytes(point), bool(params.ReleaseContinuationPoints)) for point in params.ContinuationPoints]

    def _browse(self, asked: ua.BrowseDescription, most: int) -> ua.BrowseResult:
        code = self._refused(asked)
        if code:
            return ua.BrowseResult(status(code))
        [found] = self._views.browse(ua.BrowseParameters(NodesToBrowse=[asked]))
        references = found.References
        if asked.ResultMask & ALL_FIELDS != ALL_FIELDS:
            references = [masked(each, int(asked.ResultMask)) for each in references]
        return self._page(references, most)

    def _refused(self, asked: ua.BrowseDescription) -> int:
        if asked.NodeId not in self._store:
            return StatusCodes.BadNodeIdUnknown
        if asked.BrowseDirection not in (0, 1, 2):
            return StatusCodes.BadBrowseDirectionInvalid
        kind = asked.ReferenceTypeId
        if not kind.is_null():
            value = self._store.read_attribute_value(kind, AttributeIds.NodeClass).Value
            if value is None or value.Value != ua.NodeClass.ReferenceType:
                return StatusCodes.BadReferenceTypeIdInvalid
        return 0

    def _next(self, point: bytes, release: bool) -> ua.BrowseResult:
        held = self._points.pop(point, None)
        if held is None:
            return ua.BrowseResult(status(StatusCodes.BadContinuationPointInvalid))
        return ua.BrowseResult() if release else self._page(*held)

    def _page(self, references: Sequence[ua.ReferenceDescription], most: int) -> ua.BrowseResult:
        if not most or len(references) <= most:
            return ua.BrowseResult(References=list(references))
        if len(self._points) >= MOST_POINTS:
            return ua.BrowseResult(status(StatusCodes.BadNoContinuationPoints))
        point = os.urandom(8)
        self._points[point] = list(references[most:]), most
        return ua.BrowseResult(ContinuationPoint=ua.ByteString(point), References=list(references[:most]))


def masked(reference: ua.ReferenceDescription, mask: int) -> ua.ReferenceDescription:
    """The fields of a reference that the mask asks for; the others are null (Part 4, 7.5)."""
    return ua.ReferenceDescription(
        ReferenceTypeId=reference.ReferenceTypeId if mask & 1 else NONE,
        IsForward=reference.IsForward if mask & 2 else False,
        NodeId=reference.NodeId,
        NodeClass=reference.NodeClass if mask & 4 else ua.NodeClass.Unspecified,
        BrowseName=reference.BrowseName if mask & 8 else ua.QualifiedName(),
        DisplayName=reference.DisplayName if mask & 16 else ua.LocalizedText(),
        TypeDefinition=reference.TypeDefinition if mask & 32 else NONE,
    )
