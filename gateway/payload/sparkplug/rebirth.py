"""How often births are sent again: at once, and then with a pause, however many ask for them.  Pure."""

from dataclasses import dataclass


@dataclass(slots=True)
class Pause:
    """The least time between two births."""

    least_s: float
    _next_s: float = 0.0

    def wait_s(self, now_s: float) -> float:
        """How long it takes until the next one may be sent; 0: now."""
        return max(0.0, self._next_s - now_s)

    def sent(self, now_s: float) -> None:
        self._next_s = now_s + self.least_s
