"""A serial line as a Markov chain: exponential work, failures and repairs, finite buffers, blocking after service.

A state holds, per machine, its content (`w` a part in work, `b` a finished part that cannot move, `s` nothing) and
whether it is up; and, per buffer, the number of parts.  The first machine always has another part.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from simulators.verify.markov import Chain

State = tuple[str, tuple[bool, ...], tuple[int, ...]]
Reward = Callable[[State], float]


@dataclass(frozen=True, slots=True)
class Serial:
    """The parameters: rates of work, failure and repair, scrap by machine, and places in between.

    `calendar`: failures also strike while starved or blocked.
    """

    mu: Sequence[float]
    places: Sequence[int]
    p: Sequence[float] = ()
    r: Sequence[float] = ()
    scrap: Sequence[float] = ()
    calendar: bool = False

    def chain(self) -> Chain[State]:
        """The chain; its moves count finished good parts."""
        size = len(self.mu)
        return Chain(("w" + "s" * (size - 1), (True,) * size, (0,) * (size - 1)), self._moves)

    def _moves(self, state: State) -> Iterable[tuple[float, State, int]]:
        holds, up, stock = state
        for i, rate in enumerate(self.mu):
            if up[i] and holds[i] == "w":
                yield from self._finish(state, i, rate)
            if self.p and up[i] and (self.calendar or holds[i] == "w"):
                yield self.p[i], (holds, _with(up, i, False), stock), 0
            if self.p and not up[i]:
                yield self.r[i], (holds, _with(up, i, True), stock), 0

    def _finish(self, state: State, i: int, rate: float) -> Iterable[tuple[float, State, int]]:
        scrap = self.scrap[i] if self.scrap else 0.0
        if scrap:
            yield rate * scrap, self._moved(state, i, lost=True), 0
        yield rate * (1 - scrap), self._moved(state, i, lost=False), int(i == len(self.mu) - 1)

    def _moved(self, state: State, i: int, lost: bool) -> State:
        """The state after machine i has finished a part."""
        holds, stock = list(state[0]), list(state[2])
        holds[i] = "b"
        if lost or i == len(holds) - 1:
            holds[i] = "s"
            self._load(holds, stock, i)
        else:
            self._unload(holds, stock, i)
        return "".join(holds), state[1], tuple(stock)

    def _unload(self, holds: list[str], stock: list[int], i: int) -> None:
        """Pass on the finished part of machine i if possible."""
        if holds[i + 1] == "s":
            holds[i + 1] = "w"
        elif stock[i] < self.places[i]:
            stock[i] += 1
        else:
            return
        holds[i] = "s"
        self._load(holds, stock, i)

    def _load(self, holds: list[str], stock: list[int], i: int) -> None:
        """Give the empty machine i a part if there is one."""
        if i == 0:
            holds[0] = "w"
        elif stock[i - 1]:
            stock[i - 1] -= 1
            holds[i] = "w"
            if holds[i - 1] == "b":
                self._unload(holds, stock, i - 1)
        elif holds[i - 1] == "b":
            self._unload(holds, stock, i - 1)


def _with(up: tuple[bool, ...], i: int, value: bool) -> tuple[bool, ...]:
    return (*up[:i], value, *up[i + 1 :])


def share(i: int, what: str) -> Reward:
    """The share of time that machine i holds `w`, `b` or `s`, while up."""
    return lambda state: float(state[0][i] == what and state[1][i])


def parts_on_line(state: State) -> float:
    """All parts: in machines and in buffers."""
    return float(sum(hold != "s" for hold in state[0]) + sum(state[2]))
