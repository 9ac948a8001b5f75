"""The history of one variable for a command: raw values and aggregates (Part 11, 6.4.3 and 6.4.4).

No continuation point outlives a request: a page begins at an instant, so nothing is left on the server between two.
"""

from collections.abc import Awaitable, Callable

from asyncua import ua

from gateway.opcua.codec.wire import Dialect, Malformed
from gateway.opcua.session.asyncua_edge import peer_errors
from gateway.opcua.session.session import Session
from gateway.opcua.subscription.history import Answer, answers_of, instant_of, raw_details, request_of
from gateway.operations import Past, PastPage, PastValue
from gateway.values import Typed

MOST_PAGES = 100
"""Answers of the server for one page of ours; it may give few values at once."""
_BAD = 0x8000_0000
_NO_DATA = (0x809B_0000, 0x00A5_0000)
"""BadNoData and GoodNoData: there is nothing in this time, which is no failure."""
Ask = Callable[[ua.HistoryReadRequest], Awaitable[bytes | int]]
"""Sends it; the answer, or the fault that the server answers with."""


async def past_of(session: Session, node: ua.NodeId, wanted: Past, dialect: Dialect, ask: Ask) -> PastPage:
    """The values from `start_ticks` on, at most `limit`, and whether there are more.  Raises `Unavailable`."""
    details = (
        _processed(wanted)
        if wanted.aggregate
        else raw_details(wanted.start_ticks, wanted.end_ticks, wanted.limit + wanted.skip + 1)
    )
    found, point, skipped, answer = list[PastValue](), b"", 0, Answer(0, b"", ())
    for _ in range(MOST_PAGES):
        body = await ask(request_of([(node, point)], details))
        if isinstance(body, int):
            return PastPage((), body)
        with peer_errors("read history", session.where):
            [answer] = answers_of(body, dialect, 1)
            if answer.problem:
                raise Malformed(answer.problem)
        if answer.status & _BAD and answer.status not in _NO_DATA:
            return PastPage(tuple(found), answer.status)
        for kind, value, status, source_ticks, server_ticks, _ in answer.samples:
            ticks = source_ticks or server_ticks
            if not wanted.start_ticks <= ticks < wanted.end_ticks:
                continue
            if ticks == wanted.start_ticks and skipped < wanted.skip:
                skipped += 1
                continue
            found.append(PastValue(ticks, Typed(kind, value) if kind else None, status))
        point = answer.continuation
        if not point or len(found) > wanted.limit:
            break
    if point:
        await ask(request_of([(node, point)], details, is_release=True))
    is_more = bool(point) or len(found) > wanted.limit
    return PastPage(tuple(found[: wanted.limit]), 0, is_more)


def _processed(wanted: Past) -> ua.ReadProcessedDetails:
    details = ua.ReadProcessedDetails()
    details.StartTime, details.EndTime = instant_of(wanted.start_ticks), instant_of(wanted.end_ticks)
    details.ProcessingInterval = ua.Duration(wanted.interval_s * 1000.0)
    number = getattr(ua.ObjectIds, f"AggregateFunction_{wanted.aggregate}")
    details.AggregateType = [ua.NodeId(ua.Int32(number), ua.Int16(0))]
    return details
