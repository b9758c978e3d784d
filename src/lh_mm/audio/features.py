"""What the CNN front end hears: a log-mel or a constant-Q spectrogram, one column a codec frame, right-aligned.

Frame n's window ends at sample (n + 1) * hop, so a feature hears nothing after its own frame and a model that reads
features as they come is causal; before the beginning there are zeros. That differs from the centred frames of
libraries. nnAudio (Cheuk et al. 2020, arXiv:1912.12055) makes transforms layers of the network: kernels are buffers,
which move to the device with the model and, here, stay in float32 under autocast.

A mel band is 50 Hz wide below 1 kHz, so it holds several semitones of a bass; a constant-Q bin is a share of a semitone
wide wherever its window may be long enough (Brown 1991, JASA 89; the windows here end together instead of sharing a
centre, so that high notes are heard at once).

Legend: B batch, T samples, N = ceil(T / hop) frames, F mel bands or constant-Q bins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from nnAudio.features.mel import MelSpectrogram
from pydantic import Field
from torch import Tensor, nn

from lh_mm.core.config import Config, validate
from lh_mm.core.files import sha256_of

LONGEST_WINDOW_S = 0.25
"""No front end looks further back than this, so that little is lost beside what is not given."""
_FLOOR = 1e-5
"""-100 dB of a full-scale sine: what is quieter is silence."""
_MEAN, _SPREAD = -7.0, 2.0
"""Of the log-mel of loudness-normalised electronic music; they bring features to about zero mean and unit variance."""
_BLOCK_FRAMES = 2048
"""Frames transformed at once, to bound the memory of long recordings."""


class LogMelConfig(Config):
    """Settings of the front end's mel spectrogram; part of what a prepared set is named by."""

    kind: Literal["logmel"] = "logmel"
    num_mels: int = 64
    """F, bands between `low_hz` and half the sample rate."""
    window_s: float = 0.08
    """Length of the analysis window; at 24 kHz and 75 Hz six frames, 12.5 Hz between bins."""
    low_hz: float = 30.0

    @property
    def num_features(self) -> int:
        """F."""
        return self.num_mels

    def build(self, sample_rate: int, rate_hz: float) -> LogMel:
        """The transform for sound at `sample_rate` and frames at `rate_hz`."""
        return LogMel(sample_rate, rate_hz, self.num_mels, self.window_s, self.low_hz)


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


FeatureConfig = Annotated[LogMelConfig | ConstantQConfig, Field(discriminator="kind")]
"""What the front end hears."""


def read_features(settings: Mapping[str, Any], source: str) -> LogMelConfig | ConstantQConfig:
    """Stored settings of either kind.

    Raises:
        ConfigError: naming `source` and every mistake.
    """
    return validate(ConstantQConfig if settings.get("kind") == "cqt" else LogMelConfig, settings, source)


def _hop_of(sample_rate: int, rate_hz: float) -> int:
    hop_samples = round(sample_rate / rate_hz)
    if abs(hop_samples * rate_hz - sample_rate) > 1e-6 * sample_rate:
        raise ValueError(f"sample_rate={sample_rate} is not a whole multiple of rate_hz={rate_hz}")
    return hop_samples


class _Spectrogram(nn.Module):
    """Right-aligned frames of mono sound through a transform of theirs, as log magnitudes of about unit size."""

    sample_rate: int
    hop_samples: int
    window_samples: int
    mean, spread = _MEAN, _SPREAD

    @property
    def num_features(self) -> int:
        """F."""
        raise NotImplementedError

    def magnitudes(self, padded: Tensor) -> Tensor:
        """(B, window - hop + n hop) samples to (B, F, n) magnitudes, 1 for a full-scale sine."""
        raise NotImplementedError

    @property
    def window_frames(self) -> int:
        """Frames that a feature hears, its own included: that of frame n hears n - window_frames + 1 .. n."""
        return -(-self.window_samples // self.hop_samples)

    @torch.no_grad()
    def forward(self, wave: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch frames bands"]:
        """Features of mono sound, float32, about zero mean and unit variance; silence is about -2.

        Raises:
            ValueError: `wave` is not (batch, samples).
        """
        if wave.ndim != 2:
            raise ValueError(f"features are of mono sound (batch, samples), got {tuple(wave.shape)}")
        hop, before = self.hop_samples, self.window_samples - self.hop_samples
        num_frames = -(-wave.shape[1] // hop)
        if not num_frames:
            return wave.new_zeros(len(wave), 0, self.num_features, dtype=torch.float32)
        with torch.autocast(wave.device.type, enabled=False):
            padded = F.pad(wave.float(), (before, num_frames * hop - wave.shape[1]))
            blocks = []
            for first in range(0, num_frames, _BLOCK_FRAMES):
                last = min(first + _BLOCK_FRAMES, num_frames)
                heard = self.magnitudes(padded[:, first * hop : last * hop + before])  # (B, F, frames)
                blocks.append(heard.clamp(min=_FLOOR).log().transpose(1, 2))
            return (torch.cat(blocks, dim=1) - self.mean) / self.spread


class LogMel(_Spectrogram):
    """Sound to log-mel features by nnAudio, see the module.

    Args:
        sample_rate: in Hz; a whole multiple of `rate_hz`.
        rate_hz: frames a second.
        num_mels: F.
        window_s: length of the window, at most `LONGEST_WINDOW_S`.
        low_hz: lower edge of the first band.

    Raises:
        ValueError: a frame that is not a whole number of samples, or a window too long or shorter than a frame.
    """

    def __init__(
        self, sample_rate: int, rate_hz: float, num_mels: int = 64, window_s: float = 0.08, low_hz: float = 30.0
    ) -> None:
        super().__init__()
        hop_samples = _hop_of(sample_rate, rate_hz)
        window = round(window_s * sample_rate)
        if window_s > LONGEST_WINDOW_S or window < hop_samples:
            raise ValueError(
                f"window_s={window_s} must lie between one frame ({1 / rate_hz:.4f} s) and {LONGEST_WINDOW_S} s"
            )
        self.sample_rate, self.rate_hz, self.num_mels = sample_rate, rate_hz, num_mels
        self.window_s, self.low_hz = window_s, low_hz
        self.hop_samples, self.window_samples = hop_samples, window
        self.mel = MelSpectrogram(
            sr=sample_rate,
            n_fft=window,
            n_mels=num_mels,
            hop_length=hop_samples,
            window="hann",
            center=False,
            power=1.0,
            fmin=low_hz,
            verbose=False,
        )
        # A full-scale sine has magnitude 1 in its bin, and a band is the mean of its bins, whatever the window.
        self.scale = (4.0 / window) * (sample_rate / window)

    @property
    def num_features(self) -> int:
        """F."""
        return self.num_mels

    @property
    def fingerprint(self) -> str:
        """Equal for equal features: of settings and of this file's constants."""
        settings = [self.sample_rate, self.rate_hz, self.num_mels, self.window_s, self.low_hz]
        return sha256_of(["logmel 1", settings, _FLOOR, _MEAN, _SPREAD])

    def magnitudes(self, padded: Tensor) -> Tensor:
        mel: Tensor = self.mel(padded) * self.scale
        return mel


class ConstantQ(_Spectrogram):
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
        hop = _hop_of(sample_rate, rate_hz)
        if window_s > LONGEST_WINDOW_S or window_s * rate_hz < 2:
            raise ValueError(
                f"window_s={window_s} must lie between two frames ({2 / rate_hz:.4f} s) and {LONGEST_WINDOW_S} s"
            )
        hz = [low_hz * 2.0 ** (k / bins_per_octave) for k in range(num_bins)]
        if hz[-1] >= sample_rate / 2:
            raise ValueError(
                f"num_bins={num_bins}: the last is at {hz[-1]:.0f} Hz, sound at {sample_rate} Hz ends before"
            )
        self.sample_rate, self.rate_hz, self.hop_samples = sample_rate, rate_hz, hop
        self.settings = (num_bins, bins_per_octave, low_hz, window_s)
        q = 1.0 / (2.0 ** (1.0 / bins_per_octave) - 1.0)
        lengths = [round(sample_rate * max(min(window_s, q / f), 2.0 / rate_hz)) for f in hz]
        self.window_samples = max(lengths)
        self.octaves = [slice(k, min(k + bins_per_octave, num_bins)) for k in range(0, num_bins, bins_per_octave)]
        for number, part in enumerate(self.octaves):  # windows of one octave are padded to the longest of them
            taps = max(lengths[part])
            kernels = [
                _wavelet(f / sample_rate, length, taps) for f, length in zip(hz[part], lengths[part], strict=True)
            ]
            both = (
                torch.view_as_real(torch.stack(kernels)).movedim(-1, 0).flatten(0, 1)
            )  # all real parts, then imaginary
            self.register_buffer(f"kernel{number}", both.unsqueeze(1).float(), persistent=False)  # (2 bins, 1, taps)

    @property
    def num_features(self) -> int:
        """F."""
        return self.settings[0]

    @property
    def fingerprint(self) -> str:
        """Equal for equal features: of settings and of this file's constants."""
        settings = [self.sample_rate, self.rate_hz, *self.settings]
        return sha256_of(["cqt 1", settings, _FLOOR, self.mean, self.spread])

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
