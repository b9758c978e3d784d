"""Spectrograms whose frames end together: frame n hears nothing after sample (n + 1) * hop, and silence before 0.

That differs from the centred frames of libraries, and is what makes a model that reads features as they come causal.

Legend: B batch, T samples, N = ceil(T / hop) frames, F bands or bins.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

LONGEST_WINDOW_S = 0.25
"""No front end looks further back than this, so that little is lost beside what is not given."""
FLOOR = 1e-5
"""-100 dB of a full-scale sine: what is quieter is silence."""
_BLOCK_FRAMES = 2048
"""Frames transformed at once, to bound the memory of long recordings."""


def hop_of(sample_rate: int, rate_hz: float) -> int:
    """Samples of a frame. Raises ValueError where they are not whole."""
    hop_samples = round(sample_rate / rate_hz)
    if abs(hop_samples * rate_hz - sample_rate) > 1e-6 * sample_rate:
        raise ValueError(f"sample_rate={sample_rate} is not a whole multiple of rate_hz={rate_hz}")
    return hop_samples


class RightAligned(nn.Module, ABC):
    """Right-aligned frames of mono sound as log magnitudes, brought to about zero mean and unit variance.

    Attributes:
        hop_samples: of a frame.
        window_samples: that the longest window hears.
        mean, spread: of the log magnitudes of loudness-normalised electronic music.
    """

    sample_rate: int
    hop_samples: int
    window_samples: int
    mean: float
    spread: float

    @property
    @abstractmethod
    def num_features(self) -> int:
        """F."""

    @abstractmethod
    def magnitudes(self, padded: Tensor) -> Tensor:
        """(B, window - hop + n hop) samples to (B, F, n) magnitudes, 1 for a full-scale sine."""

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
                blocks.append(heard.clamp(min=FLOOR).log().transpose(1, 2))
            return (torch.cat(blocks, dim=1) - self.mean) / self.spread
