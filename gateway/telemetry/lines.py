"""The lines of the log, on their way to the collector."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.telemetry.waiting import Waiting

MOST_TEXT = 4000
"""The longest text of a field, in characters."""
_LEFT_OUT = frozenset(("event", "level", "timestamp", "exc_info"))


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the log."""

    at_ns: int
    level: str
    event: str
    fields: Mapping[str, str | int | float | bool]


class _Taking(logging.Handler):
    def __init__(self, waiting: Waiting[Line]) -> None:
        super().__init__()
        self._waiting = waiting

    def emit(self, record: logging.LogRecord) -> None:
        said = record.msg if isinstance(record.msg, dict) else {"event": record.getMessage(), "logger": record.name}
        fields = {name: _plain(value) for name, value in said.items() if name not in _LEFT_OUT and name[:1] != "_"}
        level = record.levelname.lower()
        self._waiting.put(Line(int(record.created * 1e9), level, str(said.get("event", "")), fields))


def _plain(value: object) -> str | int | float | bool:
    return value if isinstance(value, bool | int | float) else str(value)[:MOST_TEXT]


@contextmanager
def taking_lines(waiting: Waiting[Line]) -> Iterator[None]:
    """Take every line that is logged while inside."""
    taking, root = _Taking(waiting), logging.getLogger()
    root.addHandler(taking)
    try:
        yield
    finally:
        root.removeHandler(taking)
