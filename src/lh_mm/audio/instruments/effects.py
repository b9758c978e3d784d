"""Effects and the master: side chain, saturation, echo, reverb, and a limiter that ends at a stated loudness.

Everything before the master is linear in the tracks (the side chain is a gain that only the kick sets), except a
track's own saturation, so stems add up to the mix. The reverb is a convolution with noise whose highs die first
(Moorer, "About this reverberation business", 1979); the limiter looks ahead (Giannoulis, Massberg and Reiss, 2012).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, uniform_filter1d
from scipy.signal import butter, lfilter, oaconvolve, sosfilt

from lh_mm.audio.loudness import integrated_loudness

DUCK_ATTACK_S = 0.004
CEILING = 10.0 ** (-1.0 / 20.0)
"""The limiter's: -1 dB of full scale."""
LIMITER_BLOCK = 16
MONO_OFFSET_LU = 3.0103
"""One channel reads so much less than two equal ones; a mono render is as loud as the mono of its stereo."""


def duck_curve(
    kick_s: NDArray[np.float64], num_samples: int, sample_rate: int, release_s: float
) -> NDArray[np.float32]:
    """How far the side chain has opened, (num_samples,): 0 at a kick, back to 1 after `release_s`."""
    curve = np.ones(num_samples, np.float32)
    attack, release = max(1, round(DUCK_ATTACK_S * sample_rate)), max(1, round(release_s * sample_rate))
    phase = np.linspace(0.0, 1.0, release, dtype=np.float32)
    shape = np.concatenate([np.linspace(1.0, 0.0, attack, dtype=np.float32), phase * phase * (3.0 - 2.0 * phase)])
    for start in np.round(kick_s * sample_rate).astype(np.int64):
        here = curve[max(0, start) : start + len(shape)]
        np.minimum(here, shape[: len(here)], out=here)
    return curve


def saturate(wave: NDArray[np.float32], drive: float, level: float) -> NDArray[np.float32]:
    """Soft saturation of a track around its usual level; small signals keep theirs."""
    if drive <= 1.0:
        return wave
    knee = np.float32(2.5 * level / drive)
    out = wave / knee
    np.tanh(out, out=out)
    out *= knee * np.float32(drive**0.6)
    return out


def echo(
    send: NDArray[np.float32], delay_s: float, sample_rate: int, num_channels: int, feedback: float = 0.42
) -> NDArray[np.float32]:
    """Ping-pong repeats of a mono send (T,), (C, T), five of them."""
    out = np.zeros((num_channels, len(send)), np.float32)
    step = max(1, round(delay_s * sample_rate))
    for i in range(5):
        at = step * (i + 1)
        if at >= len(send):
            break
        gain = np.float32(feedback**i)
        if num_channels == 1:
            out[0, at:] += np.float32(0.6) * gain * send[:-at]
        else:
            out[i % 2, at:] += gain * send[:-at]
            out[1 - i % 2, at:] += np.float32(0.2) * gain * send[:-at]
    return out


@lru_cache(maxsize=16)
def room(seed: int, sample_rate: int, decay_s: float, damping_hz: float) -> NDArray[np.float32]:
    """An impulse response (2, samples) of unit energy: decaying noise, dull at the end, without lows."""
    rng = np.random.default_rng([seed, 0x0E])
    num_samples = round((decay_s + 0.03) * sample_rate)
    seconds = np.arange(num_samples) / sample_rate
    noise = rng.standard_normal((2, num_samples))
    low = sosfilt(butter(1, min(damping_hz, 0.45 * sample_rate), fs=sample_rate, output="sos"), noise)
    wave = low * np.exp(-6.9078 * seconds / decay_s) + (noise - low) * np.exp(-6.9078 * seconds / (0.4 * decay_s))
    wave = sosfilt(butter(2, 220.0, "highpass", fs=sample_rate, output="sos"), wave)
    pre_delay = round(0.012 * sample_rate)
    wave = np.concatenate([np.zeros((2, pre_delay)), wave[:, : num_samples - pre_delay]], axis=1)
    for place_s, gain in ((0.013, 3.0), (0.019, -2.5), (0.027, 2.0), (0.038, -1.6)):
        at = round(place_s * sample_rate)
        wave[0, at] += gain
        wave[1, min(num_samples - 1, at + round(0.0023 * sample_rate))] += gain
    return np.asarray(wave / np.sqrt(np.square(wave).sum(axis=1, keepdims=True)), np.float32)


def reverberate(send: NDArray[np.float32], response: NDArray[np.float32], num_channels: int) -> NDArray[np.float32]:
    """A mono send (T,) in a room, (C, T)."""
    if num_channels == 1:
        response = response.mean(axis=0, keepdims=True)
    if not send.any():
        return np.zeros((num_channels, len(send)), np.float32)
    return np.asarray(oaconvolve(send[None], response, axes=-1)[:, : len(send)], np.float32)


def limit(wave: NDArray[np.float32], ceiling: float, sample_rate: int) -> NDArray[np.float32]:
    """Hold peaks under a ceiling with a smooth gain that starts to fall 1.5 ms ahead of them.

    The gain is found on blocks of 16 samples and drawn straight between them, so it costs little.
    """
    peak = np.abs(wave).max(axis=0)
    if peak.max(initial=0.0) <= ceiling:
        return wave
    num_samples = len(peak)
    blocks = -(-num_samples // LIMITER_BLOCK)
    peak = np.pad(peak, (0, blocks * LIMITER_BLOCK - num_samples)).reshape(blocks, LIMITER_BLOCK).max(axis=1)
    reach = max(1, round(0.0015 * sample_rate / LIMITER_BLOCK))
    # The smoothing window may not look past what the maximum has seen, plus one block for the straight lines.
    worst = maximum_filter1d(peak, 2 * (2 * reach + 1) + 1, mode="nearest")
    gain = np.minimum(1.0, ceiling / np.maximum(worst, 1e-9))
    gain = uniform_filter1d(uniform_filter1d(gain, 2 * reach + 1, mode="nearest"), 2 * reach + 1, mode="nearest")
    centres = (np.arange(blocks) + 0.5) * LIMITER_BLOCK
    return np.asarray(wave * np.interp(np.arange(num_samples), centres, gain).astype(np.float32), np.float32)


def master(wave: NDArray[np.float32], sample_rate: int, target_lufs: float) -> NDArray[np.float32]:
    """No direct current, the stated loudness (BS.1770), no peak above -1 dB; silence stays silence."""
    if not wave.any():
        return wave
    wave = lfilter([1.0, -1.0], [1.0, -(1.0 - 2.0 * np.pi * 8.0 / sample_rate)], wave, axis=-1).astype(np.float32)
    target = target_lufs - (MONO_OFFSET_LU if len(wave) == 1 else 0.0)
    out, gain_db = wave, 0.0
    for _ in range(4):
        loudness = integrated_loudness(out, sample_rate)
        if not np.isfinite(loudness) or abs(target - loudness) < 0.2:
            break
        gain_db += target - loudness
        louder = wave * np.float32(10.0 ** (gain_db / 20.0))
        out = limit(louder, CEILING, sample_rate)
        if out is louder:  # nothing was limited, so the loudness is what was asked
            break
    return out
