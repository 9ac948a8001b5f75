"""Who may look and who may act, and what a browser may do with an answer.

Whoever acts, or looks where that needs it, sends the token as `Authorization: Bearer …`.  A foreign page cannot make a
browser send that, so there is no cookie and nothing to forge.  No answer allows other origins.
"""

import asyncio
import hmac

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.config import HttpConfig, Secret
from gateway.errors import ConfigError, Rejected, Unavailable
from gateway.logs import Sparing
from gateway.web.models import Problem

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""The page's own scripts, styles and answers, and nothing else."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
WRONG_S = 0.5
"""How long a wrong token waits for its answer."""


class Access:
    """The rules of one configuration."""

    def __init__(self, config: HttpConfig) -> None:
        self._config = config
        self._sparing = Sparing()
        self._log = structlog.get_logger("gateway.web")

    def looking(self, handler: Handler) -> Handler:
        """A handler for those who may look."""
        return self._guarded(handler, needs_token=self._config.who_may_look != "open")

    def acting(self, handler: Handler) -> Handler:
        """A handler for those who may act."""
        return self._guarded(handler, needs_token=True)

    def _token(self, secret: Secret) -> str:
        """The token as its file says now.  Raises `Unavailable`, without telling strangers why."""
        try:
            return secret.read()
        except ConfigError as error:
            if (more := self._sparing.line("unreadable")) is not None:
                self._log.error("the token of the page cannot be read", problems=error.problems, **more)
            raise Unavailable("the token cannot be read: the log says why") from error

    def _guarded(self, handler: Handler, *, needs_token: bool) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                if needs_token and (refused := await self._refusal(request)) is not None:
                    return hardened(refused)
                return hardened(await handler(request))
            except Rejected as error:
                return hardened(problem(404, str(error)))
            except Unavailable as error:
                return hardened(problem(503, str(error)))
            except ConfigError as error:
                return hardened(problem(409, "; ".join(error.problems)))

        return guarded

    async def _refusal(self, request: web.Request) -> web.Response | None:
        token = self._config.token
        if token is None:
            return problem(403, "this gateway has no token (http.token), so nobody may do that")
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() == "bearer":
            if hmac.compare_digest(given.strip().encode(), self._token(token).encode()):
                return None
            if (more := self._sparing.line("token")) is not None:
                self._log.warning("a wrong token is refused", address=request.remote, **more)
            await asyncio.sleep(WRONG_S)
        return problem(401, "the token is missing or wrong", {"WWW-Authenticate": "Bearer"})


def hardened(answer: web.StreamResponse) -> web.StreamResponse:
    """The answer, with what browsers are to refuse."""
    if not answer.prepared:
        for name, value in HEADERS.items():
            answer.headers.setdefault(name, value)
    return answer


def problem(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    """An answer that says why not."""
    return web.json_response(text=Problem(error=text).model_dump_json(), status=status, headers=headers)
