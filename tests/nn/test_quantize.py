from __future__ import annotations

import torch

from lh_mm.core.merge import ZERO
from lh_mm.nn.quantize import Codebook, ResidualQuantizer, code_usage


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_replaced_code_survives_the_next_update() -> None:
    # encodec issue 61: the replacement was written to the vectors and overwritten from the sums one line later.
    book = Codebook(8, 4)
    data = torch.randn(64, 4, generator=_generator())
    book.start_from(data, _generator(1))
    book.vectors[3] = 1e3  # far from everything: never chosen again
    book.sums[3], book.counts[3] = book.vectors[3] * 1e-6, 1e-6
    assert book.update(data, book.nearest(data), _generator(2)) == 1
    revived = book.vectors[3].clone()
    assert (data == revived).all(-1).any(), "a dead code becomes a vector of the batch"
    nothing = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    for _ in range(3):
        book.update(*nothing, _generator(3))
    torch.testing.assert_close(book.vectors[3], revived)


def test_dead_codes_are_revived_until_every_code_is_used() -> None:
    quantizer = ResidualQuantizer(2, 32, 8, dropout=0.0, decay=0.9)
    quantizer.train()
    generator = _generator()
    for step in range(60):
        # The data moves away from where the codebooks began.
        latents = torch.randn(4, 50, 8, generator=generator) + 3.0 * (step > 10)
        quantizer(latents, generator)
    usage, perplexity = code_usage(quantizer.encode(torch.randn(20, 100, 8, generator=generator) + 3.0), 32)
    assert usage.min() == 1.0
    assert perplexity.min() > 20


def test_straight_through_is_the_identity_for_gradients_and_taken_once() -> None:
    # encodec issue 25: a straight-through step inside the residual loop multiplies gradients by the depth.
    quantizer = ResidualQuantizer(4, 16, 8, dropout=0.0).train()
    latents = torch.randn(2, 10, 8, generator=_generator(), requires_grad=True)
    weight = torch.randn(2, 10, 8, generator=_generator(1))
    (quantizer(latents, _generator(2)).latents * weight).sum().backward()
    torch.testing.assert_close(latents.grad, weight)


def test_training_and_inference_quantise_alike() -> None:
    quantizer = ResidualQuantizer(4, 16, 8, dropout=0.0).train()
    latents = torch.randn(2, 30, 8, generator=_generator())
    quantizer(latents, _generator(1))
    quantizer.eval()
    quantized = quantizer(latents)
    assert torch.equal(quantized.codes, quantizer.encode(latents))
    torch.testing.assert_close(quantized.latents, quantizer.decode(quantized.codes))
    assert quantized.num_dead.tolist() == [0, 0, 0, 0]


def test_more_codebooks_come_closer() -> None:
    quantizer = ResidualQuantizer(4, 64, 8, dropout=0.0).train()
    generator = _generator()
    for _ in range(40):
        quantizer(torch.randn(4, 100, 8, generator=generator), generator)
    latents = torch.randn(4, 100, 8, generator=generator)
    codes = quantizer.encode(latents)
    errors = [(quantizer.decode(codes[..., :k]) - latents).square().mean().item() for k in range(1, 5)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] < 0.8
    assert errors[3] < 0.4 * errors[0]


def test_zero_contributes_nothing_and_equals_a_missing_codebook() -> None:
    quantizer = ResidualQuantizer(4, 16, 8, dropout=0.0).train()
    latents = torch.randn(2, 30, 8, generator=_generator())
    quantizer(latents, _generator(1))
    codes = quantizer.encode(latents)
    blanked = codes.clone()
    blanked[..., 2:] = ZERO
    assert torch.equal(quantizer.decode(blanked), quantizer.decode(codes[..., :2]))
    assert torch.equal(quantizer.decode(torch.full_like(codes, ZERO)), torch.zeros(2, 30, 8))


def test_dropout_keeps_a_prefix_of_codebooks_in_training_only() -> None:
    quantizer = ResidualQuantizer(4, 16, 8, dropout=0.5).train()
    codes = quantizer(torch.randn(64, 5, 8, generator=_generator()), _generator(1)).codes
    kept = (codes != ZERO).sum(-1)  # (B, N)
    assert (kept == kept[:, :1]).all(), "one depth an example"
    assert set(kept[:, 0].tolist()) == {1, 2, 3, 4}
    assert 0.3 < (kept[:, 0] < 4).float().mean() < 0.7
    prefix = (codes != ZERO).int()
    assert (prefix.diff(dim=-1) <= 0).all()
    quantizer.eval()
    assert (quantizer(torch.randn(8, 5, 8)).codes != ZERO).all()


def test_fewer_vectors_than_codes_start_a_codebook() -> None:
    book = Codebook(16, 4)
    book.start_from(torch.randn(5, 4, generator=_generator()), _generator(1))
    assert torch.isfinite(book.vectors).all()
    assert len(book.vectors.unique(dim=0)) == 16


def test_running_sums_are_in_the_checkpoint_and_training_goes_on_equally() -> None:
    # Jukebox kept k_sum and k_elem as plain attributes: they were gone after a resume.
    generator = _generator()
    first = ResidualQuantizer(2, 16, 8).train()
    batches = [torch.randn(2, 20, 8, generator=generator) for _ in range(6)]
    for i, batch in enumerate(batches[:3]):
        first(batch, _generator(i))
    second = ResidualQuantizer(2, 16, 8).train()
    second.load_state_dict(first.state_dict())
    for i, batch in enumerate(batches[3:]):
        assert torch.equal(first(batch, _generator(i)).codes, second(batch, _generator(i)).codes)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_commitment_pulls_towards_the_codes() -> None:
    quantizer = ResidualQuantizer(2, 16, 8, dropout=0.0).train()
    latents = torch.randn(4, 20, 8, generator=_generator())
    quantizer(latents, _generator(1))
    quantizer.eval()
    moved = latents.clone().requires_grad_(True)
    before = quantizer(moved).commitment
    before.backward()
    assert quantizer(latents - 0.5 * latents.numel() / 40 * moved.grad).commitment < before


def test_usage_and_perplexity_of_known_codes() -> None:
    codes = torch.tensor([[0, 5], [1, 5], [2, ZERO], [3, 5]])
    usage, perplexity = code_usage(codes, 8)
    torch.testing.assert_close(usage, torch.tensor([0.5, 0.125], dtype=torch.float64))
    torch.testing.assert_close(perplexity, torch.tensor([4.0, 1.0], dtype=torch.float64))
