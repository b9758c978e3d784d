"""Requests against what came of them, by cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from lh_mm.evaluate.following import agreement


def test_agreement_of_requests_and_results() -> None:
    exact = agreement([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6])
    assert exact is not None
    assert (exact.exact, exact.within_one, exact.spearman) == (1.0, 1.0, pytest.approx(1.0))
    off = agreement([1, 2, 3, 4], [2, 3, 4, 6])
    assert off is not None
    assert (off.exact, off.within_one, off.mean_error) == (0.0, 0.75, 1.25)
    flat = agreement([1, 1], [1, 2])
    assert flat is not None
    assert flat.spearman is None
    assert agreement([], []) is None
    rng = np.random.default_rng(0)
    asked = rng.integers(0, 10, 400)
    followed = agreement(asked.tolist(), (asked + rng.integers(-1, 2, 400)).tolist())
    assert followed is not None
    assert followed.spearman is not None
    assert followed.spearman > 0.9
    assert followed.chance_spearman == pytest.approx(0.0, abs=0.15)


def test_groups_that_differ_are_not_followed_by_that_alone() -> None:
    # Strings have four voices and leads one, whatever is asked: a model that does not listen follows nothing.
    rng = np.random.default_rng(0)
    groups = ["strings"] * 60 + ["lead"] * 60
    usual = np.array([40] * 60 + [10] * 60)
    asked = (usual + rng.integers(0, 5, 120)).tolist()
    deaf = (usual + rng.integers(0, 5, 120)).tolist()
    pooled, found = agreement(asked, deaf), agreement(asked, deaf, groups=groups)
    assert pooled is not None and found is not None
    assert pooled.spearman is not None and pooled.spearman > 0.7
    assert found.spearman is not None and abs(found.spearman) < 0.25
    heard = agreement(asked, asked, groups=groups, deaf=deaf, data=deaf)
    assert heard is not None
    assert heard.spearman == pytest.approx(1.0)
    assert heard.chance_spearman == heard.data_spearman == found.spearman


def test_the_interval_is_of_pieces() -> None:
    rng = np.random.default_rng(0)
    asked = rng.integers(0, 10, 60)
    came = (asked + rng.integers(-4, 5, 60)).tolist()
    apart = agreement(asked.tolist(), came, pieces=[str(i) for i in range(60)])
    few = agreement(asked.tolist(), came, pieces=[str(i // 10) for i in range(60)])
    assert apart is not None and few is not None
    assert apart.spearman is not None and apart.low is not None and apart.high is not None
    assert apart.spearman - 0.3 < apart.low < apart.spearman < apart.high < 1.0
    # Fisher's interval of as many independent pairs, for a third opinion.
    wide = float(np.tanh(np.arctanh(apart.spearman) + 1.96 / np.sqrt(57)))
    assert apart.high == pytest.approx(wide, abs=0.08)
    assert few.spearman == apart.spearman
    assert few.low != apart.low
    one = agreement(asked.tolist(), came, pieces=["a"] * 60)
    assert one is not None
    assert (one.low, one.high) == (None, None)
