"""Relative global attention of Music Transformer (Huang et al. 2018, arXiv:1809.04281, section 3.4).

    logits = (Q K^T + S) / sqrt(d_k),   S[i, j] = q_i . E[i - j]

E is learned, one table a head, for distances 0 .. R - 1; further back it is zero, not clipped (as in the authors' code,
tensor2tensor `dot_product_self_attention_relative_v2`: a distance that was never trained says nothing). In training S
comes from Q E^T by skewing, which needs memory L x L instead of L x L x d. With a cache, or packed documents, the
distance of each pair is looked up; a test holds that both are the definition.

Shapes: B rows, L positions, K keys, H heads, W key width, R distances.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lh_mm.nn.cache import appended
from lh_mm.nn.linear import Linear


@dataclass(frozen=True)
class RelativeState:
    """Keys and values (B, H, C, W) of the positions so far; how many and which they are is the model's to know."""

    keys: Tensor
    values: Tensor


def skew(products: Tensor) -> Tensor:
    """(..., L, L) products of queries with E[L-1 .. 0] to S; above the diagonal is garbage, which the mask takes.

    A column of padding in front, read as rows of one less, moves row i by i (the paper's figure 3).
    """
    length = products.shape[-1]
    padded = F.pad(products, (1, 0))
    return padded.reshape(*products.shape[:-2], length + 1, length)[..., 1:, :]


class RelativeAttention(nn.Module):
    """Causal self-attention with relative position representations.

    Args:
        dim: D.
        heads: H.
        width: of all heads together, for queries, keys and values; the paper's may exceed `dim`.
        distances: R, the paper's half of the training length.
        dropout: of attention weights, in training.
    """

    def __init__(self, dim: int, heads: int, width: int, distances: int, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"heads should divide the attention's width, got {heads} heads and width {width}")
        self.heads, self.head_dim, self.dropout = heads, width // heads, dropout
        self.in_proj = Linear(dim, 3 * width)
        self.out_proj = Linear(width, dim)
        self.relative_embedding = nn.Parameter(torch.empty(heads, distances, self.head_dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for layer in (self.in_proj, self.out_proj):
            nn.init.xavier_uniform_(layer.weight)
        nn.init.normal_(self.relative_embedding, std=self.head_dim**-0.5)

    def init_state(self, rows: int, device: torch.device | str, dtype: torch.dtype) -> RelativeState:
        """No keys yet."""
        nothing = torch.zeros(rows, self.heads, 0, self.head_dim, device=device, dtype=dtype)
        return RelativeState(nothing, nothing)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None,
        distance: Tensor | None,
        state: RelativeState | None = None,
        num_keys: int = 0,
    ) -> tuple[Tensor, RelativeState | None]:
        """Attend.

        Args:
            x: (B, L, D).
            mask: (B, 1, L, K) keys that may be seen; None is plain causal.
            distance: (B, L, K) of each query and key; None is `i - j` of one document without a cache.
            state: keys and values before these, or None; without gradients it is written in place.
            num_keys: how many of the state's are in use.
        """
        rows, length, _ = x.shape
        projected = self.in_proj(x).view(rows, length, 3, self.heads, self.head_dim)
        queries, keys, values = (t.transpose(1, 2) for t in projected.unbind(2))  # (B, H, L, W)
        queries = queries * self.head_dim**-0.5  # before both products, so that S is scaled as well
        if state is not None:
            state = RelativeState(appended(state.keys, keys, num_keys), appended(state.values, values, num_keys))
            end = num_keys + length
            keys, values = state.keys[:, :, :end].to(keys.dtype), state.values[:, :, :end].to(values.dtype)
        logits = queries @ keys.transpose(-1, -2) + self._relative(queries, distance)
        if mask is None:
            mask = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        logits = logits.masked_fill(~mask, torch.finfo(logits.dtype).min)  # after the sum: S is garbage there
        weights = F.dropout(torch.softmax(logits.float(), dim=-1).to(values.dtype), self.dropout, self.training)
        out = (weights @ values).transpose(1, 2).flatten(2)
        mixed: Tensor = self.out_proj(out)
        return mixed, state

    def _relative(self, queries: Tensor, distance: Tensor | None) -> Tensor:
        """(B, H, L, K): S."""
        table = self.relative_embedding.to(queries.dtype)  # (H, R, W)
        length, known = queries.shape[2], table.shape[1]
        if distance is None:
            near = table[:, :length]
            if length > known:
                near = F.pad(near, (0, 0, 0, length - known))
            return skew(queries @ near.flip(1).transpose(-1, -2))
        products = queries @ table.transpose(-1, -2)  # (B, H, L, R)
        at = distance.clamp(0, known - 1).unsqueeze(1).expand(-1, self.heads, -1, -1)
        inside = (distance >= 0) & (distance < known)
        return products.gather(-1, at) * inside.unsqueeze(1)
