"""Residual vector quantisation with codebooks that follow the data and cannot die.

After Zeghidour et al. 2021 (SoundStream, arXiv:2107.03312) and Défossez et al. 2022 (EnCodec,
arXiv:2210.13438). We differ from the public EnCodec code where that is known to go wrong: a dead code is
replaced in the running *sums* the codebook is computed from, so that it is still there after the next
update (encodec issue 61); the straight-through step is taken once, outside the residual loop, with every
stage detached (encodec issue 25); counts and sums are buffers, so a checkpoint holds them.

Legend: B batch, N frames, D latent width, K codebooks, C codes of each, M = B * N vectors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from lh_mm.core.merge import ZERO


def _all_reduce(value: Tensor) -> Tensor:
    """Sum over the processes of a distributed run, in place; nothing otherwise."""
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(value)
    return value


def _of_rank_zero(value: Tensor) -> Tensor:
    if dist.is_available() and dist.is_initialized():
        dist.broadcast(value, src=0)
    return value


def _decay_after(num_updates: Tensor, decay: float) -> float:
    """Decay of a moving average that forgets its first values quickly: 0.1, 0.18, 0.25, ... up to `decay`."""
    n = int(num_updates)
    return min(decay, (1.0 + n) / (10.0 + n))


class Codebook(nn.Module):
    """One codebook: nearest vector, and an exponential moving average of what was assigned to each.

    The average begins short: in the first hundred steps an encoder moves faster than a slow codebook can follow,
    which leaves most codes behind where no latent is (measured: perplexity 6 against 45 after 100 steps).

    Args:
        codebook_size: C.
        width: D.
        decay: of the moving averages, per update, once they have warmed up.
        dead_below: a code is dead when its share of recent use falls under this part of 1 / C.
    """

    vectors: Tensor
    counts: Tensor
    sums: Tensor
    num_updates: Tensor
    initialised: Tensor

    def __init__(self, codebook_size: int, width: int, decay: float = 0.98, dead_below: float = 0.1) -> None:
        super().__init__()
        if codebook_size < 2:
            raise ValueError(f"codebook_size must be at least 2, got {codebook_size}")
        self.decay, self.dead_below = decay, dead_below
        self.register_buffer("vectors", torch.zeros(codebook_size, width))  # (C, D)
        self.register_buffer("counts", torch.zeros(codebook_size))  # (C,)
        self.register_buffer("sums", torch.zeros(codebook_size, width))  # (C, D)
        self.register_buffer("num_updates", torch.zeros((), dtype=torch.int64))
        self.register_buffer("initialised", torch.zeros((), dtype=torch.bool))

    def nearest(self, flat: Tensor) -> Tensor:
        """Index of the closest code, `(M, D) -> (M,)`."""
        scores = flat @ self.vectors.T - 0.5 * self.vectors.square().sum(-1)  # argmax = argmin of distance
        return scores.argmax(-1)

    def lookup(self, codes: Tensor) -> Tensor:
        """Vectors of codes, any shape `(...) -> (..., D)`; `ZERO` gives zeros."""
        return F.embedding(codes.clamp(min=0), self.vectors) * (codes >= 0).unsqueeze(-1)

    @torch.no_grad()
    def start_from(self, flat: Tensor, generator: torch.Generator | None, num_rounds: int = 5) -> None:
        """Begin with vectors of the data: moved by a few rounds of k-means when there are many, with noise when few."""
        size = len(self.vectors)
        picks = self._candidates(flat, size, generator)
        if len(flat) < 4 * size:
            # With hardly more vectors than codes k-means would fit each one exactly and leave the next codebook
            # nothing but zeros to begin with: spread the codes around the vectors instead.
            noise = torch.randn(picks.shape, generator=generator, dtype=picks.dtype).to(picks)
            self.vectors.copy_(picks + 0.3 * flat.std() * _of_rank_zero(noise))
        else:
            self.vectors.copy_(picks)
            for _ in range(num_rounds):
                counts, sums = self._assigned(flat, self.nearest(flat))
                filled = counts > 0
                self.vectors[filled] = sums[filled] / counts[filled, None]
        counts, _ = self._assigned(flat, self.nearest(flat))
        self.counts.copy_(counts.clamp(min=1.0))
        self.sums.copy_(self.vectors * self.counts[:, None])
        self.initialised.fill_(True)

    @torch.no_grad()
    def update(self, flat: Tensor, codes: Tensor, generator: torch.Generator | None) -> int:
        """Move the codes towards what was assigned to them and revive dead ones; returns how many were dead."""
        counts, sums = self._assigned(flat, codes)
        decay = _decay_after(self.num_updates, self.decay)
        self.num_updates += 1
        self.counts.lerp_(counts, 1.0 - decay)
        self.sums.lerp_(sums, 1.0 - decay)
        mean_count = self.counts.mean()
        dead = self.counts < self.dead_below * mean_count
        num_dead = int(dead.sum())
        if num_dead:
            # Both running values are replaced: the vector below is computed from them now and ever after.
            self.sums[dead] = self._candidates(flat, num_dead, generator) * mean_count
            self.counts[dead] = mean_count
        self.vectors.copy_(self.sums / self.counts.clamp(min=1e-8)[:, None])
        return num_dead

    def _assigned(self, flat: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        counts = torch.zeros_like(self.counts).index_add_(0, codes, torch.ones_like(flat[:, 0]))
        sums = torch.zeros_like(self.sums).index_add_(0, codes, flat)
        return _all_reduce(counts), _all_reduce(sums)

    @staticmethod
    def _candidates(flat: Tensor, num: int, generator: torch.Generator | None) -> Tensor:
        """Vectors of this batch drawn at random, the same ones in every process."""
        order = torch.randperm(len(flat), generator=generator).to(flat.device)
        picks = order.repeat(-(-num // len(flat)))[:num]
        return _of_rank_zero(flat[picks].contiguous())


class RunningNorm(nn.Module):
    """Latents to zero mean and unit variance by running statistics, with the gradient of a batch norm.

    Latents that shift or shrink leave the codebooks behind, and the codes collapse to a few. A batch norm takes such
    moves out of the gradient, but a batch holds a handful of recordings, whose own statistics would tell the decoder
    what the codes do not. Batch renormalisation (Ioffe 2017, arXiv:1702.03275) has both: values by running
    statistics, in training as in use, and gradients through those of the batch.

    Args:
        width: D.
        decay: of the statistics, per batch, once they have warmed up.
    """

    mean: Tensor
    variance: Tensor
    num_updates: Tensor

    def __init__(self, width: int, decay: float = 0.98) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))
        self.register_buffer("num_updates", torch.zeros((), dtype=torch.int64))

    def forward(self, latents: Tensor) -> Tensor:
        """(B, N, D) float32; in training mode also follow the statistics."""
        scale = (self.variance + 1e-6).sqrt()
        if not self.training:
            return (latents - self.mean) / scale
        self._follow(latents.detach().flatten(0, 1))
        scale = (self.variance + 1e-6).sqrt()
        batch_mean = latents.mean((0, 1))
        batch_scale = (latents.var((0, 1), correction=0) + 1e-6).sqrt()
        stretch, shift = (batch_scale / scale).detach(), ((batch_mean - self.mean) / scale).detach()
        return (latents - batch_mean) / batch_scale * stretch + shift

    @torch.no_grad()
    def _follow(self, flat: Tensor) -> None:
        count = _all_reduce(flat.new_tensor(float(len(flat))))
        mean = _all_reduce(flat.sum(0)) / count
        variance = _all_reduce((flat - mean).square().sum(0)) / count
        weight = 1.0 - _decay_after(self.num_updates, self.decay) if self.num_updates else 1.0
        self.num_updates += 1
        self.mean.lerp_(mean, weight)
        self.variance.lerp_(variance, weight)


@dataclass(frozen=True)
class Quantized:
    """What training gets from the quantiser.

    Attributes:
        latents: (B, N, D) quantised, with the straight-through gradient.
        codes: (B, N, K), `ZERO` where quantiser dropout left a codebook out.
        commitment: scalar loss that holds the encoder to its codes.
        num_dead: (K,) codes replaced in this step.
    """

    latents: Tensor
    codes: Tensor
    commitment: Tensor
    num_dead: Tensor


class ResidualQuantizer(nn.Module):
    """K codebooks in a row, each quantising what the ones before left over.

    Args:
        num_codebooks: K.
        codebook_size: C.
        width: D.
        dropout: share of training examples that keep only the first 1 .. K - 1 codebooks, so that the
            codes decode by any number of them.
        decay: see `Codebook`.
    """

    def __init__(
        self, num_codebooks: int, codebook_size: int, width: int, dropout: float = 0.3, decay: float = 0.98
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.codebooks = nn.ModuleList(Codebook(codebook_size, width, decay) for _ in range(num_codebooks))

    def _stages(self) -> Iterator[Codebook]:
        for codebook in self.codebooks:
            assert isinstance(codebook, Codebook)
            yield codebook

    def start_from_vectors(self) -> None:
        """Take the codebooks as they are for trained, each code equally used: after loading vectors alone."""
        for codebook in self._stages():
            codebook.counts.fill_(1.0)
            codebook.sums.copy_(codebook.vectors)
            codebook.initialised.fill_(True)

    def code_vectors(self) -> Tensor:
        """(K, C, D) the vectors of all codebooks."""
        return torch.stack([codebook.vectors for codebook in self._stages()])

    def encode(self, latents: Tensor) -> Tensor:
        """Codes of latents, `(B, N, D) -> (B, N, K)` int64."""
        residual = latents.detach().float()
        codes = []
        for codebook in self._stages():
            nearest = codebook.nearest(residual.flatten(0, 1)).view(residual.shape[:2])  # (B, N)
            residual = residual - codebook.lookup(nearest)
            codes.append(nearest)
        return torch.stack(codes, dim=-1)

    def decode(self, codes: Tensor) -> Tensor:
        """Latents of codes, `(B, N, K') -> (B, N, D)`; `ZERO`, or a missing codebook at the end, adds nothing."""
        if codes.shape[-1] > len(self.codebooks):
            raise ValueError(f"codes have {codes.shape[-1]} codebooks, the quantiser has {len(self.codebooks)}")
        latents = next(self._stages()).lookup(codes[..., 0])
        for codebook, column in list(zip(self._stages(), codes.unbind(-1), strict=False))[1:]:
            latents = latents + codebook.lookup(column)
        return latents

    def forward(self, latents: Tensor, generator: torch.Generator | None = None) -> Quantized:
        """Quantise; in training mode also update the codebooks.

        Args:
            latents: (B, N, D).
            generator: draws dropout, first codes and replacements (on the CPU).
        """
        with torch.autocast(latents.device.type, enabled=False):
            latents = latents.float()
            batch = len(latents)
            depth = torch.full((batch,), len(self.codebooks))  # codebooks kept, by example
            if self.training and len(self.codebooks) > 1:
                shallow = torch.rand(batch, generator=generator) < self.dropout
                drawn = torch.randint(1, len(self.codebooks), (batch,), generator=generator)
                depth = torch.where(shallow, drawn, depth)
            depth = depth.to(latents.device)
            residual, total = latents, torch.zeros_like(latents)
            codes, commitment, dead = [], latents.new_zeros(()), []
            for k, codebook in enumerate(self._stages()):
                flat = residual.detach().flatten(0, 1)  # (M, D)
                if self.training and not codebook.initialised:
                    codebook.start_from(flat, generator)
                nearest = codebook.nearest(flat)
                chosen = codebook.lookup(nearest).view_as(residual)
                kept = (k < depth)[:, None]  # (B, 1)
                commitment = commitment + ((residual - chosen).square().mean(-1) * kept).mean()
                total = total + chosen * kept[..., None]
                codes.append(torch.where(kept, nearest.view(residual.shape[:2]), ZERO))
                residual = residual - chosen
                dead.append(codebook.update(flat, nearest, generator) if self.training else 0)
            through = latents + (total - latents).detach()
        return Quantized(through, torch.stack(codes, -1), commitment, torch.tensor(dead))


def code_usage(codes: Tensor, codebook_size: int) -> tuple[Tensor, Tensor]:
    """How well codes are used: `(..., K)` codes, `ZERO` left out.

    Returns:
        usage: (K,) share of the codebook that occurs.
        perplexity: (K,) exponential of the entropy of the codes, at most `codebook_size`.
    """
    usage, perplexity = [], []
    for k in range(codes.shape[-1]):
        column = codes[..., k].flatten()
        counts = torch.bincount(column[column >= 0], minlength=codebook_size).double()
        share = counts / counts.sum().clamp(min=1)
        usage.append((counts > 0).double().mean())
        perplexity.append(torch.exp(-(share * share.clamp(min=1e-12).log()).sum()))
    return torch.stack(usage), torch.stack(perplexity)
