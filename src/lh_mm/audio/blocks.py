"""A sound file of any length as mono blocks at another rate, in constant memory.

Each block is resampled with enough of its neighbours on both sides that the filter sees what it would see in the
whole file, so the blocks put together equal `resample` of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from lh_mm.audio.io import AudioError, resample

_CONTEXT_SAMPLES = 64
"""Output-rate samples that the resampling filter reaches to each side, with room to spare."""


def num_samples_at(path: Path, sample_rate: int) -> int:
    """Samples of the file after resampling: `ceil(samples * sample_rate / its rate)`.

    Raises:
        AudioError: no such file or not a sound file.
    """
    with _open(path) as file:
        return int(-(-file.frames * sample_rate // file.samplerate))


def mono_blocks(path: Path, sample_rate: int, block_s: float = 10.0) -> Iterator[NDArray[np.float32]]:
    """The mean of the channels at `sample_rate`, about `block_s` seconds at a time, `(samples,)`.

    Raises:
        AudioError: no such file, not a sound file, or samples that are not finite.
    """
    with _open(path) as file:
        common = gcd(file.samplerate, sample_rate)
        up, down = sample_rate // common, file.samplerate // common
        # Borders are multiples of `down`: there input and output samples coincide.
        block = max(1, round(block_s * file.samplerate / down)) * down
        context = -(-_CONTEXT_SAMPLES * max(up, down) // (up * down)) * down
        for first in range(0, file.frames, block):
            begin, end = max(0, first - context), min(file.frames, first + block + context)
            file.seek(begin)
            samples = file.read(end - begin, dtype="float32", always_2d=True)
            if len(samples) != end - begin:
                raise AudioError(f"{path}: ends after {begin + len(samples)} of {file.frames} samples")
            if not np.isfinite(samples).all():
                raise AudioError(f"{path}: holds samples that are not finite between {begin} and {end}")
            mono = samples.mean(axis=1, dtype=np.float32)
            resampled = resample(mono, file.samplerate, sample_rate)
            skipped = (first - begin) // down * up
            count = -(-min(block, file.frames - first) * up // down)
            yield resampled[skipped : skipped + count]


def _open(path: Path) -> soundfile.SoundFile:
    if not path.is_file():
        raise AudioError(f"{path}: no such file")
    try:
        return soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(f"{path}: not a sound file that libsndfile reads ({error})") from error
