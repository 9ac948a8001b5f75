"""Event filters (OPC UA Part 4, 7.4 and 7.22.3): checked when an item is created, applied to each event.

Operators: Equals, IsNull, GreaterThan, LessThan, GreaterThanOrEqual, LessThanOrEqual, Like, Not, Between, InList, And,
Or, BitwiseAnd, BitwiseOr, OfType (with subtypes).  Cast, InView and RelatedTo are refused.  And, Or and Not know three
values, null is the third (Part 4, table 122).  A field that an event does not have is null, in a filter and in a
notification.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial

from asyncua import ua
from asyncua.common.events import Event
from asyncua.server.address_space import AddressSpace

from simulators.server.nodes import AttributeIds, ObjectIds, StatusCodes, numeric, status
from simulators.server.ranges import NumericRange

Operator = ua.FilterOperator
HAS_SUBTYPE = numeric(ObjectIds.HasSubtype)
BASE_EVENT = numeric(ObjectIds.BaseEventType)
OPERANDS: dict[Operator, tuple[int, int]] = {
    Operator.Equals: (2, 2), Operator.IsNull: (1, 1), Operator.GreaterThan: (2, 2), Operator.LessThan: (2, 2),
    Operator.GreaterThanOrEqual: (2, 2), Operator.LessThanOrEqual: (2, 2), Operator.Like: (2, 2), Operator.Not: (1, 1),
    Operator.Between: (3, 3), Operator.InList: (2, 1000), Operator.And: (2, 2), Operator.Or: (2, 2),
    Operator.BitwiseAnd: (2, 2), Operator.BitwiseOr: (2, 2), Operator.OfType: (1, 1),
}  # fmt: skip
"""The supported operators, with the least and the largest number of operands."""
DEEPEST = 64


def is_subtype(store: AddressSpace, node_id: ua.NodeId, base: ua.NodeId) -> bool:
    """Whether a type is `base` or below it."""
    for _ in range(DEEPEST):
        if node_id == base:
            return True
        node = store.get(node_id)
        above = (
            [r.NodeId for r in node.references if r.ReferenceTypeId == HAS_SUBTYPE and not r.IsForward] if node else []
        )
        if not above:
            return False
        node_id = above[0]
    return False


def check_select(store: AddressSpace, clause: ua.SimpleAttributeOperand) -> int:
    """The status of one select clause."""
    if not clause.TypeDefinitionId.is_null() and not is_subtype(store, clause.TypeDefinitionId, BASE_EVENT):
        return StatusCodes.BadTypeDefinitionInvalid
    if clause.AttributeId not in (AttributeIds.Value, AttributeIds.NodeId):
        known = 1 <= clause.AttributeId <= 27
        return StatusCodes.BadAttributeIdInvalid if not known or clause.BrowsePath else 0
    if any(not name.Name for name in clause.BrowsePath or ()):
        return StatusCodes.BadBrowseNameInvalid
    if clause.IndexRange and NumericRange.read(clause.IndexRange) is None:
        return StatusCodes.BadIndexRangeInvalid
    return 0


def check_element(number: int, element: ua.ContentFilterElement, count: int, store: AddressSpace) -> list[int]:
    """The status of one element of a where clause, followed by those of its operands."""
    operands = element.FilterOperands or []
    allowed = OPERANDS.get(element.FilterOperator)
    if allowed is None:
        return [StatusCodes.BadFilterOperatorUnsupported, *(0 for _ in operands)]
    if not allowed[0] <= len(operands) <= allowed[1]:
        return [StatusCodes.BadFilterOperandCountMismatch, *(0 for _ in operands)]
    results = [_check_operand(number, operand, count, store) for operand in operands]
    return [StatusCodes.BadFilterOperandInvalid if any(results) else 0, *results]


def _check_operand(number: int, operand: object, count: int, store: AddressSpace) -> int:
    if isinstance(operand, ua.ElementOperand):
        # an element may refer only to later ones, so that there is no circle
        return 0 if number < operand.Index < count else StatusCodes.BadFilterOperandInvalid
    if isinstance(operand, ua.SimpleAttributeOperand):
        return check_select(store, operand)
    return 0 if isinstance(operand, ua.LiteralOperand) else StatusCodes.BadFilterOperandInvalid


def check(store: AddressSpace, asked: object) -> tuple[int, ua.EventFilterResult | None]:
    """The status of an item with this filter, and the result that says which part of it is wrong."""
    if not isinstance(asked, ua.EventFilter):
        return (StatusCodes.BadEventFilterInvalid, None)
    selects = [check_select(store, clause) for clause in asked.SelectClauses or []]
    elements = (asked.WhereClause.Elements if asked.WhereClause else None) or []
    wheres = [check_element(n, element, len(elements), store) for n, element in enumerate(elements)]
    if selects and not any(selects) and not any(first for first, *_ in wheres):
        return 0, None
    result = ua.EventFilterResult(SelectClauseResults=[status(code) for code in selects])
    result.WhereClauseResult.ElementResults = [
        ua.ContentFilterElementResult(status(first), [status(code) for code in rest]) for first, *rest in wheres
    ]
    return StatusCodes.BadEventFilterInvalid, result


def fields_of(event: Event, clauses: Sequence[ua.SimpleAttributeOperand]) -> list[ua.Variant]:
    """The fields that a filter selects, with their index ranges.  A path may be null as well as empty."""
    return [_field(event, clause) for clause in clauses]


def _field(event: Event, clause: ua.SimpleAttributeOperand) -> ua.Variant:
    path = "/".join(str(name.Name) for name in clause.BrowsePath or ())
    name = path or ("NodeId" if clause.AttributeId == AttributeIds.NodeId else "")
    kind, content = event.data_types.get(name), getattr(event, name, None) if name else None
    if clause.IndexRange:
        part = NumericRange.read(clause.IndexRange)
        content = part.of(content) if part is not None else None
    return ua.Variant(content, kind) if content is not None and kind is not None else ua.Variant()


class Where:
    """A checked where clause."""

    def __init__(self, store: AddressSpace, asked: ua.ContentFilter | None) -> None:
        self._store = store
        self._elements = (asked.Elements if asked else None) or []

    def eval(self, event: Event) -> bool:
        """Whether the event passes.  Null does not pass."""
        return not self._elements or self._element(0, event) is True

    def _element(self, index: int, event: Event) -> object:
        element = self._elements[index]
        operands = [partial(self._operand, operand, event) for operand in element.FilterOperands]
        if element.FilterOperator is Operator.OfType:
            kind, base = getattr(event, "EventType", None), operands[0]()
            return isinstance(kind, ua.NodeId) and isinstance(base, ua.NodeId) and is_subtype(self._store, kind, base)
        return apply(element.FilterOperator, operands)

    def _operand(self, operand: object, event: Event) -> object:
        if isinstance(operand, ua.ElementOperand):
            return self._element(operand.Index, event)
        if isinstance(operand, ua.SimpleAttributeOperand):
            return _field(event, operand).Value
        return operand.Value.Value if isinstance(operand, ua.LiteralOperand) and operand.Value else None


def apply(operator: Operator, operands: Sequence[Callable[[], object]]) -> object:
    """Apply an operator to its operands, which are asked only when needed."""
    if operator in (Operator.And, Operator.Or):
        decided = operator is Operator.Or
        first, second = _truth(operands[0]()), _truth(operands[1]())
        if decided in (first, second):
            return decided
        return None if None in (first, second) else not decided
    values = [operand() for operand in operands]
    if operator is Operator.IsNull:
        return values[0] is None
    if operator is Operator.Not:
        truth = _truth(values[0])
        return None if truth is None else not truth
    if operator is Operator.InList:
        return any(values[0] == each for each in values[1:])
    if None in values:
        return None
    try:
        return COMPARE[operator](*values)
    except TypeError:  # of types that cannot be compared
        return None


def _truth(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def like(text: object, pattern: object) -> bool | None:
    """Whether a text matches a pattern with %, _, [list], [^list] and a backslash before what is meant as such."""
    text, pattern = (value.Text if isinstance(value, ua.LocalizedText) else value for value in (text, pattern))
    if not isinstance(text, str) or not isinstance(pattern, str):
        return None
    signs = re.findall(r"\\.|\[\^?[^\]]*\]|.", pattern, re.DOTALL)
    parts = [_sign(sign) for sign in signs]
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


def _sign(sign: str) -> str:
    if sign == "%":
        return ".*"
    if sign == "_":
        return "."
    if len(sign) > 2 and sign[0] == "[":
        negated = sign[1] == "^"
        body = sign[2 if negated else 1 : -1].replace("\\", "\\\\").replace("[", "\\[")
        return f"[{'^' if negated else ''}{body}]" if body else "(?!)"
    return re.escape(sign[1] if sign[0] == "\\" and len(sign) == 2 else sign)


def _number(value: object) -> float | int | str:
    """A value that has an order with others.  Raises TypeError."""
    value = value.Text if isinstance(value, ua.LocalizedText) else value
    value = value.timestamp() if hasattr(value, "timestamp") else value
    if not isinstance(value, int | float | str):
        raise TypeError
    return value


def _ordered(compare: Callable[[int], bool], first: object, second: object) -> bool:
    one, other = _number(first), _number(second)
    if isinstance(one, str) != isinstance(other, str):
        raise TypeError
    return compare((one > other) - (one < other))  # type: ignore[operator]  # both are texts, or both numbers


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


COMPARE: dict[Operator, Callable[..., object]] = {
    Operator.Equals: lambda one, other: one == other,
    Operator.GreaterThan: partial(_ordered, lambda sign: sign > 0),
    Operator.LessThan: partial(_ordered, lambda sign: sign < 0),
    Operator.GreaterThanOrEqual: partial(_ordered, lambda sign: sign >= 0),
    Operator.LessThanOrEqual: partial(_ordered, lambda sign: sign <= 0),
    Operator.Between: lambda value, low, high: (
        _ordered(lambda s: s >= 0, value, low) and _ordered(lambda s: s <= 0, value, high)
    ),
    Operator.Like: like,
    Operator.BitwiseAnd: lambda one, other: _whole(one) & _whole(other),
    Operator.BitwiseOr: lambda one, other: _whole(one) | _whole(other),
}
