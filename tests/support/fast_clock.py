"""An event loop whose clock runs faster than the wall's: minutes of waiting in a second.

What runs in the loop (sleeps, time-outs, the proxy's pace) keeps its proportions; other processes and `time.monotonic`
do not take part.
"""

import asyncio
import selectors
from collections.abc import Coroutine


class _FastSelector(selectors.DefaultSelector):
    def __init__(self, times: float) -> None:
        super().__init__()
        self._times = times

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(timeout if timeout is None else timeout / self._times)


class FastLoop(asyncio.SelectorEventLoop):
    """A loop in which a second lasts 1/`times` of one."""

    def __init__(self, times: float) -> None:
        self._times = times
        super().__init__(_FastSelector(times))

    def time(self) -> float:
        return super().time() * self._times


def run_fast(body: Coroutine[object, object, None], times: float = 50.0, within_s: float = 20_000.0) -> None:
    """`within_s` is in seconds of the loop."""
    with asyncio.Runner(loop_factory=lambda: FastLoop(times)) as runner:
        runner.run(asyncio.wait_for(body, within_s))
