"""Whether each value came exactly once and under its own name.

The load server numbers what it sends: serial s of the server k is the value `k * 10**9 + s + 0.5` of variable s % N,
and initial values are negative.  So a value is judged by itself, whatever the contestant's format says about it.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tests.bench.chain.formats import READERS, Reading, Values
from tests.bench.chain.wire import UNIX_EPOCH_TICKS

NUMBERS_APART = 10**9
Arrival = tuple[str, "bytes | memoryview", float]
"""Topic, payload, Unix time."""


class Numbers(dict[str, int]):
    """Name of a variable → its number; of a name that ends in no number, ValueError."""

    def __missing__(self, name: str) -> int:
        self[name] = number = int(name.rpartition("v")[2])
        return number


@dataclass
class Checker:
    """Judges arrivals one after the other; `count` and `verdict` may be asked at any time."""

    form: str
    variables: int
    count: int = 0
    """Values that came, repeats included."""
    messages: int = 0
    initial: int = 0
    last_s: float = 0.0
    """When the last value of a load came, Unix time."""
    last_initial_s: float = 0.0
    problems: Counter[str] = field(default_factory=Counter)
    _reading: Reading = field(default_factory=Reading)
    _serials: list[NDArray[np.int64]] = field(default_factory=list)
    _numbers: Numbers = field(default_factory=Numbers)
    _delays: list[tuple[int, float]] = field(default_factory=list)
    """Serial number and delay, seconds."""

    def take(self, arrivals: Iterable[Arrival]) -> None:
        """Read some more messages; what cannot be read is a problem, not an error."""
        read = READERS[self.form]
        for topic, payload, at_s in arrivals:
            if not len(payload):
                continue
            try:
                for values in read(self._reading, topic, payload):
                    self._judge(values, at_s)
            except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
                self.problems[f"unreadable, {topic}: {error!r}"[:200]] += 1

    def _judge(self, values: Values, at_s: float) -> None:
        self.messages += 1
        numbers = np.asarray(values.values, float)
        live = numbers >= 0
        if not live.all():
            self.initial += int((~live).sum())
            self.last_initial_s = at_s
        if not live.any():
            return
        serials = (numbers[live] - 0.5).astype(np.int64)
        own = numbers[live] - 0.5 == serials
        self.problems["values that were never sent"] += int((~own).sum())
        names = [name for name, is_live in zip(values.names, live, strict=True) if is_live]
        owners = np.array([self._numbers[name] for name in names])
        self.problems["values under another's name"] += int((owners != serials % NUMBERS_APART % self.variables).sum())
        self._serials.append(serials)
        self.count += len(serials)
        self.last_s = at_s
        if live.all():
            ends = (int(serials[0]), int(serials[-1]))
            self._delays += [(s, at_s - (t - UNIX_EPOCH_TICKS) / 1e7) for s, t in zip(ends, values.ticks, strict=False)]

    def verdict(self, sent: int, servers: int) -> dict[str, object]:
        """What came of `sent` values of all servers together, each having sent as many."""
        serials = np.concatenate(self._serials) if self._serials else np.zeros(0, np.int64)
        server, serial = np.divmod(serials, NUMBERS_APART)
        each = sent // servers
        strange = (server >= servers) | (serial >= each)
        place = (server * each + serial)[~strange]
        times = np.bincount(place, minlength=sent) if sent else np.zeros(0, np.int64)
        found = +self.problems + self._reading.problems
        found["values that were never sent"] += int(strange.sum())
        return {
            "values": self.count, "messages": self.messages, "initial": self.initial,
            "missing": int((times == 0).sum()), "repeated": int((times > 1).sum()),
            "steps_back": sum(int((np.diff(part) < 0).sum()) for part in by_server(server, serial)),
            "problems": dict(+found),
        }  # fmt: skip

    def delays_ms(self, first: int) -> dict[str, float]:
        """Percentiles of the time from the source to here, of serial numbers from `first` on."""
        delays = np.array([delay for serial, delay in self._delays if serial % NUMBERS_APART >= first]) * 1e3
        if not len(delays):
            return {}
        names, at = ("p50", "p90", "p99", "p999", "max"), (50, 90, 99, 99.9, 100)
        return {name: round(float(value), 3) for name, value in zip(names, np.percentile(delays, at), strict=True)}


def by_server(server: NDArray[np.int64], serial: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The serial numbers of each server, in the order in which they came."""
    return [serial[server == each] for each in np.unique(server)]
