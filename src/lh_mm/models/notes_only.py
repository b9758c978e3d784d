"""What transformers for notes alone share: one head that is the embedding, no sound, and what a query sees.

Shapes: B rows, L positions, K keys, D width, V event ids.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from lh_mm.core.streams import SequenceSpec, StreamBatch
from lh_mm.models.base import Logits


class NotesOnly(nn.Module):
    """The parts of `SequenceModel` that follow from `hidden` and `event_embedding`.

    Attributes:
        spec: streams, of events alone and unmerged.
        event_embedding: (V + 2, D), FRAME and END included, which are predicted and never read.
        recompute: whether layers are computed again in the backward pass.
    """

    chained = False
    event_embedding: nn.Embedding

    def __init__(self, spec: SequenceSpec, name: str) -> None:
        """`name` is what an error calls the model. Raises ValueError for streams of sound."""
        super().__init__()
        if spec.num_codebooks or spec.merged:
            raise ValueError(f"{name} reads notes with time tokens of their own: set sequence.kind to one")
        self.spec = spec
        self.recompute = False

    @abstractmethod
    def hidden(self, batch: StreamBatch, state: Any = None, active: Tensor | None = None) -> tuple[Tensor, Any]:
        """(B, L, D) before the head, and the state; see `SequenceModel`."""

    def event_logits(self, hidden: Tensor) -> Tensor:
        """(..., D) to (..., V + 2), by the weights of the embedding."""
        return F.linear(hidden, self.event_embedding.weight)

    def code_logits(self, hidden: Tensor, drawn: Tensor | None = None, entry: int | None = None) -> Tensor:
        """Raises ValueError: there is no sound in these sequences."""
        raise ValueError("this model's sequence has no codes")

    def forward(self, batch: StreamBatch, state: Any = None) -> tuple[Logits, Any]:
        """All heads at all positions."""
        h, state = self.hidden(batch, state)
        return Logits(self.event_logits(h), None), state

    def step(self, batch: StreamBatch, state: Any, active: Tensor | None = None) -> tuple[Logits, Any]:
        """`forward` for the rows that are active; the others keep their count and see no new key."""
        h, after = self.hidden(batch, state, active)
        return Logits(self.event_logits(h), None), after

    def num_parameters(self) -> int:
        """Parameters, frozen or not."""
        return sum(p.numel() for p in self.parameters())


def seen_keys(index: Tensor, document: Tensor, key: Tensor, of_key: Tensor) -> tuple[Tensor, Tensor]:
    """What each query sees: keys of its document that are not later.

    Args:
        index, document: (B, L) of the queries.
        key, of_key: (B, K) index and document of the keys; an index of -1 is padding.

    Returns:
        (B, L, K) whether it is seen, and how far back it is.
    """
    distance = index.unsqueeze(-1) - key.unsqueeze(1)
    seen = (distance >= 0) & (key >= 0).unsqueeze(1) & (document.unsqueeze(-1) == of_key.unsqueeze(1))
    return seen, distance


def or_all(seen: Tensor) -> Tensor:
    """`seen` (B, L, K), all keys where there is none: padding and rows at rest would not be numbers else."""
    return seen | ~seen.any(-1, keepdim=True)
