"""Opens a session with the first server that accepts it.  Secrets and certificates are read at every attempt.

A server says what it is (INFO) before TLS begins, unless it is set to begin with TLS.  `tls://` never goes on without
TLS, and `nats://` goes on with it where the server demands it.
"""

import asyncio
import math
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from socket import socket

from gateway import tls
from gateway.config import BrokerConfig
from gateway.config.nats import NATS_SCHEMES
from gateway.delivery import LateStage, Presence, Session
from gateway.delivery.line_rate import LineRate
from gateway.delivery.presence import present
from gateway.errors import ConfigError, Unavailable
from gateway.in_thread import in_thread
from gateway.link import Link
from gateway.nats.login import expires_s, login_of, problems_with_login
from gateway.nats.session import NatsSession, Settings
from gateway.nats.wire import MOST_LINE_BYTES
from gateway.tcp import connect_tcp, explain
from gateway.urls import Url, parse_url
from gateway.yaml_positions import Problem

_GOODBYE_S = 1.0
_NOT_PRESENT = "the presence message is not stored: {}"


def problems_with(config: BrokerConfig) -> list[Problem]:
    """Files and secrets that a session needs and cannot use.  Reads all of them, and blocks."""
    problems = problems_with_login(config)
    if config.tls.model_fields_set or any(url.startswith("tls:") for url in (config.url, *config.fallback)):
        problems += [(("tls", *place), text) for place, text in tls.problems_with(config.tls)]
    return problems


@asynccontextmanager
async def open_sink(
    config: BrokerConfig,
    link: Link,
    default_client_id: str,
    presence: Presence | None = None,
    late: Callable[[], LateStage] | None = None,
) -> AsyncIterator[Session]:
    """One session.  Entered when the server has accepted the login.

    Raises `Unavailable` with one sentence per server.  A broken session is not repaired: open another one.
    """
    since = datetime.now(UTC)
    line = link.memory if isinstance(link.memory, LineRate) else LineRate()
    link.memory = line
    line.on_change = partial(_tell_limits, link)
    link.credential_ends_s = await in_thread(partial(expires_s, config), f"login of {config.name}")
    settings = Settings(
        config.window, config.ack_timeout, math.ceil(config.keep_alive), config.nats_or_default.inbox,
        config.nats_or_default.stream, config.max_packet, late, line,
    )  # fmt: skip
    session = await _open_first(config, settings, config.client_id or default_client_id, link.turn)
    try:
        async with present(session, presence, since) as refused:
            if refused is not None:
                link.notice(_NOT_PRESENT.format(refused.detail))
            yield session
        if not session.in_flight.is_broken:
            session.say_goodbye()
            await asyncio.wait([session.lost], timeout=_GOODBYE_S)
    finally:
        session.in_flight.break_off(f"the session with {session.address} was closed")


def _tell_limits(link: Link) -> None:
    """To whoever wants to know by now."""
    link.on_limits()


async def _open_first(config: BrokerConfig, settings: Settings, name: str, turn: int) -> NatsSession:
    problems, cause = list[str](), ""
    urls = (config.url, *config.fallback)
    for number in range(turn, turn + len(urls)):
        url = parse_url(urls[number % len(urls)], NATS_SCHEMES)
        try:
            with _explained(url, config.connect_timeout):
                async with asyncio.timeout(config.connect_timeout):
                    return await _open(url, config, settings, name)
        except Unavailable as error:
            problems.append(str(error))
            cause = error.cause
    raise Unavailable("; ".join(problems), cause)


@contextmanager
def _explained(url: Url, limit_s: float) -> Iterator[None]:
    """Network errors as `Unavailable` with one sentence: what, where, why."""
    try:
        yield
    except TimeoutError as error:
        raise Unavailable(f"{url} gave no answer within {limit_s:g} s") from error
    except ConfigError as error:  # it was valid at the start: somebody is changing it
        raise Unavailable(f"cannot log in to {url}: {'; '.join(error.problems)}") from error
    except OSError as error:
        raise Unavailable(f"{url} {explain(error, url)}") from error
    except ValueError as error:
        raise Unavailable(f"{url} sent what is not NATS: {error}") from error


async def _open(url: Url, config: BrokerConfig, settings: Settings, name: str) -> NatsSession:
    loop, tls_first = asyncio.get_running_loop(), config.nats_or_default.tls_first
    sock = await connect_tcp(url.host, url.port)
    with ExitStack() as undo:
        undo.callback(sock.close)
        session = NatsSession(url, sock, settings)
        if not tls_first:
            session.inform(await _first_line(sock))
        context = await _context(url, config, session)
        server_name = config.tls.server_name or url.host if context is not None else None
        await loop.create_connection(lambda: session, sock=sock, ssl=context, server_hostname=server_name)
        undo.pop_all()
    with ExitStack() as undo:
        undo.callback(session.in_flight.break_off, f"{url} did not accept the session")
        await session.informed
        said = await in_thread(partial(login_of, config, str(session.info.get("nonce", ""))), f"login of {config.name}")
        session.log_in({**_about_us(name, context is not None), **said})
        await session.accepted
        undo.pop_all()
    return session


async def _first_line(sock: socket) -> str:
    """The INFO.  The server says no more before our CONNECT."""
    loop, data = asyncio.get_running_loop(), b""
    while not data.endswith(b"\r\n"):
        more = await loop.sock_recv(sock, 65_536)
        if not more:
            raise ConnectionResetError("closed before its INFO")
        data += more
        if len(data) > MOST_LINE_BYTES or not data.startswith(b"INFO "[: len(data)]):
            raise ValueError("it does not begin with INFO: does a NATS server listen there?")
    return data[5:].decode(errors="replace")


async def _context(url: Url, config: BrokerConfig, session: NatsSession) -> ssl.SSLContext | None:
    offered = session.info.get("tls_required") or session.info.get("tls_available")
    if url.scheme == "tls" and session.informed.done() and not offered:
        raise Unavailable(f"{url} offers no TLS", "tls")
    if url.scheme != "tls" and not session.info.get("tls_required"):
        return None
    return await in_thread(partial(tls.context, config.tls), f"certificates for {url.host}")


def _about_us(name: str, is_tls: bool) -> dict[str, object]:
    return {
        "verbose": False, "pedantic": False, "tls_required": is_tls, "name": name, "lang": "connected-factory",
        "version": version("connected-factory"), "protocol": 1, "echo": False, "headers": True, "no_responders": True,
    }  # fmt: skip
