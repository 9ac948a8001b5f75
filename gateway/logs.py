"""Logs on standard error: one line per change of state, as text for a console or as JSON for machines.

Lines of libraries, which use the standard `logging` module, take the same form.  asyncua logs only warnings and errors,
since below that it prints every value it carries.
"""

import logging
import math
import sys
import time
from collections.abc import Callable
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LogFormat = Literal["console", "json"]

EVERY_S = 60.0
"""The shortest time between two lines for similar events, in seconds."""
_LIBRARIES = {"asyncua": logging.WARNING, "aiohttp": logging.WARNING, "mqtt": logging.ERROR, "asyncio": logging.WARNING}


def set_up_logs(form: LogFormat, level: int = logging.INFO) -> None:
    """Send every log line of this process to standard error in the given form."""
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _error_as_text,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderer = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=32)
    )
    handler = _StandardError()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    logging.getLogger().handlers[:] = [handler]
    set_level(level)


def set_level(level: int) -> None:
    """Set the least severe level to log from now on."""
    logging.getLogger().setLevel(level)
    for name, least in _LIBRARIES.items():
        logging.getLogger(name).setLevel(max(least, level))


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


class SparingLog:
    """A log with at most one line of a kind in a minute; the next one says how many were left out."""

    def __init__(self, log: structlog.stdlib.BoundLogger, sparing: Sparing) -> None:
        self._log = log
        self._sparing = sparing

    def info(self, event: str, *, kind: str = "", **fields: object) -> None:
        """Log it, unless there was a line of this event and `kind` a short time ago."""
        if (more := self._sparing.line(f"{event} {kind}")) is not None:
            self._log.info(event, **fields, **more)

    def warning(self, event: str, *, kind: str = "", **fields: object) -> None:
        """The same, more severe."""
        if (more := self._sparing.line(f"{event} {kind}")) is not None:
            self._log.warning(event, **fields, **more)


class _StandardError(logging.Handler):
    """Writes to the present `sys.stderr`, which a live display may replace."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(self.format(record), file=sys.stderr, flush=True)
        except (OSError, ValueError):
            self.handleError(record)


def _error_as_text(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    if isinstance(event.get("error"), BaseException):
        error = event["error"]
        event["error"] = f"{type(error).__name__}: {error}"
    return event
