"""What one request and one session may ask for.  The same figures are declared in ServerCapabilities."""

from collections.abc import Sequence

from asyncua.common.utils import ServiceError

from simulators.server.nodes import StatusCodes

MOST_NODES = 10_000
"""Operations of one request (OperationLimits, Part 5, 6.3.11)."""
MOST_POINTS = 100
"""Continuation points of one session, for Browse and for HistoryRead each."""
MOST_SUBSCRIPTIONS = 100
"""Subscriptions of one session."""
MOST_ITEMS = 200_000
"""Monitored items of one subscription."""
MOST_QUEUED = 10_000
MOST_SELECT, MOST_WHERE = 200, 100


def bounded(operations: Sequence[object]) -> None:
    """Refuse a request with nothing or too much to do."""
    if not operations:
        raise ServiceError(StatusCodes.BadNothingToDo)
    if len(operations) > MOST_NODES:
        raise ServiceError(StatusCodes.BadTooManyOperations)
