"""Whether each value came exactly once and under its own name, and how late.

The load server numbers what it sends: serial s of the server k is the value `k * 10**9 + s + 0.5` of variable s % N,
and initial values are negative.  So a value is judged by itself, whatever the contestant's format says about it.
"""

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.bench.chain.formats import READERS, Reading, Values
from tests.bench.chain.wire import UNIX_EPOCH_TICKS

NUMBERS_APART = 10**9
AT_ONCE = 4096
"""Values that are judged together; one by one would cost more than receiving them."""
PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p999": 99.9, "max": 100.0}
Arrival = tuple[str, "bytes | memoryview", float]
"""Topic, payload, Unix time."""
Floats = NDArray[np.float64]


class Numbers(dict[str, int]):
    """Name of a variable → its number; -1 for a name that ends in none."""

    def __missing__(self, name: str) -> int:
        digits = name.rpartition("v")[2]
        self[name] = number = int(digits) if digits.isdecimal() else -1
        return number


@dataclass
class Checker:
    """Judges arrivals one after the other; what it has found may be asked at any time."""

    form: str
    variables: int
    count: int = 0
    """Values of loads that came, repeats included."""
    messages: int = 0
    initial: int = 0
    last_s: float = 0.0
    """When the last value of a load came, Unix time."""
    last_initial_s: float = 0.0
    problems: Counter[str] = field(default_factory=Counter)
    _reading: Reading = field(default_factory=Reading)
    _numbers: Numbers = field(default_factory=Numbers)
    _values: list[float] = field(default_factory=list)
    _names: list[str] = field(default_factory=list)
    """What has not been judged yet."""
    _serials: list[NDArray[np.int64]] = field(default_factory=list)
    _stamped: "array[float]" = field(default_factory=lambda: array("d"))
    """Three numbers for the first and the last value of each message: the value, its source time, its arrival."""

    def take(self, arrivals: Iterable[Arrival]) -> None:
        """Read some more messages; what cannot be read is a problem, not an error."""
        read = READERS[self.form]
        for topic, payload, at_s in arrivals:
            if not len(payload):
                continue
            try:
                for values in read(self._reading, topic, payload):
                    self._note(values, at_s)
            except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
                self.problems[f"unreadable, {topic}: {error!r}"[:200]] += 1
            if len(self._values) >= AT_ONCE:
                self._judge()
        self._judge()

    def _note(self, values: Values, at_s: float) -> None:
        self.messages += 1
        self._values += values.values
        self._names += values.names
        ends = (values.values[0], values.values[-1])
        for value, ticks in zip(ends, values.ticks, strict=False):
            self._stamped.extend((value, (ticks - UNIX_EPOCH_TICKS) / 1e7, at_s))
        if ends[0] < 0 or ends[1] < 0:
            self.last_initial_s = at_s
        if ends[0] >= 0 or ends[1] >= 0:
            self.last_s = at_s

    def _judge(self) -> None:
        names, given = self._names, self._values
        self._values, self._names = [], []
        try:
            values = np.array(given, float)
        except (ValueError, TypeError):  # a text, a null
            self.problems["values that are no numbers"] += 1
            return
        if len(values) != len(names):
            self.problems["names that do not fit the values"] += 1
            return
        owners = np.array([self._numbers[name] for name in names], np.int64)
        live = values >= 0
        self.initial += int((~live).sum())
        serials = (values[live] - 0.5).astype(np.int64)
        self.problems["values that were never sent"] += int((values[live] - 0.5 != serials).sum())
        self.problems["values under another's name"] += int(
            (owners[live] != serials % NUMBERS_APART % self.variables).sum()
        )
        self._serials.append(serials)
        self.count += len(serials)

    def verdict(self, sent: int, servers: int, first: int = 0) -> dict[str, object]:
        """What came of `sent` values of all servers together, each having sent as many, from serial `first` on."""
        self._serials = [np.concatenate(self._serials)] if self._serials else [np.zeros(0, np.int64)]
        server, serial = np.divmod(self._serials[0], NUMBERS_APART)
        each = sent // servers
        strange = (server >= servers) | (serial >= each)
        place = (server * each + serial)[~strange]
        times = np.bincount(place, minlength=sent).reshape(servers, each)[:, first:] if sent else np.zeros(0, np.int64)
        found = self.problems + self._reading.problems
        found["values that were never sent"] += int(strange.sum())
        later = serial >= first
        return {
            "values": self.count, "messages": self.messages, "initial": self.initial,
            "missing": int((times == 0).sum()), "repeated": int((times > 1).sum()),
            "steps_back": steps_back(server[later], serial[later]), "problems": dict(+found),
        }  # fmt: skip

    def delays_ms(self, first: int) -> dict[str, float]:
        """Percentiles of the time from the source to here, of serial numbers from `first` on."""
        serial, due_s, at_s = self._stamps()
        return percentiles_ms((at_s - due_s)[serial >= first])

    def drain(self, backlog: int) -> dict[str, Any]:
        """How the serial numbers below `backlog` came, which were sent before the broker was there, and the others."""
        serial, due_s, at_s = self._stamps()
        old = (serial < backlog) & (serial >= 0)
        if not old.any():
            return {"arrived": 0, "first_s": 0.0, "last_s": 0.0, "live_ms": {}, "after_ms": {}}
        first_s, last_s = float(at_s[old].min()), float(at_s[old].max())
        delay, live = at_s - due_s, serial >= backlog
        during = live & (at_s <= last_s)
        arrived = sum(int((part % NUMBERS_APART < backlog).sum()) for part in self._serials)
        return {
            "arrived": arrived, "first_s": first_s, "last_s": last_s, "live_ms": percentiles_ms(delay[during]),
            "after_ms": percentiles_ms(delay[live & ~during]),
        }  # fmt: skip

    def _stamps(self) -> tuple[Floats, Floats, Floats]:
        """Serial number, source time and arrival; the number is negative for initial values."""
        stamped = np.array(self._stamped).reshape(-1, 3)
        value = stamped[:, 0]
        return np.where(value < 0, -1.0, value % NUMBERS_APART), stamped[:, 1], stamped[:, 2]


def percentiles_ms(delays_s: Floats) -> dict[str, float]:
    """Nothing for nothing."""
    if not len(delays_s):
        return {}
    found = np.percentile(delays_s * 1e3, list(PERCENTILES.values()))
    return {name: round(float(value), 3) for name, value in zip(PERCENTILES, found, strict=True)}


def steps_back(server: NDArray[np.int64], serial: NDArray[np.int64]) -> int:
    """How often a value came after a later one of the same server."""
    return sum(int((np.diff(serial[server == each]) < 0).sum()) for each in np.unique(server))
