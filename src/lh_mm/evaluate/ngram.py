"""The floor: interpolated Witten-Bell n-grams, which any trained model must beat.

`p(w | h) = (c(h, w) + T(h) p(w | h')) / (c(h) + T(h))`, with c counts, T(h) the number of distinct
tokens seen after history h, and h' the history without its oldest token; the chain ends in the uniform
distribution 1 / V, so nothing has probability 0. An unseen history passes on to h' (Witten and Bell, "The
zero-frequency problem", 1991, method C, interpolated). Histories are relabelled to integers level by
level and counted by sorting, so millions of tokens take seconds.

An order is a history's *length*: order 0 is the unigram, order 2 the trigram.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
_ROWS_AT_ONCE = 16_384
"""Whole distributions that are in memory together."""


@dataclass(frozen=True)
class _Level:
    """Counts of one history length.

    Attributes:
        histories: sorted keys `parent * (V + 1) + oldest token`; a history's id is its place here.
        totals: c(h) of each history.
        kinds: T(h) of each history.
        pairs: sorted keys `history * V + token`.
        counts: c(h, w) of each pair.
    """

    histories: IntArray
    totals: IntArray
    kinds: IntArray
    pairs: IntArray
    counts: IntArray


@dataclass(frozen=True)
class Floor:
    """What the best n-gram reaches, in nats per token.

    Attributes:
        order: history length that is best on the validation part.
        valid: nats per token there.
        test: nats per token on the test part, at the same order.
        by_order: validation figures of orders 0, 1, 2, ...
    """

    order: int
    valid: float
    test: float
    by_order: tuple[float, ...]


class WittenBell:
    """N-grams of all orders 0 .. `max_order`, fitted to token sequences (each starts from nothing).

    Args:
        sequences: arrays of ids in 0 .. vocabulary_size - 1.
        vocabulary_size: V.
        max_order: longest history.
    """

    def __init__(self, sequences: Sequence[NDArray[np.integer]], vocabulary_size: int, max_order: int = 5) -> None:
        self.vocabulary_size = vocabulary_size
        self.max_order = max_order
        self._levels: list[_Level] = []
        tokens, place = self._flat(sequences)
        history = np.zeros(len(tokens), np.int64)
        for length in range(max_order + 1):
            keys = self._keys(history, tokens, place, length)
            histories, history = np.unique(keys, return_inverse=True)
            pairs, counts = np.unique(history * vocabulary_size + tokens, return_counts=True)
            owners = pairs // vocabulary_size
            self._levels.append(
                _Level(
                    histories=histories,
                    totals=np.bincount(history, minlength=len(histories)),
                    kinds=np.bincount(owners, minlength=len(histories)),
                    pairs=pairs,
                    counts=counts,
                )
            )

    def nats(self, sequences: Sequence[NDArray[np.integer]]) -> NDArray[np.float64]:
        """-log p of every token in turn, all sequences one after another: (max_order + 1, tokens)."""
        tokens, place = self._flat(sequences)
        p = np.full(len(tokens), 1.0 / self.vocabulary_size)
        history = np.zeros(len(tokens), np.int64)
        rows = []
        for length, level in enumerate(self._levels):
            keys = self._keys(history, tokens, place, length)
            found, known = _look_up(level.histories, np.where(history >= 0, keys, -1))
            history = np.where(known, found, -1)
            pair, seen = _look_up(level.pairs, np.where(known, history * self.vocabulary_size + tokens, -1))
            count = np.where(seen, level.counts[pair], 0)
            kinds, total = level.kinds[found], level.totals[found]
            p = np.where(known, (count + kinds * p) / (total + kinds), p)
            rows.append(-np.log(p))
        return np.stack(rows)

    def legal_nats(
        self, sequences: Sequence[NDArray[np.integer]], legal: Sequence[NDArray[np.bool_]], order: int
    ) -> NDArray[np.float64]:
        """`nats` of one order with each distribution cut to the legal tokens and divided by what is left.

        A model whose softmax runs over the legal choices is compared fairly with this alone.

        Args:
            sequences: ids, as for `nats`.
            legal: (tokens, V) of each sequence; a token itself counts as legal.
            order: history length.

        Returns:
            -log p of every token in turn, all sequences one after another.
        """
        tokens, place = self._flat(sequences)
        mask = np.concatenate(list(legal))
        mask[np.arange(len(tokens)), tokens] = True
        histories = self._histories(tokens, place, order)
        nats = np.empty(len(tokens))
        for start in range(0, len(tokens), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            p = np.full((len(tokens[part]), self.vocabulary_size), 1.0 / self.vocabulary_size)
            for level, history in zip(self._levels, histories, strict=False):
                p = self._mixed(level, history[part], p)
            own = p[np.arange(len(p)), tokens[part]]
            nats[part] = np.log((p * mask[part]).sum(axis=1)) - np.log(own)
        return nats

    def _histories(self, tokens: IntArray, place: IntArray, order: int) -> list[IntArray]:
        """Of each length up to `order`, the known history before every token, -1 where it was never seen."""
        history, found = np.zeros(len(tokens), np.int64), []
        for length, level in enumerate(self._levels[: order + 1]):
            keys = self._keys(history, tokens, place, length)
            at, known = _look_up(level.histories, np.where(history >= 0, keys, -1))
            history = np.where(known, at, -1)
            found.append(history)
        return found

    def _mixed(self, level: _Level, history: IntArray, p: NDArray[np.float64]) -> NDArray[np.float64]:
        """Whole distributions (rows, V) one level up: those of the histories without their oldest token are `p`."""
        known = history >= 0
        safe = np.where(known, history, 0)
        first, end = (np.searchsorted(level.pairs, (safe + i) * self.vocabulary_size) for i in (0, 1))
        sizes = np.where(known, end - first, 0)
        rows = np.repeat(np.arange(len(history)), sizes)
        pairs = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes) + np.repeat(first, sizes)
        mixed = np.where(known, level.kinds[safe], 1.0)[:, None] * p
        mixed[rows, level.pairs[pairs] % self.vocabulary_size] += level.counts[pairs]
        result: NDArray[np.float64] = mixed / np.where(known, level.totals[safe] + level.kinds[safe], 1)[:, None]
        return result

    def _flat(self, sequences: Sequence[NDArray[np.integer]]) -> tuple[IntArray, IntArray]:
        """All tokens, and each token's place in its own sequence."""
        if not any(len(s) for s in sequences):
            raise ValueError("an n-gram needs at least one token")
        tokens = np.concatenate([np.asarray(s, np.int64) for s in sequences])
        if tokens.min() < 0 or tokens.max() >= self.vocabulary_size:
            raise ValueError(f"token ids {tokens.min()}..{tokens.max()} leave the vocabulary of {self.vocabulary_size}")
        return tokens, np.concatenate([np.arange(len(s)) for s in sequences])

    def _keys(self, history: IntArray, tokens: IntArray, place: IntArray, length: int) -> IntArray:
        """Keys of histories one token longer; before a sequence's first token stands a mark, id V."""
        if length == 0:
            return history
        oldest = np.full(len(tokens), self.vocabulary_size)
        oldest[length:] = tokens[:-length]
        oldest[place < length] = self.vocabulary_size
        keys: IntArray = history * (self.vocabulary_size + 1) + oldest
        return keys


def _look_up(table: IntArray, keys: IntArray) -> tuple[IntArray, NDArray[np.bool_]]:
    """Where each key stands in a sorted table, and whether it does."""
    found = np.minimum(np.searchsorted(table, keys), len(table) - 1)
    return found, table[found] == keys


def witten_bell_floor(
    train: Sequence[NDArray[np.integer]],
    valid: Sequence[NDArray[np.integer]],
    test: Sequence[NDArray[np.integer]],
    vocabulary_size: int,
    max_order: int = 5,
) -> Floor:
    """The floor of a split: the order is chosen on `valid`, every token weighs the same."""
    model = WittenBell(train, vocabulary_size, max_order)
    by_order = model.nats(valid).mean(axis=1)
    order = int(by_order.argmin())
    return Floor(order, float(by_order[order]), float(model.nats(test)[order].mean()), tuple(by_order.tolist()))
