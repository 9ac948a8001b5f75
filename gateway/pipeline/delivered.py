"""Counts the messages that a broker acknowledged: once per turn of the event loop, not per message.

With a topic per tag, one turn settles a hundred messages, and a counter of the library costs as much as all other work
for one of them.  The histograms observe the first ten messages of a turn: all at a low rate, and a fair sample at a
high one.  Until the end of the turn its values count as stored, so that the books always balance.
"""

import asyncio
import time
from collections.abc import Mapping

from gateway.metrics import SinkMetrics, Spread
from gateway.model import TICKS_PER_SECOND, UNIX_EPOCH_TICKS, Message

MOST_AHEAD_S = 1.0
"""Delays are not observed for source timestamps further in the future."""
MOST_OBSERVED = 10
"""How many messages of a turn the histograms observe."""


class Delivered:
    """The books of acknowledged messages."""

    def __init__(self, metrics: SinkMetrics, delays: Mapping[str, Spread]) -> None:
        self._metrics = metrics
        self._delays = delays
        self._begin()

    def _begin(self) -> None:
        self.values = 0
        """Values of this turn that the series do not have yet."""
        self._replayed = self._messages = self._bytes = 0
        self._units = dict.fromkeys(self._metrics.cloud_units, 0)
        self._observed: list[tuple[float, Message]] = []

    def add(self, message: Message, sent_at_s: float, replayed: bool) -> None:
        """Count an acknowledged message that was sent at `sent_at_s` (monotonic)."""
        if not self._messages:
            asyncio.get_running_loop().call_soon(self.settle)
        self.values += message.values
        if replayed:
            self._replayed += message.values
        self._messages += 1
        size = len(message.payload)
        self._bytes += size
        for unit_bytes in self._units:
            self._units[unit_bytes] += 1 if size <= unit_bytes else -(-size // unit_bytes)
        if self._messages <= MOST_OBSERVED:
            self._observed.append((sent_at_s, message))

    def settle(self) -> None:
        """Add the turn to the series."""
        metrics = self._metrics
        metrics.delivered.inc(self.values)
        metrics.replayed.inc(self._replayed)
        metrics.messages.inc(self._messages)
        metrics.payload_bytes.inc(self._bytes)
        for unit_bytes, count in self._units.items():
            metrics.cloud_units[unit_bytes].inc(count)
        now_s, utc_s = time.monotonic(), time.time()
        for sent_at_s, message in self._observed:
            metrics.ack_seconds.observe(now_s - sent_at_s)
            if message.oldest_ticks:
                delay_s = utc_s - (message.oldest_ticks - UNIX_EPOCH_TICKS) / TICKS_PER_SECOND
                if delay_s > -MOST_AHEAD_S:
                    self._delays[message.source].observe(max(0.0, delay_s))
        self._begin()
