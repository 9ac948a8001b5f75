"""What a server says of itself before anybody is trusted: for `gateway init` and `gateway doctor`."""

import hashlib
from dataclasses import dataclass
from functools import partial

from asyncua import Client, ua
from cryptography import x509

from gateway.config import SecurityConfig, SourceConfig
from gateway.errors import Unavailable
from gateway.in_thread import in_thread
from gateway.model import UNIX_EPOCH_TICKS
from gateway.opcua.session.asyncua_edge import patch_asyncua, peer_errors, server_endpoints
from gateway.opcua.session.certificates import common_name, expires_at, first_of_chain, hosts_of, readable
from gateway.opcua.session.security import check_server, level_of, strongest
from gateway.opcua.session.session import Session

_USERS = {0: "anonymous", 1: "user name", 2: "certificate", 3: "token"}


@dataclass(frozen=True, slots=True)
class Met:
    """A server as it introduces itself, unencrypted.  Nothing of this is proven."""

    name: str
    uri: str
    offers: tuple[str, ...]
    """Security that we support, from strong to weak."""
    is_open: bool
    """It also lets clients in without security."""
    users: frozenset[str]
    """How one may log in at the endpoint that would be used."""
    certificate: x509.Certificate | None
    thumbprint: str
    why_not: str
    """Why its certificate is not trusted; empty: it is, or there is none."""

    @property
    def described(self) -> list[str]:
        """The lines that a person compares with what the server's own pages show."""
        lines = [f"server       {self.name or 'without a name'} ({self.uri})"]
        if self.certificate is not None:
            lines += [
                f"certificate  {common_name(self.certificate)}",
                f"thumbprint   {self.thumbprint}",
                f"issuer       {_issuer(self.certificate)}",
                f"hosts        {', '.join(hosts_of(self.certificate)) or 'none named'}",
                f"ends         {self.certificate.not_valid_after_utc:%Y-%m-%d}",
            ]
        lines.append(f"security     {'; '.join(self.offers) or 'none'}")
        lines.append(f"users        {', '.join(sorted(self.users)) or 'not said'}")
        return lines

    @property
    def ends_s(self) -> float:
        """Unix time at which its certificate ends; infinity without one."""
        return float("inf") if self.certificate is None else expires_at(self.certificate)


def _issuer(certificate: x509.Certificate) -> str:
    return "itself" if certificate.issuer == certificate.subject else certificate.issuer.rfc4514_string()


async def meet(config: SourceConfig) -> Met:
    """Ask a server for its endpoints.  Its certificate is looked up in the trust list, and kept among the rejected ones
    when it is not there.  Raises `Unavailable`."""
    patch_asyncua()
    with peer_errors("ask for endpoints", config.url):
        endpoints = await server_endpoints(Client(config.url, timeout=config.request_timeout), config.request_timeout)
    security = config.security or SecurityConfig()
    levels = {level for each in endpoints if (level := level_of(each)) is not None}
    best = strongest(endpoints, security)
    open_ones = [each for each in endpoints if each.SecurityMode == ua.MessageSecurityMode.None_]
    used = best[1] if best is not None else open_ones[0] if open_ones else None
    server = used.Server if used is not None else None
    certificate, thumbprint, why_not = None, "", ""
    if best is not None:
        shown = best[1].ServerCertificate or b""
        try:
            await in_thread(partial(check_server, best[1], config, security), "trusted certificates")
        except Unavailable as error:
            why_not = str(error)
        try:
            certificate, thumbprint = (
                readable(shown)[0],
                hashlib.sha1(first_of_chain(shown), usedforsecurity=False).hexdigest(),
            )
        except ValueError as error:
            why_not = f"its certificate cannot be read: {error}"
    return Met(
        (server.ApplicationName.Text or "") if server is not None and server.ApplicationName is not None else "",
        (server.ApplicationUri or "") if server is not None else "",
        tuple(level.text for level in sorted(levels, reverse=True)),
        bool(open_ones),
        frozenset(
            _USERS.get(int(token.TokenType), "other") for token in (used.UserIdentityTokens if used else None) or ()
        ),
        certificate,
        thumbprint,
        why_not,
    )


_CURRENT_TIME = ua.NodeId(ua.Int32(ua.ObjectIds.Server_ServerStatus_CurrentTime), ua.Int16(0))


async def clock_of(session: Session) -> float | None:
    """The server's clock as Unix time.  None: it does not tell.  Raises `Unavailable`."""
    [answer] = await session.read_values([_CURRENT_TIME])
    return (answer.good - UNIX_EPOCH_TICKS) / 1e7 if isinstance(answer.good, int) else None
