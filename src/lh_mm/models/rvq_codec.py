"""Our own small neural codec: frame-rate ConvNeXt around a residual quantiser, spectra at both ends.

The shape is that of Vocos (Siuzdak 2023, arXiv:2306.00814): no strided convolutions, all layers at the
frame rate (75 Hz), an STFT in front and an inverse STFT behind; the quantiser is EnCodec's (Défossez et
al. 2022, arXiv:2210.13438). Cheap enough to be trained on two CPU cores. Where we differ: everything is
causal but for the overlap of the inverse STFT, so streams cut anywhere equal the whole; the head gives a
complex spectrum times smooth band gains instead of magnitude and phase, which diverged; no discriminator.

Time. Frame n of codes has heard the samples before (n + 1) * hop. Frame m of the decoder has seen codes up
to m and writes the `overlap` hops that end with hop m; hop h is complete after frame h + overlap - 1. That
is the look-ahead: 3 frames, 40 ms. At the end of a stream these frames have no codes: they are `ZERO`.

Legend: B batch, T samples, N frames, D width, W window, F = W // 2 + 1 bins, K codebooks, Q latent width.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from lh_mm.audio.mel import mel_filterbank
from lh_mm.core.config import Config
from lh_mm.core.merge import ZERO
from lh_mm.nn.quantize import Quantized, ResidualQuantizer, RunningNorm

_NUM_BANDS = 32
"""Bands of the decoder's gains."""
_NUM_MELS = 64
"""Bands of the log-mel that the encoder sees beside the spectrum."""


class RvqCodecConfig(Config):
    """The shape of a codec; `RvqCodec(config)` builds it with fresh weights."""

    kind: Literal["rvq"] = "rvq"
    sample_rate: int = 24_000
    """Of the sound, in Hz."""
    hop_samples: int = 320
    """Samples a frame stands for."""
    overlap: int = 4
    """Hops in a window of analysis and synthesis; the look-ahead is one hop less."""
    num_codebooks: int = 4
    codebook_size: int = 1024
    latent_width: int = 64
    """Width of the quantised vectors."""
    width: int = 256
    """Channels at the frame rate."""
    encoder_blocks: int = 3
    decoder_blocks: int = 6
    kernel_frames: int = 7
    """Frames that a depthwise convolution reaches over, the current one and those before it."""
    code_dropout: float = 0.3
    """Share of training examples that keep only the first few codebooks."""

    def build(self) -> RvqCodec:
        """A codec with fresh weights."""
        return RvqCodec(self)


class ConvNeXtBlock(nn.Module):
    """Causal depthwise convolution, then a pointwise network, added to the input (Liu et al. 2022)."""

    def __init__(self, width: int, kernel_frames: int, scale: float) -> None:
        super().__init__()
        self.context = kernel_frames - 1
        self.depthwise = nn.Conv1d(width, width, kernel_frames, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 3 * width)
        self.down = nn.Linear(3 * width, width)
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """`x` (B, N, D) and the `context` frames before it (B, context, D); returns the output and the next past."""
        longer = torch.cat([past, x], dim=1)  # (B, context + N, D)
        mixed = self.depthwise(longer.transpose(1, 2)).transpose(1, 2)  # (B, N, D)
        update = self.down(F.gelu(self.up(self.norm(mixed))))
        return x + self.scale * update, longer[:, longer.shape[1] - self.context :]


class Trunk(nn.Module):
    """A row of blocks with their pasts."""

    def __init__(self, width: int, num_blocks: int, kernel_frames: int) -> None:
        super().__init__()
        self.width, self.context = width, kernel_frames - 1
        self.blocks = nn.ModuleList(ConvNeXtBlock(width, kernel_frames, 1.0 / num_blocks) for _ in range(num_blocks))
        self.norm = nn.LayerNorm(width)

    def init_state(self, batch: int, like: Tensor) -> tuple[Tensor, ...]:
        """Silence before the first frame."""
        return tuple(like.new_zeros(batch, self.context, self.width) for _ in self.blocks)

    def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """(B, N, D) to normalised (B, N, D)."""
        following = []
        for block, past in zip(self.blocks, state, strict=True):
            x, past = block(x, past.to(x.dtype))
            following.append(past)
        return self.norm(x), tuple(following)


@dataclass(frozen=True)
class CodecState:
    """What a stream carries from one step to the next; values, never edited in place.

    Attributes:
        samples: (B, W - hop) the sound before the next frame.
        encoder: pasts of the encoder's blocks.
        decoder: pasts of the decoder's blocks.
        segments: (B, overlap - 1, W) the last synthesised windows.
        held_hops: hops that the decoder has still to drop, because they lie before the stream.
    """

    samples: Tensor
    encoder: tuple[Tensor, ...]
    decoder: tuple[Tensor, ...]
    segments: Tensor
    held_hops: int


class RvqCodec(nn.Module):
    """See the module. Sound and gradients are float32; the trunk follows autocast."""

    window: Tensor
    mel_bank: Tensor
    band_bank: Tensor
    bin_scale: Tensor

    def __init__(self, config: RvqCodecConfig) -> None:
        super().__init__()
        self.config = config
        window = config.overlap * config.hop_samples
        bins = window // 2 + 1
        # sqrt of a Hann window on both sides would overlap to 1; a Hann on the analysis side leaks less.
        self.register_buffer("window", torch.hann_window(window), persistent=False)
        mel_bank = torch.tensor(mel_filterbank(config.sample_rate, window, _NUM_MELS))
        mel_bank = mel_bank / mel_bank.sum(1, keepdim=True).clamp(min=1e-8)
        self.register_buffer("mel_bank", mel_bank.T.contiguous(), persistent=False)  # (F, mels)
        bands = torch.tensor(mel_filterbank(config.sample_rate, window, _NUM_BANDS))
        bands = bands / bands.amax(1, keepdim=True).clamp(min=1e-8)
        bands = bands / bands.sum(0, keepdim=True).clamp(min=1e-3)  # neighbours blend, every bin sums to 1
        self.register_buffer("band_bank", bands, persistent=False)  # (bands, F)
        # Music falls with frequency; a head that must learn four orders of magnitude with one step size cannot.
        slope = 1.0 / (1.0 + torch.arange(bins) * (config.sample_rate / window) / 400.0)
        self.register_buffer("bin_scale", slope, persistent=False)  # (F,)

        self.embed = nn.Linear(2 * bins + _NUM_MELS, config.width)
        self.encoder = Trunk(config.width, config.encoder_blocks, config.kernel_frames)
        self.to_latent = nn.Linear(config.width, config.latent_width)
        self.latent_norm = RunningNorm(config.latent_width)
        self.quantizer = ResidualQuantizer(
            config.num_codebooks, config.codebook_size, config.latent_width, config.code_dropout
        )
        self.from_latent = nn.Linear(config.latent_width, config.width)
        self.decoder = Trunk(config.width, config.decoder_blocks, config.kernel_frames)
        self.spectrum_head = nn.Linear(config.width, 2 * bins)
        self.gain_head = nn.Linear(config.width, _NUM_BANDS)
        for head, level in ((self.spectrum_head, 0.0), (self.gain_head, -3.0)):  # begin quietly, with small heads
            nn.init.normal_(head.weight, std=0.02)
            nn.init.constant_(head.bias, level)

    # What the protocol asks -------------------------------------------------------------------------------

    @property
    def sample_rate(self) -> int:
        return self.config.sample_rate

    @property
    def hop_samples(self) -> int:
        return self.config.hop_samples

    @property
    def rate_hz(self) -> float:
        return self.config.sample_rate / self.config.hop_samples

    @property
    def num_codebooks(self) -> int:
        return self.config.num_codebooks

    @property
    def codebook_size(self) -> int:
        return self.config.codebook_size

    @property
    def look_ahead_s(self) -> float:
        return (self.config.overlap - 1) / self.rate_hz

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(self.config.model_dump_json().encode())
        for name, value in sorted(self.inference_state().items()):
            digest.update(name.encode())
            digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def code_vectors(self) -> Tensor:
        """(K, C, W) the vector of each code."""
        return self.quantizer.code_vectors()

    def inference_state(self) -> dict[str, Tensor]:
        """The weights that encoding and decoding need: without the running sums of training."""
        training_only = ("counts", "sums", "num_updates", "initialised")
        return {name: value for name, value in self.state_dict().items() if not name.endswith(training_only)}

    @torch.no_grad()
    def encode(self, wave: Float[Tensor, "batch 1 samples"]) -> Int[Tensor, "batch frames codebooks"]:
        self._check_wave(wave)
        latents, _, _ = self._encode_latents(self._whole_frames(wave[:, 0]), self.init_stream(len(wave)))
        return self.quantizer.encode(latents)

    @torch.no_grad()
    def decode(
        self, codes: Int[Tensor, "batch frames codebooks"], num_samples: int | None = None
    ) -> Float[Tensor, "batch 1 samples"]:
        wave, _ = self.decode_step(codes, self.init_stream(len(codes)), final=True)
        return wave if num_samples is None else wave[..., :num_samples]

    def init_stream(self, batch: int) -> CodecState:
        """State before the first frame: silence behind, nothing written."""
        window, hop = self.window.shape[0], self.hop_samples
        return CodecState(
            samples=self.window.new_zeros(batch, window - hop),
            encoder=self.encoder.init_state(batch, self.window),
            decoder=self.decoder.init_state(batch, self.window),
            segments=self.window.new_zeros(batch, self.config.overlap - 1, window),
            held_hops=self.config.overlap - 1,
        )

    @torch.no_grad()
    def encode_step(self, wave: Tensor, state: CodecState) -> tuple[Tensor, CodecState]:
        """Codes of the next whole frames.

        Raises:
            ValueError: `wave` is not (B, 1, multiple of `hop_samples`).
        """
        self._check_wave(wave)
        if wave.shape[-1] % self.hop_samples:
            raise ValueError(f"a step takes whole frames of {self.hop_samples} samples, got {wave.shape[-1]}")
        latents, samples, encoder = self._encode_latents(wave[:, 0], state)
        following = CodecState(samples, encoder, state.decoder, state.segments, state.held_hops)
        return self.quantizer.encode(latents), following

    @torch.no_grad()
    def decode_step(self, codes: Tensor, state: CodecState, final: bool = False) -> tuple[Tensor, CodecState]:
        """The hops that these codes complete; with `final` all that is left, after which the stream is over."""
        if final:
            codes = F.pad(codes, (0, 0, 0, self.config.overlap - 1), value=ZERO)
        return self._decode_latents(self.quantizer.decode(codes), state)

    # Training ----------------------------------------------------------------------------------------------

    def forward(
        self, wave: Float[Tensor, "batch 1 samples"], generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "batch 1 samples"], Quantized]:
        """Reconstruct through the quantiser, with gradients; the result is as long as `wave`."""
        self._check_wave(wave)
        state = self.init_stream(len(wave))
        latents, _, _ = self._encode_latents(self._whole_frames(wave[:, 0]), state)
        quantized = self.quantizer(latents, generator)
        flushed = F.pad(quantized.latents, (0, 0, 0, self.config.overlap - 1))
        reconstruction, _ = self._decode_latents(flushed, state)
        return reconstruction[..., : wave.shape[-1]], quantized

    # The two halves ------------------------------------------------------------------------------------------

    def _check_wave(self, wave: Tensor) -> None:
        if wave.ndim != 3 or wave.shape[1] != 1:
            raise ValueError(f"a codec takes mono sound (batch, 1, samples), got {tuple(wave.shape)}")

    def _whole_frames(self, wave: Tensor) -> Tensor:
        return F.pad(wave, (0, -wave.shape[-1] % self.hop_samples))

    def _encode_latents(self, wave: Tensor, state: CodecState) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """(B, N * hop) to latents (B, N, Q), with the next samples and pasts."""
        longer = torch.cat([state.samples, wave], dim=1)
        if not wave.shape[1]:
            return wave.new_zeros(len(wave), 0, self.config.latent_width), state.samples, state.encoder
        frames = longer.unfold(1, self.window.shape[0], self.hop_samples)  # (B, N, W)
        with torch.no_grad(), torch.autocast(wave.device.type, enabled=False):
            spectrum = torch.fft.rfft(frames * self.window) * (2.0 / self.window.sum())  # full-scale sine: 1
            magnitude = spectrum.abs()  # (B, N, F)
            # Cube-root-like compression keeps the phase and brings 100 dB into the reach of one linear layer.
            compressed = spectrum * (magnitude + 1e-5).pow(-0.7)
            log_mel = torch.log(magnitude @ self.mel_bank + 1e-5) / 4.0 + 1.5
            features = torch.cat([compressed.real, compressed.imag, log_mel], dim=-1)
        hidden, encoder = self.encoder(self.embed(features), state.encoder)
        latents = self.latent_norm(self.to_latent(hidden).float())
        return latents, longer[:, longer.shape[1] - state.samples.shape[1] :], encoder

    def _decode_latents(self, latents: Tensor, state: CodecState) -> tuple[Tensor, CodecState]:
        """(B, N, Q) to the completed hops as (B, 1, samples), with the next state."""
        batch, num_frames, _ = latents.shape
        if not num_frames:
            return latents.new_zeros(batch, 1, 0), state
        hidden, decoder = self.decoder(self.from_latent(latents), state.decoder)
        coefficients, gains = self.spectrum_head(hidden).float(), self.gain_head(hidden).float()
        with torch.autocast(latents.device.type, enabled=False):
            envelope = self.bin_scale * torch.exp((gains.clamp(-12.0, 6.0)) @ self.band_bank)  # (B, N, F)
            real, imaginary = coefficients.chunk(2, dim=-1)
            spectrum = torch.complex(real * envelope, imaginary * envelope) * (0.5 * self.window.sum())
            segments = torch.fft.irfft(spectrum, n=self.window.shape[0]) * self.window  # (B, N, W)
        longer = torch.cat([state.segments, segments], dim=1)  # (B, overlap - 1 + N, W)
        overlap, hop = self.config.overlap, self.hop_samples
        parts = longer.view(batch, longer.shape[1], overlap, hop)
        last = overlap - 1
        hops = torch.stack([parts[:, last - j : last - j + num_frames, j] for j in range(overlap)]).sum(
            0
        )  # (B, N, hop)
        dropped = min(state.held_hops, num_frames)
        following = CodecState(state.samples, state.encoder, decoder, longer[:, num_frames:], state.held_hops - dropped)
        return hops[:, dropped:].reshape(batch, 1, -1), following
