"""An activated session with one server: what it is asked, in what sizes, and what it said of itself.

Made by `connect.open_session`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from asyncua import Client, ua
from asyncua.client.ua_client import UASocketState
from asyncua.client.ua_session import UaSession

from gateway.errors import Unavailable
from gateway.logs import SparingLog
from gateway.opcua.codec.decode import read_response_header
from gateway.opcua.codec.read_values import READ, ReadValue, read_answer, read_request
from gateway.opcua.codec.standard import STANDARD_STRUCTURES
from gateway.opcua.codec.wire import Dialect, Reader, StructureReader
from gateway.opcua.session.asyncua_edge import peer_errors, send_encoded, status_text
from gateway.opcua.session.calls import WIDTH, CallSizes, in_calls, is_too_large, no_progress
from gateway.opcua.session.refusals import NOT_THERE, Refusal, Refusals
from gateway.opcua.session.transport import Protocol, within

STATE = ua.NodeId(ua.Int32(ua.ObjectIds.Server_ServerStatus_State), ua.Int16(0))
_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class OperationLimits:
    """How many operations the server allows per call, and how many items per subscription.

    If a server states 0 or nothing, it has no limit, and these defaults apply.
    """

    read: int = 1000
    browse: int = 500
    continuation: int = 10_000
    """Continuation points of Browse at a time."""
    write: int = 100
    items: int = 1000
    history: int = 100
    subscribed: int = 10_000_000


@dataclass(frozen=True, slots=True)
class Session:
    """An activated session."""

    client: Client
    where: str
    uris: tuple[str, ...]
    """NamespaceArray."""
    started: str
    """The server's start time, as it states it.  A new one means another address space and other subscriptions."""
    limits: OperationLimits
    """What the server says."""
    sizes: CallSizes
    """What it takes."""
    refused: Refusals
    """What it would not tell of its address space."""
    request_timeout_s: float
    log: SparingLog

    @property
    def services(self) -> UaSession:
        """asyncua's services: one call each, checked and decoded by asyncua."""
        return self.client.uaclient.session

    @property
    def is_open(self) -> bool:
        protocol = self.client.uaclient.protocol
        return protocol is not None and protocol.state is UASocketState.OPEN

    @property
    def protocol(self) -> Protocol:
        """The socket.  Raises `Unavailable` when it is closed."""
        protocol = self.client.uaclient.protocol
        if not isinstance(protocol, Protocol) or protocol.state is not UASocketState.OPEN:
            reason = protocol.broken if isinstance(protocol, Protocol) else None
            if isinstance(reason, Unavailable):
                raise Unavailable(str(reason), reason.cause)
            raise Unavailable(f"the connection to {self.where} is closed{f': {reason}' if reason else ''}")
        return protocol

    async def ask(self, request: int, body: bytes) -> Reader:
        """Send a request with an encoded body.  Returns a reader of the answer, behind its header.

        `request` is the numeric node id of its binary encoding.  Raises what asyncua raises: use it within
        `peer_errors`.
        """
        protocol = self.protocol
        answer = send_encoded(protocol, request, body, self.request_timeout_s)
        data = await within(answer, self.request_timeout_s)
        protocol.check_answer(data, "")
        r = Reader(octets := bytes(data), 0, len(octets), Dialect(self.uris))
        ua.StatusCode(ua.UInt32(read_response_header(r)[1])).check()
        return r

    async def send(self, request: object) -> bytes:
        """Send one of asyncua's requests.  Returns the answer as bytes, with its header.

        Raises what asyncua raises, also for a ServiceFault: use it within `peer_errors`.
        """
        return bytes(await self.protocol.ask(request, self.request_timeout_s))

    async def read_values(
        self,
        nodes: Sequence[ua.NodeId],
        progress: Callable[[int], None] = no_progress,
        structures: Mapping[str, StructureReader] = STANDARD_STRUCTURES,
    ) -> list[ReadValue]:
        """The value of each node.  Raises `Unavailable`."""
        return await self.read_attribute(nodes, ua.AttributeIds.Value, progress, structures)

    async def read_attribute(
        self,
        nodes: Sequence[ua.NodeId],
        attribute: ua.AttributeIds,
        progress: Callable[[int], None] = no_progress,
        structures: Mapping[str, StructureReader] = STANDARD_STRUCTURES,
    ) -> list[ReadValue]:
        """An attribute of each node, in calls of the allowed size, several in parallel.

        Decoded as the values of a subscription are, with these readers of structures.  A value without an end costs
        itself: what is behind it is asked for again.  Raises `Unavailable`.
        """
        dialect = Dialect(self.uris, structures)

        async def read(some: Sequence[ua.NodeId]) -> list[ReadValue]:
            found: list[ReadValue] = []
            while len(found) < len(some):
                rest = some[len(found) :]
                with peer_errors("read", self.where):
                    r = await self.ask(READ, read_request(rest, attribute))
                    r.dialect = dialect
                    found += read_answer(r, len(rest))
            return found

        return await self.in_calls("read", nodes, read, progress=progress, alone=lambda _, s: ReadValue(0, None, s))

    async def look_up(
        self, what: str, nodes: Mapping[ua.NodeId, str], attribute: ua.AttributeIds = ua.AttributeIds.Value
    ) -> dict[ua.NodeId, ReadValue]:
        """An attribute of each of these nodes, which have these paths.  What the server does not tell is noted."""
        answers = dict(zip(nodes, await self.read_attribute(list(nodes), attribute), strict=True))
        for node, answer in answers.items():
            if answer.status >> 31 and answer.status not in NOT_THERE:
                self.refused.note(node, Refusal(what, nodes[node], status_text(answer.status), attribute))
        return answers

    async def in_calls(
        self,
        kind: str,
        items: Sequence[_T],
        call: Callable[[Sequence[_T]], Awaitable[list[_R]]],
        *,
        progress: Callable[[int], None] = no_progress,
        alone: Callable[[_T, int], _R] | None = None,
        width: int = WIDTH,
    ) -> list[_R]:
        """`call` on slices that the server takes: see `calls.in_calls`.  `kind` is one of `OperationLimits`."""
        return await in_calls(
            items, call, kind=kind, told=getattr(self.limits, kind), sizes=self.sizes, is_alive=self.answers,
            progress=progress, alone=alone, width=width,
        )  # fmt: skip

    async def is_too_large(self, kind: str, count: int, error: Unavailable) -> bool:
        """Whether a call that ended in this error is worth trying again in parts; what it showed is kept."""
        return await is_too_large(error, kind, count, self.sizes, self.answers)

    async def answers(self) -> bool:
        """Whether the server answers a small request, be it with a refusal."""
        if not self.is_open:
            return False
        try:
            with peer_errors("read", self.where):
                await self.ask(READ, read_request([STATE]))
        except Unavailable as error:
            return self.is_open and isinstance(error.__cause__, ua.UaStatusCodeError)
        return self.is_open
