"""Variables read on demand, beside what their subscription or cycle brings."""

from collections.abc import Mapping, Sequence

from asyncua import ua

from gateway.opcua.codec.columns import Changes
from gateway.opcua.codec.wire import Dialect
from gateway.opcua.session.asyncua_edge import peer_errors
from gateway.opcua.session.session import Session
from gateway.opcua.space.selection import Table
from gateway.opcua.subscription.batches import joined
from gateway.opcua.subscription.reading import columns, read_request, read_results


def handles_of(table: Table, texts: Sequence[str]) -> list[int | None]:
    """The tag with each of these node ids; None for one that is no tag."""
    known = {item.text: handle for handle, item in enumerate(table.items) if item.asked.events is None}
    return [known.get(text) for text in texts]


async def read_now(session: Session, nodes: Mapping[int, ua.NodeId], dialect: Dialect) -> Changes:
    """The present value of each node, under its handle.  Raises `Unavailable`."""

    async def some(handles: Sequence[int]) -> list[Changes]:
        with peer_errors("read", session.where):
            body = await session.send(read_request([nodes[handle] for handle in handles]))
            return [read_results(body, handles, dialect)[0]]

    return joined(await session.in_calls("read", list(nodes), some, alone=too_large))


def too_large(handle: int, status: int) -> Changes:
    """The value of this variable alone is more than the server sends."""
    return columns([handle], [(0, None, status, 0, 0)])
