"""One connection to one server: socket, secure channel, session, and the server's basic properties.

Each attempt has its own asyncua client, driven step by step: asyncua's reconnecting, watching and publishing never run.
`open_session` is connected when entered.  Leaving closes session and socket within `CLOSE_S`, whatever the peer does.
Subscriptions stay on the server: the next session, or the next process, transfers them.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from asyncua import Client, ua
from asyncua.client.ua_client import UASocketState
from asyncua.client.ua_session import UaSession

from gateway.advice import CHANNEL
from gateway.cancellation import unless_asked
from gateway.config import SourceConfig
from gateway.errors import Unavailable
from gateway.in_thread import in_thread
from gateway.metrics import SourceMetrics
from gateway.opcua.codec.decode import read_response_header
from gateway.opcua.codec.wire import Dialect, Reader
from gateway.opcua.session.asyncua_edge import (
    close_socket,
    connect_socket,
    peer_errors,
    send_encoded,
    trust_own_clock,
)
from gateway.opcua.session.security import (
    Level,
    confirm,
    credentials,
    own_files,
    prefer_encrypted_tokens,
    protects_password,
    secure,
)
from gateway.opcua.session.transport import Protocol, within

CLOSE_S = 2.0
"""How long closing the session may take, in seconds."""
WIDTH = 5
"""The number of parallel requests of one kind while browsing and reading."""

_T = TypeVar("_T")
_R = TypeVar("_R")

_NAMESPACES, _START_TIME = 2255, 2257
_LIMITS = {"read": 11705, "browse": 11710, "translate": 11712, "items": 11714, "history": 12165, "call": 11709,
           "subscribed": 24104}  # fmt: skip


def no_progress(done: int) -> None:
    """For callers that show no progress."""


@dataclass(frozen=True, slots=True)
class OperationLimits:
    """How many operations the server allows per call, and how many items per subscription.

    If a server states 0 or nothing, it has no limit, and these defaults apply.
    """

    read: int = 1000
    browse: int = 500
    translate: int = 500
    items: int = 1000
    history: int = 100
    call: int = 100
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
    request_timeout_s: float

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
            raise Unavailable(f"the connection to {self.where} is closed")
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
        return bytes(await self.protocol.send_request(request, self.request_timeout_s))

    async def read_values(
        self, nodes: Sequence[ua.NodeId], progress: Callable[[int], None] = no_progress
    ) -> list[ua.DataValue]:
        """The Value attribute of each node, in calls of the allowed size, several in parallel."""
        return await self.read_attribute(nodes, ua.AttributeIds.Value, progress)

    async def read_attribute(
        self, nodes: Sequence[ua.NodeId], attribute: ua.AttributeIds, progress: Callable[[int], None] = no_progress
    ) -> list[ua.DataValue]:
        async def read(some: Sequence[ua.NodeId]) -> list[ua.DataValue]:
            with peer_errors("read", self.where):
                found = await self.services.read_attributes(list(some), attribute)
                return _same_length(found, some)

        return await in_chunks(nodes, self.limits.read, read, progress)


def _same_length(found: list[_R], asked: Sequence[_T]) -> list[_R]:
    if len(found) != len(asked):
        raise ValueError(f"{len(found)} results for {len(asked)} operations")
    return found


async def in_chunks(
    items: Sequence[_T],
    size: int,
    call: Callable[[Sequence[_T]], Awaitable[list[_R]]],
    progress: Callable[[int], None] = no_progress,
) -> list[_R]:
    """`call` with slices of at most `size` items, `WIDTH` in parallel.  The results are in the order of `items`.

    `progress` gets the length of each finished slice.  Raises the first `Unavailable`, after all other calls have
    ended.
    """
    parts = [items[i : i + size] for i in range(0, len(items), size)]
    if len(parts) == 1:
        found = await call(parts[0])
        progress(len(parts[0]))
        return found
    results: list[list[_R]] = [[] for _ in parts]
    failures: list[Unavailable] = []
    todo = iter(enumerate(parts))

    async def work() -> None:
        for index, part in todo:
            if failures:
                return
            try:
                results[index] = await call(part)
                progress(len(part))
            except Unavailable as error:
                failures.append(error)

    async with asyncio.TaskGroup() as group:
        for number in range(min(WIDTH, len(parts))):
            group.create_task(unless_asked(work), name=f"opcua-chunk-{number}")
    if failures:
        raise failures[0]
    return [result for part in results for result in part]


@asynccontextmanager
async def open_session(config: SourceConfig, metrics: SourceMetrics) -> AsyncIterator[Session]:
    """Connect and activate a session.

    Raises `Unavailable`, also when our own files cannot be used: they were usable at the start (`security.check`), so
    somebody is changing them.
    """
    client = Client(config.url, timeout=config.request_timeout)
    client.name = client.description = "connected-factory gateway"
    client.session_timeout = int(config.session_timeout * 1000)
    client.uaclient.set_max_concurrent_requests(1000)
    try:
        with peer_errors("connect", config.url), own_files(config.url):
            username, password = await in_thread(partial(credentials, config), f"secrets of {config.name}")
            level = await secure(client, config, metrics)
            await _connect(client, config, level)
            with peer_errors("log in", config.url):
                await client.activate_session(username, password, client.user_certificate)
            session = await _introduced(client, config)
        yield session
    finally:
        await _leave(client)


async def _connect(client: Client, config: SourceConfig, level: Level | None) -> None:
    await connect_socket(client, config.request_timeout)
    await client.send_hello()
    with peer_errors(CHANNEL, config.url):
        await client.open_secure_channel()
    protocol = client.uaclient.protocol
    if protocol is not None:
        trust_own_clock(protocol)
    with peer_errors("create a session", config.url):
        created = await _created(client, config)
    prefer_encrypted_tokens(created)
    await in_thread(partial(confirm, created, config, level), f"remember how {config.name} is secured")
    if config.username is not None and not protects_password(client):
        raise Unavailable(f"{config.url} would receive the password unencrypted, so it is not sent")


async def _created(client: Client, config: SourceConfig) -> ua.CreateSessionResult:
    try:
        return await client.create_session()
    except ua.UaError as error:
        if config.insecure and "No matching endpoints" in str(error):
            raise Unavailable(f"{config.url} offers no endpoint without security: remove insecure") from error
        raise


async def _introduced(client: Client, config: SourceConfig) -> Session:
    """Read the server's namespaces, start time and limits."""
    ids = [_NAMESPACES, _START_TIME, *_LIMITS.values()]
    nodes = [ua.NodeId(ua.Int32(i), ua.Int16(0)) for i in ids]
    services = client.uaclient.session
    try:
        values = await services.read_attributes(nodes, ua.AttributeIds.Value)
    except ua.uaerrors.BadTooManyOperations:
        values = [(await services.read_attributes([node], ua.AttributeIds.Value))[0] for node in nodes]
    uris, started, *limits = [content(value) for value in values]
    said = dict(zip(_LIMITS, limits, strict=True))
    ours = OperationLimits()
    allowed = {name: _limit(said[name], getattr(ours, name)) for name in _LIMITS}
    known = tuple(str(uri) for uri in uris) if isinstance(uris, list) else ()
    return Session(client, config.url, known, str(started), OperationLimits(**allowed), config.request_timeout)


def content(value: ua.DataValue) -> object:
    """The value that was read.  None: its status is bad."""
    return (
        value.Value.Value
        if value.Value is not None and (value.StatusCode is None or value.StatusCode.is_good())
        else None
    )


def _limit(said: object, ours: int) -> int:
    return min(said, ours) if isinstance(said, int) and said > 0 else ours


async def _leave(client: Client) -> None:
    """Close session, channel and socket within a bounded time, also while being cancelled and on a stalled link."""
    uaclient = client.uaclient
    protocol = uaclient.protocol
    try:
        if protocol is not None and protocol.state is UASocketState.OPEN:
            protocol.timeout = CLOSE_S
            with suppress(Unavailable), peer_errors("close the session", str(client)):
                await uaclient.session.close_session(False)
                await uaclient.close_secure_channel()
    finally:
        close_socket(client)
