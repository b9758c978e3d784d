"""What the CNN front end hears: a log-mel spectrogram by nnAudio, one column a codec frame, right-aligned.

Frame n's window ends at sample (n + 1) * hop, so a feature hears nothing after its own frame and a model that reads
features as they come is causal; before the beginning there are zeros. That differs from the centred frames of
libraries. nnAudio (Cheuk et al. 2020, arXiv:1912.12055) makes transforms layers of the network: kernels are buffers,
which move to the device with the model and, here, stay in float32 under autocast.

Legend: B batch, T samples, N = ceil(T / hop) frames, F mel bands.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from nnAudio.features.mel import MelSpectrogram
from torch import Tensor, nn

from lh_mm.core.config import Config
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
    """Settings of the front end's spectrogram; part of what a prepared set is named by."""

    kind: Literal["logmel"] = "logmel"
    num_mels: int = 64
    """F, bands between `low_hz` and half the sample rate."""
    window_s: float = 0.08
    """Length of the analysis window; at 24 kHz and 75 Hz six frames, 12.5 Hz between bins."""
    low_hz: float = 30.0

    def build(self, sample_rate: int, rate_hz: float) -> LogMel:
        """The transform for sound at `sample_rate` and frames at `rate_hz`."""
        return LogMel(sample_rate, rate_hz, self.num_mels, self.window_s, self.low_hz)


class LogMel(nn.Module):
    """Sound to features, see the module.

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
        hop_samples = round(sample_rate / rate_hz)
        if abs(hop_samples * rate_hz - sample_rate) > 1e-6 * sample_rate:
            raise ValueError(f"sample_rate={sample_rate} is not a whole multiple of rate_hz={rate_hz}")
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
    def window_frames(self) -> int:
        """Frames that a feature hears, its own included: that of frame n hears n - window_frames + 1 .. n."""
        return -(-self.window_samples // self.hop_samples)

    @property
    def fingerprint(self) -> str:
        """Equal for equal features: of settings and of this file's constants."""
        settings = [self.sample_rate, self.rate_hz, self.num_mels, self.window_s, self.low_hz]
        return sha256_of(["logmel 1", settings, _FLOOR, _MEAN, _SPREAD])

    @torch.no_grad()
    def forward(self, wave: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch frames bands"]:
        """Features of mono sound, float32, about zero mean and unit variance; silence is about -2.3.

        Raises:
            ValueError: `wave` is not (batch, samples).
        """
        if wave.ndim != 2:
            raise ValueError(f"features are of mono sound (batch, samples), got {tuple(wave.shape)}")
        hop, before = self.hop_samples, self.window_samples - self.hop_samples
        num_frames = -(-wave.shape[1] // hop)
        if not num_frames:
            return wave.new_zeros(len(wave), 0, self.num_mels, dtype=torch.float32)
        with torch.autocast(wave.device.type, enabled=False):
            padded = F.pad(wave.float(), (before, num_frames * hop - wave.shape[1]))
            blocks = []
            for first in range(0, num_frames, _BLOCK_FRAMES):
                last = min(first + _BLOCK_FRAMES, num_frames)
                mel = self.mel(padded[:, first * hop : last * hop + before]) * self.scale  # (B, F, frames)
                blocks.append(mel.clamp(min=_FLOOR).log().transpose(1, 2))
            return (torch.cat(blocks, dim=1) - _MEAN) / _SPREAD
