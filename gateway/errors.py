"""Three errors, three actions.

`ConfigError` ends the process before any I/O, `Unavailable` is waited out by `keep_connected`, `Rejected` costs one
item.  Anything else is a bug: inside one peer it ends that peer's life, which begins again (`gateway/run/life.py`); in
what all peers share it ends the process, and the outbox makes that safe.
"""

import socket
import ssl

CAUSES = ("refused", "unreachable", "name", "tls", "timeout", "cut", "answer", "bug")
"""Why a peer is away: nobody listens there, no way to it, its name does not resolve, TLS or a certificate, it says
nothing in time, it cut the connection, what it answered (it said no, or made no sense), or a fault of the gateway
itself.  A metric label."""

EXIT_UNAVAILABLE = 69
"""Exit code where a peer that a command needs is not there (`EX_UNAVAILABLE` of sysexits.h)."""
EXIT_CANNOT_WRITE = 74
"""Exit code where a file cannot be written (`EX_IOERR`)."""
EXIT_IN_USE = 75
"""Exit code where somebody else has what is needed, for now: starting again helps (`EX_TEMPFAIL`)."""
EXIT_CONFIG = 78
"""Exit code of a configuration that cannot work (`EX_CONFIG`)."""


class ConfigError(Exception):
    """The configuration cannot work: every problem found, one line each, ready to print.

    `exit_code` is what a command ends with, where it is something else than the configuration.
    """

    def __init__(self, problems: list[str], exit_code: int = EXIT_CONFIG) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
        self.exit_code = exit_code


class Unavailable(Exception):  # noqa: N818 - it names a state of the peer, not a mistake of ours
    """A peer is gone, or not ready for us: try again later.  The message says what is missing and why."""

    def __init__(self, text: str, cause: str = "") -> None:
        super().__init__(text)
        self._cause = cause

    @property
    def cause(self) -> str:
        """One of `CAUSES`: what was said, or else what follows from the error behind this one."""
        return self._cause or cause_of(self.__cause__)


class Rejected(Exception):  # noqa: N818 - it names a verdict, not a mistake of ours
    """This item will never be accepted.

    `reason` is one of a small fixed set (it becomes a metric label); the message is for people.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def cause_of(error: BaseException | None) -> str:
    """Which of `CAUSES` an error of the network, or the one behind it, stands for."""
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
