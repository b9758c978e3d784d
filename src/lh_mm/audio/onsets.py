"""Where sounds begin: onsets of a mono wave, in seconds, by spectral flux in four views.

Source: SuperFlux (Boeck and Widmer, DAFx 2013): rises of log-spectrum bands against a frequency-wise
maximum of an earlier frame, which forgives vibrato and the beating of detuned oscillators; peaks are picked
against a moving threshold. We differ in three ways: high, middle and low bands are seen through windows of
21, 43 and 85 ms and added up, so that a hi-hat is placed sharply and a quiet chord is still told from the
kick beside it; the threshold mixes a moving median and a moving mean; peaks are refined below one frame and
a constant, measured on rendered notes, makes the times unbiased. The figures below were found by random
search on renders of `electronic`, seeds 0 to 39, and on drum performances played with recorded one-shots
(benchmarks/onsets.py measures them on other seeds).

It is deterministic. Notes that begin within `MERGE_S` count as one onset, in the sound and in the notes
(`merge_onsets`). Pads with a slow attack and notes far below the rest have no acoustic onset: they are not
found, as they should not be, and the F1 of an original is below 1 for that.
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
_MEDIAN_S, _MEAN_S = 0.6, 0.2
_MEDIAN_GAIN, _MEAN_GAIN, _OFFSET = 2.0, 0.11, 0.077
_BIAS_S = -0.0027


@dataclass(frozen=True)
class _View:
    """One way of looking at the rises.

    Attributes:
        window_s: length of its Hann window.
        low_hz: centre of the lowest band.
        num_bands: triangles, twelve an octave; each at least two bins wide.
        grouped: neighbouring bands averaged before the logarithm.
        compression: gamma of `log(1 + gamma * magnitude)`.
        lag: frames between the two that are compared.
        widest: bands over which the earlier frame's maximum is taken.
        dead_zone: rises below this, in nats, count nothing.
        delay: frames by which the flux is moved later, to fall together with the other views'.
        weight: in the sum.
    """

    window_s: float
    low_hz: float
    num_bands: int
    grouped: int
    compression: float
    lag: int
    widest: int
    dead_zone: float
    delay: int
    weight: float


_VIEWS = (
    _View(512 / 24_000, 1720.0, 30, 1, 2100.0, lag=3, widest=5, dead_zone=0.0, delay=1, weight=1.55),
    _View(1024 / 24_000, 287.0, 32, 1, 900.0, lag=3, widest=1, dead_zone=0.2, delay=1, weight=1.2),
    _View(1024 / 24_000, 60.0, 26, 2, 1000.0, lag=5, widest=3, dead_zone=0.1, delay=0, weight=0.4),
    _View(2048 / 24_000, 90.0, 44, 2, 7000.0, lag=7, widest=1, dead_zone=0.1, delay=3, weight=0.3),
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
    for view in _VIEWS:
        strength += view.weight * _flux(wave, sample_rate, view, num_frames)
    return strength


def merge_onsets(times_s: ArrayLike, merge_s: float = MERGE_S) -> NDArray[np.float64]:
    """Sorted times with every one that follows a kept one by less than `merge_s` left out: `(n,) -> (m <= n,)`."""
    kept: list[float] = []
    for time_s in np.sort(np.asarray(times_s, np.float64)):
        if not kept or time_s - kept[-1] >= merge_s:
            kept.append(float(time_s))
    return np.array(kept, np.float64)


def _flux(wave: NDArray[np.float32], sample_rate: int, view: _View, num_frames: int) -> NDArray[np.float32]:
    """Mean rise over one view's bands, placed in the middle between the two frames compared: `(frames,)`."""
    size = scipy.fft.next_fast_len(round(view.window_s * sample_rate), real=True)
    starts = np.round(np.arange(num_frames) * HOP_S * sample_rate).astype(np.int64)
    padded = np.pad(wave, (size // 2, size))
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[starts] * (window * (2.0 / window.sum()))
    bands = _band_matrix(sample_rate, size, view.low_hz, view.num_bands, view.grouped)
    energy = np.log1p(view.compression * (np.abs(scipy.fft.rfft(frames, axis=-1)) @ bands))  # (frames, bands)
    before = maximum_filter1d(energy, view.widest, axis=1)[: -view.lag]
    rise = np.maximum(energy[view.lag :] - before - view.dead_zone, 0.0).mean(axis=1)  # [n]: frame n to n + lag
    flux = np.zeros(num_frames, np.float32)
    first = view.lag - view.lag // 2 + view.delay
    rise = rise[: max(0, num_frames - first)]
    flux[first : first + len(rise)] = rise
    return flux


@functools.cache
def _band_matrix(sample_rate: int, size: int, low_hz: float, num_bands: int, grouped: int) -> NDArray[np.float32]:
    """Triangles a semitone apart, each at least two bins wide and of unit sum: `(size // 2 + 1, bands / grouped)`.

    Bands above 0.46 of the sample rate, where resamplers roll off, are left out.
    """
    edges = low_hz * 2.0 ** (np.arange(-1, num_bands + 1) / 12.0)
    bin_hz = sample_rate / size
    bins = np.arange(size // 2 + 1)[:, None] * bin_hz
    centre = edges[1:-1]
    left, right = np.minimum(edges[:-2], centre - bin_hz), np.maximum(edges[2:], centre + bin_hz)
    triangles = np.maximum(0.0, np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre)))
    triangles = (triangles / triangles.sum(axis=0))[:, centre < 0.46 * sample_rate]
    kept = triangles.shape[1] // grouped * grouped
    matrix: NDArray[np.float32] = triangles[:, :kept].reshape(len(bins), -1, grouped).mean(axis=2).astype(np.float32)
    return matrix


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
