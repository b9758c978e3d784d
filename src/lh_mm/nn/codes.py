"""Codes of a residual codec, read by their meaning and written one after another.

A code is the number of a vector, and near vectors sound alike. A model with a table of its own has to find that out
for each of K x C numbers; `CodeVectors` holds the codec's vectors, so that a linear map of them serves where a table
would (as a codec's decoder itself begins). The codebooks of one frame are residuals of each other: drawn independently
they do not fit together, and laid out with a delay each frame is told too late what the last one was in detail.
`ChainedCodes` therefore lets the head of a codebook hear the codes drawn before it for the same position, which costs
a small network instead of a second transformer (a small form of the depth transformer of RQ-Transformer, Lee et al.
2022, arXiv:2203.01941, and of Moshi, Defossez et al. 2024, arXiv:2410.00037).

Shapes: A tracks, K codebooks, E = A K entries of a position, C codes, W width of a code's vector, D width of the model.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lh_mm.nn.linear import Linear


class CodeVectors(nn.Module):
    """The frozen vectors of a codec's codebooks, of unit size.

    Until `take` they are random, which is as good for tests and as bad for music as a random codec.

    Args:
        num_codebooks: K.
        codebook_size: C.
        width: W.
    """

    vectors: Tensor

    def __init__(self, num_codebooks: int, codebook_size: int, width: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.randn(num_codebooks, codebook_size, width))

    @torch.no_grad()
    def take(self, vectors: Tensor) -> None:
        """Hold a codec's vectors (K, C, W), each codebook divided by the root mean square of its entries.

        Raises:
            ValueError: for another number, size or width of codebooks.
        """
        if vectors.shape != self.vectors.shape:
            raise ValueError(
                f"the codec's vectors are {tuple(vectors.shape)} (codebooks, codes, width), the model holds "
                f"{tuple(self.vectors.shape)}"
            )
        size = vectors.float().square().mean((1, 2), keepdim=True).sqrt().clamp_min(1e-8)
        self.vectors.copy_(vectors.float() / size)

    def forward(self, codes: Tensor) -> Tensor:
        """(..., A, K) codes to (..., A, K, W); zero for an absent code (below 0)."""
        books, size, width = self.vectors.shape
        first = torch.arange(books, device=codes.device) * size
        rows = F.embedding(codes.clamp(min=0) + first, self.vectors.view(books * size, width))
        return rows * (codes >= 0).unsqueeze(-1)

    def scores(self, queries: Tensor, codebook: int | None = None) -> Tensor:
        """(..., A, K, W) queries to (..., A, K, C) products with each code's vector; or (..., W) of one codebook."""
        if codebook is not None:
            return F.linear(queries, self.vectors[codebook].to(queries.dtype))
        return torch.einsum("...akw,kcw->...akc", queries, self.vectors.to(queries.dtype))


class ChainedCodes(nn.Module):
    """What each entry's head reads: the position, and the codes of all entries before it.

    Args:
        dim: D.
        num_tracks: A.
        num_codebooks: K.
        codebook_size: C.
        vectors: the codec's, or None for a table of its own.
    """

    def __init__(
        self, dim: int, num_tracks: int, num_codebooks: int, codebook_size: int, vectors: CodeVectors | None
    ) -> None:
        super().__init__()
        entries = num_tracks * num_codebooks
        self.entries = (num_tracks, num_codebooks)
        width = vectors.vectors.shape[-1] if vectors is not None else dim
        self.table = nn.Parameter(torch.empty(entries, codebook_size, dim)) if vectors is None else None
        self.weight = nn.Parameter(torch.empty(entries, width, dim)) if vectors is not None else None
        self.bias = nn.Parameter(torch.zeros(entries, dim))
        self.in_proj = Linear(dim, 2 * dim)
        self.out_proj = Linear(dim, dim)
        for value in (self.table, self.weight):
            if value is not None:
                nn.init.normal_(value, std=0.5 * (1.0 if vectors is None else width**-0.5))
        nn.init.normal_(self.in_proj.weight, std=dim**-0.5)
        nn.init.normal_(self.out_proj.weight, std=0.3 * dim**-0.5)

    def forward(self, hidden: Tensor, codes: Tensor, vectors: CodeVectors | None, entry: int | None = None) -> Tensor:
        """(..., D) and (..., A, K), absent codes below 0, to (..., A, K, D); or (..., D) of one entry in that order."""
        if vectors is not None:
            assert self.weight is not None
            told = torch.einsum("...ew,ewd->...ed", vectors(codes).flatten(-3, -2).to(hidden.dtype), self.weight)
        else:
            assert self.table is not None
            flat = codes.flatten(-2)
            first = torch.arange(flat.shape[-1], device=codes.device) * self.table.shape[1]
            told = F.embedding(flat.clamp(min=0) + first, self.table.flatten(0, 1)) * (flat >= 0).unsqueeze(-1)
        if entry is None:
            before = told.cumsum(-2) - told  # an entry hears those before it alone
            return self._mixed(hidden.unsqueeze(-2) + before + self.bias).unflatten(-2, self.entries)
        return self._mixed(hidden + told[..., :entry, :].sum(-2) + self.bias[entry])

    def _mixed(self, u: Tensor) -> Tensor:
        gate, up = self.in_proj(u).chunk(2, dim=-1)
        out: Tensor = u + self.out_proj(F.silu(gate) * up)
        return out


def by_entry(layer: nn.Linear, heard: Tensor, shape: tuple[int, int], chained: bool) -> Tensor:
    """A head for all entries at once, (..., A, K, outputs / (A K)).

    Args:
        layer: of D inputs and the outputs of all entries, entry after entry.
        heard: (..., D), or chained (..., A, K, D), where each entry has an input of its own.
        shape: (A, K).
        chained: which of both.
    """
    if not chained:
        out: Tensor = layer(heard)
        return out.unflatten(-1, (*shape, -1))
    weight = layer.weight.to(heard.dtype).view(*shape, -1, heard.shape[-1])
    return torch.einsum("...akd,akod->...ako", heard, weight)
