"""The n-gram floor against sums by hand, a slow twin, and the published floor of POP909."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lh_mm.evaluate.ngram import WittenBell, witten_bell_floor


def slow_nats(train: list[list[int]], test: list[list[int]], vocabulary_size: int, order: int) -> list[float]:
    """The formula, literally."""
    counts: Counter[tuple[int, ...]] = Counter()
    for sequence in train:
        padded = [vocabulary_size] * order + sequence
        for i in range(order, len(padded)):
            for length in range(order + 1):
                counts[tuple(padded[i - length : i + 1])] += 1

    def p(history: tuple[int, ...], token: int, length: int) -> float:
        if length < 0:
            return 1 / vocabulary_size
        shorter = p(history, token, length - 1)
        h = history[len(history) - length :]
        seen = [counts[(*h, w)] for w in range(vocabulary_size)]
        total, kinds = sum(seen), sum(c > 0 for c in seen)
        return (counts[(*h, token)] + kinds * shorter) / (total + kinds) if total else shorter

    out = []
    for sequence in test:
        padded = [vocabulary_size] * order + sequence
        out += [-float(np.log(p(tuple(padded[i - order : i]), padded[i], order))) for i in range(order, len(padded))]
    return out


sequences = st.lists(st.lists(st.integers(0, 4), max_size=12), min_size=1, max_size=4).filter(any)


@given(sequences, sequences)
def test_sorting_gives_what_the_formula_says(train: list[list[int]], test: list[list[int]]) -> None:
    model = WittenBell([np.array(s, int) for s in train], 5, max_order=3)
    rows = model.nats([np.array(s, int) for s in test])
    for order in range(4):
        assert rows[order] == pytest.approx(slow_nats(train, test, 5, order))


@given(sequences, st.lists(st.integers(0, 4), max_size=4))
def test_probabilities_sum_to_one(train: list[list[int]], history: list[int]) -> None:
    model = WittenBell([np.array(s, int) for s in train], 5, max_order=3)
    last = [model.nats([np.array([*history, token])])[:, -1] for token in range(5)]
    assert np.exp(-np.array(last)).sum(0) == pytest.approx(np.ones(4))


@given(sequences, st.lists(st.integers(0, 4), min_size=1, max_size=6), st.integers(0, 3), st.integers(0, 2**31))
def test_legal_choices_share_what_the_others_had(
    train: list[list[int]], test: list[int], order: int, seed: int
) -> None:
    model = WittenBell([np.array(s, int) for s in train], 5, max_order=3)
    ids = np.array(test)
    everything, some = np.ones((len(ids), 5), bool), np.random.default_rng(seed).random((len(ids), 5)) < 0.5
    some[np.arange(len(ids)), ids] = True
    assert model.legal_nats([ids], [everything], order) == pytest.approx(model.nats([ids])[order])
    for t in range(len(ids)):
        p = [np.exp(-model.nats([np.array([*ids[:t], w])])[order, -1]) for w in range(5)]
        expected = -np.log(p[ids[t]] / sum(p[w] for w in range(5) if some[t, w]))
        assert model.legal_nats([ids], [some], order)[t] == pytest.approx(expected)


def test_one_token_by_hand() -> None:
    # "ab": p(a) = (1 + 2/2) / (2 + 2) = 1/2 for either; after a only b was seen: (1 + 1/2) / (1 + 1).
    model = WittenBell([np.array([0, 1])], 2, max_order=1)
    assert np.exp(-model.nats([np.array([0, 1])])[1]).tolist() == pytest.approx([0.75, 0.75])
    assert np.exp(-model.nats([np.array([0, 0])])[1]).tolist() == pytest.approx([0.75, 0.25])


def test_the_floor_is_chosen_on_valid_and_reported_on_test() -> None:
    rng = np.random.default_rng(0)
    cycle = np.tile([0, 1, 2, 3], 50)
    noise = [rng.integers(0, 4, 200) for _ in range(3)]
    assert witten_bell_floor([cycle], [cycle[:40]], [cycle[:40]], 4).order >= 1
    floor = witten_bell_floor(noise[:1], noise[1:2], noise[2:], 4)
    assert floor.order == 0 and floor.valid == min(floor.by_order) and floor.test == pytest.approx(np.log(4), abs=0.05)


def test_wrong_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"0\.\.7 leave the vocabulary of 5"):
        WittenBell([np.array([0, 7])], 5)
    with pytest.raises(ValueError, match="at least one token"):
        WittenBell([np.array([], int)], 5)


@pytest.mark.real_data
@pytest.mark.slow
def test_the_floor_of_pop909_is_the_published_one(pop909_remi: list[tuple[NDArray[np.int32], int]]) -> None:
    """Song n (files sorted, counted from 1) is test where n % 10 is 0 and valid where it is 1."""
    ids = [tokens for tokens, _ in pop909_remi]
    parts = {k: range(k - 1 if k else 9, len(ids), 10) for k in (0, 1)}
    train = [ids[i] for i in range(len(ids)) if (i + 1) % 10 > 1]
    test, valid = ([ids[i] for i in parts[k]] for k in (0, 1))
    assert (len(train), len(valid), len(test)) == (728, 91, 90)
    floor = witten_bell_floor(train, valid, test, 212)
    assert floor.order == 4
    assert floor.by_order == pytest.approx((3.754, 2.476, 2.217, 2.130, 2.043, 2.187), rel=0.002)
    assert floor.test == pytest.approx(2.081, rel=0.002)
    for k, tokens, nats, published in ((1, valid, floor.valid, 6.64), (0, test, floor.test, 6.77)):
        num_notes = sum(pop909_remi[i][1] for i in parts[k])
        assert nats * sum(map(len, tokens)) / num_notes == pytest.approx(published, rel=0.003)
