from __future__ import annotations

import pytest
import torch

from lh_mm.audio.mel import mel_distance
from lh_mm.audio.spectral_loss import SpectralLoss

LOSS = SpectralLoss(24_000)


def _noise(level: float, seed: int, batch: int = 2) -> torch.Tensor:
    return level * torch.randn(batch, 12_000, generator=torch.Generator().manual_seed(seed))


def test_equal_waves_cost_nothing_and_others_something() -> None:
    wave = _noise(0.1, 0)
    assert all(value.item() == pytest.approx(0.0, abs=1e-6) for value in LOSS(wave, wave).values())
    assert all(value.item() > 0.1 for value in LOSS(_noise(0.1, 1), wave).values())


def test_silence_costs_about_one_where_losses_are_relative() -> None:
    parts = LOSS(torch.zeros(2, 12_000), _noise(0.1, 0))
    assert parts["magnitude"].item() == pytest.approx(1.0, abs=0.01)
    assert parts["samples"].item() == pytest.approx(1.0, abs=1e-6)


def test_the_middle_window_is_the_measure_that_is_reported() -> None:
    loud, other = _noise(0.3, 0, batch=1), _noise(0.1, 1, batch=1)
    ours = SpectralLoss(24_000, windows=(1024,))(loud, other)["mel"].item()
    assert ours == pytest.approx(mel_distance(loud[0].numpy(), other[0].numpy()), abs=0.02)


def test_relative_terms_do_not_ask_how_loud_the_batch_is() -> None:
    wave, reference = _noise(0.1, 1), _noise(0.1, 0)
    plain, quieter = LOSS(wave, reference), LOSS(0.3 * wave, 0.3 * reference)
    for name in ("magnitude", "complex", "samples"):
        assert quieter[name].item() == pytest.approx(plain[name].item(), rel=1e-3)


def test_a_quiet_example_does_not_outweigh_a_loud_one() -> None:
    # Levels by example gave the quietest crop the whole gradient.
    reference = torch.cat([_noise(0.2, 0, 1), _noise(0.0005, 1, 1)])
    wave = (reference + 0.01).requires_grad_(True)
    parts = LOSS(wave, reference)
    (parts["complex"] + parts["samples"] + parts["magnitude"]).backward()
    assert wave.grad is not None
    loud, quiet = wave.grad.norm(dim=1)
    assert quiet < 3 * loud


def test_gradients_are_finite_at_silence_and_under_autocast() -> None:
    wave = torch.zeros(2, 12_000, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        total = sum(LOSS(wave, torch.zeros(2, 12_000)).values())
    assert isinstance(total, torch.Tensor)
    total.backward()
    assert wave.grad is not None
    assert torch.isfinite(wave.grad).all()


def test_windows_without_bands_are_refused() -> None:
    with pytest.raises(ValueError, match="300"):
        SpectralLoss(24_000, windows=(1024, 300))


def test_rises_weigh_a_missed_attack_more_and_another_noise_less_than_the_mel_does() -> None:
    burst = torch.zeros(2, 12_000)
    burst[:, 6_000:6_500] = 0.5
    attacked = (0.05 + burst) * _noise(1.0, 0)
    missed, same_shape = LOSS(0.05 * _noise(1.0, 0), attacked), LOSS((0.05 + burst) * _noise(1.0, 1), attacked)
    assert missed["rises"] > 1.15 * missed["mel"]
    assert same_shape["rises"] < 0.9 * same_shape["mel"]


def test_rises_do_not_ask_how_loud_it_is() -> None:
    wave = _noise(0.3, 0)
    parts = LOSS(0.5 * wave, wave)
    assert parts["rises"] < 0.01 < parts["mel"]


def test_bass_hears_the_phase_of_low_tones_and_nothing_high() -> None:
    time_s = torch.arange(12_000) / 24_000
    low, turned, high = (
        0.3 * torch.sin(2 * torch.pi * hz * time_s + phase).expand(2, -1)
        for hz, phase in ((60.0, 0.0), (60.0, 2.0), (3000.0, 0.0))
    )
    assert LOSS(low + high, low)["bass"] < 0.05
    assert LOSS(turned, low)["bass"] > 0.5
    assert LOSS(turned, low)["mel"] < 0.3
