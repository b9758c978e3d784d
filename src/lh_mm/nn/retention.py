"""Multi-scale retention (Sun et al. 2023, arXiv:2307.08621, equations 5 to 8) as a wrapper of the SSD scan.

    S_t = gamma S_{t-1} + v_t k_t^T      y_t = S_t q_t / sqrt(N)      out = W_out (groupnorm(y) * silu(W_gate u))

Each head forgets at its own constant rate, gamma = 1 - 2^(-5 - h), whatever it hears: Mamba-2 without the data in
its decay, which makes it the ablation of that idea. Queries and keys turn by the index (xPos without its scale, as
in the authors' later code). Where we differ: keys may be narrower than values, the norm of each head is RMS, and
decay may depend on time (`positions.time_scale`).

Shapes: B rows, L positions, D width, H heads of P value channels and N key channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lh_mm.nn.linear import Linear
from lh_mm.nn.norm import RMSNorm
from lh_mm.nn.positions import Positions
from lh_mm.nn.rotary import Rotary, rotate
from lh_mm.nn.ssd import ssd

EXPAND = 2


@dataclass(frozen=True)
class RetentionState:
    """What one mixer remembers: `memory` (B, H, P, N) float32."""

    memory: Tensor


class Retention(nn.Module):
    """Retention with the interface of `Mamba2`.

    Args:
        dim: D; values are twice as wide.
        state_dim: N, even.
        head_dim: P; the width of values must be a multiple of it.
    """

    log_gamma: Tensor

    def __init__(self, dim: int, state_dim: int, head_dim: int) -> None:
        super().__init__()
        self.inner = EXPAND * dim
        if self.inner % head_dim:
            raise ValueError(f"head_dim should divide {EXPAND} * dim = {self.inner}, got {head_dim}")
        if state_dim % 2:
            raise ValueError(f"state_dim should be even to turn by pairs, got {state_dim}")
        self.state_dim, self.head_dim, self.heads = state_dim, head_dim, self.inner // head_dim
        self.keys = self.heads * state_dim
        self.in_proj = Linear(dim, 2 * self.inner + 2 * self.keys)
        self.out_proj = Linear(self.inner, dim)
        self.norm = RMSNorm(head_dim)
        self.rotary = Rotary(state_dim, 0.0, 1.0)
        gamma = 1.0 - 2.0 ** (-5.0 - torch.arange(self.heads, dtype=torch.float64))
        self.register_buffer("log_gamma", gamma.log().float(), persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for layer in (self.in_proj, self.out_proj):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
        self.norm.reset_parameters()

    def init_state(self, rows: int, device: torch.device | str, dtype: torch.dtype = torch.float32) -> RetentionState:
        """The state before anything was heard; it is float32 whatever `dtype` says."""
        return RetentionState(torch.zeros(rows, self.heads, self.head_dim, self.state_dim, device=device))

    def forward(
        self, u: Tensor, positions: Positions, state: RetentionState | None = None
    ) -> tuple[Tensor, RetentionState | None]:
        """Mix `u` (B, L, D); arguments and results as of `Mamba2.forward`."""
        gate, v, q, k = self.in_proj(u).split([self.inner, self.inner, self.keys, self.keys], dim=-1)
        v = v.unflatten(-1, (self.heads, self.head_dim))
        turns = self.rotary(positions.index, positions.index)
        q, k = (rotate(t.unflatten(-1, (self.heads, self.state_dim)), *turns) for t in (q, k))
        log_decay = self.log_gamma.to(torch.promote_types(u.dtype, torch.float32)).expand(*u.shape[:2], -1)
        if positions.time_scale is not None:
            log_decay = log_decay * positions.time_scale.unsqueeze(-1)
        if positions.real is not None:  # padding neither writes nor forgets
            real = positions.real.unsqueeze(-1)
            log_decay, v = log_decay * real, v * real.unsqueeze(-1)
        before = None if state is None else state.memory
        if before is not None and positions.continues is not None:
            before = before * positions.continues.view(-1, 1, 1, 1)
        y, last = ssd(v, log_decay, k, q * self.state_dim**-0.5, before, positions.document)
        out: Tensor = self.out_proj(self.norm(y).flatten(-2) * F.silu(gate))
        if state is None:
            return out, None
        if positions.real is not None:
            last = torch.where(positions.real[:, :1, None, None], last, state.memory)
        return out, RetentionState(last.to(state.memory.dtype))
