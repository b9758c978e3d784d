"""The Mamba-3 mixer, one input and output a head (Lahoti et al. 2026, arXiv:2603.15569), on the SSD scan.

    S_t = alpha S_{t-1} + beta x_{t-1} k_{t-1}^T + gamma x_t k_t^T      y_t = S_t q_t + D x_t
    out = W_out (y * silu(z))
    alpha = exp(dt A)      beta = (1 - lambda) dt alpha      gamma = lambda dt

Three things are new beside Mamba-2: the input is integrated by a trapezoid (both its ends, mixed by lambda), decay A
depends on the data, and half of each key turns by an angle that grows with dt, which is a complex state in real
numbers. There is no convolution; keys and queries are normalised and have a bias of 1.

The trapezoid needs no scan of its own. What x_{t-1} gives to S_t decays from t - 1 to t like all that stood at t - 1,
so it can be written there already, with a weight of lambda_t dt_t + (1 - lambda_{t+1}) dt_{t+1}; only y_t must not see
the second part yet, and that part of the diagonal is taken off again. A state handed on lacks it, for the next time
step is not known; it is added when the next call begins.

The equations are those of the authors' reference (state-spaces/mamba, tests/ops/triton/test_mamba3_siso.py). We differ
in that all scalars are float32, documents may be packed, and decay may depend on time (`positions.time_scale`).

Shapes: B rows, L positions, D width, H heads of P channels, N state, S = N / 4 angles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lh_mm.nn.linear import Linear
from lh_mm.nn.norm import RMSNorm
from lh_mm.nn.positions import Positions
from lh_mm.nn.ssd import ssd

EXPAND = 2
DT_RANGE = (1e-3, 1e-1)
SLOWEST = 1e-4
"""A stays below the negative of it."""


@dataclass(frozen=True)
class Mamba3State:
    """What one mixer remembers, all float32.

    Attributes:
        angle: (B, H, S) turned so far, modulo a turn.
        memory: (B, H, P, N) without the second end of the last trapezoid.
        key: (B, H, N) of the last position, turned.
        value: (B, H, P) of the last position.
    """

    angle: Tensor
    memory: Tensor
    key: Tensor
    value: Tensor


class Mamba3(nn.Module):
    """A Mamba-3 mixer with the interface of `Mamba2`.

    Args:
        dim: D; the inner width is twice that.
        state_dim: N, a multiple of 4.
        head_dim: P; the inner width must be a multiple of it.
    """

    def __init__(self, dim: int, state_dim: int, head_dim: int) -> None:
        super().__init__()
        self.inner = EXPAND * dim
        if self.inner % head_dim:
            raise ValueError(f"head_dim should divide {EXPAND} * dim = {self.inner}, got {head_dim}")
        if state_dim % 4:
            raise ValueError(f"state_dim should be a multiple of 4, for half of it turns by pairs, got {state_dim}")
        self.state_dim, self.head_dim, self.heads = state_dim, head_dim, self.inner // head_dim
        self.angles = state_dim // 4
        self.widths = [self.inner, self.inner, state_dim, state_dim, *[self.heads] * 3, self.angles]
        self.in_proj = Linear(dim, sum(self.widths))  # z, x, B, C, dt, A, trapezoid, angle
        self.dt_bias = nn.Parameter(torch.empty(self.heads))
        self.key_norm, self.query_norm = RMSNorm(state_dim), RMSNorm(state_dim)
        self.key_bias = nn.Parameter(torch.empty(self.heads, state_dim))
        self.query_bias = nn.Parameter(torch.empty(self.heads, state_dim))
        self.D = nn.Parameter(torch.empty(self.heads))
        self.out_proj = Linear(self.inner, dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Biases of keys and queries 1, D = 1, and time steps log-uniform after softplus."""
        for layer in (self.in_proj, self.out_proj):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
        for norm in (self.key_norm, self.query_norm):
            norm.reset_parameters()
        low, high = (math.log(bound) for bound in DT_RANGE)
        with torch.no_grad():
            dt = torch.empty_like(self.dt_bias).uniform_(low, high).exp()
            self.dt_bias.copy_(dt + torch.log(-torch.expm1(-dt)))
            for parameter in (self.key_bias, self.query_bias, self.D):
                nn.init.ones_(parameter)

    def init_state(self, rows: int, device: torch.device | str, dtype: torch.dtype = torch.float32) -> Mamba3State:
        """The state before anything was heard; it is float32 whatever `dtype` says."""
        heads = (rows, self.heads)
        return Mamba3State(
            torch.zeros(*heads, self.angles, device=device),
            torch.zeros(*heads, self.head_dim, self.state_dim, device=device),
            torch.zeros(*heads, self.state_dim, device=device),
            torch.zeros(*heads, self.head_dim, device=device),
        )

    def forward(
        self, u: Tensor, positions: Positions, state: Mamba3State | None = None
    ) -> tuple[Tensor, Mamba3State | None]:
        """Mix `u` (B, L, D); arguments and results as of `Mamba2.forward`."""
        z, x, b, c, raw_dt, raw_a, trapezoid, turn = self.in_proj(u).split(self.widths, dim=-1)
        wide = torch.promote_types(u.dtype, torch.float32)
        dt = F.softplus(raw_dt.to(wide) + self.dt_bias.to(wide))  # (B, L, H)
        if positions.real is not None:
            dt = dt * positions.real.unsqueeze(-1)
        log_decay = dt * -heavy_tail(raw_a.to(wide)).clamp(min=SLOWEST)
        if positions.time_scale is not None:
            log_decay = log_decay * positions.time_scale.unsqueeze(-1)
        now = torch.sigmoid(trapezoid.to(wide))
        early, late = now * dt, (1.0 - now) * dt  # weights of x_t and of x_{t-1} in S_t

        before = self._kept(state, positions)
        angle = (torch.tanh(turn.to(wide)) * math.pi).unsqueeze(2) * dt.unsqueeze(-1)  # (B, L, H, S)
        angle = angle.cumsum(1) if before is None else before.angle.unsqueeze(1) + angle.cumsum(1)
        k = turned((self.key_norm(b).unsqueeze(2) + self.key_bias).to(wide), angle)  # (B, L, H, N)
        q = turned((self.query_norm(c).unsqueeze(2) + self.query_bias).to(wide), angle)
        x = x.unflatten(-1, (self.heads, self.head_dim))

        ahead = F.pad(late[:, 1:], (0, 0, 0, 1))  # what x_t will give to S_{t+1}
        if positions.document is not None:
            same = positions.document[:, 1:] == positions.document[:, :-1]
            ahead = ahead * F.pad(same, (0, 1)).unsqueeze(-1)
        memory = None
        if before is not None:
            owed = (late[:, 0].unsqueeze(-1) * before.value).unsqueeze(-1) * before.key.unsqueeze(-2)
            memory = before.memory + owed  # (B, H, P, N)
        k, q = k.to(x.dtype), q.to(x.dtype)
        y, last = ssd(x * (early + ahead).unsqueeze(-1).to(x.dtype), log_decay, k, q, memory, positions.document)
        unseen = (q * k).sum(-1, dtype=wide) * ahead
        y = y + (self.D.to(wide) - unseen).unsqueeze(-1).to(x.dtype) * x
        out: Tensor = self.out_proj(y.flatten(-2) * F.silu(z))
        return out, None if state is None else self._after(state, positions, angle, last, k, x)

    @staticmethod
    def _kept(state: Mamba3State | None, positions: Positions) -> Mamba3State | None:
        """The state as far as it is of the first position's document."""
        if state is None or positions.continues is None:
            return state
        keep = positions.continues
        parts = (part * keep.view(-1, *[1] * (part.dim() - 1)) for part in vars(state).values())
        return Mamba3State(*parts)

    @staticmethod
    def _after(
        state: Mamba3State, positions: Positions, angle: Tensor, memory: Tensor, k: Tensor, x: Tensor
    ) -> Mamba3State:
        angle = torch.remainder(angle, 2.0 * math.pi)
        counts = positions.counts()
        if counts is None:
            parts = (angle[:, -1], memory, k[:, -1], x[:, -1])
            return Mamba3State(*(p.to(old.dtype) for p, old in zip(parts, vars(state).values(), strict=True)))
        rows, at = torch.arange(len(x), device=x.device), (counts - 1).clamp(min=0)
        parts = (angle[rows, at], memory, k[rows, at], x[rows, at])
        moved = counts > 0
        kept = (
            torch.where(moved.view(-1, *[1] * (old.dim() - 1)), part.to(old.dtype), old)
            for part, old in zip(parts, vars(state).values(), strict=True)
        )
        return Mamba3State(*kept)


def heavy_tail(x: Tensor) -> Tensor:
    """`1 + x` for x >= 0, `1 / (1 - x)` below: positive and smooth at 0."""
    return x.clamp(min=0) + torch.reciprocal(1.0 - x.clamp(max=0))


def turned(x: Tensor, angle: Tensor) -> Tensor:
    """Turn the pairs (2 i, 2 i + 1) of `x` (..., N) by `angle` (..., S), i < S; the rest stays."""
    pairs = x[..., : 2 * angle.shape[-1]].unflatten(-1, (-1, 2))
    cos, sin = angle.cos(), angle.sin()
    first, second = pairs[..., 0], pairs[..., 1]
    moved = torch.stack([first * cos - second * sin, first * sin + second * cos], dim=-1).flatten(-2)
    return torch.cat([moved, x[..., moved.shape[-1] :]], dim=-1)
