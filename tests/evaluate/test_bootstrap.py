"""The bootstrap against the normal approximation, and the two traps: crops of one piece, and unpaired rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lh_mm.evaluate.bootstrap import bootstrap, bootstrap_mean


def test_the_interval_of_a_mean_is_the_textbook_one() -> None:
    values = np.random.default_rng(0).normal(5.0, 2.0, 400)
    interval = bootstrap_mean(values.tolist(), [f"p{i}" for i in range(400)])
    assert interval is not None
    half_width = 1.96 * values.std() / np.sqrt(400)
    assert interval.value == pytest.approx(values.mean())
    assert interval.high - interval.low == pytest.approx(2 * half_width, rel=0.1)
    assert (interval.num, interval.num_pieces) == (400, 400)


def test_copies_of_a_crop_do_not_narrow_the_interval() -> None:
    values = np.random.default_rng(0).normal(0.0, 1.0, 30)
    pieces = [f"p{i}" for i in range(30)]
    once, tenfold = bootstrap_mean(values.tolist(), pieces), bootstrap_mean(values.tolist() * 10, pieces * 10)
    assert once is not None and tenfold is not None
    assert tenfold.high - tenfold.low == pytest.approx(once.high - once.low)
    assert (tenfold.num, tenfold.num_pieces) == (300, 30)


def test_rows_of_one_draw_stay_paired() -> None:
    generator = np.random.default_rng(0)
    difficulty = generator.normal(0.0, 10.0, 50)
    columns = {"a": (difficulty + 1.0).tolist(), "b": difficulty.tolist()}
    interval = bootstrap(columns, [f"p{i}" for i in range(50)], lambda mean: mean["a"] - mean["b"])
    assert interval is not None
    assert interval.low == pytest.approx(1.0) and interval.high == pytest.approx(1.0)


def test_the_seed_decides_and_the_global_state_does_not() -> None:
    values, pieces = list(np.random.default_rng(1).normal(size=20)), [f"p{i}" for i in range(20)]
    assert bootstrap_mean(values, pieces, seed=3) == bootstrap_mean(values, pieces, seed=3)
    assert bootstrap_mean(values, pieces, seed=3) != bootstrap_mean(values, pieces, seed=4)


def test_undefined_crops_are_left_out_and_counted() -> None:
    interval = bootstrap_mean([1.0, float("nan"), 3.0], ["a", "b", "c"])
    assert interval is not None
    assert (interval.value, interval.num, interval.num_pieces) == (2.0, 2, 2)
    assert bootstrap_mean([float("nan")], ["a"]) is None
    with pytest.raises(ValueError, match=r"lengths.*2.*1"):
        bootstrap_mean([1.0, 2.0], ["a"])


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.integers(0, 5))
@settings(derandomize=True, max_examples=50)
def test_bounds_lie_within_the_data(values: list[float], seed: int) -> None:
    interval = bootstrap_mean(values, [str(i // 2) for i in range(len(values))], seed=seed, num_resamples=50)
    assert interval is not None
    slack = 1e-9 * max(1.0, *map(abs, values))
    assert min(values) - slack <= interval.low <= interval.high <= max(values) + slack
