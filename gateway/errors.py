"""Three errors, three actions.

`ConfigError` ends the process before any I/O.  `keep_connected` retries after `Unavailable`.  `Rejected` costs one
item. Any other error is a bug.  Inside one peer it ends that peer's life, which begins again (`gateway/run/life.py`).
In what all peers share it ends the process, and the outbox makes that safe.
"""

import socket
import ssl

CAUSES = ("refused", "unreachable", "name", "tls", "timeout", "cut", "answer", "renewal", "bug")
"""Why a peer is away: nothing listens there; there is no route to it; its name does not resolve; TLS or a certificate;
no answer in time; it cut the connection; its answer (a refusal, or one that makes no sense); we leave it to
log in anew before our credentials end; a bug of the gateway.  A
metric label."""

EXIT_UNAVAILABLE = 69
"""Exit code when a peer that a command needs is not reachable (`EX_UNAVAILABLE` of sysexits.h)."""
EXIT_CANNOT_WRITE = 74
"""Exit code when a file cannot be written (`EX_IOERR`)."""
EXIT_IN_USE = 75
"""Exit code when another process has what is needed; a later start will work (`EX_TEMPFAIL`)."""
EXIT_CONFIG = 78
"""Exit code for a configuration that cannot work (`EX_CONFIG`)."""


class ConfigError(Exception):
    """The configuration cannot work.  Holds every problem found, one line each, ready to print.

    `exit_code` is the exit code of a command, if the configuration is not the cause.
    """

    def __init__(self, problems: list[str], exit_code: int = EXIT_CONFIG) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
        self.exit_code = exit_code


class Unavailable(Exception):  # noqa: N818 - it is a state of the peer, not a fault of the program
    """A peer is away or not ready: try again later.  The message says what is missing and why."""

    def __init__(self, text: str, cause: str = "") -> None:
        super().__init__(text)
        self._cause = cause

    @property
    def cause(self) -> str:
        """One of `CAUSES`: as given, or else derived from the error behind this one."""
        return self._cause or cause_of(self.__cause__)


class Rejected(Exception):  # noqa: N818 - it is a verdict, not a fault of the program
    """This item will never be accepted.

    `reason` is one of a small fixed set (a metric label).  The message is for people.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def cause_of(error: BaseException | None) -> str:
    """The one of `CAUSES` that a network error, or the error behind it, stands for."""
    while error is not None:
        for kind, cause in _KINDS:
            if isinstance(error, kind):
                return cause
        error = error.__cause__
    return "answer"


_KINDS: tuple[tuple[type[BaseException], str], ...] = (
    (ssl.SSLError, "tls"),
    (TimeoutError, "timeout"),
    (ConnectionRefusedError, "refused"),
    (ConnectionError, "cut"),
    (socket.gaierror, "name"),
    (OSError, "unreachable"),
)
