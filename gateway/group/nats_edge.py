"""The only room that imports the NATS client: one connection, requests, and their errors in our own terms."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.protocol.parser import PERMISSIONS_ERR

from gateway.cancellation import is_asked_to_end
from gateway.config import GroupConfig
from gateway.errors import Unavailable
from gateway.link import Link
from gateway.nkeys import callbacks

REQUEST_S = 3.0
"""How long one request may take.  A leader that is frozen answers nothing; its successor takes up to 9 s."""
PING_S = 2
PENDING_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Reply:
    headers: Mapping[str, str]
    data: bytes


class ApiError(Exception):
    """An answer of JetStream that refuses a request."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        """JetStream's `err_code`."""


class Nats:
    """A connection that is made again by itself, to any server of the cluster."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def most_bytes(self) -> int:
        """The longest message that the servers take."""
        return self._client.max_payload

    @property
    def version(self) -> str:
        """Of the server that it is connected to."""
        version = self._client.connected_server_version
        return f"{version.major}.{version.minor}.{version.patch}"

    async def ask(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> Reply:
        """The answer to one request.  Raises `Unavailable` when none came: then it may have been carried out or not."""
        with _told():
            reply = await self._client.request(subject, data, timeout=REQUEST_S, headers=headers)
        return _reply(reply)

    async def api(self, subject: str, request: object) -> dict[str, object]:
        """Ask JetStream's API.  Raises `ApiError` when it refuses, `Unavailable`."""
        reply = await self.ask(f"$JS.API.{subject}", json.dumps(request).encode() if request is not None else b"")
        return answer_of(reply)

    async def ask_for_many(self, subject: str, request: object) -> tuple[list[Reply], bool]:
        """The answers to a batched direct get, and whether it was answered to its end.  Raises `Unavailable`."""
        found: list[Reply] = []
        with _told():
            answers = await self._client.subscribe(inbox := self._client.new_inbox())
            try:
                await self._client.publish(f"$JS.API.{subject}", json.dumps(request).encode(), reply=inbox)
                while True:
                    reply = _reply(await answers.next_msg(REQUEST_S))
                    if (status := reply.headers.get("Status")) is None:
                        found.append(reply)
                        continue
                    if status in ("204", "404"):
                        return found, True
                    raise Unavailable(f"NATS answers {status} {reply.headers.get('Description', '')}")
            finally:
                await answers.unsubscribe()

    async def tell(self, subject: str) -> None:
        """Send an empty message that nobody keeps."""
        with _told():
            await self._client.publish(subject, b"")

    async def hear(self, subject: str, heard: Callable[[str], None]) -> None:
        """Call this with the subject of each message that comes."""

        async def came(message: Msg) -> None:
            heard(message.subject)

        with _told():
            await self._client.subscribe(subject, cb=came)


class _Client(Client):
    """Connects again after whatever a server says when it hangs up.

    The library closes for good after most of these words, also when a login has ended that has a successor in its file.
    """

    async def _process_err(self, err_msg: str) -> None:
        if PERMISSIONS_ERR in err_msg:
            await super()._process_err(err_msg)
        else:
            await self._process_op_err(nats.errors.Error(f"nats: {err_msg}"))


class _told:  # noqa: N801 - used like a function
    """Errors of the library as `Unavailable`; and a cancellation that it has swallowed.

    Before CPython 3.12 `wait_for`, with which it waits, forgets a cancellation that comes together with the answer.
    """

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None and is_asked_to_end():
            raise asyncio.CancelledError
        if isinstance(error, nats.errors.NoRespondersError):
            raise Unavailable("no NATS server can answer: the log has no leader") from error
        if isinstance(error, TimeoutError | nats.errors.TimeoutError):
            raise Unavailable("no answer from NATS in time", "timeout") from error
        if isinstance(error, nats.errors.Error | OSError):
            raise Unavailable(f"NATS: {error}") from error


def _reply(message: Msg) -> Reply:
    return Reply(
        {str(getattr(key, "value", key)): value for key, value in (message.headers or {}).items()}, message.data
    )


def answer_of(reply: Reply) -> dict[str, object]:
    """An answer of JetStream.  Raises `ApiError`, `Unavailable` for what is none."""
    try:
        answer = json.loads(reply.data)
    except ValueError as error:
        status = reply.headers.get("Status", "")
        raise Unavailable(f"NATS answers {status or 'what nobody understands'}") from error
    if isinstance(refused := answer.get("error"), dict):
        raise ApiError(int(refused.get("err_code", 0)), str(refused.get("description", "")))
    return dict(answer)


@asynccontextmanager
async def connected(config: GroupConfig, name: str, link: Link) -> AsyncIterator[Nats]:
    """A connection to the cluster, made again whenever it is lost; waits for the first one."""

    async def lost() -> None:
        link.down("the connection to NATS is lost", "cut")

    async def back() -> None:
        link.up()

    async def failed(error: Exception) -> None:
        if is_asked_to_end():  # the library has swallowed that, and would try for ever
            raise asyncio.CancelledError
        if not link.is_up:
            link.down(f"NATS: {error or type(error).__name__}")

    jwt, signature = callbacks(config.credentials.file if config.credentials is not None else None)
    client = _Client()
    await client.connect(
        list(config.servers), name=name, max_reconnect_attempts=-1,
        reconnect_time_wait=0.25,  # type: ignore[arg-type]  # it sleeps for so long
        connect_timeout=2, ping_interval=PING_S, max_outstanding_pings=2, pending_size=PENDING_BYTES,
        user_jwt_cb=jwt, signature_cb=signature, tls=_tls_of(config),
        disconnected_cb=lost, reconnected_cb=back, error_cb=failed,
    )  # fmt: skip
    link.up()
    try:
        yield Nats(client)
    finally:
        link.release()
        try:
            async with asyncio.timeout(REQUEST_S):
                await client.close()
        except (TimeoutError, nats.errors.Error, OSError):
            return


def _tls_of(config: GroupConfig) -> ssl.SSLContext | None:
    if not any(server.startswith("tls:") for server in config.servers):
        return None
    context = ssl.create_default_context(cafile=str(config.tls.ca) if config.tls and config.tls.ca else None)
    if config.tls is not None and config.tls.certificate is not None:
        password = config.tls.key_password.read() if config.tls.key_password is not None else None
        context.load_cert_chain(config.tls.certificate, config.tls.key, password)
    return context
