"""Sessions and connections: who may come in, which session a request belongs to, and where publishes go.

What differs from asyncua's own: the authentication token of a session is 32 random bytes instead of a counter, so that
nobody takes over a session by guessing; subscriptions outlive a session that times out; TransferSubscriptions moves the
subscription *and* the publish requests it is answered with; the requests of a dead connection are forgotten at once; a
peer that stops reading is not read from either, so that its answers do not pile up.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from copy import copy
from datetime import timedelta
from functools import cache
from pathlib import Path

from asyncua import ua
from asyncua.common.connection import TransportLimits
from asyncua.common.node import Node
from asyncua.common.utils import Buffer, ServiceError
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.address_space import AddressSpace, AttributeValue, NodeData, NodeManagementService
from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession
from asyncua.server.standard_address_space.standard_address_space import fill_address_space
from asyncua.server.uaprocessor import PublishRequestData, UaProcessor
from asyncua.server.user_managers import UserManager

from simulators.server.nodes import ObjectIds, StatusCodes, numeric, opaque_id
from simulators.server.subscriptions import Answer, Ask, Subscriptions

Judge = Callable[[ua.WriteValue, User], ua.StatusCode | None]
"""Says whether a client may write this; None when it has no opinion."""
ReadHistory = Callable[[ua.HistoryReadParameters], list[ua.HistoryReadResult]]
Disturb = Callable[[ua.NodeId], Awaitable[None]]
"""Called with the type of each request before it is worked on: it may wait, or raise a `ServiceError`."""


NOBODY = User(role=UserRole.Anonymous)


class Session(InternalSession):
    """One session, of a client or of the server itself."""

    iserver: "Core"

    def __init__(self, core: "Core", name: str, user: User, external: bool) -> None:
        super().__init__(core, core.aspace, core.subscription_service, name, user=user, external=False)
        self.external = external
        self.subscriptions = core.subscriptions
        if external:
            self.auth_token = opaque_id(os.urandom(32))
            core.register_external_session(self)

    async def close_session(self, delete_subs: bool = True) -> None:
        """What times out leaves its subscriptions behind: they live for their own lifetime, and whoever has the same
        user may take them up (Part 4, 5.14.1.1 and 5.14.7).  asyncua's own deletes them."""
        timed_out = self._timeout_task is not None and asyncio.current_task() is self._timeout_task
        await super().close_session(delete_subs and not timed_out)

    async def create_subscription(
        self,
        params: ua.CreateSubscriptionParameters,
        callback: Answer,
        request_callback: Ask | None = None,
    ) -> ua.CreateSubscriptionResult:
        return await self.subscriptions.create_for(self, params, callback, request_callback)

    def publish(self, acks: Iterable[ua.SubscriptionAcknowledgement] | None = None) -> tuple[int, list[ua.StatusCode]]:
        results = self.subscriptions.acknowledge_for(self, acks or [])
        return len(self.subscriptions.of(self)), results

    async def transfer_subscriptions(  # type: ignore[override]  # as asyncua's own: the server side needs the answer
        self, params: ua.TransferSubscriptionsParameters, callback: Answer
    ) -> list[ua.TransferResult]:
        connection = getattr(callback, "__self__", None)
        if not isinstance(connection, Connection):
            raise ServiceError(StatusCodes.BadInternalError)
        return [
            self.subscriptions.transfer_to(self, number, bool(params.SendInitialValues), callback, connection.ask)
            for number in params.SubscriptionIds
        ]

    async def write(self, params: ua.WriteParameters) -> list[ua.StatusCode]:
        """Each value is judged by itself: what is refused is not written, the rest is."""
        verdicts = [self.iserver.judge(value, self.user) if self.external else None for value in params.NodesToWrite]
        allowed = [v for v, verdict in zip(params.NodesToWrite, verdicts, strict=True) if verdict is None]
        written = iter(await super().write(ua.WriteParameters(allowed)) if allowed else [])
        return [next(written) if verdict is None else verdict for verdict in verdicts]

    async def call(self, params: list[ua.CallMethodRequest]) -> list[ua.CallMethodResult]:
        """Methods may ask the core who calls them."""
        self.iserver.caller = self.user if self.external else None
        return await super().call(params)

    async def history_read(self, params: ua.HistoryReadParameters) -> list[ua.HistoryReadResult]:
        if self.iserver.read_history is None:
            return await super().history_read(params)
        return self.iserver.read_history(params)


class Connection(UaProcessor):
    """The requests of one TCP connection."""

    iserver: "Core"

    def ask(self, subscription_id: int) -> PublishRequestData | None:
        """A stored publish request to answer with; without one, the next to arrive is answered at once."""
        request: PublishRequestData | None = self.get_publish_request(ua.UInt32(subscription_id))
        return request

    def forget_subscription(self, subscription_id: int) -> None:
        """It has moved away: the next publish request of this connection is not for it."""
        self._publish_results_subs.pop(ua.IntegerId(subscription_id), None)

    async def _process_message(
        self, typeid: ua.NodeId, requesthdr: ua.RequestHeader, seqhdr: ua.SequenceHeader, body: Buffer
    ) -> bool | None:
        if self.iserver.disturb is not None:
            await self.iserver.disturb(typeid)
        answer: bool | None = await super()._process_message(typeid, requesthdr, seqhdr, body)  # type: ignore[no-untyped-call]  # asyncua left its annotations out
        return answer

    async def close(self) -> None:
        """The connection is lost: what is published from now on waits for the next one."""
        self._publish_requests.clear()
        self._publish_results_subs.clear()
        await super().close()  # type: ignore[no-untyped-call]  # asyncua left its annotations out


class Wire(OPCUAProtocol):
    """The bytes of one TCP connection."""

    iserver: "Core"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self.iserver.admits():
            transport.close()
            return
        super().connection_made(transport)
        if self.transport is not None:
            self.processor = Connection(self.iserver, self.transport, self.limits)
            self.processor.set_policies(self.policies)  # type: ignore[no-untyped-call]  # the same

    def pause_writing(self) -> None:
        """The peer does not read its answers: take no more questions."""
        if self.transport is not None:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.transport is not None:
            self.transport.resume_reading()


class Listener(BinaryServer):
    """The TCP port, bound before anything else so that a port that is taken is known at once."""

    def __init__(self, core: "Core", bound: socket.socket, limits: TransportLimits) -> None:
        host, port = bound.getsockname()[:2]
        super().__init__(core, host, port, limits)
        self._bound = bound

    def _make_protocol(self) -> OPCUAProtocol:
        return Wire(self.iserver, self._policies, self.clients, self.closing_tasks, self.limits)

    async def start(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(self._make_protocol, sock=self._bound)
        self.cleanup_task = asyncio.create_task(self._close_task_loop(), name="opcua-clean-up")


@cache
def standard_nodes() -> Mapping[ua.NodeId, NodeData]:
    """The address space that every OPC UA server has, built once: it takes a second.  Nobody may change it."""
    store = AddressSpace()
    fill_address_space(NodeManagementService(store))  # type: ignore[no-untyped-call]  # generated code
    return {node_id: store[node_id] for node_id in store.keys()}  # noqa: SIM118 - it is no dict


def copied(node: NodeData) -> NodeData:
    """A node of its own, on values that nobody changes in place."""
    twin = NodeData(node.nodeid)
    twin.references = list(node.references)
    for attribute, held in node.attributes.items():
        assert held.value is not None
        twin.attributes[attribute] = AttributeValue(held.value)
    return twin


class Core(InternalServer):
    """What all connections of one server share."""

    def __init__(self, users: UserManager) -> None:
        super().__init__(user_manager=users)
        self.subscriptions = Subscriptions(self.aspace, iserver=self)
        self.subscription_service = self.subscriptions
        self.isession = Session(self, "Internal", User(role=UserRole.Admin), external=False)
        self.current_time_node = Node(self.isession, numeric(ObjectIds.Server_ServerStatus_CurrentTime))
        self.server_status_node = Node(self.isession, numeric(ObjectIds.Server_ServerStatus))
        self.disabled_clock = True  # ours is a task with a parent
        self.caller: User | None = None
        """Who called the method that runs."""
        self.read_history: ReadHistory | None = None
        self.judge: Judge = lambda value, user: None
        self.disturb: Disturb | None = None
        self.admits: Callable[[], bool] = lambda: True
        self.session_limit = 100

    def create_session(
        self,
        name: str,
        user: User = NOBODY,
        external: bool = False,
    ) -> InternalSession:
        if external and len(self._external_sessions) >= self.session_limit:
            raise ServiceError(StatusCodes.BadTooManySessions)
        return Session(self, name, user, external)

    async def load_standard_address_space(self, shelf_file: Path | None = None) -> None:
        for node_id, node in (await asyncio.to_thread(standard_nodes)).items():
            self.aspace[node_id] = copied(node)

    @property
    def sessions(self) -> list[InternalSession]:
        return list(self._external_sessions.values())

    async def write_clock(self, offset: timedelta) -> None:
        """Bring Server_ServerStatus up to date, by a clock that may be wrong; messages go by it as well."""
        self.subscriptions.clock_offset = offset
        status = copy(await self.server_status_node.read_value())
        status.CurrentTime = self.subscriptions.now()
        await self.server_status_node.write_value(status)
        await self.current_time_node.write_value(status.CurrentTime)
