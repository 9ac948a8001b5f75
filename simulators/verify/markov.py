"""Finite Markov chains: stationary averages, and how far an average over a run of length T may deviate from them.

The variance of a long-run average of a stationary chain is `avar / T`, and `avar` follows exactly from the generator.
So an estimate is judged by the theoretical standard error, not by an estimated one.
"""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

S = TypeVar("S", bound=Hashable)
Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Expected:
    """A long-run average: its exact value, and its asymptotic variance per unit of time."""

    exact: float
    avar: float

    def scaled(self, factor: float) -> "Expected":
        return Expected(self.exact * factor, self.avar * factor**2)


class Chain(Generic[S]):
    """A Markov chain in continuous time, explored from one state.

    `moves(state)` gives (rate, next state, how many it counts) for each possible move.
    """

    def __init__(self, start: S, moves: Callable[[S], Iterable[tuple[float, S, int]]]) -> None:
        self.index: dict[S, int] = {start: 0}
        found: list[tuple[int, int, float, int]] = []
        waiting = [start]
        while waiting:
            here = waiting.pop()
            for rate, there, counts in moves(here):
                if there not in self.index:
                    self.index[there] = len(self.index)
                    waiting.append(there)
                found.append((self.index[here], self.index[there], rate, counts))
        size = len(self.index)
        self._rates = np.zeros((size, size))
        self._counts = np.zeros((size, size))
        for here_at, there_at, rate, counts in found:
            self._rates[here_at, there_at] += rate
            self._counts[here_at, there_at] += rate * counts
        self._rates -= np.diag(self._rates.sum(axis=1))
        self.pi = _stationary(self._rates)

    def average(self, reward: Callable[[S], float]) -> Expected:
        """The time average of a function of the state."""
        values = np.array([reward(state) for state in self.index])
        exact = float(self.pi @ values)
        centred = values - exact
        return Expected(exact, float(2 * self.pi @ (centred * self._deviation(centred))))

    def rate(self) -> Expected:
        """The rate of the counted events."""
        each = self._counts.sum(axis=1)
        exact = float(self.pi @ each)
        ahead = self._deviation(each - exact)
        squares = float(self.pi @ each)
        return Expected(exact, squares + 2 * float(self.pi @ (self._counts @ ahead)))

    @cached_property
    def _fundamental(self) -> Vector:
        """The fundamental matrix: one inversion serves all averages of the chain."""
        return np.asarray(np.linalg.inv(np.outer(np.ones(len(self.pi)), self.pi) - self._rates), dtype=np.float64)

    def _deviation(self, centred: Vector) -> Vector:
        solved = self._fundamental @ centred
        return np.asarray(solved - self.pi @ solved, dtype=np.float64)


def discrete_average(
    start: S, moves: Callable[[S], Iterable[tuple[float, S]]], reward: Callable[[S], float]
) -> Expected:
    """The average per step of a function of the state, for a chain in discrete time.  `moves` gives probabilities."""
    index: dict[S, int] = {start: 0}
    found: list[tuple[int, int, float]] = []
    waiting = [start]
    while waiting:
        here = waiting.pop()
        for probability, there in moves(here):
            if there not in index:
                index[there] = len(index)
                waiting.append(there)
            found.append((index[here], index[there], probability))
    step = np.zeros((len(index), len(index)))
    for here_at, there_at, probability in found:
        step[here_at, there_at] += probability
    pi = _stationary(step - np.eye(len(index)))
    values = np.array([reward(state) for state in index])
    exact = float(pi @ values)
    centred = values - exact
    summed = np.linalg.solve(np.eye(len(index)) - step + np.outer(np.ones(len(index)), pi), centred)
    return Expected(exact, float(2 * pi @ (centred * summed) - pi @ centred**2))


def _stationary(rates: Vector) -> Vector:
    """The stationary distribution of a matrix whose rows sum to zero."""
    system = rates.T.copy()
    system[-1] = 1.0
    right = np.zeros(len(rates))
    right[-1] = 1.0
    return np.asarray(np.linalg.solve(system, right), dtype=np.float64)
