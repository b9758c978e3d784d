"""Loudness against the standard's own calibration and against another implementation."""

from __future__ import annotations

import numpy as np
import pyloudnorm
import pytest

from lh_mm.audio.loudness import integrated_loudness, normalise_loudness


def sine(hz: float, rate: int, seconds: float = 4.0) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate).astype(np.float32)[None]


@pytest.mark.parametrize("rate", [24000, 44100, 48000])
def test_a_full_scale_sine_reads_as_the_standard_says(rate: int) -> None:
    assert integrated_loudness(sine(997.0, rate), rate) == pytest.approx(-3.01, abs=0.05)
    assert integrated_loudness(np.repeat(sine(997.0, rate), 2, axis=0), rate) == pytest.approx(0.0, abs=0.05)


def test_agrees_with_pyloudnorm_on_music_like_sound() -> None:
    rng = np.random.default_rng(0)
    level = np.repeat(rng.uniform(0.0, 1.0, 60) ** 3, 4410)  # loud and quiet tenths of a second, so both gates work
    wave = (rng.standard_normal((2, len(level))) * 0.1 * level).astype(np.float32)
    assert integrated_loudness(wave, 44100) == pytest.approx(
        pyloudnorm.Meter(44100).integrated_loudness(wave.T), abs=0.1
    )


def test_the_gate_ignores_silence_around_the_sound() -> None:
    wave = sine(997.0, 44100)
    padded = np.pad(wave, ((0, 0), (0, 20 * 44100)))
    assert integrated_loudness(padded, 44100) == pytest.approx(integrated_loudness(wave, 44100), abs=0.25)


def test_silence_and_short_sounds() -> None:
    silence = np.zeros((2, 44100), np.float32)
    assert integrated_loudness(silence, 44100) == -np.inf
    assert normalise_loudness(silence, 44100, -16.0) is silence
    assert np.isfinite(integrated_loudness(sine(997.0, 44100, 0.1), 44100))
    with pytest.raises(ValueError, match="shape"):
        integrated_loudness(np.zeros(100, np.float32), 44100)


def test_normalising_reaches_the_target() -> None:
    out = normalise_loudness(sine(300.0, 44100), 44100, -23.0)
    assert integrated_loudness(out, 44100) == pytest.approx(-23.0, abs=0.01)
