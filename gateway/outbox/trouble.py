"""Why an outbox stores nothing just now, told when it begins and when it ends."""

import structlog

_log = structlog.get_logger("gateway.outbox")


class Trouble:
    """The reason, while there is one.  Each edge is logged once."""

    def __init__(self) -> None:
        self.reason: str | None = None

    def begins(self, reason: str) -> None:
        if self.reason is None:
            _log.error("the outbox takes no messages", reason=reason, next="trying again until it does")
        self.reason = reason

    def ends(self) -> None:
        if self.reason is not None:
            _log.info("the outbox takes messages again")
        self.reason = None
