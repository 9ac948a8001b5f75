"""Random numbers: one stream per (seed, component path, purpose).

A stream depends on nothing but these three, so adding a machine leaves the numbers of the others alone, and two
scenarios with the same seed see the same work times, failures and scrap (common random numbers).
"""

import hashlib
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

BLOCK = 256
"""Draws made at once: a scalar draw of numpy costs ten times as much as one of a block."""

Sampler = Callable[[], float]
"""Gives the next number of a stream."""


def stream(seed: int, path: str, purpose: str) -> np.random.Generator:
    """The generator of one component for one purpose.  Equal arguments give equal numbers, on every machine."""
    digest = hashlib.sha256(f"{path}\0{purpose}".encode()).digest()
    words = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words])))


def blocks(draw: Callable[[int], NDArray[np.float64]]) -> Sampler:
    """One number at a time from a function that draws n at once."""

    def numbers() -> Iterator[float]:
        while True:
            yield from draw(BLOCK).tolist()

    return numbers().__next__


def uniform(seed: int, path: str, purpose: str) -> Sampler:
    """Numbers in [0, 1)."""
    return blocks(stream(seed, path, purpose).random)
