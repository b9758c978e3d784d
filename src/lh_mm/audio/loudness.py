"""Loudness as broadcasting measures it: K-weighted, gated, ITU-R BS.1770-4, in LUFS.

Source: ITU-R BS.1770-4 (2015), annexes 1 and 2; the filters are re-derived from their analogue prototypes for
any sample rate (De Man 2014), as pyloudnorm does, which the tests compare with. We differ in one thing: a wave
shorter than one 400 ms block is measured as a single block instead of being refused.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import sosfilt

BLOCK_S = 0.4
HOP_S = 0.1
ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0
OFFSET_LUFS = -0.691
"""The constant of BS.1770 that makes a 997 Hz sine of full scale in one channel read -3.01 LUFS."""


def k_weighting(sample_rate: int) -> NDArray[np.float64]:
    """Second-order sections (2, 6) of the head shelf and the low cut of BS.1770."""
    return np.stack(
        [
            _shelf(sample_rate, 1681.9744509555319, 3.99984385397, 0.7071752369554193),
            _low_cut(sample_rate, 38.13547087613982, 0.5003270373253953),
        ]
    )


def _shelf(sample_rate: int, hz: float, gain_db: float, q: float) -> NDArray[np.float64]:
    k = np.tan(np.pi * hz / sample_rate)
    high = 10.0 ** (gain_db / 20.0)
    band = high**0.499666774155
    a0 = 1.0 + k / q + k * k
    return np.array([high + band * k / q + k * k, 2.0 * (k * k - high), high - band * k / q + k * k,
                     a0, 2.0 * (k * k - 1.0), 1.0 - k / q + k * k]) / a0  # fmt: skip


def _low_cut(sample_rate: int, hz: float, q: float) -> NDArray[np.float64]:
    k = np.tan(np.pi * hz / sample_rate)
    a0 = 1.0 + k / q + k * k
    # The numerator is 1, -2, 1 without a0, as the recommendation's own table of coefficients has it.
    return np.array([1.0, -2.0, 1.0, 1.0, 2.0 * (k * k - 1.0) / a0, (1.0 - k / q + k * k) / a0])


def integrated_loudness(wave: NDArray[np.float32], sample_rate: int) -> float:
    """Gated loudness in LUFS; `-inf` for silence and for anything below the absolute gate.

    Args:
        wave: (channels, samples), one or two channels (both weigh 1).
        sample_rate: in Hz.
    """
    if wave.ndim != 2 or not 1 <= wave.shape[0] <= 2:
        raise ValueError(f"loudness wants a wave of shape (1 or 2, samples), got {wave.shape}")
    if wave.shape[1] == 0 or not wave.any():
        return -np.inf
    power = _block_power(wave, sample_rate)
    levels = OFFSET_LUFS + 10.0 * np.log10(np.maximum(power, 1e-20))
    loud = levels > ABSOLUTE_GATE_LUFS
    if not loud.any():
        return -np.inf
    relative = OFFSET_LUFS + 10.0 * np.log10(power[loud].mean()) + RELATIVE_GATE_LU
    return float(OFFSET_LUFS + 10.0 * np.log10(power[loud & (levels > relative)].mean()))


def _block_power(wave: NDArray[np.float32], sample_rate: int) -> NDArray[np.float64]:
    """Mean square of the K-weighted wave, summed over channels, in blocks of 400 ms every 100 ms."""
    weighted = sosfilt(k_weighting(sample_rate), wave, axis=-1)  # (C, T)
    num_samples = wave.shape[1]
    if num_samples < round(BLOCK_S * sample_rate):
        return np.array([np.square(weighted).mean(axis=1).sum()])
    num_blocks = int(round((num_samples / sample_rate - BLOCK_S) / HOP_S)) + 1
    starts = np.array([int(HOP_S * j * sample_rate) for j in range(num_blocks)])
    ends = np.minimum([int((HOP_S * j + BLOCK_S) * sample_rate) for j in range(num_blocks)], num_samples)
    total = np.concatenate([[0.0], np.cumsum(np.square(weighted).sum(axis=0))])
    return (total[ends] - total[starts]) / (BLOCK_S * sample_rate)


def normalise_loudness(wave: NDArray[np.float32], sample_rate: int, target_lufs: float) -> NDArray[np.float32]:
    """The wave, (channels, samples), scaled to a loudness; silence stays silence. It does not limit peaks."""
    loudness = integrated_loudness(wave, sample_rate)
    if not np.isfinite(loudness):
        return wave
    return (wave * np.float32(10.0 ** ((target_lufs - loudness) / 20.0))).astype(np.float32, copy=False)
