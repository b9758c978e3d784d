"""Sound files in and out: float32 numpy, always (channels, samples), through libsndfile.

What a file cannot give is refused with its name and the reason, because a silent clip or a NaN in a training set
is found weeks later otherwise. Files are written atomically, so no half file is ever read.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import firwin, resample_poly

from lh_mm.core.files import write_atomic

WRITE_SUBTYPES = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}
FLOAT_SUBTYPES = {".wav": "FLOAT", ".flac": "PCM_24", ".ogg": "VORBIS"}


class AudioError(ValueError):
    """A sound file that cannot be read, is empty, or holds what is not sound."""


def read_audio(path: str | Path, sample_rate: int | None = None, mono: bool = False) -> tuple[NDArray[np.float32], int]:
    """A sound file as `(wave (channels, samples), sample_rate)`.

    Args:
        path: WAV, FLAC, OGG, MP3, AIFF: what libsndfile reads.
        sample_rate: resample to this; without it the file's own rate is kept.
        mono: average the channels to one.

    Raises:
        AudioError: no such file, not a sound file, no samples, or samples that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise AudioError(f"{path}: no such file")
    try:
        samples, file_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(f"{path}: not a sound file that libsndfile reads ({error})") from error
    if samples.shape[0] == 0:
        raise AudioError(f"{path}: holds no samples")
    if not np.isfinite(samples).all():
        bad = int(np.flatnonzero(~np.isfinite(samples).all(axis=1))[0])
        raise AudioError(f"{path}: sample {bad} is not a finite number")
    wave = np.ascontiguousarray(samples.T)  # (C, T)
    if mono:
        wave = to_mono(wave)
    if sample_rate is not None and sample_rate != file_rate:
        return resample(wave, file_rate, sample_rate), sample_rate
    return wave, int(file_rate)


def write_audio(path: str | Path, wave: NDArray[np.float32], sample_rate: int, floating: bool = False) -> None:
    """Write `(channels, samples)` or `(samples,)` atomically; the suffix says the format.

    Args:
        path: `.wav`, `.flac` or `.ogg`.
        wave: values in -1..1; what lies outside is clipped unless a WAV is written with `floating`.
        sample_rate: in Hz.
        floating: 32-bit float for WAV and 24 bits for FLAC, instead of 16 bits.

    Raises:
        ValueError: unknown suffix, wrong shape, or values that are not finite.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in WRITE_SUBTYPES:
        raise ValueError(f"{path}: cannot write {suffix or 'a file without suffix'}, only {', '.join(WRITE_SUBTYPES)}")
    wave = np.atleast_2d(np.asarray(wave, dtype=np.float32))
    if wave.ndim != 2 or wave.shape[0] > wave.shape[1] > 0:
        raise ValueError(f"{path}: a wave is (channels, samples), got {wave.shape}")
    if not np.isfinite(wave).all():
        raise ValueError(f"{path}: the wave holds values that are not finite")
    file_format, subtype = WRITE_SUBTYPES[suffix]
    subtype = FLOAT_SUBTYPES[suffix] if floating else subtype
    if subtype != "FLOAT":
        wave = np.clip(wave, -1.0, 1.0)
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_atomic(path) as file:
        soundfile.write(file, wave.T, sample_rate, format=file_format, subtype=subtype)


def resample(wave: NDArray[np.float32], from_rate: int, to_rate: int) -> NDArray[np.float32]:
    """Polyphase resampling along the last axis; the output has `ceil(samples * to_rate / from_rate)` samples.

    The filter is a Kaiser window (beta 12, about 110 dB down) of 32 zero crossings: content up to 0.9 of the lower
    Nyquist frequency passes within 0.1 dB and no sample moves in time.
    """
    if from_rate <= 0 or to_rate <= 0:
        raise ValueError(f"sample rates must be positive, got {from_rate} and {to_rate}")
    if from_rate == to_rate or wave.shape[-1] == 0:
        return wave
    common = gcd(from_rate, to_rate)
    up, down = to_rate // common, from_rate // common
    widest = max(up, down)
    return np.asarray(resample_poly(wave, up, down, axis=-1, window=_low_pass(widest)), dtype=np.float32)


@lru_cache(maxsize=16)
def _low_pass(factor: int) -> NDArray[np.float32]:
    """Taps that pass 0.95 of 1/factor of the band."""
    return np.asarray(firwin(2 * 32 * factor + 1, 0.95 / factor, window=("kaiser", 12.0)), np.float32)


def to_mono(wave: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of the channels, (1, samples)."""
    return wave if wave.shape[0] == 1 else wave.mean(axis=0, keepdims=True, dtype=np.float32)


def duration_of(path: str | Path) -> float:
    """Seconds of a sound file, read from its header alone.

    Raises:
        AudioError: no such file or not a sound file.
    """
    path = Path(path)
    if not path.is_file():
        raise AudioError(f"{path}: no such file")
    try:
        info = soundfile.info(str(path))
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(f"{path}: not a sound file that libsndfile reads ({error})") from error
    return info.frames / info.samplerate
