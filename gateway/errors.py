"""Three errors, three actions.

`ConfigError` ends the process before any I/O, `Unavailable` is waited out by `keep_connected`, `Rejected` costs one
item.  Anything else is a bug and ends the process; the outbox makes that safe.
"""

EXIT_CONFIG = 78
"""Exit code of a configuration that cannot work (`EX_CONFIG` of sysexits.h)."""


class ConfigError(Exception):
    """The configuration cannot work: every problem found, one line each, ready to print."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Unavailable(Exception):  # noqa: N818 - it names a state of the peer, not a mistake of ours
    """A peer is gone, or not ready for us: try again later.  The message says what is missing and why."""


class Rejected(Exception):  # noqa: N818 - it names a verdict, not a mistake of ours
    """This item will never be accepted.

    `reason` is one of a small fixed set (it becomes a metric label); the message is for people.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
