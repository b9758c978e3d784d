"""Root mean square normalisation (Zhang and Sennrich 2019, arXiv:1910.07467), plain and gated.

The gated form is Mamba-2's (Dao and Gu 2024, arXiv:2405.21060): the gate is applied before the norm.
Statistics are taken in float32 whatever the input is.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """`x / rms(x) * weight` over the last dimension.

    Args:
        dim: size of the last dimension.
        eps: added to the mean square.
    """

    def __init__(self, dim: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.ones_(self.weight)

    def forward(self, x: Tensor, gate: Tensor | None = None) -> Tensor:
        """Normalise `x` (..., dim), first multiplied by `silu(gate)` where a gate is given."""
        if gate is not None:
            x = x * F.silu(gate)
        # Written out: on the CPU twice as fast as torch's own, which is made of smaller steps there.
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return (wide * scale * self.weight).to(x.dtype)
