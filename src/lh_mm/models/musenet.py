"""MuseNet (Payne 2019, openai.com/index/musenet): a transformer told when and where in its piece each token stands.

A decoder of pre-norm blocks with GELU networks four times as wide, as GPT-2 and the Sparse Transformer (Child et al.
2019, arXiv:1904.10509) have them, whose input is the sum of learned embeddings of

* the token and its position;
* the passage of time in the sample, the same for all tokens at one time;
* the number of the token within its chord, counted from the last time that time passed;
* which of 128 parts of the piece it stands in, and a countdown from 127 to 0 towards the end of the piece
  (`sequence.structure`; where rows do not tell it nothing is added).

Each can be left out, so each is an ablation. The prefix of composer, instruments and tempo is what BOS says here, as
for every model: instruments with `sequence.instruments`, composer where a corpus has that label (of those that ship
none has, nor has a folder of files).

OpenAI's model has 72 layers of 24 heads and full attention over 4,096 tokens behind their beginning, hence 4,097
positions. `attention` is `full` as there, or one of the two sparse patterns of Child et al., whose kernels made that
possible: alternate layers see the last `stride` positions, and every `stride`-th one (`strided`) or the last position
of each block of `stride` (`fixed`). Here a pattern is a mask: it shows what sparsity costs in likelihood, not what it
saves in time.

Not published, so ours: the width; time is the clock's slot, not the beat's 48th. Left out: mixup of embeddings, the
critic that chose among samples, and augmentation but for transposition.

Shapes: B rows, L positions, K keys, H heads, W key width, D width, V event ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from lh_mm.core.config import Config
from lh_mm.core.streams import SequenceSpec, StreamBatch
from lh_mm.models.header import HeaderEmbedding
from lh_mm.models.notes_only import NotesOnly, NotesState, Places, no_state, or_all
from lh_mm.music.tokens import STRUCTURE_PARTS
from lh_mm.nn.cache import appended
from lh_mm.nn.linear import Linear


class MusenetModelConfig(Config):
    """The shape of a MuseNet."""

    kind: Literal["musenet"] = "musenet"
    layers: int = Field(6, ge=1)
    """Number of layers."""
    dim: int = Field(256, ge=8)
    """Width of the residual stream."""
    heads: int = Field(8, ge=1)
    """Attention heads."""
    mlp_ratio: float = Field(4.0, gt=0)
    """Inner width of the networks, over `dim`."""
    max_positions: int = Field(4097, ge=2)
    """Positions with an embedding, the beginning included: the longest row."""
    attention: Literal["full", "strided", "fixed"] = "full"
    """Which positions a layer sees."""
    stride: int = Field(128, ge=1)
    """Of the sparse patterns."""
    max_time: int = Field(2048, ge=0)
    """Slots of the clock with an embedding of their own, later ones share the last; 0 leaves time out."""
    max_chord: int = Field(32, ge=0)
    """Numbers within a chord with an embedding, higher ones share the last; 0 leaves them out."""
    structure: bool = True
    """Whether part and countdown are heard where the rows tell them."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Of embeddings, attention weights and every block's output, in training."""

    def build(self, spec: SequenceSpec) -> MuseNet:
        """A model with fresh weights for the streams of `spec`. Raises ValueError for streams of sound."""
        return MuseNet(self, spec)


@dataclass(frozen=True)
class MusenetState(NotesState):
    """Keys and values are (B, H, C, W), with room for more.

    Attributes:
        clock, of_last, chord: (B,) of the last position: clock, document, and number in its chord.
    """

    clock: Tensor
    of_last: Tensor
    chord: Tensor


class _Block(nn.Module):
    def __init__(self, c: MusenetModelConfig) -> None:
        super().__init__()
        if c.dim % c.heads:
            raise ValueError(f"heads should divide dim, got {c.heads} heads and width {c.dim}")
        inner = int(c.mlp_ratio * c.dim)
        self.heads, self.rate = c.heads, c.dropout
        self.attention_norm, self.mlp_norm = nn.LayerNorm(c.dim), nn.LayerNorm(c.dim)
        self.in_proj, self.out_proj = Linear(c.dim, 3 * c.dim, bias=True), Linear(c.dim, c.dim, bias=True)
        self.mlp_in, self.mlp_out = Linear(c.dim, inner, bias=True), Linear(inner, c.dim, bias=True)
        self.dropout = nn.Dropout(c.dropout)

    def forward(
        self, x: Tensor, mask: Tensor | None, state: tuple[Tensor, Tensor] | None, num_keys: int
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        rows, length, dim = x.shape
        projected = self.in_proj(self.attention_norm(x)).view(rows, length, 3, self.heads, dim // self.heads)
        queries, keys, values = (t.transpose(1, 2) for t in projected.unbind(2))  # (B, H, L, W)
        after = keys, values
        if state is not None:
            after = appended(state[0], keys, num_keys), appended(state[1], values, num_keys)
            keys, values = (buffer[:, :, : num_keys + length].to(x.dtype) for buffer in after)
        rate = self.rate if self.training else 0.0
        heard = F.scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask, dropout_p=rate, is_causal=mask is None
        )
        x = x + self.dropout(self.out_proj(heard.transpose(1, 2).flatten(2)))
        return x + self.dropout(self.mlp_out(F.gelu(self.mlp_in(self.mlp_norm(x))))), after


class MuseNet(NotesOnly):
    """See the file's docstring; honours `models.base.SequenceModel`."""

    def __init__(self, config: MusenetModelConfig, spec: SequenceSpec) -> None:
        super().__init__(spec, "a MuseNet")
        self.config = config
        dim = config.dim
        self.event_embedding = nn.Embedding(spec.event_vocabulary_size + 2, dim)  # FRAME and END are never read
        self.header_embedding = HeaderEmbedding(spec, dim)
        self.position_embedding = nn.Embedding(config.max_positions, dim)
        self.time_embedding = nn.Embedding(config.max_time, dim) if config.max_time else None
        self.chord_embedding = nn.Embedding(config.max_chord, dim) if config.max_chord else None
        told = config.structure and spec.tells_structure
        self.part_embedding = nn.Embedding(STRUCTURE_PARTS + 1, dim) if told else None  # 0 is not told
        self.countdown_embedding = nn.Embedding(STRUCTURE_PARTS + 1, dim) if told else None
        self.layers = nn.ModuleList([_Block(config) for _ in range(config.layers)])
        self.final_norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(config.dropout)
        self.apply(_begin)
        for block in self.layers:  # as GPT-2: what is added to the residual stream grows with depth
            for last in (block.out_proj, block.mlp_out):
                nn.init.normal_(last.weight, std=0.02 * (2 * config.layers) ** -0.5)  # type: ignore[arg-type, union-attr]

    def hidden(
        self, batch: StreamBatch, state: MusenetState | None = None, active: Tensor | None = None
    ) -> tuple[Tensor, MusenetState | None]:
        """(B, L, D) before the head, and the state; see `SequenceModel`. Raises ValueError for a row too long."""
        places = Places.of(batch, state, active)
        longest = self.config.max_positions
        if places.key.shape[1] > longest and int(places.key.max()) >= longest:
            raise ValueError(f"a row of {int(places.key.max()) + 1} positions, but this MuseNet has {longest}")
        chord = chord_numbers(batch.clock, batch.document, places.index, state)
        x = self._embed(batch, places.index.clamp(max=longest - 1), chord)
        packed = batch.header.roles.shape[1] > 1
        plain = state is None and not packed and self.config.attention == "full"
        sees = None if plain else places.sees()
        after, num_keys = [], 0 if state is None else state.index.shape[1]
        for i, block in enumerate(self.layers):
            mask = None if sees is None else self._mask(i, places, *sees).unsqueeze(1)
            x, new = block(x, mask, None if state is None else state.layers[i], num_keys)
            after.append(new)
        h: Tensor = self.final_norm(x)
        if state is None:
            return h, None
        counts = places.real.sum(1)
        last = (counts - 1).clamp(min=0).unsqueeze(1)
        latest = (
            torch.where(counts > 0, new.gather(1, last).squeeze(1), old)
            for new, old in ((batch.clock, state.clock), (batch.document, state.of_last), (chord, state.chord))
        )
        return h, MusenetState(tuple(after), places.key, places.of_key, state.count + counts, *latest)

    def _mask(self, layer: int, places: Places, seen: Tensor, distance: Tensor) -> Tensor:
        """(B, L, K) what a layer sees of what may be seen."""
        c, index, keys = self.config, places.index, places.key
        if c.attention != "full":
            if layer % 2 == 0:  # the last ones, or those of the same block
                same_block = index.unsqueeze(-1) // c.stride == keys.unsqueeze(1) // c.stride
                near = distance < c.stride if c.attention == "strided" else same_block
            else:
                column = keys.unsqueeze(1) % c.stride == c.stride - 1
                near = distance % c.stride == 0 if c.attention == "strided" else column | (distance == 0)
            seen = seen & near
        return or_all(seen)

    def _embed(self, batch: StreamBatch, index: Tensor, chord: Tensor) -> Tensor:
        x = self.tokens(batch) + self.position_embedding(index)
        if self.time_embedding is not None:
            x = x + self.time_embedding(batch.clock.clamp(0, self.config.max_time - 1))
        if self.chord_embedding is not None:
            x = x + self.chord_embedding(chord.clamp(max=self.config.max_chord - 1))
        if self.part_embedding is not None and self.countdown_embedding is not None and batch.states is not None:
            part, countdown = batch.states.long().unbind(-1)
            x = x + self.part_embedding(part) + self.countdown_embedding(countdown)
        out: Tensor = self.dropout(x)
        return out

    def init_state(
        self,
        rows: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        max_length: int | None = None,
    ) -> MusenetState:
        """The state before the first position; it grows with what is read."""
        c = self.config
        nothing = torch.zeros(rows, c.heads, 0, c.dim // c.heads, device=device, dtype=dtype)
        begun = no_state(rows, device, ((nothing, nothing),) * c.layers)
        return MusenetState(**vars(begun), clock=begun.count, of_last=begun.count, chord=begun.count)

    def flops_per_position(self, length: int) -> float:
        """Forward operations of a position in a sequence of `length`, the head included, masked pairs not counted."""
        c = self.config
        matrices = sum(m.weight.numel() for m in self.layers.modules() if isinstance(m, nn.Linear))
        reach = (length + 1) / 2
        if c.attention != "full":
            reach = min(reach, (min(reach, c.stride) + max(1.0, reach / c.stride)) / 2)
        return 2.0 * (matrices + self.event_embedding.weight.numel()) + c.layers * 4 * c.dim * reach


def chord_numbers(clock: Tensor, document: Tensor, index: Tensor, state: MusenetState | None) -> Tensor:
    """(B, L) how many positions a token stands behind the first one of its time.

    Args:
        clock, document, index: (B, L) of the positions.
        state: of those before.
    """
    begins = torch.ones_like(clock, dtype=torch.bool)
    begins[:, 1:] = (clock[:, 1:] != clock[:, :-1]) | (document[:, 1:] != document[:, :-1])
    earlier = torch.zeros_like(clock[:, 0])
    if state is not None:
        goes_on = (state.count > 0) & (clock[:, 0] == state.clock) & (document[:, 0] == state.of_last)
        begins[:, 0] = ~goes_on
        earlier = (state.chord + 1) * goes_on
    first = torch.where(begins, index, index[:, :1] - earlier.unsqueeze(1) * (index == index[:, :1]))
    first = torch.where(begins | (index == index[:, :1]), first, torch.iinfo(first.dtype).min)
    return index - first.cummax(1).values


def _begin(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
