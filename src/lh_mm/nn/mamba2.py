"""The Mamba-2 mixer (Dao and Gu 2024, arXiv:2405.21060) with an explicit state and packed documents.

    [z | x | B | C | dt] = W_in u      [x, B, C] = silu(conv([x, B, C]))      dt = softplus(dt + dt_bias)
    S_t = exp(dt A) S_{t-1} + dt x B^T      y = S C + D x      out = W_out rmsnorm(y * silu(z))

One forward takes any length of at least 1 and any starting state; one position has a cheaper path. Decay
arithmetic is float32, and so is the kept state (bfloat16 caches are known to hurt). The reference scales
the decay by nothing but dt; here `positions.time_scale` may multiply the *log decay alone* (docs/streams.md,
section 8): the input is never scaled by time, for that would erase all notes of a chord but one.

Shapes: B rows, L positions, D width, I = H * P inner width, H heads of P channels, N state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lh_mm.nn.conv import CausalConv, next_window
from lh_mm.nn.linear import Linear
from lh_mm.nn.norm import RMSNorm
from lh_mm.nn.positions import Positions
from lh_mm.nn.ssd import scan, ssd_step

TAPS = 4
EXPAND = 2
DT_RANGE = (1e-3, 1e-1)
"""Initial time steps are log-uniform in it, as in the paper's code."""


@dataclass(frozen=True)
class MambaState:
    """What one mixer remembers.

    Attributes:
        window: (B, 3, I + 2 N) the last inputs of the convolution.
        ssm: (B, H, P, N) float32.
    """

    window: Tensor
    ssm: Tensor


class Mamba2(nn.Module):
    """A Mamba-2 mixer with one group.

    Args:
        dim: D; the inner width I is twice that.
        state_dim: N.
        head_dim: P; I must be a multiple of it.
    """

    def __init__(self, dim: int, state_dim: int, head_dim: int) -> None:
        super().__init__()
        self.inner = EXPAND * dim
        if self.inner % head_dim:
            raise ValueError(f"head_dim should divide {EXPAND} * dim = {self.inner}, got {head_dim}")
        self.state_dim, self.head_dim, self.heads = state_dim, head_dim, self.inner // head_dim
        self.channels = self.inner + 2 * state_dim
        self.in_proj = Linear(dim, self.inner + self.channels + self.heads)
        self.conv = CausalConv(self.channels, TAPS)
        self.A_log = nn.Parameter(torch.empty(self.heads))
        self.dt_bias = nn.Parameter(torch.empty(self.heads))
        self.D = nn.Parameter(torch.empty(self.heads))
        self.norm = RMSNorm(self.inner)
        self.out_proj = Linear(self.inner, dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """A uniform in 1 .. 16, D = 1, and biases such that softplus gives log-uniform time steps."""
        for layer in (self.in_proj, self.out_proj):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
        self.conv.reset_parameters()
        self.norm.reset_parameters()
        low, high = (math.log(bound) for bound in DT_RANGE)
        with torch.no_grad():
            self.A_log.uniform_(1.0, 16.0).log_()
            dt = torch.empty_like(self.dt_bias).uniform_(low, high).exp()
            self.dt_bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # the inverse of softplus
            nn.init.ones_(self.D)

    def init_state(self, rows: int, device: torch.device | str, dtype: torch.dtype = torch.float32) -> MambaState:
        """The state before anything was heard; `dtype` is that of the convolution's window."""
        return MambaState(
            torch.zeros(rows, TAPS - 1, self.channels, device=device, dtype=dtype),
            torch.zeros(rows, self.heads, self.head_dim, self.state_dim, device=device, dtype=torch.float32),
        )

    def _dt(self, raw: Tensor, positions: Positions) -> Tensor:
        """(B, L, H) time steps in float32 (or wider), 0 at padding: used by every path."""
        wide = torch.promote_types(raw.dtype, torch.float32)
        dt = F.softplus(raw.to(wide) + self.dt_bias.to(wide))
        return dt if positions.real is None else dt * positions.real.unsqueeze(-1)

    def forward(
        self, u: Tensor, positions: Positions, state: MambaState | None = None
    ) -> tuple[Tensor, MambaState | None]:
        """Mix `u` (B, L, D).

        Args:
            u: input.
            positions: of this call.
            state: of the positions before; None starts from nothing and keeps nothing.

        Returns:
            Output (B, L, D) and the state after the last real position of each row.
        """
        z, mixed, raw_dt = self.in_proj(u).split([self.inner, self.channels, self.heads], dim=-1)
        dt = self._dt(raw_dt, positions)
        rate = -self.A_log.to(dt.dtype).exp()
        if state is not None and positions.continues is not None:
            keep = positions.continues
            state = MambaState(state.window * keep.view(-1, 1, 1), state.ssm * keep.view(-1, 1, 1, 1))
        new_state: MambaState | None
        if state is not None and u.shape[1] == 1:
            y, new_state = self._step(mixed, dt, rate, positions, state)
        else:
            y, new_state = self._scan(mixed, dt, rate, positions, state)
        out: Tensor = self.out_proj(self.norm(y, gate=z))
        return out, new_state

    def _scan(
        self, mixed: Tensor, dt: Tensor, rate: Tensor, positions: Positions, state: MambaState | None
    ) -> tuple[Tensor, MambaState | None]:
        window, ssm = (None, None) if state is None else (state.window, state.ssm)
        x, b, c = self._split(F.silu(self.conv(mixed, window, positions.document)))
        y, last = scan(x, dt, rate, b, c, time_scale=positions.time_scale, init_state=ssm, seq_idx=positions.document)
        y = torch.addcmul(y, x, self.D.to(x.dtype).unsqueeze(-1)).flatten(-2)
        if state is None:
            return y, None
        if positions.real is not None:
            last = torch.where(positions.real[:, :1, None, None], last, state.ssm)  # exact where a row has no position
        return y, MambaState(next_window(mixed, state.window, positions), last.to(state.ssm.dtype))

    def _step(
        self, mixed: Tensor, dt: Tensor, rate: Tensor, positions: Positions, state: MambaState
    ) -> tuple[Tensor, MambaState]:
        conv, window = self.conv.step(mixed, state.window)
        x, b, c = self._split(F.silu(conv))
        log_decay = dt[:, 0] * rate
        if positions.time_scale is not None:
            log_decay = log_decay * positions.time_scale
        x, b, c, dt = x[:, 0], b[:, 0], c[:, 0], dt[:, 0]
        y, ssm = ssd_step(x * dt.unsqueeze(-1).to(x.dtype), log_decay, b, c, state.ssm)
        y = torch.addcmul(y, x, self.D.to(x.dtype).unsqueeze(-1)).flatten(-2).unsqueeze(1)
        if positions.real is not None:
            window = torch.where(positions.real.unsqueeze(-1), window, state.window)
            ssm = torch.where(positions.real[..., None, None], ssm, state.ssm)
        return y, MambaState(window, ssm)

    def _split(self, mixed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """X (B, L, H, P), B and C (B, L, 1, N) of the convolution's output."""
        x, b, c = mixed.split([self.inner, self.state_dim, self.state_dim], dim=-1)
        return x.unflatten(-1, (self.heads, self.head_dim)), b.unsqueeze(2), c.unsqueeze(2)
