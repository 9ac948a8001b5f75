"""Random numbers: one stream per seed, component path and purpose.

A stream depends on these three only.  Another machine therefore does not change the numbers of the existing ones, and
two scenarios with the same seed have the same work times, failures and scrap (common random numbers).
"""

import hashlib
from collections.abc import Callable
from itertools import chain, repeat

import numpy as np
from numpy.typing import NDArray

BLOCK = 256
"""How many numbers are drawn at once: a single draw of numpy costs ten times as much per number."""

Sampler = Callable[[], float]
"""Gives the next number of a stream."""


def stream(seed: int, path: str, purpose: str) -> np.random.Generator:
    """The generator of one component for one purpose.  Equal arguments give equal numbers, on every computer."""
    digest = hashlib.sha256(f"{path}\0{purpose}".encode()).digest()
    words = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words])))


def blocks(draw: Callable[[int], NDArray[np.float64]]) -> Sampler:
    """A sampler for single numbers, from a function that draws n at once."""
    return chain.from_iterable(draw(BLOCK).tolist() for _ in repeat(None)).__next__


def uniform(seed: int, path: str, purpose: str) -> Sampler:
    """Numbers in [0, 1)."""
    return blocks(stream(seed, path, purpose).random)
