"""What a sound is like as a whole: loudness, crest factor and long-term spectrum, to compare renders with recordings.

Third-octave bands follow IEC 61260-1 (base ten, centres 10^(n/10) Hz); each is given relative to the whole, so that
level does not matter. The crest factor is the largest sample against the root mean square.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from lh_mm.audio.loudness import integrated_loudness

BAND_CENTRES_HZ = 10.0 ** (np.arange(14, 43) / 10.0)
"""25 Hz to 16 kHz, 29 bands."""
FLOOR_DB = -100.0
FRAME = 16384


@dataclass(frozen=True)
class Description:
    """One sound in figures.

    Attributes:
        loudness_lufs: integrated, BS.1770; `-inf` for silence.
        peak_db: largest sample against full scale.
        crest_db: peak against root mean square; 0 for silence.
        spectrum_db: power of each of `BAND_CENTRES_HZ` against their sum, (29,), no less than -100. Bands above the
            sample rate's reach are at -100.
        centroid_hz: mean frequency, weighted by power.
        side_db: power of left minus right against left plus right; -100 for mono.
    """

    loudness_lufs: float
    peak_db: float
    crest_db: float
    spectrum_db: NDArray[np.float64]
    centroid_hz: float
    side_db: float


def describe(wave: NDArray[np.float32], sample_rate: int) -> Description:
    """Figures of a wave, (channels, samples), one or two channels."""
    peak = float(np.abs(wave).max(initial=0.0))
    if peak == 0.0:
        silent = np.full(len(BAND_CENTRES_HZ), FLOOR_DB)
        return Description(-np.inf, FLOOR_DB, 0.0, silent, 0.0, FLOOR_DB)
    rms = float(np.sqrt(np.square(wave, dtype=np.float64).mean()))
    power, hz = long_term_power(wave, sample_rate)
    bands = band_powers(power, hz)
    middle = np.square(wave[0] + wave[-1], dtype=np.float64).mean()
    side = np.square(wave[0] - wave[-1], dtype=np.float64).mean()
    return Description(
        loudness_lufs=integrated_loudness(wave, sample_rate),
        peak_db=20.0 * np.log10(peak),
        crest_db=20.0 * np.log10(peak / rms),
        spectrum_db=_decibels(bands / max(bands.sum(), 1e-30)),
        centroid_hz=float((power * hz).sum() / power.sum()),
        side_db=float(_decibels(side / max(float(middle), 1e-30))),
    )


def long_term_power(wave: NDArray[np.float32], sample_rate: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean power spectrum of Hann frames of 16,384 samples, summed over channels, and its frequencies."""
    padded = np.pad(wave, ((0, 0), (FRAME // 2, FRAME)))
    starts = np.arange(0, padded.shape[1] - FRAME, FRAME // 2)
    window = np.hanning(FRAME).astype(np.float32)
    power = np.zeros(FRAME // 2 + 1)
    for start in starts:
        power += np.square(np.abs(scipy.fft.rfft(padded[:, start : start + FRAME] * window))).sum(axis=0)
    return power / len(starts), np.arange(FRAME // 2 + 1) * sample_rate / FRAME


def band_powers(power: NDArray[np.float64], hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Power in each third of an octave; a bin that straddles an edge is shared."""
    cumulated = np.concatenate([[0.0], np.cumsum(power)])
    edges = hz[1] - hz[0]
    at = np.append(hz - 0.5 * edges, hz[-1] + 0.5 * edges)
    ratio = 10.0**0.05
    low = np.interp(BAND_CENTRES_HZ / ratio, at, cumulated)
    high = np.interp(BAND_CENTRES_HZ * ratio, at, cumulated)
    return np.maximum(high - low, 0.0)


def _decibels(power: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return np.maximum(10.0 * np.log10(np.maximum(power, 1e-30)), FLOOR_DB)
