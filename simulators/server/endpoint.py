"""One OPC UA server on one TCP port: where it listens, who may use it, how it ends.

It is secure by default: it listens on the loopback address, offers exactly the configured policies, knows only the
configured users, and accepts anonymous clients only when configured.  asyncua's own defaults are the opposite of each.
The port is bound before the address space is built, so that a taken port is known at once.
"""

import asyncio
import contextlib
import hmac
import socket
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from asyncua import Server, ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.crypto.truststore import TrustStore
from asyncua.crypto.validator import CertificateValidator, CertificateValidatorOptions
from asyncua.server.internal_server import InternalServer
from asyncua.server.user_managers import UserManager
from cryptography.x509 import Certificate

from simulators.errors import ConfigError
from simulators.server.nodes import collection_paused
from simulators.server.pki import own_certificate, trusted_folder
from simulators.server.server_object import build_date, fill, own_version
from simulators.server.sessions import Core, Listener
from simulators.urls import Url, parse_url

MODEL_URI = "urn:connected-factory:simulator"
POLICIES: Mapping[str, tuple[ua.SecurityPolicyType, ...]] = {
    "None": (ua.SecurityPolicyType.NoSecurity,),
    "Basic256Sha256": (
        ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
        ua.SecurityPolicyType.Basic256Sha256_Sign,
    ),
    "Aes256_Sha256_RsaPss": (
        ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
        ua.SecurityPolicyType.Aes256Sha256RsaPss_Sign,
    ),
}
SECURE = ("Basic256Sha256", "Aes256_Sha256_RsaPss")
APPLICATION_URI = f"{MODEL_URI}:server"
STOP_TIMEOUT_S = 2.0


class CannotListen(Exception):  # noqa: N818 - named after the condition
    """The port is not available.  The message says which one, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use a server, and how."""

    policies: tuple[str, ...] = ("None",)
    """Keys of `POLICIES`."""
    anonymous: bool = True
    passwords: Mapping[str, str] = field(default_factory=dict)
    observers: frozenset[str] = frozenset()
    """The users who may read, but not operate."""
    anonymous_may_operate: bool = True
    """Whether anonymous clients may call methods and write.  Users with a name may, unless they are observers."""
    certificate: Path | None = None
    private_key: Path | None = None
    trusted: Path | None = None
    """A folder of client certificates (DER), read for every session.  None: any certificate is accepted."""

    def may_operate(self, user: User) -> bool:
        if user.name is not None:
            return user.name not in self.observers
        return self.anonymous and self.anonymous_may_operate


def access_for(
    security: Sequence[str], pki: Path, users: Mapping[str, str], anonymous: bool | None,
    observers: Collection[str] = (),
) -> Access:  # fmt: skip
    """The access for the given options.

    Without `security` only the secure policies are offered; SecurityPolicy None must be named.  Anonymous clients are
    accepted unless there are users.  Raises `ConfigError`.
    """
    policies = tuple(security) or SECURE
    unknown = [name for name in policies if name not in POLICIES]
    if unknown:
        raise ConfigError([f"--security {name}: allowed are {', '.join(POLICIES)}" for name in unknown])
    secure = any(name != "None" for name in policies)
    certificate, private_key = own_certificate(pki, APPLICATION_URI) if secure else (None, None)
    return Access(
        policies, anonymous if anonymous is not None else not users, dict(users), certificate=certificate,
        private_key=private_key, trusted=trusted_folder(pki) if secure else None, observers=frozenset(observers),
    )  # fmt: skip


class Users(UserManager):
    """The configured users, and no others."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def get_user(
        self,
        iserver: InternalServer,
        username: str | None = None,
        password: str | None = None,
        certificate: object = None,
    ) -> User | None:
        if username is None:
            return User(role=UserRole.User, name=None) if self._access.anonymous else None
        expected = self._access.passwords.get(username, "")
        same = hmac.compare_digest(expected.encode(), (password or "").encode())
        return User(role=UserRole.User, name=username) if expected and same else None


class OpcUaServer(Server):
    """asyncua's server with our own sessions, subscriptions and listener."""

    iserver: Core

    def __init__(self, name: str, access: Access, bound: socket.socket) -> None:
        super().__init__(iserver=Core(Users(access)))
        host, port = bound.getsockname()[:2]
        self.url = f"opc.tcp://{host}:{port}"
        self.access = access
        self._bound = bound
        self.set_endpoint(self.url)
        self.set_server_name(name)
        self.manufacturer_name = "connected-factory"
        self.product_uri = MODEL_URI
        self._application_uri = APPLICATION_URI
        self.application_type = ua.ApplicationType.Server

    async def secure(self) -> None:
        """Set policies, users and certificates according to the access."""
        access = self.access
        self.iserver.offers_security = any(name != "None" for name in access.policies)
        self.set_security_policy([kind for name in access.policies for kind in POLICIES[name]])
        tokens: list[type] = [ua.AnonymousIdentityToken] if access.anonymous else []
        self.set_identity_tokens([*tokens, *([ua.UserNameIdentityToken] if access.passwords else [])])
        if access.certificate and access.private_key:
            await self.load_certificate(access.certificate)
            await self.load_private_key(access.private_key)
        if access.trusted:
            self.iserver.certificate_validator = partial(admit, access.trusted)

    async def start(self) -> None:
        """Start to accept clients."""
        await self._setup_server_nodes()
        fill(self.iserver, await self.get_namespace_array())
        await self.iserver.start()
        self.bserver = Listener(self.iserver, self._bound, self.limits)
        self.bserver.set_policies(self._policies)
        await self.bserver.start()


async def admit(trusted: Path, certificate: Certificate, description: ua.ApplicationDescription) -> None:
    """Check that the folder trusts the client's certificate now.  Raises `ServiceError` if it does not."""
    folders = [trusted, *(each for each in trusted.rglob("*") if each.is_dir())]
    if not any(
        each.is_file() for folder in folders for each in folder.iterdir()
    ):  # asyncua trusts every client when the folder is empty
        raise ServiceError(ua.StatusCodes.BadCertificateUntrusted)
    revoked = trusted.parent / "crl"
    store = TrustStore(folders, [revoked] if revoked.is_dir() else [])
    await store.load()
    options = CertificateValidatorOptions.TRUSTED_VALIDATION | CertificateValidatorOptions.PEER_CLIENT
    await CertificateValidator(options, store)(certificate, description)


def listening_at(endpoint: str) -> Url:
    """The address to listen on; port 0 means a free port.  Raises `ConfigError`."""
    try:
        return parse_url(endpoint, ("opc.tcp",), lowest_port=0)
    except ValueError as error:
        raise ConfigError([f"--endpoint: {error}"]) from error


def bind(url: str) -> socket.socket:
    """A socket bound to the host and port of `url` (port 0: a free one).  Raises `CannotListen`."""
    host, port = listening_at(url).host, listening_at(url).port
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise CannotListen(
            f"cannot listen on opc.tcp://{host}:{port}: {error.strerror or error}; "
            "end the program that has this port, or choose another one (--port 0 takes a free one)"
        ) from error
    return bound


@asynccontextmanager
async def prepared(name: str, access: Access, bound: socket.socket) -> AsyncIterator[OpcUaServer]:
    """A server with the standard address space that does not listen yet.

    Closed at the end, within `STOP_TIMEOUT_S`.
    """
    server = OpcUaServer(name, access, bound)
    try:
        with collection_paused():
            await server.init()
        await server.set_build_info(MODEL_URI, "connected-factory", name, own_version(), "0", build_date())
        await server.secure()
        yield server
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await server.stop()
        bound.close()
