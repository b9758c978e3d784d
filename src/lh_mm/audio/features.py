"""What the CNN front end hears: a log-mel or a constant-Q spectrogram, one column a codec frame, right-aligned.

nnAudio (Cheuk et al. 2020, arXiv:1912.12055) makes transforms layers of the network: kernels are buffers, which move to
the device with the model and, here, stay in float32 under autocast.

Legend: B batch, T samples, N = ceil(T / hop) frames, F mel bands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from nnAudio.features.mel import MelSpectrogram
from pydantic import Field
from torch import Tensor

from lh_mm.audio.constant_q import ConstantQ, ConstantQConfig
from lh_mm.audio.right_aligned import FLOOR, LONGEST_WINDOW_S, RightAligned, hop_of
from lh_mm.core.config import Config, validate
from lh_mm.core.files import sha256_of

__all__ = ["ConstantQ", "ConstantQConfig", "FeatureConfig", "LogMel", "LogMelConfig", "read_features"]


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


FeatureConfig = Annotated[LogMelConfig | ConstantQConfig, Field(discriminator="kind")]
"""What the front end hears."""


def read_features(settings: Mapping[str, Any], source: str) -> LogMelConfig | ConstantQConfig:
    """Stored settings of either kind.

    Raises:
        ConfigError: naming `source` and every mistake.
    """
    if settings.get("kind") == "cqt":
        return validate(ConstantQConfig, settings, source)
    return validate(LogMelConfig, settings, source)


class LogMel(RightAligned):
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

    mean, spread = -7.0, 2.0

    def __init__(
        self, sample_rate: int, rate_hz: float, num_mels: int = 64, window_s: float = 0.08, low_hz: float = 30.0
    ) -> None:
        super().__init__()
        hop_samples = hop_of(sample_rate, rate_hz)
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
        return sha256_of(["logmel 1", settings, FLOOR, self.mean, self.spread])

    def magnitudes(self, padded: Tensor) -> Tensor:
        mel: Tensor = self.mel(padded) * self.scale
        return mel
