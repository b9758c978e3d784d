"""Drawing from logits: temperature, top-k, top-p (Holtzman et al. 2020, arXiv:1904.09751), typical; noise by number.

A draw is `argmax(p / e)` with e exponentially distributed, which has the probabilities p and needs no cumulative
sum. The noise of a draw comes from (seed, number of the draw) alone: whoever stops and goes on later, or puts a
row into another batch, draws the same. Everything here runs on the CPU in float32, so that devices agree.

Shapes: R rows, C choices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """How a head's choices are drawn.

    Attributes:
        temperature: divides the logits; 0 takes the likeliest.
        top_k: draw from the k likeliest only; 0 is all.
        top_p: draw from the likeliest that make up this share.
        typical_p: draw from those whose surprise is nearest to the expected one, as many as make up this share
            (Meister et al. 2023, arXiv:2202.00666).
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    typical_p: float = 1.0

    def __post_init__(self) -> None:
        if self.temperature < 0 or self.top_k < 0 or not (0 < self.top_p <= 1 and 0 < self.typical_p <= 1):
            raise ValueError(
                "sampling needs temperature >= 0, top_k >= 0, 0 < top_p <= 1 and 0 < typical_p <= 1, "
                f"got {self.temperature}, {self.top_k}, {self.top_p} and {self.typical_p}"
            )

    def probabilities(self, logits: Tensor) -> Tensor:
        """(..., C) what is drawn from; logits of -inf stay impossible."""
        if self.temperature == 0:
            return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
        if self.top_k and self.top_k < logits.shape[-1]:
            least = logits.topk(self.top_k, dim=-1).values[..., -1:]
            logits = logits.masked_fill(logits < least, -torch.inf)
        p = torch.softmax(logits / self.temperature, dim=-1)
        if self.typical_p < 1:
            surprise = -p.clamp(min=1e-38).log()
            expected = (p * surprise).sum(-1, keepdim=True)
            away = (surprise - expected).abs().masked_fill(p == 0, torch.inf)
            p = _first_of(p, away.argsort(-1), self.typical_p)
            p = p / p.sum(-1, keepdim=True)
        if self.top_p < 1:
            p = _first_of(p, p.argsort(-1, descending=True), self.top_p)
        return p


def _first_of(p: Tensor, order: Tensor, share: float) -> Tensor:
    """`p` (..., C) where those before in `order` have not filled up the share, 0 elsewhere; the first stays always."""
    ordered = p.gather(-1, order)
    beyond = ordered.cumsum(-1) - ordered >= share
    return torch.zeros_like(p).scatter(-1, order, ordered.masked_fill(beyond, 0.0))


def exponential_noise(seeds: Sequence[int], numbers: Sequence[int], shape: Sequence[int]) -> Tensor:
    """(R, *shape) float32 noise, that of row i from `seeds[i]` and draw number `numbers[i]` alone."""
    noise = torch.empty(len(seeds), *shape)
    generator = torch.Generator()
    for row, seed, number in zip(noise, seeds, numbers, strict=True):
        generator.manual_seed(_mixed(seed, number))
        row.exponential_(generator=generator)
    return noise.clamp_min_(1e-30)


def draw(probabilities: Tensor, noise: Tensor) -> Tensor:
    """(...) a choice for each row of `probabilities` (..., C), which need not sum to 1."""
    return (probabilities / noise).argmax(-1)


def guided(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance (Ho and Salimans 2022, arXiv:2207.12598): 1 is the conditional model."""
    return unconditional + scale * (conditional - unconditional)


def _mixed(seed: int, number: int) -> int:
    """A 32-bit seed of both numbers (the finaliser of splitmix64: neighbours come out unrelated)."""
    word = (1 << 64) - 1
    z = (seed * 0x9E3779B97F4A7C15 + number * 0xD1B54A32D192ED03 + 1) & word
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & word
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & word
    return (z ^ z >> 31) & 0xFFFF_FFFF
