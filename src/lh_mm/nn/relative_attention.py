"""Relative global attention of Music Transformer (Huang et al. 2018, arXiv:1809.04281, section 3.4).

    logits = (Q K^T + S) / sqrt(d_k),   S[i, j] = q_i . E[i - j]

E is learned, one table a head, for distances 0 .. R - 1; further back it is zero, not clipped (as in the authors' code,
tensor2tensor `dot_product_self_attention_relative_v2`: a distance that was never trained says nothing). In training S
comes from Q E^T by skewing, which needs memory L x L instead of L x L x d, one block of queries at a time: a block
leaves out the keys behind it and stays in a core's cache, three times faster on a CPU than all pairs at once. With
a cache of keys, or packed documents, the distance of each pair is looked up; a test holds that both are the definition.

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


BLOCK = 128
"""Queries that attend at once in training."""


def skew(products: Tensor) -> Tensor:
    """(..., L, K) products of the last L of K positions with E[K-1 .. 0] to S; where keys are later is garbage.

    A column of padding in front, read as rows of one less, moves each row by one more (the paper's figure 3).
    """
    length, num_keys = products.shape[-2:]
    return F.pad(products, (1, 0)).flatten(-2)[..., length:].unflatten(-1, (length, num_keys))


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
            mask: (B, 1, L, K) keys that may be seen, and
            distance: (B, L, K) of each query and key; None is one document that begins here, seen causally.
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
        if mask is None or distance is None:
            heard = self._causal(queries, keys, values)
        else:
            logits = queries @ keys.transpose(-1, -2) + self._relative(queries, distance)
            heard = self._heard(logits, mask, values)
        mixed: Tensor = self.out_proj(heard.transpose(1, 2).flatten(2))
        return mixed, state

    def _heard(self, logits: Tensor, mask: Tensor, values: Tensor) -> Tensor:
        """(B, H, L, W): `values` weighted by softmax where `mask` is true; `logits` are overwritten."""
        logits = logits.masked_fill_(~mask, torch.finfo(logits.dtype).min)  # after the sum: S is garbage there
        weights = torch.softmax(logits, dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32))
        return F.dropout(weights.to(values.dtype), self.dropout, self.training) @ values

    def _causal(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """(B, H, L, W): what each position hears of itself and those before it, block by block."""
        length, blocks = queries.shape[2], []
        for start in range(0, length, BLOCK):
            end = min(start + BLOCK, length)
            block, seen = queries[:, :, start:end], keys[:, :, :end].transpose(-1, -2)
            mask = torch.ones(end - start, end, dtype=torch.bool, device=queries.device).tril(start)
            relative = self._skewed(block, end)
            logits = torch.baddbmm(relative.flatten(0, 1), block.flatten(0, 1), seen.flatten(0, 1))
            blocks.append(self._heard(logits.unflatten(0, relative.shape[:2]), mask, values[:, :, :end]))
        return torch.cat(blocks, dim=2)

    def _skewed(self, queries: Tensor, num_keys: int) -> Tensor:
        """(B, H, L, K): S of the last L of K positions, in one document."""
        known = min(num_keys, self.relative_embedding.shape[1])
        near = self.relative_embedding[:, :known].flip(1).to(queries.dtype)
        return skew(F.pad(queries @ near.transpose(-1, -2), (num_keys - known, 0)))

    def _relative(self, queries: Tensor, distance: Tensor) -> Tensor:
        """(B, H, L, K): S by looking up the `distance` (B, L, K) of each pair."""
        table = self.relative_embedding.to(queries.dtype)  # (H, R, W)
        products = queries @ table.transpose(-1, -2)  # (B, H, L, R)
        at = distance.clamp(0, table.shape[1] - 1).unsqueeze(1).expand(-1, self.heads, -1, -1)
        inside = (distance >= 0) & (distance < table.shape[1])
        return products.gather(-1, at) * inside.unsqueeze(1)
