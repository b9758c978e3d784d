"""Training of a neural codec: losses, optimiser, average of weights and logging, and nothing else.

No discriminator: in an hour on two CPU cores a mel loss with phase-aware terms for what is predictable
gives clean onsets and basses, which is what the token models above need; what it cannot give is the fine
texture of noise. The schedule follows the clock as well as the count of steps, so that a run ends when its
minutes are over on any machine, and does so with a learning rate of zero.
"""

from __future__ import annotations

import math
import time
from typing import Any, Literal, Self

import lightning
import torch
from pydantic import model_validator
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from lh_mm.audio.spectral_loss import SpectralLoss
from lh_mm.core.config import Config
from lh_mm.models.rvq_codec import RvqCodec
from lh_mm.nn.quantize import code_usage

LOG_EVERY_STEPS = 50
"""The trainer that runs this system logs as often."""


class CodecLossWeights(Config):
    """How much each distance counts; see `SpectralLoss`. Applied here and nowhere else.

    The gradient of a log-mel reaches every band alike, that of a waveform only the loud ones, so the terms that keep
    the phase need the larger weights to be heard at all.
    """

    mel: float = 1.0
    rises: float = 1.0
    magnitude: float = 0.5
    complex: float = 2.0
    bass: float = 0.0
    samples: float = 1.0
    commitment: float = 0.25


class CodecLossStage(Config):
    """Weights that hold from a share of the training on."""

    begins: float
    """Share of the training, 0 to 1."""
    weights: CodecLossWeights


class CodecLossConfig(Config):
    """Phase first, then texture: what a mel loss asks of noise, a waveform loss forbids, so they take turns."""

    stages: tuple[CodecLossStage, ...] = (
        CodecLossStage(begins=0.0, weights=CodecLossWeights()),
        CodecLossStage(begins=0.3, weights=CodecLossWeights(mel=3.0, rises=2.0, complex=1.0, samples=0.5)),
        CodecLossStage(begins=0.55, weights=CodecLossWeights(mel=6.0, rises=3.0, complex=1.0, samples=0.5)),
        # A waveform loss shrinks what it cannot predict, which leaves loud bands too quiet: let go of it at the end.
        CodecLossStage(
            begins=0.7, weights=CodecLossWeights(mel=6.0, rises=3.0, magnitude=0.2, complex=0.2, samples=0.1)
        ),
    )
    """In order; the first begins at 0."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        begins = [stage.begins for stage in self.stages]
        if not begins or begins[0] != 0.0 or begins != sorted(begins):
            raise ValueError(f"stages begin at 0 and in order, got {begins}")
        return self

    def at(self, progress: float) -> CodecLossWeights:
        """The weights that hold at a share of the training."""
        return [stage.weights for stage in self.stages if stage.begins <= progress][-1]


class CodecOptimConfig(Config):
    """Optimiser and length of a codec's training."""

    learning_rate: float = 6e-4
    weight_decay: float = 1e-2
    warmup_steps: int = 300
    max_minutes: float = 45.0
    """Wall-clock minutes of training; the cosine reaches zero here. Time before a resume counts."""
    max_steps: int = 1_000_000
    """Steps after which training ends even when minutes are left; the cosine follows whichever is nearer."""
    clip_norm: float = 1.0
    average_decay: float = 0.98
    """Of the moving average of the weights, which is what is evaluated and shipped: as long as that of the codebooks,
    for codebooks follow the current weights, and an average further behind belongs to none (mel .508 against .503)."""


class CodecSystem(lightning.LightningModule):
    """Trains an `RvqCodec` on waves (B, 1, T).

    Args:
        codec: the model, with fresh or earlier weights.
        optim: optimiser and schedule.
        losses: their weights by stage.
        seed: of quantiser dropout and code replacement.
        precision: `bf16` runs the trunk under autocast; transforms and losses stay in float32.
    """

    def __init__(
        self,
        codec: RvqCodec,
        optim: CodecOptimConfig,
        losses: CodecLossConfig,
        seed: int,
        precision: Literal["fp32", "bf16"],
    ) -> None:
        super().__init__()
        self.codec, self.optim, self.losses, self.precision = codec, optim, losses, precision
        self.averaged = AveragedModel(codec, multi_avg_fn=self._average)
        self.averaged.requires_grad_(False)
        self.loss = SpectralLoss(codec.sample_rate)
        self.generator = torch.Generator().manual_seed(seed)
        self.trained_s = 0.0
        self._last_tick: float | None = None

    @property
    def shipped_codec(self) -> RvqCodec:
        """The codec with averaged weights."""
        codec = self.averaged.module
        assert isinstance(codec, RvqCodec)
        return codec

    @property
    def progress(self) -> float:
        """Share of the training that is behind us, by time or by steps, 0 to 1."""
        by_time = self.trained_s / (60.0 * self.optim.max_minutes)
        return min(1.0, max(by_time, self.global_step / self.optim.max_steps))

    def learning_rate(self) -> float:
        """Linear warm-up by steps, then a cosine to zero by progress."""
        warm = min(1.0, (self.global_step + 1) / max(1, self.optim.warmup_steps))
        return self.optim.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * self.progress))

    def on_train_start(self) -> None:
        self._last_tick = time.monotonic()

    def on_train_batch_start(self, batch: Tensor, batch_idx: int) -> int | None:
        """Set this step's learning rate; -1 ends the training when its time is over."""
        now = time.monotonic()
        self.trained_s += now - (self._last_tick if self._last_tick is not None else now)
        self._last_tick = now
        if self.progress >= 1.0:
            self.trainer.should_stop = True
            return -1
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.learning_rate()
        return None

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        with torch.autocast(batch.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            wave, quantized = self.codec(batch, self.generator)
        parts = self.loss(wave[:, 0], batch[:, 0]) | {"commitment": quantized.commitment}
        weights = self.losses.at(self.progress)
        total = sum((getattr(weights, name) * value for name, value in parts.items()), wave.new_zeros(()))
        self.log_dict({f"train/{name}": value.detach() for name, value in parts.items()})
        self.log_dict({"train/loss": total.detach(), "train/learning_rate": self.learning_rate()})
        self.log("train/minutes", self.trained_s / 60.0, prog_bar=True)
        if self.global_step % LOG_EVERY_STEPS == 0:
            usage, perplexity = code_usage(quantized.codes.detach().cpu(), self.codec.codebook_size)
            for k in range(self.codec.num_codebooks):
                self.log(f"train/batch_usage_{k}", usage[k].float())
                self.log(f"train/batch_perplexity_{k}", perplexity[k].float())
                self.log(f"train/dead_{k}", quantized.num_dead[k].float())
        return total

    def _average(self, averages: Any, values: Any, num_averaged: Any) -> None:
        """Exponential average that begins short, so that it can be judged from the first steps on."""
        count = int(num_averaged)
        decay = min(self.optim.average_decay, (1.0 + count) / (10.0 + count))
        torch._foreach_lerp_(list(averages), list(values), 1.0 - decay)

    def on_train_batch_end(self, outputs: Any, batch: Tensor, batch_idx: int) -> None:
        self.averaged.update_parameters(self.codec)

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        """Mel distance of the averaged codec by number of codebooks, and how its codes are used."""
        codec = self.shipped_codec
        codes = codec.encode(batch)
        for depth in range(1, codec.num_codebooks + 1):
            wave = codec.decode(codes[..., :depth], batch.shape[-1])
            self.log(f"valid/mel_{depth}", self.loss(wave[:, 0], batch[:, 0])["mel"], batch_size=len(batch))
        usage, perplexity = code_usage(codes.cpu(), codec.codebook_size)
        for k in range(codec.num_codebooks):
            self.log(f"valid/usage_{k}", usage[k].float(), batch_size=len(batch))
            self.log(f"valid/perplexity_{k}", perplexity[k].float(), batch_size=len(batch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        decayed = [p for p in self.codec.parameters() if p.ndim >= 2]
        others = [p for p in self.codec.parameters() if p.ndim < 2]
        groups = [
            {"params": decayed, "weight_decay": self.optim.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.optim.learning_rate, betas=(0.8, 0.99), fused=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["codec_clock"] = {"trained_s": self.trained_s, "generator": self.generator.get_state()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.trained_s = float(checkpoint["codec_clock"]["trained_s"])
        self.generator.set_state(checkpoint["codec_clock"]["generator"].cpu())
