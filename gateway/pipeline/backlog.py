"""One line when a backlog is delivered: how many values, and how long it took.

A backlog begins with the first record that waited longer than `replay.delay` and is over when a record that did not
wait has followed it and all of it has its verdict.  One that nobody noticed is not told.
"""

import time

import structlog

LEAST_WAIT_S = 10.0
"""A backlog of which no record has waited as long is the way of a slow link, and not told."""


class Backlog:
    """The backlog of one broker in one session."""

    def __init__(self, broker: str) -> None:
        self._log = structlog.get_logger("gateway.forward").bind(broker=broker)
        self._begin()

    def _begin(self) -> None:
        self._values = self._open = 0
        self._since_s = 0.0
        self._oldest_s = 0.0
        self._is_passed = False

    def sent(self, appended_at_ns: int, is_old: bool) -> None:
        """A record was sent; `is_old`: it belongs to the backlog."""
        if not is_old:
            self._is_passed = bool(self._since_s)
            self._end()
            return
        if not self._since_s:
            self._since_s = time.monotonic()
        self._open += 1
        self._oldest_s = max(self._oldest_s, time.time() - appended_at_ns / 1e9)

    def settled(self, values: int, is_old: bool) -> None:
        """A record has its verdict; `values` of it were delivered."""
        if is_old:
            self._open -= 1
            self._values += values
            self._end()

    def _end(self) -> None:
        if not self._is_passed or self._open:
            return
        took_s = time.monotonic() - self._since_s
        if self._oldest_s >= LEAST_WAIT_S and self._values:
            told = f"backlog delivered: {grouped(self._values)} values in {took_s:.0f} s"
            self._log.info(told, values=self._values, oldest_waited_s=round(self._oldest_s, 1))
        self._begin()


def grouped(number: int) -> str:
    """A number as people read it: 12 403."""
    return f"{number:,}".replace(",", " ")
