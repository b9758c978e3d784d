"""A constant-Q spectrogram whose frames end together.

A mel band is 50 Hz wide below 1 kHz, so it holds several semitones of a bass; a constant-Q bin is a share of a semitone
wide wherever its window may be long enough (Brown 1991, JASA 89). Libraries let all windows of a frame share a centre;
here they share their end, so that high notes are heard at once and low ones when they can be.

Legend: B batch, T samples, F bins.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from lh_mm.audio.right_aligned import FLOOR, LONGEST_WINDOW_S, RightAligned, hop_of
from lh_mm.core.config import Config
from lh_mm.core.files import sha256_of


class ConstantQConfig(Config):
    """Settings of the front end's constant-Q spectrogram; part of what a prepared set is named by."""

    kind: Literal["cqt"] = "cqt"
    num_bins: int = Field(168, ge=1)
    """F, bins from `low_hz` upwards; 168 are seven octaves of quarter tones, up to 4.1 kHz."""
    bins_per_octave: int = Field(24, ge=1)
    """24 are quarter tones."""
    low_hz: float = Field(32.7, gt=0)
    """Centre of the first bin; 32.7 Hz is C1."""
    window_s: float = Field(LONGEST_WINDOW_S, gt=0, le=LONGEST_WINDOW_S)
    """Longest window, that of the lowest bins; at most a quarter of a second."""

    @property
    def num_features(self) -> int:
        """F."""
        return self.num_bins

    def build(self, sample_rate: int, rate_hz: float) -> ConstantQ:
        """The transform for sound at `sample_rate` and frames at `rate_hz`."""
        return ConstantQ(sample_rate, rate_hz, self.num_bins, self.bins_per_octave, self.low_hz, self.window_s)


class ConstantQ(RightAligned):
    """Sound to constant-Q features, see the module.

    Windows are at most `window_s` long (with quarter tones, all below 140 Hz are) and at least two frames, so that no
    sample is passed over.

    Args:
        sample_rate: in Hz; a whole multiple of `rate_hz`.
        rate_hz: frames a second.
        num_bins: F.
        bins_per_octave: B; bin k is at `low_hz` 2^(k / B).
        low_hz: centre of the first bin.
        window_s: longest window, at most `LONGEST_WINDOW_S`.

    Raises:
        ValueError: a frame that is not a whole number of samples, a bin beyond half the sample rate, or a longest
            window that is too long, or shorter than two frames.
    """

    mean, spread = -6.8, 2.3

    def __init__(
        self,
        sample_rate: int,
        rate_hz: float,
        num_bins: int = 168,
        bins_per_octave: int = 24,
        low_hz: float = 32.7,
        window_s: float = LONGEST_WINDOW_S,
    ) -> None:
        super().__init__()
        hop = hop_of(sample_rate, rate_hz)
        if window_s > LONGEST_WINDOW_S or window_s * rate_hz < 2:
            raise ValueError(
                f"window_s={window_s} must lie between two frames ({2 / rate_hz:.4f} s) and {LONGEST_WINDOW_S} s"
            )
        hz = [low_hz * 2.0 ** (k / bins_per_octave) for k in range(num_bins)]
        if hz[-1] >= sample_rate / 2:
            raise ValueError(f"num_bins={num_bins}: the last is at {hz[-1]:.0f} Hz, above half of {sample_rate} Hz")
        self.sample_rate, self.rate_hz, self.hop_samples = sample_rate, rate_hz, hop
        self.settings = (num_bins, bins_per_octave, low_hz, window_s)
        q = 1.0 / (2.0 ** (1.0 / bins_per_octave) - 1.0)
        lengths = [round(sample_rate * max(min(window_s, q / f), 2.0 / rate_hz)) for f in hz]
        self.window_samples = max(lengths)
        self.octaves = [slice(k, min(k + bins_per_octave, num_bins)) for k in range(0, num_bins, bins_per_octave)]
        for number, part in enumerate(self.octaves):  # windows of one octave are padded to the longest of them
            taps = max(lengths[part])
            here = zip(hz[part], lengths[part], strict=True)
            kernels = torch.stack([_wavelet(f / sample_rate, length, taps) for f, length in here])
            both = torch.cat([kernels.real, kernels.imag])
            self.register_buffer(f"kernel{number}", both.unsqueeze(1).float(), persistent=False)  # (2 bins, 1, taps)

    @property
    def num_features(self) -> int:
        """F."""
        return self.settings[0]

    @property
    def fingerprint(self) -> str:
        """Equal for equal features: of settings and of this file's constants."""
        settings = [self.sample_rate, self.rate_hz, *self.settings]
        return sha256_of(["cqt 1", settings, FLOOR, self.mean, self.spread])

    def magnitudes(self, padded: Tensor) -> Tensor:
        parts = []
        for number in range(len(self.octaves)):
            kernel = self.get_buffer(f"kernel{number}")
            late = padded[:, None, self.window_samples - kernel.shape[-1] :]
            real, imaginary = F.conv1d(late, kernel, stride=self.hop_samples).chunk(2, dim=1)
            parts.append(torch.hypot(real, imaginary))
        return torch.cat(parts, dim=1)


def _wavelet(cycles: float, length: int, taps: int) -> Tensor:
    """(taps,) complex: a Hann window of `length` at the end, turning by `cycles` a sample; a sine has magnitude 1."""
    t = torch.arange(length, dtype=torch.float64)
    window = torch.hann_window(length, dtype=torch.float64)
    turning = torch.polar(window * (2.0 / window.sum()), -2.0 * math.pi * cycles * t)
    return torch.cat([turning.new_zeros(taps - length), turning])
