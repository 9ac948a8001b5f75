"""What happened last: the newest lines of the log, for people who look, each with the command that helps.

Lines come from the log itself, which has one line per change of state.  What `log_level` leaves out is missing here.
"""

import logging
import re
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.advice import advice_for

MOST = 50
"""How many lines are kept."""
MOST_TEXT = 1000
"""The longest text of a line, in characters."""
_OURS = "gateway"
_LEFT_OUT = frozenset(("event", "level", "logger", "timestamp", "reason", "advice", "peer", "source", "broker"))

_PRINTED = re.compile(r"`?(gateway (?:cert|outbox|browse|validate|plan|audit|watch|profile) [^`;,()]+)`?")
COMMANDS: tuple[tuple[str, str], ...] = (
    ("does not trust our certificate", "gateway cert export our-certificate.der"),
    ("refused for good", "gateway outbox peek {outbox}/dead-letters/{peer}"),
    ("refused for now", "gateway outbox peek {outbox}/refused/{peer}"),
    ("refused, and too long", "gateway validate {file}"),
    ("the new configuration is refused", "gateway validate {file}"),
    ("need a restart", "gateway validate {file}"),
    ("cannot be subscribed to", "gateway plan {file}"),
    ("found no variables", "gateway plan {file}"),
    ("variables are gone", "gateway plan {file}"),
    ("chosen tags are not shown", "gateway plan {file}"),
    ("cannot be decoded", "gateway browse {address}"),
    ("name or the password", "gateway validate {file}"),
    ("not authorized", "gateway validate {file}"),
    ("outbox", "gateway outbox show {outbox}"),
    ("dropped", "gateway outbox show {outbox}"),
    ("not connected", "{look} {address}"),
    ("is lost again each time", "{look} {address}"),
)
"""Words of a line, and the command that helps.  The first entry applies whose words are in it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the log."""

    at_s: float
    """Unix time."""
    level: str
    event: str
    peer: str
    address: str
    reason: str
    advice: str
    printed: str
    """The command that the line itself names; empty for none."""
    more: Mapping[str, str]


class Happened(logging.Handler):
    """Keeps the newest lines of the gateway.  Made by `remembering`."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: deque[Line] = deque(maxlen=MOST)
        """Oldest first."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == _OURS or record.name.startswith(f"{_OURS}."):
            said = record.msg if isinstance(record.msg, dict) else {"event": record.getMessage()}
            self.lines.append(_line(record, said))


@contextmanager
def remembering() -> Iterator[Happened]:
    """Keep the newest lines while inside."""
    happened, root = Happened(), logging.getLogger()
    root.addHandler(happened)
    try:
        yield happened
    finally:
        root.removeHandler(happened)


def _line(record: logging.LogRecord, said: Mapping[str, object]) -> Line:
    def text(*names: str) -> str:
        return next((str(said[name])[:MOST_TEXT] for name in names if said.get(name) is not None), "")

    reason = text("reason", "what", "why", "problems")
    more = {
        str(name): str(value)[:MOST_TEXT]
        for name, value in said.items()
        if name not in _LEFT_OUT and value is not None and not name.startswith("_") and name != "exc_info"
    }
    return Line(
        record.created, record.levelname.lower(), text("event"), text("peer", "source", "broker"), text("address"),
        reason, text("advice") or advice_for(reason), _printed(said), more,
    )  # fmt: skip


def _printed(said: Mapping[str, object]) -> str:
    """From the whole text, since half a command is a wrong one."""
    for name in ("reason", "what", "why", "problems"):
        if (found := _PRINTED.search(str(said.get(name, "")))) is not None and "FILE" not in found[1]:
            return found[1].strip()
    return ""


def command_for(line: Line, *, file: str, outbox: str) -> str:
    """The command that helps; empty where none does.  `file` and `outbox` are those of the configuration."""
    if line.printed:
        return line.printed
    if line.level not in ("warning", "error", "critical"):
        return ""
    whole = f"{line.event} {line.reason} {line.advice}"
    template = next((command for words, command in COMMANDS if words in whole), "")
    if (named := _PRINTED.search(line.advice)) is not None and "{look}" in template and "FILE" not in named[1]:
        return named[1].strip()
    if not template or ("{address}" in template and not line.address):
        return ""
    look = "gateway browse" if line.address.startswith("opc.tcp") else "gateway watch"
    return template.format(file=file, outbox=outbox, peer=line.peer, address=line.address, look=look)
