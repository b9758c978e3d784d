"""Confidence intervals that resample whole pieces, for crops of one piece are not independent.

The percentile bootstrap (Efron and Tibshirani 1993, chapter 13) over groups: pieces are drawn with
replacement, a drawn piece brings all of its crops. Every row of a table is evaluated on the *same* draws,
so differences and ratios of rows keep their pairing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

NUM_RESAMPLES = 1000
CONFIDENCE = 0.95


class Interval(BaseModel):
    """A mean and its interval.

    Attributes:
        value: the statistic of all crops.
        low, high: percentile bounds; equal to `value` when there is one piece only.
        num: crops it was computed from (those where the measure is defined).
        num_pieces: pieces these came from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    low: float
    high: float
    num: int
    num_pieces: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap(
    columns: Mapping[str, Sequence[float]],
    pieces: Sequence[str],
    statistic: Callable[[Mapping[str, float]], float],
    *,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Interval | None:
    """Interval of `statistic(means of the columns)`, pieces resampled.

    Args:
        columns: name to one value a crop; a crop that is NaN in any column is left out of all.
        pieces: the piece of each crop.
        statistic: from the columns' means to one number; NaN for a draw where it is undefined.

    Returns:
        None when no crop has a value in every column, or the statistic of all crops is undefined.

    Raises:
        ValueError: columns and pieces of different length.
    """
    lengths = {name: len(values) for name, values in columns.items()} | {"pieces": len(pieces)}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"every column needs one value a crop, got lengths {lengths}")
    table = np.array([list(values) for values in columns.values()], np.float64)  # (columns, crops)
    defined = np.isfinite(table).all(axis=0)
    if not defined.any():
        return None
    table = table[:, defined]
    names, group = np.unique(np.asarray(pieces, dtype=object)[defined].astype(str), return_inverse=True)
    sums = np.array([np.bincount(group, row, len(names)) for row in table])  # (columns, pieces)
    counts = np.bincount(group, minlength=len(names))
    weights = _draws(len(names), num_resamples, seed)  # (resamples, pieces): times each piece was drawn
    means = (weights @ sums.T) / (weights @ counts)[:, None]  # (resamples, columns)
    values = np.array([statistic(dict(zip(columns, row, strict=True))) for row in means])
    value = statistic(dict(zip(columns, table.mean(axis=1), strict=True)))
    values = values[np.isfinite(values)]
    tail = (1.0 - confidence) / 2.0
    if not np.isfinite(value):
        return None
    low, high = np.quantile(values, [tail, 1.0 - tail]) if len(values) else (value, value)
    return Interval(value=value, low=low, high=high, num=int(defined.sum()), num_pieces=len(names))


def bootstrap_mean(
    values: Sequence[float], pieces: Sequence[str], *, seed: int = 0, num_resamples: int = NUM_RESAMPLES
) -> Interval | None:
    """Interval of the mean over crops; None when no value is defined."""
    return bootstrap({"x": values}, pieces, lambda mean: mean["x"], seed=seed, num_resamples=num_resamples)


def _draws(num_pieces: int, num_resamples: int, seed: int) -> NDArray[np.float64]:
    generator = np.random.default_rng(seed)
    drawn = generator.integers(num_pieces, size=(num_resamples, num_pieces))
    weights = np.zeros((num_resamples, num_pieces))
    np.add.at(weights, (np.arange(num_resamples)[:, None], drawn), 1.0)
    return weights
