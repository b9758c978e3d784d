"""SwiGLU, the gated feed-forward layer (Shazeer 2020, arXiv:2002.05202)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from lh_mm.nn.linear import Linear


class SwiGLU(nn.Module):
    """`W_down (silu(W_gate x) * W_up x)` without biases; gate and up are one matrix.

    Args:
        dim: width of input and output.
        hidden: inner width.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.in_proj = Linear(dim, 2 * hidden)
        self.out_proj = Linear(hidden, dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for layer in (self.in_proj, self.out_proj):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """`x` (..., dim) to the same shape."""
        gate, up = self.in_proj(x).chunk(2, dim=-1)
        out: Tensor = self.out_proj(F.silu(gate) * up)
        return out
