"""Figures of sounds whose figures are known."""

from __future__ import annotations

import numpy as np
import pytest

from lh_mm.audio.describe import BAND_CENTRES_HZ, describe


def test_a_sine_is_one_band_and_three_decibels() -> None:
    wave = 0.5 * np.sin(2 * np.pi * 1000.0 * np.arange(3 * 44100) / 44100).astype(np.float32)[None]
    figures = describe(wave, 44100)
    assert BAND_CENTRES_HZ[int(figures.spectrum_db.argmax())] == pytest.approx(1000.0)
    assert figures.spectrum_db.max() > -0.01 and np.sort(figures.spectrum_db)[-2] < -35.0
    assert figures.crest_db == pytest.approx(3.01, abs=0.02)
    assert figures.peak_db == pytest.approx(-6.02, abs=0.01)
    assert figures.centroid_hz == pytest.approx(1000.0, abs=2.0)
    assert figures.side_db == -100.0


def test_white_noise_rises_three_decibels_an_octave_whatever_its_level() -> None:
    noise = np.random.default_rng(0).standard_normal((2, 5 * 44100)).astype(np.float32)
    figures, quieter = describe(noise, 44100), describe(0.01 * noise, 44100)
    slope = np.polyfit(np.log2(BAND_CENTRES_HZ[8:]), figures.spectrum_db[8:], 1)[0]
    assert slope == pytest.approx(3.01, abs=0.1)
    assert quieter.spectrum_db == pytest.approx(figures.spectrum_db, abs=1e-3)
    assert figures.side_db == pytest.approx(0.0, abs=0.1)


def test_silence_and_low_rates_have_a_floor() -> None:
    silent = describe(np.zeros((2, 1000), np.float32), 44100)
    assert silent.loudness_lufs == -np.inf and silent.crest_db == 0.0 and (silent.spectrum_db == -100.0).all()
    low = describe(np.random.default_rng(0).standard_normal((1, 16000)).astype(np.float32), 16000)
    assert (low.spectrum_db[BAND_CENTRES_HZ > 9500] == -100.0).all()
    assert np.isfinite(low.spectrum_db).all()
