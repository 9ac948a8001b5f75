"""A small OPC UA server, byte by byte and without security, that keeps to the rules except where a test scripts it.

    async with ScriptedServer({"line": ["line/a", "line/b"]}, {"BrowseRequest": hook}) as server:
        …                                       hook(connection, ask) → whether it has dealt with the request

The tree names what lies below what; what has no entry of its own is a variable of UInt32.  Everything hangs below
Objects/plant, node ids are `nsu=urn:scripted;s=<name>`, browse names are the last parts of the names.  A subscription
sends a counter for all of its items every `period_s`.
"""

import asyncio
import contextlib
import struct
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from asyncua import ua as library
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary, struct_to_binary

from tests.support.opcua_wire import data_change, item, publish_response

ua: Any = library
"""Its types would have every number wrapped."""
URI = "urn:scripted"
PLANT = "plant"
_REQUESTS = {
    getattr(ua.ObjectIds, name): name.removesuffix("_Encoding_DefaultBinary")
    for name in dir(ua.ObjectIds)
    if name.endswith("Request_Encoding_DefaultBinary")
}
_POLICY = b"http://opcfoundation.org/UA/SecurityPolicy#None"
_LIMITS = {11705: "read", 11710: "browse", 11712: "translate", 11714: "items", 12165: "history", 11709: "call",
           2735: "continuation", 24104: "subscribed"}  # fmt: skip
EPOCH_TICKS = 116_444_736_000_000_000
CHANNEL = 7


def ticks_now() -> int:
    return EPOCH_TICKS + time.time_ns() // 100


@dataclass
class Ask:
    """One request."""

    name: str
    number: int
    handle: int
    request: Any
    size: int
    """Of its body in bytes."""


Hook = Callable[["Connection", Ask], Awaitable[bool]]


@dataclass(eq=False)
class Connection:
    """One client, from the server's side."""

    server: "ScriptedServer"
    writer: asyncio.StreamWriter
    token: int = 0
    sequence: int = 0
    publishes: list[Ask] = field(default_factory=list)
    subscriptions: dict[int, list[int]] = field(default_factory=dict)
    """Client handles by subscription."""
    sent: Counter[int] = field(default_factory=Counter)
    """The last sequence number of each subscription."""

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def chunk(
        self, body: bytes, number: int, kind: bytes = b"MSGF", *, size: int | None = None, sequence: int | None = None
    ) -> bytes:
        """One chunk; `size` is what its header claims."""
        self.sequence = self.sequence + 1 if sequence is None else sequence
        head = struct.pack("<IIII", CHANNEL, self.token, self.sequence, number)
        return kind + struct.pack("<I", 8 + len(head) + len(body) if size is None else size) + head + body

    def answer(self, ask: Ask, body: bytes) -> None:
        """A whole message, in as many chunks as it takes."""
        parts = [body[i : i + 60_000] for i in range(0, len(body), 60_000)] or [b""]
        for part in parts[:-1]:
            self.send(self.chunk(part, ask.number, b"MSGC"))
        self.send(self.chunk(parts[-1], ask.number))

    def reply(self, ask: Ask, response: Any) -> None:
        response.ResponseHeader.RequestHandle = ask.handle
        response.ResponseHeader.Timestamp = datetime.now(UTC)
        self.answer(ask, struct_to_binary(response))

    def fault(self, ask: Ask, status: int) -> None:
        """The service as a whole is refused."""
        fault = ua.ServiceFault()
        fault.ResponseHeader.ServiceResult = ua.StatusCode(ua.UInt32(status))
        self.reply(ask, fault)

    def abort(self, ask: Ask, status: int) -> None:
        """The answer is given up in the middle (Part 6, 6.7.3)."""
        self.send(self.chunk(struct.pack("<Ii", status, -1), ask.number, b"MSGA"))

    def error(self, status: int) -> None:
        """The last words of a server that hangs up."""
        self.send(b"ERRF" + struct.pack("<IIi", 16, status, -1))
        self.writer.close()

    def publish(self, ask: Ask, subscription: int, value: int, handles: Sequence[int]) -> None:
        variant, now = b"\x07" + struct.pack("<I", value & 0xFFFF_FFFF), ticks_now()
        self.sent[subscription] += 1
        items = [item(handle, variant, None, now, now) for handle in handles]
        body = publish_response([data_change(items)], self.sent[subscription], subscription)
        self.answer(ask, body)


class ScriptedServer:
    """Entered, it listens."""

    def __init__(
        self,
        tree: Mapping[str, Sequence[str]] | None = None,
        hooks: Mapping[str, Hook] | None = None,
        *,
        limits: Mapping[str, int] | None = None,
        ack: tuple[int, int, int, int] = (65536, 65536, 0, 0),
        lifetime_ms: int = 3_600_000,
        period_s: float = 0.05,
        port: int = 0,
    ) -> None:
        self.tree = dict(tree if tree is not None else {PLANT: ["a", "b"]})
        self.hooks = dict(hooks or {})
        self.limits = dict(limits or {})
        self.ack = ack
        """ReceiveBufferSize, SendBufferSize, MaxMessageSize, MaxChunkCount."""
        self.lifetime_ms = lifetime_ms
        self.period_s = period_s
        self.port = port
        self.uris: list[str] | None = ["http://opcfoundation.org/UA/", "urn:scripted:app", URI]
        self.asked: Counter[str] = Counter()
        self.asks: list[Ask] = []
        self.connections: list[Connection] = []
        self.value = 0
        self._stack = contextlib.AsyncExitStack()

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}/"

    async def __aenter__(self) -> Self:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=2**22)
        self.port = server.sockets[0].getsockname()[1]
        self._stack.callback(server.close)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.drop()
        await self._stack.aclose()

    def drop(self) -> None:
        """Cut every connection."""
        for connection in self.connections:
            connection.writer.transport.abort()

    # -- the connection ------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(self, writer)
        self.connections.append(connection)
        publishing = asyncio.create_task(self._publish(connection))
        body = b""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind, size = struct.unpack("<4sI", await reader.readexactly(8))
                octets = await reader.readexactly(size - 8)
                if kind[:3] == b"MSG":
                    body += octets[16:]
                    if kind[3:] == b"F":
                        await self._message(connection, body, struct.unpack_from("<I", octets, 12)[0])
                        body = b""
                elif not await self._handshake(connection, kind, octets):
                    break
                await writer.drain()
        publishing.cancel()
        self.connections.remove(connection)
        writer.close()

    async def _handshake(self, connection: Connection, kind: bytes, octets: bytes) -> bool:
        if kind[:3] == b"HEL":
            if not await self._hooked("Hello", connection, Ask("Hello", 0, 0, None, len(octets))):
                connection.send(b"ACKF" + struct.pack("<IIIIII", 28, 0, *self.ack))
            return True
        if kind[:3] != b"OPN":
            return False
        place = 4
        for _ in range(3):
            place += 4 + max(0, struct.unpack_from("<i", octets, place)[0])
        number = struct.unpack_from("<II", octets, place)[1]
        data = Buffer(octets[place + 8 :])
        nodeid_from_binary(data)
        header = struct_from_binary(ua.RequestHeader, data)
        ask = Ask("OpenSecureChannelRequest", number, header.RequestHandle, None, len(octets))
        self.asked[ask.name] += 1
        if not await self._hooked(ask.name, connection, ask):
            self.open(connection, ask)
        return True

    def open(self, connection: Connection, ask: Ask) -> None:
        """Issue or renew the security token."""
        made = ua.OpenSecureChannelResponse()
        token = made.Parameters.SecurityToken
        token.ChannelId, token.TokenId = ua.UInt32(CHANNEL), ua.UInt32(connection.token + 1)
        token.CreatedAt, token.RevisedLifetime = datetime.now(UTC), ua.UInt32(self.lifetime_ms)
        made.ResponseHeader.RequestHandle = ask.handle
        self.send_open(connection, ask, struct_to_binary(made))
        connection.token += 1

    def send_open(self, connection: Connection, ask: Ask, body: bytes) -> None:
        connection.sequence += 1
        head = struct.pack("<Ii", CHANNEL, len(_POLICY)) + _POLICY + struct.pack("<ii", -1, -1)
        octets = head + struct.pack("<II", connection.sequence, ask.number) + body
        connection.send(b"OPNF" + struct.pack("<I", 8 + len(octets)) + octets)

    async def _hooked(self, name: str, connection: Connection, ask: Ask) -> bool:
        hook = self.hooks.get(name) or self.hooks.get("*")
        return hook is not None and await hook(connection, ask)

    async def _message(self, connection: Connection, body: bytes, number: int) -> None:
        name = _REQUESTS[nodeid_from_binary(Buffer(body)).Identifier]
        request = struct_from_binary(getattr(ua, name), Buffer(body))
        ask = Ask(name, number, request.RequestHeader.RequestHandle, request, len(body))
        self.asked[name] += 1
        if name != "PublishRequest":
            self.asks.append(ask)
        if not await self._hooked(name, connection, ask):
            self.default(connection, ask)

    async def _publish(self, connection: Connection) -> None:
        while True:
            await asyncio.sleep(self.period_s)
            self.value += 1
            for number, handles in connection.subscriptions.items():
                if not connection.publishes or not handles:
                    continue
                ask = connection.publishes.pop(0)
                if not await self._hooked("publish", connection, ask):
                    connection.publish(ask, number, self.value, handles)

    # -- the services --------------------------------------------------------------------------------------------

    def default(self, connection: Connection, ask: Ask) -> None:
        """Answer by the rules."""
        service = getattr(self, f"_{ask.name.removesuffix('Request').lower()}", None)
        if ask.name == "PublishRequest":
            connection.publishes.append(ask)
        elif service is None:
            connection.fault(ask, ua.StatusCodes.BadServiceUnsupported)
        else:
            connection.reply(ask, service(connection, ask.request))

    def endpoint(self) -> Any:
        made = ua.EndpointDescription()
        made.EndpointUrl, made.SecurityPolicyUri = self.url, _POLICY.decode()
        made.SecurityMode = ua.MessageSecurityMode.None_
        made.Server.ApplicationUri = "urn:scripted:app"
        policy = ua.UserTokenPolicy()
        policy.PolicyId, policy.TokenType = "anonymous", ua.UserTokenType.Anonymous
        made.UserIdentityTokens = [policy]
        return made

    def _getendpoints(self, _: Connection, __: Any) -> Any:
        made = ua.GetEndpointsResponse()
        made.Endpoints = [self.endpoint()]
        return made

    def _createsession(self, _: Connection, __: Any) -> Any:
        made = ua.CreateSessionResponse()
        told = made.Parameters
        told.SessionId, told.AuthenticationToken = ua.NodeId(1, 1), ua.NodeId(99, 1)
        told.RevisedSessionTimeout, told.ServerNonce = 60_000.0, bytes(32)
        told.ServerEndpoints = [self.endpoint()]
        return made

    def _activatesession(self, _: Connection, __: Any) -> Any:
        made = ua.ActivateSessionResponse()
        made.Parameters.ServerNonce = bytes(32)
        return made

    def _closesession(self, _: Connection, __: Any) -> Any:
        return ua.CloseSessionResponse()

    def _read(self, _: Connection, request: Any) -> Any:
        made = ua.ReadResponse()
        made.Results = [self.attribute(one.NodeId, one.AttributeId) for one in request.Parameters.NodesToRead]
        return made

    def attribute(self, node: Any, attribute: int) -> Any:
        """What reading says."""
        wanted, name = ua.AttributeIds(attribute), node.Identifier
        if node.NamespaceIndex == 0:
            if name == ua.ObjectIds.Server_NamespaceArray:
                return value_of(self.uris, ua.VariantType.String)
            if name == ua.ObjectIds.Server_ServerStatus_StartTime:
                return value_of(datetime(2026, 1, 1), ua.VariantType.DateTime)
            return value_of(self.limits.get(_LIMITS.get(name, ""), 0), ua.VariantType.UInt32)
        if wanted == ua.AttributeIds.Value:
            return value_of(self.value, ua.VariantType.UInt32)
        if wanted == ua.AttributeIds.NodeClass:
            return value_of(1 if name in self.tree else 2, ua.VariantType.Int32)
        if wanted == ua.AttributeIds.BrowseName:
            return value_of(ua.QualifiedName(ua.String(str(name)), ua.UInt16(2)), ua.VariantType.QualifiedName)
        if wanted == ua.AttributeIds.DataType:
            return value_of(ua.NodeId(7), ua.VariantType.NodeId)
        if wanted in (ua.AttributeIds.AccessLevel, ua.AttributeIds.UserAccessLevel):
            return value_of(1, ua.VariantType.Byte)
        return ua.DataValue(StatusCode=ua.StatusCode(ua.UInt32(ua.StatusCodes.BadAttributeIdInvalid)))

    def _browse(self, _: Connection, request: Any) -> Any:
        made = ua.BrowseResponse()
        made.Results = [self.below(one) for one in request.Parameters.NodesToBrowse]
        return made

    def below(self, wanted: Any) -> Any:
        """The references of one node, all of them."""
        name, made = wanted.NodeId.Identifier, ua.BrowseResult()
        if wanted.ReferenceTypeId.Identifier == ua.ObjectIds.HasSubtype:
            return made
        children = (
            ["Objects"] if name == ua.ObjectIds.RootFolder else [PLANT] if name == ua.ObjectIds.ObjectsFolder else ()
        )
        made.References = [self.reference(child) for child in children or self.tree.get(str(name), ())]
        return made

    def reference(self, name: str) -> Any:
        made = ua.ReferenceDescription()
        is_variable = name not in self.tree and name not in ("Objects", PLANT)
        made.ReferenceTypeId, made.IsForward = ua.NodeId(47 if is_variable else 35), True
        node = ua.NodeId(ua.ObjectIds.ObjectsFolder) if name == "Objects" else ua.NodeId(name, 2)
        made.NodeId, made.BrowseName = node, ua.QualifiedName(ua.String(name.rpartition("/")[2]), ua.UInt16(2))
        made.NodeClass = ua.NodeClass.Variable if is_variable else ua.NodeClass.Object
        made.TypeDefinition = ua.NodeId(63 if is_variable else 58)
        return made

    def _createsubscription(self, connection: Connection, request: Any) -> Any:
        made = ua.CreateSubscriptionResponse()
        told, wanted = made.Parameters, request.Parameters
        told.SubscriptionId = ua.UInt32(5 + len(connection.subscriptions))
        told.RevisedPublishingInterval = wanted.RequestedPublishingInterval
        told.RevisedLifetimeCount = wanted.RequestedLifetimeCount
        told.RevisedMaxKeepAliveCount = wanted.RequestedMaxKeepAliveCount
        connection.subscriptions[told.SubscriptionId] = []
        return made

    def _modifysubscription(self, _: Connection, request: Any) -> Any:
        made = ua.ModifySubscriptionResponse()
        told, wanted = made.Parameters, request.Parameters
        told.RevisedPublishingInterval = wanted.RequestedPublishingInterval
        told.RevisedLifetimeCount = wanted.RequestedLifetimeCount
        told.RevisedMaxKeepAliveCount = wanted.RequestedMaxKeepAliveCount
        return made

    def _createmonitoreditems(self, connection: Connection, request: Any) -> Any:
        made = ua.CreateMonitoredItemsResponse()
        for one in request.Parameters.ItemsToCreate:
            result = ua.MonitoredItemCreateResult()
            result.MonitoredItemId = ua.UInt32(one.RequestedParameters.ClientHandle + 1)
            result.RevisedSamplingInterval = one.RequestedParameters.SamplingInterval
            result.RevisedQueueSize = one.RequestedParameters.QueueSize
            made.Results.append(result)
            if one.ItemToMonitor.NodeId.NamespaceIndex == 2:
                handles = connection.subscriptions[request.Parameters.SubscriptionId]
                handles.append(one.RequestedParameters.ClientHandle)
        return made

    def _setpublishingmode(self, _: Connection, request: Any) -> Any:
        made = ua.SetPublishingModeResponse()
        made.Parameters.Results = [ua.StatusCode() for _ in request.Parameters.SubscriptionIds]
        return made

    def _deletesubscriptions(self, connection: Connection, request: Any) -> Any:
        made = ua.DeleteSubscriptionsResponse()
        for number in request.Parameters.SubscriptionIds:
            connection.subscriptions.pop(number, None)
            made.Results.append(ua.StatusCode())
        return made

    def _transfersubscriptions(self, _: Connection, request: Any) -> Any:
        made = ua.TransferSubscriptionsResponse()
        refused = ua.StatusCode(ua.UInt32(ua.StatusCodes.BadSubscriptionIdInvalid))
        made.Parameters.Results = [ua.TransferResult(StatusCode=refused) for _ in request.Parameters.SubscriptionIds]
        return made


def value_of(value: Any, kind: Any) -> Any:
    made = ua.DataValue(ua.Variant(value, kind))
    made.SourceTimestamp = made.ServerTimestamp = datetime.now(UTC)
    return made


def refused(status: int) -> Hook:
    """The service answers with this status and nothing else."""

    async def hook(connection: Connection, ask: Ask) -> bool:
        connection.fault(ask, status)
        return True

    return hook
