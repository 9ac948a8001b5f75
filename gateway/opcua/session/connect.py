"""Connecting to one server: socket, secure channel, session, and what keeps them from the first moment on.

    socket ─► channel ────────────────────────────────► renewed at three quarters of its token's life
                 └─► session, activated ──────────────► kept alive by reading the server's state
                        └─► what the server says of itself ─► `Session`

Each attempt has an asyncua client of its own, driven step by step: none of asyncua's own reconnecting, watching or
publishing runs.  Entering `open_session` means connected; leaving closes session and socket within `CLOSE_S`, whatever
the peer does.  Subscriptions stay alive on the server: the next session, or the next process, transfers them.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial

from asyncua import Client, ua
from asyncua.client.ua_client import UASocketState

from gateway.advice import CHANNEL
from gateway.config import SourceConfig
from gateway.errors import Unavailable
from gateway.in_thread import in_thread
from gateway.metrics import SourceMetrics
from gateway.opcua.codec.namespaces import uris_of
from gateway.opcua.session.asyncua_edge import (
    close_socket,
    connect_socket,
    encrypt_for,
    peer_errors,
    trust_own_clock,
)
from gateway.opcua.session.certificates import readable
from gateway.opcua.session.learned import Learned
from gateway.opcua.session.periodic import beside
from gateway.opcua.session.refusals import Refusal, Refusals
from gateway.opcua.session.security import (
    confirm,
    credentials,
    own_files,
    prefer_encrypted_tokens,
    protects_password,
    secure,
    tell_accepted,
)
from gateway.opcua.session.session import STATE, OperationLimits, Session
from gateway.opcua.session.transport import Protocol

CLOSE_S = 2.0
"""How long a peer may take to say goodbye."""
RENEW_AFTER = 0.75
"""Part 4, 5.5.2: ask for a new security token when this part of its life is over."""
LEAST_S, MOST_S = 0.1, 3600.0
"""How often the channel is renewed and the session kept alive at all, whatever times the server revised."""

_NAMESPACES = ua.NodeId(ua.Int32(ua.ObjectIds.Server_NamespaceArray), ua.Int16(0))
_START_TIME = ua.NodeId(ua.Int32(ua.ObjectIds.Server_ServerStatus_StartTime), ua.Int16(0))
_LIMITS = {"read": 11705, "browse": 11710, "continuation": 2735, "write": 11707, "items": 11714, "history": 12165,
           "subscribed": 24104}  # fmt: skip


@asynccontextmanager
async def open_session(
    config: SourceConfig, metrics: SourceMetrics, learned: Learned | None = None
) -> AsyncIterator[Session]:
    """Connect and activate a session.  `learned` is what earlier ones leave to this one, and this one to the next.

    Raises `Unavailable`, also when our own files cannot be used: they were usable at the start (`security.check`), so
    somebody is changing them.
    """
    client = Client(config.url, timeout=config.request_timeout)
    client.name = client.description = "connected-factory gateway"
    client.session_timeout = int(config.session_timeout * 1000)
    client.uaclient.set_max_concurrent_requests(1000)
    connecting = partial(peer_errors, "connect", config.url)
    try:
        with connecting(), own_files(config.url):
            username, password = await in_thread(partial(credentials, config), f"secrets of {config.name}")
            level = await secure(client, config, metrics)
            protocol = await _channel(client, config)
        async with beside(partial(_keep_channel, client, protocol), protocol.hang_up, f"channel-{config.name}"):
            with connecting(), own_files(config.url):
                with peer_errors("create a session", config.url):
                    created = await _created(client, config)
                prefer_encrypted_tokens(created)
                remembering = f"remember how {config.name} is secured"
                accepted = await in_thread(partial(confirm, created, config, level), remembering)
                tell_accepted(config, accepted, metrics)
                if shown := client.security_policy.peer_certificate:
                    encrypt_for(client, readable(shown)[0])
                if config.username is not None and not protects_password(client):
                    raise Unavailable(f"{config.url} would receive the password unencrypted, so it is not sent")
                with peer_errors("log in", config.url):
                    await client.activate_session(username, password, client.user_certificate)
                session = await _introduced(client, config, metrics, learned or Learned())
            async with beside(partial(_keep_alive, session), protocol.hang_up, f"session-{config.name}"):
                yield session
    finally:
        await _leave(client)


async def _channel(client: Client, config: SourceConfig) -> Protocol:
    await connect_socket(client, config.request_timeout)
    await client.send_hello()
    with peer_errors(CHANNEL, config.url):
        await client.open_secure_channel()
    protocol = client.uaclient.protocol
    if not isinstance(protocol, Protocol):
        raise Unavailable(f"the connection to {config.url} is closed", "cut")
    trust_own_clock(protocol)
    return protocol


async def _keep_channel(client: Client, protocol: Protocol) -> None:
    """Ask for a new security token before the present one ends, until cancelled.  Raises `Unavailable`."""
    while True:
        await asyncio.sleep(_bounded(float(client.secure_channel_timeout) / 1000.0 * RENEW_AFTER))
        with peer_errors("renew the secure channel", client.server_url.geturl()):
            await client.open_secure_channel(renew=True)
            trust_own_clock(protocol)
            protocol.revolve_security_token()


async def _keep_alive(session: Session) -> None:
    """Read the server's state three times within the session's time-out, as the server revised it.

    Until cancelled.  Raises `Unavailable`.
    """
    while True:
        await asyncio.sleep(_bounded(float(session.client.session_timeout) / 3000.0))
        await session.read_values([STATE])


def _bounded(seconds: float) -> float:
    """What is not a number counts as the longest time."""
    return max(LEAST_S, min(MOST_S, seconds))


async def _created(client: Client, config: SourceConfig) -> ua.CreateSessionResult:
    try:
        return await client.create_session()
    except ua.UaError as error:
        if config.insecure and "No matching endpoints" in str(error):
            raise Unavailable(f"{config.url} offers no endpoint without security: remove insecure") from error
        raise


async def _introduced(client: Client, config: SourceConfig, metrics: SourceMetrics, learned: Learned) -> Session:
    """What the server says of itself: namespaces, start time, limits."""
    log = learned.begin(config.name, config.url)
    refused = Refusals(metrics.refused_lookups, log)
    session = Session(
        client, config.url, (), "", OperationLimits(), learned.sizes, refused, config.request_timeout, log
    )
    nodes = [_NAMESPACES, _START_TIME, *(ua.NodeId(ua.Int32(number), ua.Int16(0)) for number in _LIMITS.values())]
    namespaces, *values = await session.read_values(nodes)
    uris, started, *limits = [value.good for value in (namespaces, *values)]
    said = dict(zip(_LIMITS, limits, strict=True))
    ours = OperationLimits()
    allowed = {name: _limit(said[name], getattr(ours, name)) for name in _LIMITS}
    known = uris_of(uris)
    if not known:
        text = "it is empty: names of namespaces (nsu=) mean nothing"
        refused.note(_NAMESPACES, Refusal("NamespaceArray", "Server", text, ua.AttributeIds.Value))
    return replace(session, uris=known, started=str(started), limits=OperationLimits(**allowed))


def _limit(said: object, ours: int) -> int:
    return min(said, ours) if isinstance(said, int) and said > 0 else ours


async def _leave(client: Client) -> None:
    """Close session, channel and socket.  Bounded, also while being cancelled and on a stalled link."""
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
