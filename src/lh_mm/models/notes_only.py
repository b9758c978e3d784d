"""What transformers for notes alone share: a head that is the embedding by default, places, what a query sees.

Shapes: B rows, L positions, K keys, D width, V event ids.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lh_mm.core.merge import Kind
from lh_mm.core.streams import SequenceSpec, StreamBatch
from lh_mm.models.base import Logits
from lh_mm.models.header import HeaderEmbedding


@dataclass(frozen=True)
class NotesState:
    """What such a model remembers of each row.

    Attributes:
        layers: keys and values of each layer, as it keeps them.
        index: (B, K) index in its row of each key, -1 for padding.
        document: (B, K) its document.
        count: (B,) positions so far.
    """

    layers: tuple[Any, ...]
    index: Tensor
    document: Tensor
    count: Tensor


@dataclass(frozen=True)
class Places:
    """Where the positions of a batch stand.

    Attributes:
        real: (B, L) those that are read: no padding, of rows that are active.
        index: (B, L) in their row, from its begin.
        document: (B, L).
        key, of_key: (B, K) index and document of what there is to be seen, those of the state and these.
    """

    real: Tensor
    index: Tensor
    document: Tensor
    key: Tensor
    of_key: Tensor

    @classmethod
    def of(
        cls, batch: StreamBatch, state: NotesState | None, active: Tensor | None, before: Tensor | None = None
    ) -> Places:
        """Count positions along each row, never across them.

        Args:
            batch: (B, L).
            state: of the positions before.
            active: (B,) rows that advance.
            before: (B, W) further positions that stand before these, True where one is.
        """
        kind, document = batch.kind, batch.document
        real = kind != Kind.PAD if active is None else (kind != Kind.PAD) & active.unsqueeze(1)
        start = torch.zeros_like(kind[:, :1]) if state is None else state.count.unsqueeze(1)
        index = start + torch.arange(kind.shape[1], device=kind.device)
        if before is not None:
            real = torch.cat([before, real], 1)
            index = torch.cat([before.cumsum(1) - 1, index + before.sum(1, keepdim=True)], 1)
            document = torch.cat([torch.zeros_like(before, dtype=document.dtype), document], 1)
        key, of_key = torch.where(real, index, -1), document
        if state is not None:
            key, of_key = torch.cat([state.index, key], 1), torch.cat([state.document, of_key], 1)
        return cls(real, index, document, key, of_key)

    def sees(self) -> tuple[Tensor, Tensor]:
        """(B, L, K) which keys each position may see, and how far back they are."""
        return seen_keys(self.index, self.document, self.key, self.of_key)


class NotesOnly(nn.Module):
    """The parts of `SequenceModel` that follow from `hidden` and `event_embedding`.

    Attributes:
        spec: streams, of events alone and unmerged.
        event_embedding: (V + 2, D), FRAME and END included, which are predicted and never read.
        header_embedding: what BOS says.
        recompute: whether layers are computed again in the backward pass.
    """

    chained = False
    event_embedding: nn.Embedding
    header_embedding: HeaderEmbedding

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

    def tokens(self, batch: StreamBatch) -> Tensor:
        """(B, L, D) embeddings of tokens, and of what BOS says where it stands."""
        x = self.event_embedding(batch.event_id.clamp(min=0)) * (batch.event_id >= 0).unsqueeze(-1)
        is_bos = (batch.kind == Kind.BOS).unsqueeze(-1)
        out: Tensor = x + self.header_embedding.of(batch.header, batch.document) * is_bos
        return out

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


def no_state(rows: int, device: torch.device | str, layers: tuple[Any, ...]) -> NotesState:
    """The state before the first position, with a model's own empty layers."""
    none = torch.zeros(rows, 0, dtype=torch.int64, device=device)
    return NotesState(layers, none, none, torch.zeros(rows, dtype=torch.int64, device=device))


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
