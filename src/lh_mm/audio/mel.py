"""Log-mel energies and the one mel distance of this project, in numpy.

Definition, stated once: mono 24 kHz, periodic Hann window of 1,024 samples, hop 256, frames centred with
reflected ends, magnitudes (not powers) through 80 Slaney-scaled, area-normalised triangles from 0 Hz to
12 kHz, natural logarithm of `max(mel, 1e-5)`. The distance of two waves is the mean absolute difference
of these, in nats: 0.1 is about 0.87 dB in every band. It is the mel of HiFi-GAN (Kong et al. 2020,
arXiv:2010.05646) at our rate, so figures compare with vocoder papers that use 80 bands; codecs quoted
with other bands or other floors do not compare. Losses take `mel_filterbank` and do the same in torch.
"""

from __future__ import annotations

import functools

import numpy as np
import scipy.fft
from numpy.typing import NDArray

SAMPLE_RATE = 24_000
N_FFT = 1024
HOP_SAMPLES = 256
NUM_MELS = 80
FLOOR = 1e-5
"""Smallest mel magnitude told apart from silence: -100 dB of a full-scale bin, before area normalisation."""

_LINEAR_HZ = 200.0 / 3.0  # Slaney: linear below 1 kHz, then 27 steps a factor of 6.4
_BREAK_HZ = 1000.0
_LOG_STEP = np.log(6.4) / 27.0


def _hz_to_mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    above = _BREAK_HZ / _LINEAR_HZ + np.log(np.maximum(hz, _BREAK_HZ) / _BREAK_HZ) / _LOG_STEP
    return np.where(hz < _BREAK_HZ, hz / _LINEAR_HZ, above)


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    above = _BREAK_HZ * np.exp(_LOG_STEP * (mel - _BREAK_HZ / _LINEAR_HZ))
    return np.where(mel < _BREAK_HZ / _LINEAR_HZ, mel * _LINEAR_HZ, above)


@functools.cache
def mel_filterbank(
    sample_rate: int = SAMPLE_RATE,
    n_fft: int = N_FFT,
    num_mels: int = NUM_MELS,
    low_hz: float = 0.0,
    high_hz: float | None = None,
) -> NDArray[np.float32]:
    """Slaney-scaled, area-normalised triangles, `(num_mels, n_fft // 2 + 1)`; read-only, do not write to it.

    Args:
        high_hz: upper edge of the last band; the Nyquist frequency when None.
    """
    high_hz = sample_rate / 2 if high_hz is None else high_hz
    edges = _edges_hz(num_mels, low_hz, high_hz)
    bins_hz = np.arange(n_fft // 2 + 1) * (sample_rate / n_fft)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (bins_hz - left) / (centre - left)
    falling = (right - bins_hz) / (right - centre)
    triangles = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (right - left))
    bank: NDArray[np.float32] = triangles.astype(np.float32)
    bank.setflags(write=False)
    return bank


def mel_centres_hz(num_mels: int, low_hz: float, high_hz: float) -> NDArray[np.float64]:
    """Hz of the top of each triangle, `(num_mels,)`; for the axes of pictures."""
    return _edges_hz(num_mels, low_hz, high_hz)[1:-1]


def _edges_hz(num_mels: int, low_hz: float, high_hz: float) -> NDArray[np.float64]:
    """Where the triangles begin, peak and end: `(num_mels + 2,)`, equally spaced in mel."""
    low_mel, high_mel = (float(mel) for mel in _hz_to_mel(np.array([low_hz, high_hz])))
    return _mel_to_hz(np.linspace(low_mel, high_mel, num_mels + 2))


def stft_magnitude(
    wave: NDArray[np.floating], n_fft: int = N_FFT, hop_samples: int = HOP_SAMPLES
) -> NDArray[np.float32]:
    """Magnitudes of centred frames: `(samples,) -> (1 + samples // hop, n_fft // 2 + 1)`, periodic Hann window.

    The ends are reflected, as in `torch.stft(center=True)`; a wave too short to reflect is padded with zeros.
    """
    wave = np.asarray(wave, np.float32)
    if wave.ndim != 1:
        raise ValueError(f"a mono wave (samples,) is needed, got shape {wave.shape}")
    half = n_fft // 2
    padded = np.pad(wave, half, mode="reflect" if len(wave) > half else "constant")
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop_samples]  # (N, n_fft), a view
    window = (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)
    return np.abs(scipy.fft.rfft(frames * window, axis=-1)).astype(np.float32)


def log_mel(
    wave: NDArray[np.floating],
    sample_rate: int = SAMPLE_RATE,
    n_fft: int = N_FFT,
    hop_samples: int = HOP_SAMPLES,
    num_mels: int = NUM_MELS,
) -> NDArray[np.float32]:
    """Natural-log mel magnitudes `(samples,) -> (frames, num_mels)`, floored at `FLOOR`; see the module's text."""
    mel = stft_magnitude(wave, n_fft, hop_samples) @ mel_filterbank(sample_rate, n_fft, num_mels).T
    return np.log(np.maximum(mel, np.float32(FLOOR)))


def mel_distance(wave: NDArray[np.floating], reference: NDArray[np.floating], sample_rate: int = SAMPLE_RATE) -> float:
    """Mean absolute difference of two log-mels in nats, by the definition above.

    Args:
        wave: `(samples,)` mono, as long as the reference.
        reference: `(samples,)` mono.
        sample_rate: of both; only 24,000 is defined, for other rates have other bands and do not compare.

    Raises:
        ValueError: another sample rate, or waves of unequal length.
    """
    if sample_rate != SAMPLE_RATE:
        raise ValueError(f"the mel distance is defined at {SAMPLE_RATE} Hz, got {sample_rate}: resample first")
    if len(wave) != len(reference):
        raise ValueError(f"waves differ in length: {len(wave)} and {len(reference)} samples")
    return float(np.abs(log_mel(wave) - log_mel(reference)).mean())
