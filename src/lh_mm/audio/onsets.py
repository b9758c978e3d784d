"""Where sounds begin: onsets of a mono wave, in seconds, by spectral flux at three resolutions.

Source: SuperFlux (Boeck and Widmer, DAFx 2013): rises of log-spectrum bands against a frequency-wise
maximum of an earlier frame, which forgives vibrato and the beating of detuned oscillators; peaks are picked
against a moving threshold. We differ in three ways: high, middle and low bands are seen through a short, a
middle and a long window and added up, so that a hi-hat is placed sharply and a bass note is still told from
a kick; the threshold mixes a moving median and a moving mean; peaks are refined below one frame and a
constant, measured on clicks and rendered notes, makes the times unbiased.

It is deterministic. Notes that begin within `MERGE_S` count as one onset, in the sound and in the notes
(`merge_onsets`). Pads with a slow attack have no acoustic onset and are not found, as they should not be.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import maximum_filter1d, median_filter, uniform_filter1d

MERGE_S = 0.030
"""Onsets nearer than this are one: the ear hears one attack, and no frame of ours tells them apart."""

HOP_S = 0.005
_RMS = 0.1  # waves are scaled to this level first: neither loudness nor normalisation moves an onset
_QUIET_RMS = 1e-4  # below this a wave counts as silence and is not scaled up to it
_GAMMA = 1000.0  # log(1 + gamma * magnitude): compression before differences
_MEDIAN_S, _MEAN_S = 0.4, 0.2
_MEDIAN_GAIN, _MEAN_GAIN, _OFFSET = 2.0, 0.5, 0.09
_BIAS_S = 0.002


@dataclass(frozen=True)
class _Resolution:
    """One of the three views: bands of [low_hz, high_hz) through windows of `window_s`."""

    window_s: float
    low_hz: float
    high_hz: float
    bands_per_octave: int
    lag_s: float
    weight: float


_RESOLUTIONS = (
    _Resolution(512 / 24_000, 1200.0, 11_000.0, 6, 0.015, 1.0),
    _Resolution(1024 / 24_000, 300.0, 1200.0, 6, 0.015, 1.0),
    _Resolution(1024 / 24_000, 30.0, 300.0, 4, 0.020, 0.6),
)


def find_onsets(wave: NDArray[np.floating], sample_rate: int) -> NDArray[np.float64]:
    """Times at which something begins to sound.

    Args:
        wave: `(samples,)` mono. Tuned at 24 kHz; any rate from 16 kHz works.
        sample_rate: samples a second.

    Returns:
        Seconds, increasing, at least `MERGE_S` apart; empty for silence.

    Raises:
        ValueError: not mono, not finite, or a rate below 16 kHz.
    """
    strength = onset_strength(wave, sample_rate)
    peaks = _pick_peaks(strength)
    return np.clip((peaks + _sub_frame(strength, peaks)) * HOP_S + _BIAS_S, 0.0, len(wave) / sample_rate)


def onset_strength(wave: NDArray[np.floating], sample_rate: int) -> NDArray[np.float32]:
    """How much begins at each moment: `(samples,) -> (frames,)`, one frame each `HOP_S`, frame n at n * HOP_S."""
    wave = np.asarray(wave, np.float32)
    if wave.ndim != 1:
        raise ValueError(f"a mono wave (samples,) is needed, got shape {wave.shape}")
    if sample_rate < 16_000:
        raise ValueError(f"onsets need a sample_rate of 16000 or more, got {sample_rate}")
    if not np.isfinite(wave).all():
        raise ValueError("the wave holds NaN or infinity")
    num_frames = 1 + int(len(wave) / sample_rate / HOP_S)
    strength = np.zeros(num_frames, np.float32)
    rms = float(np.sqrt(np.mean(np.square(wave)))) if len(wave) else 0.0
    wave = wave * np.float32(_RMS / max(rms, _QUIET_RMS))
    for resolution in _RESOLUTIONS:
        strength += resolution.weight * _flux(wave, sample_rate, resolution, num_frames)
    return strength


def merge_onsets(times_s: ArrayLike, merge_s: float = MERGE_S) -> NDArray[np.float64]:
    """Sorted times with every one that follows a kept one by less than `merge_s` left out: `(n,) -> (m <= n,)`."""
    kept: list[float] = []
    for time_s in np.sort(np.asarray(times_s, np.float64)):
        if not kept or time_s - kept[-1] >= merge_s:
            kept.append(float(time_s))
    return np.array(kept, np.float64)


def _flux(wave: NDArray[np.float32], sample_rate: int, view: _Resolution, num_frames: int) -> NDArray[np.float32]:
    """Mean rise over one view's bands, placed in the middle between the two frames compared."""
    size = scipy.fft.next_fast_len(round(view.window_s * sample_rate))
    starts = np.round(np.arange(num_frames) * HOP_S * sample_rate).astype(np.int64)
    padded = np.pad(wave, (size // 2, size))
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[starts] * (window * (2.0 / window.sum()))
    bands = _band_matrix(sample_rate, size, view.low_hz, min(view.high_hz, 0.46 * sample_rate), view.bands_per_octave)
    energy = np.log1p(_GAMMA * (np.abs(scipy.fft.rfft(frames, axis=-1)) @ bands))  # (frames, bands)
    lag = round(view.lag_s / HOP_S)
    before = maximum_filter1d(energy, 3, axis=1)[:-lag]
    rise = np.maximum(energy[lag:] - before, 0.0).mean(axis=1)  # rise[n]: frame n to frame n + lag
    flux = np.zeros(num_frames, np.float32)
    first = lag - lag // 2
    flux[first : first + len(rise)] = rise
    return flux


@functools.cache
def _band_matrix(sample_rate: int, size: int, low_hz: float, high_hz: float, per_octave: int) -> NDArray[np.float32]:
    """Log-spaced triangles, each at least two bins wide and of unit sum: `(size // 2 + 1, bands)`."""
    num_bands = int(np.log2(high_hz / low_hz) * per_octave)
    edges = low_hz * 2.0 ** (np.arange(num_bands + 2) / per_octave)
    bin_hz = sample_rate / size
    bins = np.arange(size // 2 + 1)[:, None] * bin_hz
    centre = edges[1:-1]
    left, right = np.minimum(edges[:-2], centre - bin_hz), np.maximum(edges[2:], centre + bin_hz)
    triangles = np.maximum(0.0, np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre)))
    return (triangles / triangles.sum(axis=0)).astype(np.float32)


def _pick_peaks(strength: NDArray[np.float32]) -> NDArray[np.int64]:
    """Frames that are the highest within `MERGE_S` on either side and above the moving threshold."""
    median = median_filter(strength, round(_MEDIAN_S / HOP_S) | 1, mode="nearest")
    mean = uniform_filter1d(strength, round(_MEAN_S / HOP_S) | 1, mode="nearest")
    threshold = _OFFSET + _MEDIAN_GAIN * median + _MEAN_GAIN * mean
    reach = round(MERGE_S / HOP_S)
    highest = strength >= maximum_filter1d(strength, 2 * reach + 1, mode="constant")
    peaks = np.flatnonzero(highest & (strength > threshold))
    return peaks[np.diff(peaks, prepend=-reach - 1) >= reach]  # of a flat top, the first


def _sub_frame(strength: NDArray[np.float32], peaks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Vertex of the parabola through each peak and its neighbours, in frames, within +-0.5."""
    if not len(peaks):
        return np.zeros(0)
    before = strength[np.maximum(peaks - 1, 0)].astype(np.float64)
    after = strength[np.minimum(peaks + 1, len(strength) - 1)].astype(np.float64)
    curvature = before - 2.0 * strength[peaks] + after
    return np.clip(0.5 * (before - after) / np.where(curvature < 0, curvature, -1.0), -0.5, 0.5)
