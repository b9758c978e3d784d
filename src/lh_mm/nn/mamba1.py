"""The Mamba-1 mixer with its selective scan (Gu and Dao 2023, arXiv:2312.00752), for comparison.

    [x | z] = W_in u      x = silu(conv(x))      [dt | B | C] = W_x x      dt = softplus(W_dt dt + b)
    h_t = exp(dt A) * h_{t-1} + (dt x_t) B_t^T      y_t = h_t C_t + D x_t      out = W_out (y * silu(z))

The scan is in `nn/selective_scan.py`.

Shapes: B rows, L positions, D width, I = 2 D inner width, N state, R rank of the time step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lh_mm.nn.conv import CausalConv, next_window
from lh_mm.nn.linear import Linear
from lh_mm.nn.positions import Positions
from lh_mm.nn.selective_scan import selective_scan

TAPS = 4
EXPAND = 2
DT_RANGE = (1e-3, 1e-1)


@dataclass(frozen=True)
class Mamba1State:
    """What one mixer remembers.

    Attributes:
        window: (B, 3, I) the last inputs of the convolution.
        memory: (B, I, N) float32.
    """

    window: Tensor
    memory: Tensor


class Mamba1(nn.Module):
    """A Mamba-1 mixer with the interface of `Mamba2`.

    Args:
        dim: D.
        state_dim: N; 16 in the paper.
        head_dim: ignored, Mamba-1 has no heads; there so that all mixers are made alike.
    """

    def __init__(self, dim: int, state_dim: int = 16, head_dim: int = 0) -> None:
        super().__init__()
        self.inner, self.state_dim, self.rank = EXPAND * dim, state_dim, -(-dim // 16)
        self.in_proj = Linear(dim, 2 * self.inner)
        self.conv = CausalConv(self.inner, TAPS)
        self.x_proj = Linear(self.inner, self.rank + 2 * state_dim)
        self.dt_proj = Linear(self.rank, self.inner)
        self.dt_bias = nn.Parameter(torch.empty(self.inner))
        self.A_log = nn.Parameter(torch.empty(self.inner, state_dim))
        self.D = nn.Parameter(torch.empty(self.inner))
        self.out_proj = Linear(self.inner, dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Rates 1 .. N in every channel, D = 1, and time steps log-uniform after softplus."""
        for layer in (self.in_proj, self.x_proj, self.out_proj):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
        nn.init.uniform_(self.dt_proj.weight, -(self.rank**-0.5), self.rank**-0.5)
        self.conv.reset_parameters()
        low, high = (math.log(bound) for bound in DT_RANGE)
        with torch.no_grad():
            self.A_log.copy_(torch.arange(1.0, self.state_dim + 1.0).log().expand_as(self.A_log))
            dt = torch.empty_like(self.dt_bias).uniform_(low, high).exp()
            self.dt_bias.copy_(dt + torch.log(-torch.expm1(-dt)))
            nn.init.ones_(self.D)

    def init_state(self, rows: int, device: torch.device | str, dtype: torch.dtype = torch.float32) -> Mamba1State:
        """The state before anything was heard; `dtype` is that of the convolution's window."""
        return Mamba1State(
            torch.zeros(rows, TAPS - 1, self.inner, device=device, dtype=dtype),
            torch.zeros(rows, self.inner, self.state_dim, device=device),
        )

    def forward(
        self, u: Tensor, positions: Positions, state: Mamba1State | None = None
    ) -> tuple[Tensor, Mamba1State | None]:
        """Mix `u` (B, L, D); arguments and results as of `Mamba2.forward`."""
        mixed, z = self.in_proj(u).chunk(2, dim=-1)
        if state is not None and positions.continues is not None:
            keep = positions.continues.view(-1, 1, 1)
            state = Mamba1State(state.window * keep, state.memory * keep)
        window, memory = (None, None) if state is None else (state.window, state.memory)
        x = F.silu(self.conv(mixed, window, positions.document))
        raw_dt, b, c = self.x_proj(x).split([self.rank, self.state_dim, self.state_dim], dim=-1)
        wide = torch.promote_types(u.dtype, torch.float32)
        dt = F.softplus(self.dt_proj(raw_dt).to(wide) + self.dt_bias.to(wide))
        if positions.real is not None:
            dt = dt * positions.real.unsqueeze(-1)
        rate = -self.A_log.to(wide).exp()
        y, last = selective_scan(
            x.to(wide), dt, rate, b.to(wide), c.to(wide), memory, positions.document, positions.time_scale
        )
        y = torch.addcmul(y.to(x.dtype), x, self.D.to(x.dtype))
        out: Tensor = self.out_proj(y * F.silu(z))
        if state is None:
            return out, None
        if positions.real is not None:
            last = torch.where(positions.real[:, :1, None], last, state.memory)
        return out, Mamba1State(next_window(mixed, state.window, positions), last.to(state.memory.dtype))
