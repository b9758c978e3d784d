"""Optimiser, learning-rate schedule and average weights: the settings every training shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from lh_mm.core.config import Config
from lh_mm.systems.shard import local


class OptimConfig(Config):
    """AdamW with linear warm-up and cosine decay."""

    lr: float = Field(1e-3, gt=0)
    """Peak learning rate."""
    min_lr_ratio: float = Field(0.05, ge=0, le=1)
    """Final learning rate as a share of the peak."""
    warmup_steps: int = Field(100, ge=0)
    """Steps of linear warm-up."""
    weight_decay: float = Field(0.05, ge=0)
    """Decay of matrices; norms, biases, embeddings and the state space's A, D and dt bias have none."""
    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's moment decays."""
    clip_norm: float = Field(1.0, gt=0)
    """Gradients are scaled down to this global norm."""
    ema_decay: float = Field(0.999, ge=0, lt=1)
    """Decay of the averaged weights that are validated and shipped; 0 uses the raw weights."""

    def build(self, groups: Sequence[dict[str, Any]]) -> torch.optim.AdamW:
        """The optimiser over parameter groups (`nn/groups.py` says what decays)."""
        fused = all(p.is_cuda or p.device.type == "cpu" for g in groups for p in g["params"])
        return torch.optim.AdamW(list(groups), lr=self.lr, betas=self.betas, eps=1e-8, fused=fused)

    def lr_at(self, step: int, progress: float) -> float:
        """Learning rate of a step: warm-up by steps, cosine by progress (0 at the start, 1 at the end)."""
        warm = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, progress))))
        return self.lr * warm * (self.min_lr_ratio + (1 - self.min_lr_ratio) * cosine)


class AverageWeights(nn.Module):
    """Exponential moving average of a model's parameters, as buffers so that checkpoints hold it.

    The decay warms up as min(decay, (1 + n) / (10 + n)), so short runs are not averages of their start.
    """

    num_updates: Tensor

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("num_updates", torch.zeros((), dtype=torch.long))
        for name, parameter in model.named_parameters():
            self.register_buffer(self._key(name), parameter.detach().clone().float())

    @staticmethod
    def _key(name: str) -> str:
        return "average_" + name.replace(".", "__")

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move towards the model's present weights."""
        n = int(self.num_updates)
        decay = min(self.decay, (1 + n) / (10 + n)) if self.decay else 0.0
        own = [local(self.get_buffer(self._key(name))) for name, _ in model.named_parameters()]
        torch._foreach_lerp_(own, [local(p.detach()).float() for p in model.parameters()], 1 - decay)
        self.num_updates += 1

    def state_of(self, model: nn.Module) -> dict[str, Tensor]:
        """The model's state dict with averaged parameters (buffers are the model's own)."""
        state = {name: value.detach().clone() for name, value in model.state_dict().items()}
        for name, parameter in model.named_parameters():
            state[name] = self.get_buffer(self._key(name)).to(parameter.dtype).clone()
        return state
