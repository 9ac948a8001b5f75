"""An edge node at one broker, from one session to the next.  See `SessionForm`."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from gateway.cancellation import unless_asked
from gateway.delivery import LateStage, Presence, Session, SharedSession
from gateway.errors import Unavailable
from gateway.link import Link
from gateway.payload.format import Place
from gateway.payload.sparkplug.deaths import EdgeDeaths
from gateway.payload.sparkplug.edge_settings import EdgeSettings
from gateway.payload.sparkplug.host import HostState
from gateway.payload.sparkplug.library import BD_SEQS, Library
from gateway.payload.sparkplug.node import Node
from gateway.payload.sparkplug.numbers import Numbers
from gateway.payload.sparkplug.session import EdgeSession

_SHARE = 1
"""Barriers that wait for their PUBACK."""


class EdgeForm:
    """The sessions of one edge node with one broker."""

    def __init__(
        self, node: Node, library: Library, settings: EdgeSettings, primary_host: str | None, host_timeout_s: float,
        place: Place | None = None,
    ) -> None:  # fmt: skip
        self._node = node
        self._library = library
        self._settings = settings
        self._primary_host = primary_host
        self._host_timeout_s = host_timeout_s
        self._place = place
        self._counted = self._used = 0
        """In a group: how many connections the log knows of, and how many there were."""
        self._deaths = EdgeDeaths(node.names, library.next_bd_seq if place is None else self._next_of_group)

    @property
    def presence(self) -> Presence:
        return self._deaths

    def late(self) -> LateStage:
        return Numbers(self._settings.compression)

    async def prepare(self) -> None:
        """In a group: know what is in the log, and have the log know the number of this connection.

        So no two owners use one number, and who has lost the broker does not connect.
        """
        if self._place is not None:
            await self._place.wait_caught_up()
            self._counted = await self._place.count_connection()
            self._used = self._counted - 1

    def _next_of_group(self) -> int:
        self._used += 1
        return (self._used - 1) % BD_SEQS

    async def _confirm(self) -> None:
        """Before the births: the broker may have been lost since, and connecting may have taken several attempts."""
        if self._place is None:
            return
        if self._used > self._counted:
            self._counted = await self._place.count_connection(self._used)
        await self._place.confirm()

    @asynccontextmanager
    async def around(self, session: Session, link: Link, topics: Sequence[str]) -> AsyncIterator[Session]:
        """The session of an edge node that is born.  `topics` are those that commands come on.

        Raises `Unavailable` when the broker refuses it, or when the primary host is not online in time.
        """
        host = HostState(self._primary_host) if self._primary_host is not None else None
        shared = SharedSession(session, _SHARE)
        edge = EdgeSession(shared, self._node, self._library, self._settings, self._deaths.bd_seq, host)

        def leave_for_another() -> None:
            session.tell(self._deaths.goodbye_now())
            link.turn += 1

        edge.on_host_offline = leave_for_another
        names = self._node.names
        wanted = [names.topic("NCMD"), names.topic("NBIRTH"), *([host.topic] if host is not None else []), *topics]
        tasks = [
            asyncio.create_task(unless_asked(partial(edge.listen, wanted)), name=f"arrivals of {link.peer}"),
            asyncio.create_task(unless_asked(edge.confirmations.keep_tables), name=f"tables of {link.peer}"),
            asyncio.create_task(unless_asked(edge.tell_figures), name=f"figures of {link.peer}"),
        ]
        for task in tasks:
            task.add_done_callback(partial(_tell_fault, shared))
        try:
            await edge.confirmations.wait_passed()  # behind the subscription
            if host is not None:
                await self._wait_online(edge, host, shared, link)
            await self._confirm()
            edge.begin()
            yield edge
        finally:
            edge.end()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _wait_online(self, edge: EdgeSession, host: HostState, shared: SharedSession, link: Link) -> None:
        try:
            async with asyncio.timeout(self._host_timeout_s):
                while not host.is_online:
                    edge.host_changed.clear()
                    if edge.is_lost:
                        await shared.wait_closed()
                    await edge.host_changed.wait()
        except TimeoutError:
            link.turn += 1
            raise Unavailable(f"the primary host {host.host!r} has not said that it is online") from None


def _tell_fault(session: SharedSession, task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        session.fail(error)
