"""Music Transformer (Huang et al. 2018, arXiv:1809.04281): a decoder with relative global attention, for notes alone.

Layers as in the authors' tensor2tensor code (`self_attention_type="dot_product_relative_v2"`):
embeddings times sqrt(D), sinusoids added, then L times [layer norm, relative attention, dropout, residual; layer norm,
ReLU network, dropout, residual] and a last layer norm.

Deviations from the paper, all of them:
* the event head has weights of its own. Theirs is the embedding, which times sqrt(D) outweighs all else in an untrained
  model: it is sure that the token just read comes again, 10.6 nats where ln V is 6.0 (388 ids, the defaults);
* it reads any of our event vocabularies behind BOS with its controls, not the 388 events alone;
* JSB in the paper has sinusoids concatenated to the embedding, not added, and relative pitch and time in its first
  layer; here it has neither;
* the optimiser is ours (AdamW, cosine), not Adafactor or Noam's schedule, so that models compare at equal tuning;
* `local_block` is the paper's relative local attention (a block sees itself and the one before it).

Shapes: B rows, L positions, K keys, D width, V event ids.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from lh_mm.core.config import Config
from lh_mm.core.streams import SequenceSpec, StreamBatch
from lh_mm.models.header import HeaderEmbedding
from lh_mm.models.notes_only import NotesOnly, NotesState, Places, no_state, or_all
from lh_mm.nn.linear import Linear
from lh_mm.nn.relative_attention import RelativeAttention, RelativeState


class MusicTransformerConfig(Config):
    """The shape of a Music Transformer; the defaults are the paper's for piano performances."""

    kind: Literal["music_transformer"] = "music_transformer"
    layers: int = Field(6, ge=1)
    """Number of layers."""
    dim: int = Field(256, ge=8)
    """Width of the residual stream."""
    heads: int = Field(8, ge=1)
    """Attention heads."""
    attention_dim: int = Field(512, ge=8)
    """Width of queries, keys and values of all heads together; the paper's exceeds `dim`."""
    ff_dim: int = Field(2048, ge=8)
    """Inner width of the feed-forward networks."""
    max_distance: int = Field(1024, ge=1)
    """Distances with an embedding of their own; the paper takes half of the training length."""
    relative: bool = True
    """Whether attention is relative; without, it is the plain transformer that the paper compares with."""
    local_block: int | None = Field(None, ge=1)
    """Positions of a block of local attention, which sees itself and the one before; none for global attention."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Of embeddings, attention weights and every layer's output, in training."""

    def build(self, spec: SequenceSpec) -> MusicTransformer:
        """A model with fresh weights for the streams of `spec`. Raises ValueError for streams of sound."""
        return MusicTransformer(self, spec)


class _Layer(nn.Module):
    def __init__(self, c: MusicTransformerConfig) -> None:
        super().__init__()
        self.attention_norm, self.ff_norm = nn.LayerNorm(c.dim, eps=1e-6), nn.LayerNorm(c.dim, eps=1e-6)
        distances = c.max_distance if c.relative else 1
        self.attention = RelativeAttention(c.dim, c.heads, c.attention_dim, distances, c.dropout)
        if not c.relative:
            self.attention.relative_embedding.requires_grad_(False).zero_()
        self.ff_in, self.ff_out = Linear(c.dim, c.ff_dim, bias=True), Linear(c.ff_dim, c.dim, bias=True)
        self.dropout = nn.Dropout(c.dropout)

    def forward(
        self, x: Tensor, mask: Tensor | None, distance: Tensor | None, state: RelativeState | None, num_keys: int
    ) -> tuple[Tensor, RelativeState | None]:
        heard, state = self.attention(self.attention_norm(x), mask, distance, state, num_keys)
        x = x + self.dropout(heard)
        return x + self.dropout(self.ff_out(F.relu(self.ff_in(self.ff_norm(x))))), state


class MusicTransformer(NotesOnly):
    """See the file's docstring; honours `models.base.SequenceModel`."""

    def __init__(self, config: MusicTransformerConfig, spec: SequenceSpec) -> None:
        super().__init__(spec, "a Music Transformer")
        self.config = config
        dim = config.dim
        self.event_embedding = nn.Embedding(spec.event_vocabulary_size + 2, dim)  # FRAME and END are never read
        self.header_embedding = HeaderEmbedding(spec, dim)
        self.layers = nn.ModuleList([_Layer(config) for _ in range(config.layers)])
        self.final_norm = nn.LayerNorm(dim, eps=1e-6)
        self.dropout = nn.Dropout(config.dropout)
        nn.init.normal_(self.event_embedding.weight, std=dim**-0.5)
        self.event_head = Linear(dim, spec.event_vocabulary_size + 2)
        nn.init.normal_(self.event_head.weight, std=0.02)

    def hidden(
        self, batch: StreamBatch, state: NotesState | None = None, active: Tensor | None = None
    ) -> tuple[Tensor, NotesState | None]:
        """(B, L, D) before the head, and the state; see `SequenceModel`."""
        places = Places.of(batch, state, active)
        x = self.tokens(batch) * math.sqrt(self.config.dim)
        x = self.dropout(x + sinusoids(places.index, self.config.dim).to(x.dtype))
        mask = distance = None
        packed = batch.header.roles.shape[1] > 1
        if state is not None or packed or self.config.local_block is not None:
            mask, distance = self._sees(places)
        after, num_keys = [], 0 if state is None else state.index.shape[1]
        for i, layer in enumerate(self.layers):
            x, new = layer(x, mask, distance, None if state is None else state.layers[i], num_keys)
            after.append(new)
        h: Tensor = self.final_norm(x)
        if state is None:
            return h, None
        return h, NotesState(tuple(after), places.key, places.of_key, state.count + places.real.sum(1))

    def event_logits(self, hidden: Tensor) -> Tensor:
        """(..., D) to (..., V + 2)."""
        out: Tensor = self.event_head(hidden)
        return out

    def _sees(self, places: Places) -> tuple[Tensor, Tensor]:
        """(B, 1, L, K) which keys a query sees, and (B, L, K) how far back each is."""
        seen, distance = places.sees()
        block = self.config.local_block
        if block is not None:
            seen &= places.index.unsqueeze(-1) // block - places.key.unsqueeze(1) // block <= 1
        return or_all(seen).unsqueeze(1), distance

    def init_state(
        self,
        rows: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        max_length: int | None = None,
    ) -> NotesState:
        """The state before the first position; it grows with what is read."""
        layers = [layer.attention.init_state(rows, device, dtype) for layer in self.layers]  # type: ignore[operator, union-attr]
        return no_state(rows, device, tuple(layers))

    def flops_per_position(self, length: int) -> float:
        """Forward operations of a position in a sequence of `length`, the head included."""
        c = self.config
        linears = [m.weight.numel() for m in self.layers.modules() if isinstance(m, nn.Linear)]
        total = 2.0 * (sum(linears) + self.event_head.weight.numel())
        reach = (length + 1) / 2 if c.local_block is None else min(1.5 * c.local_block, (length + 1) / 2)
        products = 3 if c.relative else 2
        return total + c.layers * 2 * products * c.attention_dim * reach


def sinusoids(index: Tensor, dim: int) -> Tensor:
    """(..., dim) the timing signal of Vaswani et al. 2017, sines then cosines, periods from 2 pi to 2 pi 10^4."""
    pairs = dim // 2
    rates = torch.exp(torch.arange(pairs, device=index.device) * (-math.log(1e4) / max(pairs - 1, 1)))
    turned = index.unsqueeze(-1) * rates
    return F.pad(torch.cat([turned.sin(), turned.cos()], dim=-1), (0, dim % 2))
