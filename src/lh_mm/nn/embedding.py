"""Many small vocabularies in one table: the sum of the embeddings of several fields.

A position of a merged sequence is described by a few fields (an event, a stream, K codes of each track ...),
most of them absent. One table with one look-up that skips what is absent is several times cheaper than a
module a field, above all when one position at a time is generated.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SumEmbedding(nn.Module):
    """Sum over fields of an embedding each; a negative entry is absent and adds nothing.

    Args:
        sizes: vocabulary of each field, 0 allowed for a field that is never there.
        dim: width.
        std: of the initial values.
    """

    offsets: Tensor

    def __init__(self, sizes: Sequence[int], dim: int, std: float = 0.02) -> None:
        super().__init__()
        self.sizes, self.std = tuple(sizes), std
        starts = [1]  # row 0 is what absent entries point at
        for size in sizes[:-1]:
            starts.append(starts[-1] + size)
        self.register_buffer("offsets", torch.tensor(starts), persistent=False)
        self.embedding = nn.Parameter(torch.empty(1 + sum(sizes), dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.embedding, std=self.std)
        with torch.no_grad():
            self.embedding[0].zero_()

    def forward(self, fields: Tensor) -> Tensor:
        """`fields` (..., F) integers, one column a field; returns (..., dim)."""
        rows = torch.where(fields < 0, 0, fields + self.offsets)
        flat = F.embedding_bag(rows.reshape(-1, len(self.sizes)), self.embedding, mode="sum", padding_idx=0)
        return flat.view(*fields.shape[:-1], -1)
