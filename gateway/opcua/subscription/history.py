"""Reads raw history (Part 11): the values of a period without a subscription.

History is read page by page, for a few variables at a time, and yielded as columns.  The next page is requested when
the last one is durable, so a long outage is filled at the speed of the outbox.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from asyncua import ua

from gateway.errors import Unavailable
from gateway.model import UNIX_EPOCH_TICKS
from gateway.opcua.codec.columns import Changes, read_item
from gateway.opcua.codec.decode import skip_response_header as skip_header
from gateway.opcua.codec.node_ids import node_of, text_of_node
from gateway.opcua.codec.wire import Dialect, Malformed, Reader, read_node_id
from gateway.opcua.session.asyncua_edge import TooLarge, peer_errors
from gateway.opcua.session.session import Session
from gateway.opcua.space.selection import Item

PAGE = 1000
"""Values per variable and request."""
NODES = 20
"""Variables per request.  Together with `PAGE` this limits the size of an answer."""
_CAN_READ_HISTORY = 0x04
_HISTORY_DATA = "i=658"


_Sample = tuple[int, object, int, int, int, str]
"""Type, value, status, source and server ticks, and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer for one variable."""

    status: int
    continuation: bytes
    samples: tuple[_Sample, ...]
    problem: str = ""
    """What is wrong behind the last sample, whose end was not found."""

    @property
    def is_failed(self) -> bool:
        return bool(self.status >> 31 or self.problem)


async def with_history(session: Session, items: Sequence[tuple[int, Item]]) -> list[tuple[int, ua.NodeId]]:
    """The variables whose history can be read: handles and nodes."""
    known = [
        (handle, node)
        for handle, item in items
        if item.asked.events is None and not item.text.startswith("/") and (node := node_of(item.text, session.uris))
    ]
    if not known:
        return []
    texts = {node: text_of_node(node, session.uris) for _, node in known}
    levels = await session.look_up("UserAccessLevel", texts, ua.AttributeIds.UserAccessLevel)
    return [pair for pair in known if isinstance(said := levels[pair[1]].good, int) and said & _CAN_READ_HISTORY]


async def read_history(
    session: Session, nodes: Sequence[tuple[int, ua.NodeId]], since_ticks: int, until_ticks: int, dialect: Dialect
) -> AsyncGenerator[tuple[Changes, list[int]], None]:
    """Pages of changes between two instants, both included, and the handles whose history could not be read.

    Each variable is in the order of time.  Raises `Unavailable` when the server is lost.
    """
    size = max(1, min(NODES, session.limits.history))
    todo = [(handle, node, b"") for handle, node in nodes]
    while todo:
        some = todo[: session.sizes.most("history", size)]
        answers = await _page(session, [(node, point) for _, node, point in some], (since_ticks, until_ticks), dialect)
        if answers is None:
            continue
        failed = [handle for (handle, _, _), answer in zip(some, answers, strict=True) if answer.is_failed]
        rows = [
            (handle, sample)
            for (handle, _, _), answer in zip(some, answers, strict=True)
            for sample in answer.samples
            if since_ticks <= (sample[3] or sample[4]) <= until_ticks
        ]
        yield _columns(rows), failed
        more = [
            (handle, node, answer.continuation)
            for (handle, node, _), answer in zip(some, answers, strict=True)
            if answer.continuation and not answer.is_failed
        ]
        todo = more + todo[len(some) :]


async def _page(
    session: Session, nodes: Sequence[tuple[ua.NodeId, bytes]], span: tuple[int, int], dialect: Dialect
) -> list[Answer] | None:
    """What the server has for these variables; None where it takes less in a call than this, which is remembered.

    A variable whose values are too many even by themselves gets fewer of them at once, and a Bad status in the end.
    Raises `Unavailable`.
    """
    values = session.sizes.most("history_values", PAGE)
    since_ticks, until_ticks = span
    details = raw_details(since_ticks, until_ticks + 10, values)
    try:
        with peer_errors("read history", session.where):
            answers = answers_of(await session.send(request_of(nodes, details)), dialect, len(nodes))
    except Unavailable as error:
        kind, count = ("history", len(nodes)) if len(nodes) > 1 else ("history_values", values)
        if await session.is_too_large(kind, count, error):
            return None
        if not isinstance(error, TooLarge) or len(nodes) > 1 or not session.is_open:
            raise
        return [Answer(error.code, b"", ())]
    session.sizes.answered("history", len(nodes))
    session.sizes.answered("history_values", values)
    return answers


def raw_details(start_ticks: int, end_ticks: int, values: int) -> ua.ReadRawModifiedDetails:
    """What was sampled between two instants, at most so many values at once (Part 11, 6.4.3)."""
    details = ua.ReadRawModifiedDetails()
    details.IsReadModified = False
    details.StartTime = instant_of(start_ticks)
    details.EndTime = instant_of(end_ticks)
    details.NumValuesPerNode = ua.UInt32(values)
    details.ReturnBounds = False
    return details


def request_of(
    nodes: Sequence[tuple[ua.NodeId, bytes]],
    details: ua.ReadRawModifiedDetails | ua.ReadProcessedDetails,
    *,
    is_release: bool = False,
) -> ua.HistoryReadRequest:
    """A request for these nodes, each with the continuation point of its last answer, or empty."""
    request = ua.HistoryReadRequest()
    request.Parameters.HistoryReadDetails = details
    request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
    request.Parameters.ReleaseContinuationPoints = is_release
    for node, point in nodes:
        wanted = ua.HistoryReadValueId()
        wanted.NodeId = node
        wanted.ContinuationPoint = point or None
        request.Parameters.NodesToRead.append(wanted)
    return request


def instant_of(ticks: int) -> datetime:
    """Ticks as a datetime, cut to microseconds: asyncua cannot send more."""
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=(ticks - UNIX_EPOCH_TICKS) // 10)


def answers_of(body: bytes, dialect: Dialect, count: int) -> list[Answer]:
    r = Reader(body, 0, len(body), dialect)
    skip_header(r)
    if r.count(9) != count:
        raise Malformed("the number of results is not that of variables")
    return [_answer(r, dialect) for _ in range(count)]


def _answer(r: Reader, dialect: Dialect) -> Answer:
    status, continuation = r.u32(), r.octets() or b""
    kind = read_node_id(r)
    size = r.i32() if r.u8() else 0
    start = r.step(max(0, size))
    if kind != _HISTORY_DATA:
        return Answer(status, continuation, ())
    inner = Reader(r.data, start, r.pos, dialect)
    samples = []
    problem = ""
    try:
        for _ in range(inner.fit(max(0, inner.i32()), 1)):
            samples.append(read_item(inner))
    except Malformed as error:
        problem = str(error) or "malformed"
    return Answer(status, continuation, tuple(samples), problem)


def _columns(rows: Sequence[tuple[int, _Sample]]) -> Changes:
    problems = {handle: sample[5] for handle, sample in reversed(rows) if sample[5]}
    return Changes(
        np.array([handle for handle, _ in rows], np.uint32),
        np.array([sample[0] for _, sample in rows], np.uint8),
        [sample[1] for _, sample in rows],
        np.array([sample[2] for _, sample in rows], np.uint32),
        np.array([sample[3] for _, sample in rows], np.int64),
        np.array([sample[4] for _, sample in rows], np.int64),
        sum(bool(sample[5]) for _, sample in rows),
        problem=next(iter(problems.values()), ""),
        culprits=tuple(problems),
    )
