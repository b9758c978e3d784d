"""How far a reconstructed wave is from the original, for training: mel, rises, magnitude, complex spectrum, samples.

Several windows at once, as in Yamamoto et al. 2020 (Parallel WaveGAN, arXiv:1910.11480) and DAC (Kumar et
al. 2023, arXiv:2306.06546). The window of 1,024 samples has the bands of the measure that is reported
(`audio/mel.py`), with a softer floor. The complex and sample terms, which keep the phase of what is predictable
(kicks, basses), are relative to the level of the batch: relative to each example's own level, the quietest crops
made the gradient of every third batch. What is quiet is the business of the log-mel.

Bass is the complex term below some 250 Hz. Only there can a decoder know the phase of what it writes, and a tone of
40 Hz has too few periods in a window for a mel band to say whether it is in tune.

Rises compare how the log-mel changes over about 21 ms, neighbouring bands averaged. A missed attack counts twice in
them, on its way up and down, while the averaged bands hear less of the texture of noise, which no code can carry.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from lh_mm.audio.mel import FLOOR, N_FFT, mel_filterbank

_MELS_OF_WINDOW = {2048: 120, 1024: 80, 512: 48, 256: 24}
_RISE_S = 512 / 24_000
"""Over which a rise is taken: one hop of the longest window."""
_RISE_BANDS = 4
"""Neighbouring bands that a rise is averaged over."""
_BASS_HZ = 250.0
"""Where the weight of a bin in the bass has fallen to a half; it falls with the fourth power behind it."""
_QUIETEST = 0.01
"""Level (mean magnitude, mean sample) of a batch below which it is not scaled up further."""
_SOFT_FLOOR = 3.0 * FLOOR
"""Added inside the logarithm instead of a hard floor, so that silence has a gradient and not too large a one."""


class SpectralLoss(nn.Module):
    """Six distances of two waves, each about 1 before training.

    Args:
        sample_rate: of the waves, in Hz.
        windows: samples of the STFTs; hops are a quarter.
    """

    def __init__(self, sample_rate: int, windows: tuple[int, ...] = (2048, 1024, 512, 256)) -> None:
        super().__init__()
        unknown = [window for window in windows if window not in _MELS_OF_WINDOW]
        if unknown:
            raise ValueError(f"windows must be among {sorted(_MELS_OF_WINDOW)}, got {unknown}")
        self.windows, self.sample_rate = windows, sample_rate
        for window in windows:
            bank = torch.tensor(mel_filterbank(sample_rate, window, _MELS_OF_WINDOW[window]))
            # Every window sees a steady tone at the level that the reported measure sees.
            self.register_buffer(f"bank_{window}", (bank * (N_FFT / window)).T.contiguous(), persistent=False)
            self.register_buffer(f"window_{window}", torch.hann_window(window), persistent=False)
            hz = torch.arange(window // 2 + 1) * (sample_rate / window)
            self.register_buffer(f"bass_{window}", 1.0 / (1.0 + (hz / _BASS_HZ) ** 4), persistent=False)

    def forward(
        self, wave: Float[Tensor, "batch samples"], reference: Float[Tensor, "batch samples"]
    ) -> dict[str, Tensor]:
        """Scalars `mel` and `rises` (nats); `magnitude`, `complex`, `bass`, `samples` (relative to the level)."""
        with torch.autocast(wave.device.type, enabled=False):
            wave, reference = wave.float(), reference.float()
            mel = rises = magnitude = complex_ = bass = wave.new_zeros(())
            for window in self.windows:
                got, got_size = self._spectrum(wave, window)  # (B, N, F)
                with torch.no_grad():
                    target, target_size = self._spectrum(reference, window)
                    target_mel = self._log_mel(target_size, window)
                    level = target_size.mean().clamp(min=_QUIETEST)
                    low = self.get_buffer(f"bass_{window}")
                    low_level = (target_size * low).mean().clamp(min=_QUIETEST)
                got_mel = self._log_mel(got_size, window)
                mel = mel + F.l1_loss(got_mel, target_mel)
                rises = rises + F.l1_loss(self._rises(got_mel, window), self._rises(target_mel, window))
                magnitude = magnitude + F.l1_loss(got_size, target_size) / level
                apart = (got.real - target.real).abs() + (got.imag - target.imag).abs()
                complex_ = complex_ + apart.mean() / level
                bass = bass + (apart * low).mean() / low_level
            samples = F.l1_loss(wave, reference) / reference.abs().mean().clamp(min=_QUIETEST)
        count = len(self.windows)
        return {
            "mel": mel / count,
            "rises": rises / count,
            "magnitude": magnitude / count,
            "complex": complex_ / count,
            "bass": bass / count,
            "samples": samples,
        }

    def _spectrum(self, wave: Tensor, window: int) -> tuple[Tensor, Tensor]:
        """(B, T) to the complex STFT and its magnitude, (B, N, F), centred frames with reflected ends."""
        padded = F.pad(wave[:, None], (window // 2, window // 2), mode="reflect")[:, 0]
        frames = padded.unfold(1, window, window // 4) * self.get_buffer(f"window_{window}")
        spectrum = torch.fft.rfft(frames)
        # The small number keeps the gradient of the root finite at silence.
        return spectrum, (spectrum.real.square() + spectrum.imag.square() + 1e-9).sqrt()

    def _log_mel(self, magnitude: Tensor, window: int) -> Tensor:
        return (magnitude @ self.get_buffer(f"bank_{window}") + _SOFT_FLOOR).log()  # (B, N, mels)

    def _rises(self, log_mel: Tensor, window: int) -> Tensor:
        """(B, N, mels) to (B, N - lag, mels / 4): change of the mean of neighbouring bands, up or down."""
        bands = F.avg_pool1d(log_mel, _RISE_BANDS)
        lag = max(1, round(_RISE_S * self.sample_rate / (window // 4)))
        return bands[:, lag:] - bands[:, :-lag]
