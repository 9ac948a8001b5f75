"""Variables for load tests: each changes at a fixed rate, all at different moments, in a known order.

The value tells the number n of the change, so a reader can see gaps and repeats: n for integers, n/10 for real numbers,
n odd for Booleans, `name-n` for strings.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from simulators import plant

Value = bool | int | float | str


@dataclass(frozen=True, slots=True)
class StressTag:
    """One variable.  `type` is a type name of the plant file."""

    name: str
    type: str
    rate: float
    phase: float
    """Its offset within the interval between two changes, from 0 to 1."""

    def count(self, now_s: float) -> int:
        """How many changes there have been up to `now_s`."""
        return int(now_s * self.rate + self.phase)

    def changed_s(self, count: int) -> float:
        """The time of change number `count`, in simulated seconds."""
        return max(0.0, (count - self.phase) / self.rate)

    def value(self, count: int) -> Value:
        """The value after `count` changes."""
        match self.type:
            case "bool":
                return count % 2 == 1
            case "float" | "double":
                return count / 10
            case "string":
                return f"{self.name}-{count}"
            case "int32":
                return count % 2**31
            case "uint32":
                return count % 2**32
            case _:
                return count


def tags_of(spec: plant.Stress) -> Iterator[StressTag]:
    """The variables of one entry: `load-00000`, `load-00001` …"""
    for number in range(spec.variables):
        yield StressTag(f"{spec.name}-{number:05d}", spec.type, spec.rate, number / spec.variables)
