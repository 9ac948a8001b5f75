"""Logs on standard error: text for a console, or one JSON object per line for machines.

asyncua logs every session and every request at INFO.  Its messages below WARNING are left out, and so are those about a
client that broke the connection off.
"""

import logging
import math
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from structlog.typing import Processor

LogFormat = Literal["console", "json"]

EVERY_S = 60.0
"""The shortest time between two lines for similar events, in seconds."""


def set_up_logs(form: LogFormat) -> None:
    """Send every log line of this process, including those of libraries, to standard error in one form."""
    import structlog  # `--help` names the forms, and pays for no log

    before: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    render: Processor = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    if form == "json":
        render = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=before, processors=[strip, render]))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("asyncua").setLevel(logging.WARNING)


class Sparing:
    """Limits the lines for similar events: the first of a kind, then one a minute with the number of the others."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._latest_s: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def line(self, kind: str) -> dict[str, int] | None:
        """The additional fields for this event's line.  None: log nothing.  There must be few kinds."""
        now_s = self._clock()
        if now_s - self._latest_s.get(kind, -math.inf) < EVERY_S:
            self._unsaid[kind] = self._unsaid.get(kind, 0) + 1
            return None
        self._latest_s[kind] = now_s
        unsaid = self._unsaid.pop(kind, 0)
        return {"and_more_since": unsaid} if unsaid else {}
