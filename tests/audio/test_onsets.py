"""The onset finder on sounds whose onsets are known: clicks, noise bursts, tones, chords over a drone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lh_mm.audio.onsets import MERGE_S, find_onsets, merge_onsets, onset_strength

RATE = 24_000


def burst(times_s: NDArray[np.float64], kind: str, duration_s: float, rate: int = RATE) -> NDArray[np.float32]:
    """Decaying clicks, noise bursts or plucked tones at the given times: 2 ms of attack, a soft end."""
    generator = np.random.default_rng(0)
    wave = np.zeros(round(duration_s * rate))
    for i, time_s in enumerate(times_s):
        seconds = np.arange(round(0.1 * rate)) / rate
        envelope = np.minimum(seconds / 0.002, 1.0) * np.exp(-seconds / 0.03) * np.cos(np.pi / 2 * seconds / 0.1)
        if kind == "noise":
            sound = generator.standard_normal(len(seconds))
        elif kind == "click":
            sound = np.sign(np.sin(2 * np.pi * 2000 * seconds))
        else:
            hz = 110.0 * 2 ** ((i * 5 % 24) / 12)
            sound = sum(np.sin(2 * np.pi * hz * k * seconds) / k for k in range(1, 12))
        start = round(time_s * rate)
        end = min(len(wave), start + len(seconds))
        wave[start:end] += (sound * envelope)[: end - start]
    return wave.astype(np.float32)


def matched_errors_s(found: NDArray[np.float64], true: NDArray[np.float64]) -> NDArray[np.float64]:
    assert len(found) == len(true), f"{len(found)} found of {len(true)}"
    return found - true


@pytest.mark.parametrize("kind", ["noise", "click", "tone"])
@pytest.mark.parametrize("rate", [24_000, 44_100])
def test_known_onsets_are_found_without_bias(kind: str, rate: int) -> None:
    true = 0.1 + np.arange(40) * 0.1237
    errors = matched_errors_s(find_onsets(burst(true, kind, 5.2, rate), rate), true)
    # Out of silence the first whisper of a tone counts, so it is found some 5 ms early; in music it is not.
    assert abs(np.median(errors)) < (0.007 if kind == "tone" else 0.003)
    assert np.abs(errors - np.median(errors)).max() < 0.010


def test_a_delayed_wave_gives_delayed_onsets() -> None:
    wave = burst(0.1 + np.arange(20) * 0.15, "noise", 3.5)
    delay = 1111  # not a whole number of hops
    moved = find_onsets(np.concatenate([np.zeros(delay, np.float32), wave]), RATE)
    assert np.abs(moved - find_onsets(wave, RATE) - delay / RATE).max() < 0.003


def test_loudness_moves_nothing() -> None:
    wave = burst(0.1 + np.arange(20) * 0.15, "tone", 3.5)
    loud, soft = find_onsets(wave, RATE), find_onsets(wave * np.float32(0.05), RATE)
    assert len(loud) == len(soft) == 20
    assert np.abs(loud - soft).max() < 1e-4


def test_a_vibrating_detuned_drone_begins_once() -> None:
    seconds = np.arange(4 * RATE) / RATE
    phase = 2 * np.pi * (220 * seconds + 0.6 * np.sin(2 * np.pi * 6 * seconds))
    drone = sum(np.sin(k * phase) / k + np.sin(k * phase * 1.004) / k for k in range(1, 20))
    wave = np.concatenate([np.zeros(RATE // 2), np.asarray(drone) * 0.1]).astype(np.float32)
    found = find_onsets(wave, RATE)
    assert len(found) <= 6, found  # one attack; 4 s of beating and of 60 cents of vibrato may cost some more
    assert np.abs(found - 0.5).min() < 0.015


def test_silence_and_very_short_waves_have_none() -> None:
    for samples in (0, 1, 100, RATE):
        assert len(find_onsets(np.zeros(samples, np.float32), RATE)) == 0
    assert len(find_onsets(np.full(RATE, 0.3, np.float32), RATE)) <= 1


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="mono"):
        find_onsets(np.zeros((2, RATE), np.float32), RATE)
    with pytest.raises(ValueError, match="8000"):
        find_onsets(np.zeros(RATE, np.float32), 8_000)
    with pytest.raises(ValueError, match="NaN"):
        find_onsets(np.full(RATE, np.nan, np.float32), RATE)


def test_strength_has_a_frame_each_five_milliseconds() -> None:
    assert len(onset_strength(np.zeros(RATE, np.float32), RATE)) == 201


@given(st.lists(st.floats(0, 10), max_size=50))
@settings(derandomize=True)
def test_merged_onsets_are_a_spaced_subset(times_s: list[float]) -> None:
    merged = merge_onsets(times_s)
    assert set(merged) <= set(times_s)
    assert (np.diff(merged) >= MERGE_S).all()
    assert np.array_equal(merge_onsets(merged), merged)
    for time_s in times_s:  # nothing is left out unless a kept one is near before it
        assert ((time_s - merged >= 0) & (time_s - merged < MERGE_S)).any()
