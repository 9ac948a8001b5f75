"""Sessions and connections: who may connect, to which session a request belongs, and where publish responses go.

Differences from asyncua's own: the authentication token of a session is 32 random bytes instead of a counter, so that
nobody can guess it.  Subscriptions outlive a session that times out.  TransferSubscriptions moves the subscription
*and* the publish requests for its answers.  The requests of a dead connection are forgotten at once.  A client that
stops reading is not read from either, so that its answers do not pile up.
"""

import asyncio
import os
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from copy import copy
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from asyncua import ua
from asyncua.common.connection import TransportLimits
from asyncua.common.node import Node
from asyncua.common.utils import Buffer, ServiceError
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession
from asyncua.server.uaprocessor import PublishRequestData, UaProcessor
from asyncua.server.user_managers import UserManager
from asyncua.ua.ua_binary import struct_from_binary

from simulators.server.browsing import Browsing
from simulators.server.history import Points
from simulators.server.limits import bounded
from simulators.server.nodes import AttributeIds, ObjectIds, StatusCodes, numeric, opaque_id, status
from simulators.server.reading import as_asked, check_read
from simulators.server.standard_space import copied, standard_nodes
from simulators.server.subscriptions import Answer, Ask, Subscription, Subscriptions

Judge = Callable[[ua.WriteValue, User], ua.StatusCode | None]
"""Decides whether a client may write a value.  None: it does not decide."""
ReadHistory = Callable[[ua.HistoryReadParameters, Points], list[ua.HistoryReadResult]]
Disturb = Callable[[ua.NodeId], Awaitable[None]]
"""Called with the type of each request before the request is processed.  It may wait, or raise a `ServiceError`."""


NOBODY = User(role=UserRole.Anonymous)
NAMES: Mapping[ua.NodeId, str] = {
    numeric(number): name.partition("Request_")[0]
    for name, number in vars(ObjectIds).items()
    if name.endswith("Request_Encoding_DefaultBinary")
}
"""The services by the types of their requests."""
BROWSE_NEXT, SET_TRIGGERING, REGISTER_NODES = (
    numeric(getattr(ObjectIds, f"{name}Request_Encoding_DefaultBinary"))
    for name in ("BrowseNext", "SetTriggering", "RegisterNodes")
)
OWN_SERVICES = (BROWSE_NEXT, SET_TRIGGERING)


class Session(InternalSession):
    """One session, of a client or of the server itself."""

    iserver: "Core"

    def __init__(self, core: "Core", name: str, user: User, external: bool) -> None:
        super().__init__(core, core.aspace, core.subscription_service, name, user=user, external=False)
        self.external = external
        self.application_uri = ""
        """What the client calls itself."""
        self.subscriptions = core.subscriptions
        self.browsing = Browsing(core.aspace)
        self.history_points = Points()
        self.counts: Counter[str] = Counter()
        """How often each service was asked for."""
        self.began = datetime.now(UTC)
        if external:
            core.sessions_made += 1
            self.auth_token = opaque_id(os.urandom(32))
            core.register_external_session(self)

    async def create_session(
        self, params: ua.CreateSessionParameters, sockname: tuple[str, int] | None = None
    ) -> ua.CreateSessionResult:
        self.application_uri = params.ClientDescription.ApplicationUri or ""
        return await super().create_session(params, sockname)

    async def close_session(self, delete_subs: bool = True) -> None:
        """Close the session.  A session that times out leaves its subscriptions: they live for their own lifetime, and
        the same user may transfer them (Part 4, 5.14.1.1 and 5.14.7).  asyncua's own deletes them."""
        timed_out = self._timeout_task is not None and asyncio.current_task() is self._timeout_task
        self.iserver.sessions_timed_out += timed_out
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

    async def transfer_subscriptions(  # type: ignore[override]  # as in asyncua: the server side needs the answer
        self, params: ua.TransferSubscriptionsParameters, callback: Answer
    ) -> list[ua.TransferResult]:
        connection = getattr(callback, "__self__", None)
        if not isinstance(connection, Connection):
            raise ServiceError(StatusCodes.BadInternalError)
        is_open = self.iserver.offers_security and not connection.is_secured
        move = partial(self.subscriptions.transfer_to, self, is_open=is_open, answer=callback, ask=connection.ask)
        return [move(number, bool(params.SendInitialValues)) for number in params.SubscriptionIds]

    async def read(self, params: ua.ReadParameters) -> list[ua.DataValue]:
        if not self.external:
            return await super().read(params)
        check_read(params)
        values = await super().read(params)
        wanted = params.TimestampsToReturn
        return [as_asked(each, value, wanted) for each, value in zip(params.NodesToRead, values, strict=True)]

    async def write(self, params: ua.WriteParameters) -> list[ua.StatusCode]:
        """Write each value that is allowed; refuse the others one by one."""
        if self.external:
            bounded(params.NodesToWrite)
        verdicts = [self.iserver.judge(value, self.user) if self.external else None for value in params.NodesToWrite]
        allowed = [v for v, verdict in zip(params.NodesToWrite, verdicts, strict=True) if verdict is None]
        written = iter(await super().write(ua.WriteParameters(allowed)) if allowed else [])
        return [next(written) if verdict is None else verdict for verdict in verdicts]

    async def browse(self, params: ua.BrowseParameters) -> list[ua.BrowseResult]:
        return self.browsing.browse(params) if self.external else await super().browse(params)

    async def translate_browsepaths_to_nodeids(self, params: list[ua.BrowsePath]) -> list[ua.BrowsePathResult]:
        if self.external:
            bounded(params)
        return await super().translate_browsepaths_to_nodeids(params)

    async def call(self, params: list[ua.CallMethodRequest]) -> list[ua.CallMethodResult]:
        """Call methods.  Meanwhile a method may ask the core who calls."""
        if not self.external:
            self.iserver.calling = None
            return await super().call(params)
        bounded(params)
        return [await self._call_one(each) for each in params]

    async def _call_one(self, asked: ua.CallMethodRequest) -> ua.CallMethodResult:
        store = self.aspace
        method = store.get(asked.MethodId)
        kind = store.read_attribute_value(asked.MethodId, AttributeIds.NodeClass).Value
        if asked.ObjectId not in store:
            return ua.CallMethodResult(status(StatusCodes.BadNodeIdUnknown))
        if method is None or kind is None or kind.Value != ua.NodeClass.Method:
            return ua.CallMethodResult(status(StatusCodes.BadMethodInvalid))
        if method.call is None:
            return ua.CallMethodResult(status(StatusCodes.BadNotExecutable))
        self.iserver.calling = self
        return (await super().call([asked]))[0]

    async def history_read(self, params: ua.HistoryReadParameters) -> list[ua.HistoryReadResult]:
        bounded(params.NodesToRead)
        if self.iserver.read_history is None:
            return [
                ua.HistoryReadResult(status(StatusCodes.BadHistoryOperationUnsupported)) for _ in params.NodesToRead
            ]
        return self.iserver.read_history(params, self.history_points)

    def _own(self, number: int) -> Subscription:
        """A subscription of this session.  Raises `ServiceError`: those of others do not exist for it."""
        found = self.subscriptions.subscriptions.get(number)
        if not isinstance(found, Subscription) or (self.external and found.session_id != self.session_id):
            raise ServiceError(StatusCodes.BadSubscriptionIdInvalid)
        return found

    async def create_monitored_items(
        self, params: ua.CreateMonitoredItemsParameters
    ) -> list[ua.MonitoredItemCreateResult]:
        bounded(params.ItemsToCreate)
        self._own(params.SubscriptionId).items.make_room(len(params.ItemsToCreate))
        return await super().create_monitored_items(params)

    async def modify_monitored_items(
        self, params: ua.ModifyMonitoredItemsParameters
    ) -> list[ua.MonitoredItemModifyResult]:
        bounded(params.ItemsToModify)
        self._own(params.SubscriptionId)
        return await super().modify_monitored_items(params)

    async def delete_monitored_items(self, params: ua.DeleteMonitoredItemsParameters) -> list[ua.StatusCode]:
        bounded(params.MonitoredItemIds)
        self._own(params.SubscriptionId)
        return await super().delete_monitored_items(params)

    async def set_monitoring_mode(self, params: ua.SetMonitoringModeParameters) -> list[ua.StatusCode]:
        bounded(params.MonitoredItemIds)
        self._own(params.SubscriptionId)
        return await super().set_monitoring_mode(params)

    def set_triggering(self, params: ua.SetTriggeringParameters) -> ua.SetTriggeringResult:
        bounded([*params.LinksToAdd, *params.LinksToRemove])
        items = self._own(params.SubscriptionId).items
        return items.link(params.TriggeringItemId, params.LinksToAdd, params.LinksToRemove)

    def modify_subscription(self, params: ua.ModifySubscriptionParameters) -> ua.ModifySubscriptionResult:
        self._own(params.SubscriptionId)
        return super().modify_subscription(params)

    async def delete_subscriptions(self, ids: list[int]) -> list[ua.StatusCode]:
        """Delete one's own subscriptions."""
        own = {int(each.data.SubscriptionId) for each in self.subscriptions.of(self)}
        deleted = iter(await super().delete_subscriptions([n for n in ids if n in own or not self.external]))
        foreign = status(StatusCodes.BadSubscriptionIdInvalid)
        return [next(deleted) if n in own or not self.external else foreign for n in ids]

    def diagnostics(self) -> ua.SessionDiagnosticsDataType:
        """What this session has asked for (Part 5, 12.11)."""
        own = self.subscriptions.of(self)
        found = ua.SessionDiagnosticsDataType(
            SessionId=self.session_id, SessionName=self.name if isinstance(self.name, str) else "",
            ClientDescription=ua.ApplicationDescription(ApplicationUri=self.application_uri),
            ActualSessionTimeout=1000.0 * (self.session_timeout or 0.0), ClientConnectionTime=self.began,
            ClientLastContactTime=datetime.now(UTC), CurrentSubscriptionsCount=ua.UInt32(len(own)),
            CurrentMonitoredItemsCount=ua.UInt32(sum(len(s.items.queues) for s in own)),
        )  # fmt: skip
        found.TotalRequestCount.TotalCount = ua.UInt32(self.counts.total())
        for name, count in self.counts.items():
            counter = getattr(found, f"{name}Count", None)
            if isinstance(counter, ua.ServiceCounterDataType):
                counter.TotalCount = ua.UInt32(count)
        return found


class Connection(UaProcessor):
    """The requests of one TCP connection."""

    iserver: "Core"

    @property
    def is_secured(self) -> bool:
        """Whether its messages are signed at least."""
        return bool(self._connection.security_policy.Mode != ua.MessageSecurityMode.None_)

    def ask(self, subscription_id: int) -> PublishRequestData | None:
        """A stored publish request to answer.  None: the next one that arrives is answered at once."""
        request: PublishRequestData | None = self.get_publish_request(ua.UInt32(subscription_id))
        return request

    def forget_subscription(self, subscription_id: int) -> None:
        """Forget a transferred subscription: the next publish request of this connection is not for it."""
        self._publish_results_subs.pop(ua.IntegerId(subscription_id), None)

    async def _process_message(
        self, typeid: ua.NodeId, requesthdr: ua.RequestHeader, seqhdr: ua.SequenceHeader, body: Buffer
    ) -> bool | None:
        if self.iserver.disturb is not None:
            await self.iserver.disturb(typeid)
        if isinstance(self.session, Session):
            self.session.counts[NAMES.get(typeid, "")] += 1
        try:
            if typeid in OWN_SERVICES and self.session is not None and self.session.is_activated():
                self._answer_own(typeid, requesthdr, seqhdr, body)
                return True
            if typeid == REGISTER_NODES:
                bounded(struct_from_binary(ua.RegisterNodesParameters, body.copy()).NodesToRegister)
            answer: bool | None = await super()._process_message(typeid, requesthdr, seqhdr, body)  # type: ignore[no-untyped-call]  # asyncua does not annotate it
        except ServiceError:
            self.iserver.requests_rejected += 1
            raise
        return answer

    def _answer_own(
        self, typeid: ua.NodeId, requesthdr: ua.RequestHeader, seqhdr: ua.SequenceHeader, body: Buffer
    ) -> None:
        """The services that asyncua does not have."""
        session = self.session
        assert isinstance(session, Session)
        session.touch()
        response: ua.BrowseNextResponse | ua.SetTriggeringResponse
        if typeid == BROWSE_NEXT:
            response = ua.BrowseNextResponse()
            response.Parameters.Results = session.browsing.next(struct_from_binary(ua.BrowseNextParameters, body))
        else:
            response = ua.SetTriggeringResponse()
            response.Parameters = session.set_triggering(struct_from_binary(ua.SetTriggeringParameters, body))
        self.send_response(requesthdr.RequestHandle, seqhdr, response)  # type: ignore[no-untyped-call]  # asyncua does not annotate it

    async def close(self) -> None:
        """Handle the loss of the connection: later publish responses wait for the next connection."""
        self._publish_requests.clear()
        self._publish_results_subs.clear()
        await super().close()  # type: ignore[no-untyped-call]  # asyncua does not annotate it


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
            self.processor.set_policies(self.policies)  # type: ignore[no-untyped-call]  # asyncua does not annotate it

    def pause_writing(self) -> None:
        """Stop reading requests: the client does not read its answers."""
        if self.transport is not None:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.transport is not None:
            self.transport.resume_reading()


class Listener(BinaryServer):
    """The TCP port.  It is bound before anything else, so that a taken port is known at once."""

    def __init__(self, core: "Core", bound: socket.socket, limits: TransportLimits) -> None:
        host, port = bound.getsockname()[:2]
        super().__init__(core, host, port, limits)
        self._bound = bound

    def _make_protocol(self) -> OPCUAProtocol:
        return Wire(self.iserver, self._policies, self.clients, self.closing_tasks, self.limits)

    async def start(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(self._make_protocol, sock=self._bound)
        self.cleanup_task = asyncio.create_task(self._close_task_loop(), name="opcua-clean-up")


class Core(InternalServer):
    """The state that all connections of one server share."""

    def __init__(self, users: UserManager) -> None:
        super().__init__(user_manager=users)
        self.subscriptions = Subscriptions(self.aspace, iserver=self)
        self.subscription_service = self.subscriptions
        self.isession = Session(self, "Internal", User(role=UserRole.Admin), external=False)
        self.current_time_node = Node(self.isession, numeric(ObjectIds.Server_ServerStatus_CurrentTime))
        self.server_status_node = Node(self.isession, numeric(ObjectIds.Server_ServerStatus))
        self.disabled_clock = True  # our clock is a task with a parent
        self.calling: Session | None = None
        """The client's session that calls the running method."""
        self.read_history: ReadHistory | None = None
        self.judge: Judge = lambda value, user: None
        self.disturb: Disturb | None = None
        self.admits: Callable[[], bool] = lambda: True
        self.session_limit = 100
        self.sessions_made = self.sessions_rejected = self.sessions_timed_out = self.requests_rejected = 0
        self.offers_security = False
        """Whether a client need not be without a secure channel."""

    def create_session(
        self,
        name: str,
        user: User = NOBODY,
        external: bool = False,
    ) -> InternalSession:
        if external and len(self._external_sessions) >= self.session_limit:
            self.sessions_rejected += 1
            raise ServiceError(StatusCodes.BadTooManySessions)
        return Session(self, name, user, external)

    async def load_standard_address_space(self, shelf_file: Path | None = None) -> None:
        for node_id, node in (await asyncio.to_thread(standard_nodes)).items():
            self.aspace[node_id] = copied(node)

    def diagnostics(self) -> ua.ServerDiagnosticsSummaryDataType:
        """The sums over all sessions (Part 5, 12.9)."""
        intervals = {each.data.RevisedPublishingInterval for each in self.subscriptions.subscriptions.values()}
        counts = {
            "CurrentSessionCount": len(self._external_sessions), "CumulatedSessionCount": self.sessions_made,
            "RejectedSessionCount": self.sessions_rejected, "SessionTimeoutCount": self.sessions_timed_out,
            "CurrentSubscriptionCount": len(self.subscriptions.subscriptions),
            "CumulatedSubscriptionCount": self.subscriptions.made, "PublishingIntervalCount": len(intervals),
            "RejectedRequestsCount": self.requests_rejected,
        }  # fmt: skip
        return ua.ServerDiagnosticsSummaryDataType(**{name: ua.UInt32(count) for name, count in counts.items()})

    @property
    def caller(self) -> User | None:
        """The user who calls the running method."""
        return self.calling.user if self.calling is not None else None

    @property
    def sessions(self) -> list[Session]:
        return [each for each in self._external_sessions.values() if isinstance(each, Session)]

    async def write_clock(self, offset: timedelta) -> None:
        """Update Server_ServerStatus by a clock that may be wrong.  Messages use the same clock."""
        self.subscriptions.clock_offset = offset
        status = copy(await self.server_status_node.read_value())
        status.CurrentTime = self.subscriptions.now()
        await self.server_status_node.write_value(status)
        await self.current_time_node.write_value(status.CurrentTime)
