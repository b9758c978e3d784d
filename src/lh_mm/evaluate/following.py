"""How well requests of a model are followed: what was asked against what came, beside what no request would give."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.stats import spearmanr

from lh_mm.evaluate.bootstrap import CONFIDENCE, NUM_RESAMPLES


class Agreement(BaseModel):
    """Requested against realised values of one control.

    Attributes:
        num: pairs.
        exact: share of equal ones.
        within_one: share that differ by one step at most.
        mean_error: mean absolute difference in steps.
        spearman: rank correlation within each group, the mean of groups by their pairs; None where no group has two
            values on both sides.
        low, high: bounds of `spearman`, pieces resampled; None where it is, or where pieces were not given.
        chance_spearman: the same of a model that does not listen.
        data_spearman: the same of held-out music itself; None where requests are not its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    num: int
    exact: float
    within_one: float
    mean_error: float
    spearman: float | None
    low: float | None = None
    high: float | None = None
    chance_spearman: float | None
    data_spearman: float | None = None


def agreement(
    requested: Sequence[int],
    realised: Sequence[int],
    groups: Sequence[Hashable] | None = None,
    deaf: Sequence[int] | None = None,
    data: Sequence[int] | None = None,
    pieces: Sequence[str] | None = None,
) -> Agreement | None:
    """How well requests were followed; None without pairs.

    Args:
        requested, realised: values in steps.
        groups: what each pair belongs to, as its instrument. Ranks are compared within groups, for who asks each group
            for what is usual there is followed by music that was never asked.
        deaf: what would have come of no request; by default what came of another one of the group.
        data: what held-out music has whose own value is requested.
        pieces: what is resampled for the interval of `spearman`.
    """
    if not len(requested):
        return None
    a, b = np.array(requested, np.int64), np.array(realised, np.int64)
    names = list(groups) if groups is not None else [None] * len(a)
    members = [np.array([i for i, own in enumerate(names) if own == name]) for name in dict.fromkeys(names)]
    if deaf is None:
        c = b.copy()
        for own in members:
            c[own] = np.roll(b[own], len(own) // 2)
    else:
        c = np.array(deaf, np.int64)
    away = np.abs(a - b)
    low, high = (None, None) if pieces is None else _interval(a, b, members, pieces)
    return Agreement(
        num=len(a), exact=float((away == 0).mean()), within_one=float((away <= 1).mean()),
        mean_error=float(away.mean()), spearman=_spearman(a, b, members), low=low, high=high,
        chance_spearman=_spearman(a, c, members),
        data_spearman=None if data is None else _spearman(a, np.array(data, np.int64), members),
    )  # fmt: skip


def _spearman(a: NDArray[np.int64], b: NDArray[np.int64], members: Sequence[NDArray[np.int64]]) -> float | None:
    found: list[tuple[float, int]] = []
    for own in members:
        if len(np.unique(a[own])) > 1 and len(np.unique(b[own])) > 1:
            result: Any = spearmanr(a[own], b[own])
            found.append((float(result.statistic), len(own)))
    return None if not found else float(np.average([r for r, _ in found], weights=[n for _, n in found]))


def _interval(
    a: NDArray[np.int64], b: NDArray[np.int64], members: Sequence[NDArray[np.int64]], pieces: Sequence[str]
) -> tuple[float | None, float | None]:
    """Percentile bounds of the correlation, whole pieces drawn with replacement (see `evaluate.bootstrap`)."""
    names, of_pair = np.unique(np.asarray(pieces, dtype=object).astype(str), return_inverse=True)
    if len(names) < 2:
        return None, None
    rng, found = np.random.default_rng(0), []
    for _ in range(NUM_RESAMPLES):
        times = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))[of_pair]
        value = _spearman(a, b, [np.repeat(own, times[own]) for own in members])
        if value is not None:
            found.append(value)
    if not found:
        return None, None
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(found, [tail, 1.0 - tail])
    return float(low), float(high)
