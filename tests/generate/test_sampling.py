from __future__ import annotations

import pytest
import torch

from lh_mm.generate.sampling import Sampling, draw, exponential_noise, guided

LOGITS = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))


def test_temperature() -> None:
    assert torch.allclose(Sampling().probabilities(LOGITS), LOGITS.exp())
    cold = Sampling(temperature=0.5).probabilities(LOGITS)
    assert torch.allclose(cold, LOGITS.exp().square() / LOGITS.exp().square().sum())
    assert Sampling(temperature=0).probabilities(LOGITS).tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize(("top_k", "kept"), [(0, 4), (1, 1), (2, 2), (9, 4)])
def test_top_k(top_k: int, kept: int) -> None:
    p = Sampling(top_k=top_k).probabilities(LOGITS)
    assert int((p > 0).sum()) == kept
    assert torch.allclose(p, p / p.sum())


@pytest.mark.parametrize(("top_p", "kept"), [(0.01, 1), (0.49, 1), (0.51, 2), (0.79, 2), (0.81, 3), (1.0, 4)])
def test_top_p_keeps_the_least_that_makes_up_the_share(top_p: float, kept: int) -> None:
    mixed = LOGITS[[2, 0, 3, 1]]
    p = Sampling(top_p=top_p).probabilities(mixed)
    assert set(p.nonzero().flatten().tolist()) == set([1, 3, 0, 2][:kept])


def test_typical_keeps_what_surprises_as_much_as_expected() -> None:
    # Entropy 1.14 nats; surprises .69, 1.20, 1.90, 3.0: the second is nearest, then the first, the third, the last.
    kept = [set(Sampling(typical_p=t).probabilities(LOGITS).nonzero().flatten().tolist()) for t in (0.2, 0.4, 0.9, 1)]
    assert kept == [{1}, {0, 1}, {0, 1, 2}, {0, 1, 2, 3}]
    both = Sampling(typical_p=0.9, top_p=0.5).probabilities(LOGITS)
    assert both.nonzero().flatten().tolist() == [0]
    with pytest.raises(ValueError, match="typical_p"):
        Sampling(typical_p=0)


def test_what_is_impossible_is_never_drawn() -> None:
    logits = torch.tensor([0.0, -torch.inf, -torch.inf, -5.0])
    for way in (Sampling(), Sampling(0.0), Sampling(2.0, 3), Sampling(1.0, 0, 0.9), Sampling(typical_p=0.9)):
        choices = draw(way.probabilities(logits), exponential_noise([1] * 200, range(200), (4,)))
        assert set(choices.tolist()) <= {0, 3}


def test_draws_have_their_probabilities() -> None:
    choices = draw(LOGITS.exp(), exponential_noise([3] * 20_000, range(20_000), (4,)))
    share = torch.bincount(choices, minlength=4) / len(choices)
    assert torch.allclose(share, LOGITS.exp(), atol=0.015)


def test_noise_depends_on_seed_and_number_alone() -> None:
    noise = exponential_noise([5, 6, 5], [0, 0, 1], (2, 3))
    assert torch.equal(exponential_noise([5], [1], (2, 3))[0], noise[2])
    assert not torch.equal(noise[0], noise[1])
    assert not torch.equal(noise[0], noise[2])
    before = torch.random.get_rng_state()
    exponential_noise([1], [1], (3,))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_guidance_goes_from_the_unconditional_through_the_conditional() -> None:
    conditional, unconditional = torch.tensor([2.0]), torch.tensor([1.0])
    assert [guided(conditional, unconditional, s).item() for s in (0.0, 1.0, 3.0)] == [1.0, 2.0, 4.0]


@pytest.mark.parametrize("values", [(-1.0, 0, 1.0), (1.0, -1, 1.0), (1.0, 0, 0.0), (1.0, 0, 1.1)])
def test_settings_are_checked(values: tuple[float, int, float]) -> None:
    with pytest.raises(ValueError, match="sampling needs"):
        Sampling(*values)
