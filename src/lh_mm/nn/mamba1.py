"""The Mamba-1 mixer with its selective scan (Gu and Dao 2023, arXiv:2312.00752), for comparison.

    [x | z] = W_in u      x = silu(conv(x))      [dt | B | C] = W_x x      dt = softplus(W_dt dt + b)
    h_t = exp(dt A) * h_{t-1} + (dt x_t) B_t^T      y_t = h_t C_t + D x_t      out = W_out (y * silu(z))

Every channel has N rates of its own, so decay is no scalar a head and the scan is no matrix product: it is what
Mamba-2 gave up for speed. `selective_scan_reference` is the recurrence; `selective_scan` doubles its reach inside
chunks (Hillis and Steele 1986) and hands chunk states on, so all products are at most 1 and nothing overflows.

Shapes: B rows, L positions, D width, I = 2 D inner width, N state, R rank of the time step, Q chunk, c chunks.
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

TAPS = 4
EXPAND = 2
DT_RANGE = (1e-3, 1e-1)
CHUNK = 64


@dataclass(frozen=True)
class Mamba1State:
    """What one mixer remembers.

    Attributes:
        window: (B, 3, I) the last inputs of the convolution.
        memory: (B, I, N) float32.
    """

    window: Tensor
    memory: Tensor


def selective_scan_reference(
    x: Tensor,
    dt: Tensor,
    rate: Tensor,
    b: Tensor,
    c: Tensor,
    init_state: Tensor | None = None,
    seq_idx: Tensor | None = None,
    time_scale: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The recurrence, one position after another.

    Args:
        x, dt: (B, L, I) input and time steps.
        rate: (I, N), below 0.
        b, c: (B, L, N).
        init_state: (B, I, N) or None for zeros.
        seq_idx: (B, L) documents, never decreasing, or None.
        time_scale: (B, L) factor of the log decay alone, or None.

    Returns:
        y (B, L, I) and the last state (B, I, N).
    """
    state = x.new_zeros(x.shape[0], *rate.shape) if init_state is None else init_state
    outputs = []
    for t in range(x.shape[1]):
        if seq_idx is not None and t > 0:
            state = state * (seq_idx[:, t] == seq_idx[:, t - 1]).view(-1, 1, 1)
        log_decay = dt[:, t].unsqueeze(-1) * rate
        if time_scale is not None:
            log_decay = log_decay * time_scale[:, t].view(-1, 1, 1)
        state = state * log_decay.exp() + (dt[:, t] * x[:, t]).unsqueeze(-1) * b[:, t].unsqueeze(1)
        outputs.append((state * c[:, t].unsqueeze(1)).sum(-1))
    return torch.stack(outputs, dim=1), state


def selective_scan(
    x: Tensor,
    dt: Tensor,
    rate: Tensor,
    b: Tensor,
    c: Tensor,
    init_state: Tensor | None = None,
    seq_idx: Tensor | None = None,
    time_scale: Tensor | None = None,
    chunk: int = CHUNK,
) -> tuple[Tensor, Tensor]:
    """The same by chunks of Q positions; arguments and results as of `selective_scan_reference`."""
    rows, length, _ = x.shape
    log_decay = dt.unsqueeze(-1) * rate  # (B, L, I, N)
    if time_scale is not None:
        log_decay = log_decay * time_scale[..., None, None]
    if seq_idx is not None:  # the first position of a document keeps nothing
        first = F.pad(seq_idx[:, 1:] != seq_idx[:, :-1], (1, 0))
        log_decay = log_decay.masked_fill(first[..., None, None], -torch.inf)
    decay, added = log_decay.exp(), (dt * x).unsqueeze(-1) * b.unsqueeze(2)
    q = min(chunk, length)
    padding = -length % q
    if padding:
        decay, added = F.pad(decay, (0, 0, 0, 0, 0, padding), value=1.0), F.pad(added, (0, 0, 0, 0, 0, padding))
    decay, added = (t.unflatten(1, (-1, q)) for t in (decay, added))  # (B, c, Q, I, N)
    reach = 1
    while reach < q:
        earlier = F.pad(added, (0, 0, 0, 0, reach, 0))[:, :, :q]
        added = added + decay * earlier
        decay = decay * F.pad(decay, (0, 0, 0, 0, reach, 0), value=1.0)[:, :, :q]
        reach *= 2
    state = added.new_zeros(rows, *rate.shape) if init_state is None else init_state.to(added.dtype)
    received = []
    for through, own in zip(decay[:, :, -1].unbind(1), added[:, :, -1].unbind(1), strict=True):
        received.append(state)
        state = torch.addcmul(own, through, state)
    states = torch.addcmul(added, decay, torch.stack(received, dim=1).unsqueeze(2))
    states = states.flatten(1, 2)[:, :length]  # (B, L, I, N)
    y = torch.matmul(states, c.unsqueeze(-1).to(states.dtype)).squeeze(-1)
    return y.to(x.dtype), state


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
