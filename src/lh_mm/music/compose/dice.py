"""Chance for the composer: one independent stream for every (seed, purpose), made of uniform doubles only.

Two rules follow. A part draws from its own stream, so a change in how drums are written leaves the chords
of every seed as they were. And nothing is drawn but `Generator.random()`, whose doubles are the raw bits
of PCG64: numpy may change how it draws normals or choices between versions, and a seed must still be the
same piece.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeVar
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


class Dice:
    """Random decisions for one purpose of one piece.

    Args:
        seed: the piece's seed, 0 or more.
        purpose: names the stream, for example "drums" or "lead/hook".
    """

    def __init__(self, seed: int, purpose: str) -> None:
        sequence = np.random.SeedSequence([seed, crc32(purpose.encode())])
        self._generator = np.random.Generator(np.random.PCG64(sequence))
        self._random = self._generator.random

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self._random()

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self._random() < probability

    def below(self, stop: int) -> int:
        """An integer in 0 .. stop - 1."""
        return int(self._random() * stop)

    def between(self, low: int, high: int) -> int:
        """An integer in low .. high, both included."""
        return low + int(self._random() * (high - low + 1))

    def pick(self, items: Sequence[T]) -> T:
        """One item, all alike."""
        return items[int(self._random() * len(items))]

    def weighted(self, weights: Mapping[T, float]) -> T:
        """One key, in proportion to its weight."""
        left = self._random() * sum(weights.values())
        for item, weight in weights.items():
            left -= weight
            if left < 0:
                return item
        return item

    def sample(self, items: Sequence[T], count: int, weights: Sequence[float] | None = None) -> list[T]:
        """Distinct items, in the order of `items`; as many as there are with a weight above 0, `count` at most.

        Weighted sampling without replacement by exponential keys (Efraimidis and Spirakis, 2006).
        """
        keys = []
        for i in range(len(items)):
            weight = 1.0 if weights is None else weights[i]
            draw = self._random()
            if weight > 0:
                keys.append((-math.log(1.0 - draw) / weight, i))
        return [items[i] for i in sorted(i for _, i in sorted(keys)[:count])]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in a random order."""
        return [item for _, _, item in sorted((self._random(), i, item) for i, item in enumerate(items))]

    def bell(self, size: int) -> NDArray[np.float64]:
        """`(size,)` numbers with mean 0 and deviation 1 that never leave [-3, 3] (the sum of 12 uniforms, halved)."""
        out: NDArray[np.float64] = np.clip(self._generator.random((size, 12)).sum(axis=1) - 6.0, -3.0, 3.0)
        return out
