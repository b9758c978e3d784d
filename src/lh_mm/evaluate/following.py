"""How well requests of a model are followed: what was asked against what came, beside what no request would give."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.stats import spearmanr


class Agreement(BaseModel):
    """Requested against realised values of one control.

    Attributes:
        num: pairs.
        exact: share of equal ones.
        within_one: share that differ by one step at most.
        mean_error: mean absolute difference in steps.
        spearman: rank correlation within each group, the mean of groups by their pairs; None where no group has two
            values on both sides.
        chance_spearman: the same of a model that does not listen.
        data_spearman: the same of held-out music itself; None where requests are not its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    num: int
    exact: float
    within_one: float
    mean_error: float
    spearman: float | None
    chance_spearman: float | None
    data_spearman: float | None = None


def agreement(
    requested: Sequence[int],
    realised: Sequence[int],
    groups: Sequence[Hashable] | None = None,
    deaf: Sequence[int] | None = None,
    data: Sequence[int] | None = None,
) -> Agreement | None:
    """How well requests were followed; None without pairs.

    Args:
        requested, realised: values in steps.
        groups: what each pair belongs to, as its instrument. Ranks are compared within groups, for who asks each group
            for what is usual there is followed by music that was never asked.
        deaf: what would have come of no request; by default what came of another one of the group.
        data: what held-out music has whose own value is requested.
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
    return Agreement(
        num=len(a), exact=float((away == 0).mean()), within_one=float((away <= 1).mean()),
        mean_error=float(away.mean()), spearman=_spearman(a, b, members), chance_spearman=_spearman(a, c, members),
        data_spearman=None if data is None else _spearman(a, np.array(data, np.int64), members),
    )  # fmt: skip


def _spearman(a: NDArray[np.int64], b: NDArray[np.int64], members: Sequence[NDArray[np.int64]]) -> float | None:
    found: list[tuple[float, int]] = []
    for own in members:
        if len(np.unique(a[own])) > 1 and len(np.unique(b[own])) > 1:
            result: Any = spearmanr(a[own], b[own])
            found.append((float(result.statistic), len(own)))
    return None if not found else float(np.average([r for r, _ in found], weights=[n for _, n in found]))
