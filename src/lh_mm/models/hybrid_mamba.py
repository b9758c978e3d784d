"""The hybrid: Mamba-2 with a few attention layers over merged streams on one clock.

A pre-norm residual stack written as a pattern, `M` a Mamba-2 mixer (Dao and Gu 2024, arXiv:2405.21060), `*`
attention, `-` a SwiGLU network (`m`, `3` and `R` are Mamba-1, Mamba-3 and retention, for comparison); by default about
one mixer in five attends, after Mamba, as in Jamba and Nemotron-H (Lieber et al. 2024, arXiv:2403.19887; NVIDIA 2025,
arXiv:2504.03624). Where we differ from them: attention turns by the clock of the music as well as by index
(`nn/rotary.py`), decay may depend on time, and the input is a sum of fields (event, codes of every track, sound through
a front end) read by two kinds of heads: one softmax over events, FRAME and END, and K softmaxes a track for the codes
of the next frame, drawn independently or one after another (`nn/codes.py`). Notes may also be told as what sounds now,
with their phase (`nn/notes.py`).

Shapes: B rows, L positions, D width, V event ids, A tracks, K codebooks, C codes, S streams.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lh_mm.core.config import Config
from lh_mm.core.merge import Kind
from lh_mm.core.streams import NUM_LENGTH_BUCKETS, SequenceSpec, StreamBatch
from lh_mm.models.base import Logits
from lh_mm.models.frontend import Frontend, FrontendConfig, FrontendState
from lh_mm.models.header import HeaderEmbedding
from lh_mm.models.hybrid_state import RECURRENT, HybridState, MixerState, positions_of
from lh_mm.nn.attention import Attention, KeyMap, Lookup, look_up
from lh_mm.nn.codes import ChainedCodes, CodeVectors, by_entry
from lh_mm.nn.embedding import SumEmbedding
from lh_mm.nn.linear import Linear
from lh_mm.nn.mamba1 import Mamba1
from lh_mm.nn.mamba2 import Mamba2
from lh_mm.nn.mamba3 import Mamba3
from lh_mm.nn.mlp import SwiGLU
from lh_mm.nn.norm import RMSNorm
from lh_mm.nn.notes import NoteInput
from lh_mm.nn.positions import Positions
from lh_mm.nn.retention import Retention
from lh_mm.nn.rotary import Rotary

INITIAL_SLOTS = 512
"""Positions a key cache has room for at first, where nobody says how many will come."""


class HybridMambaConfig(Config):
    """The shape of a hybrid."""

    kind: Literal["hybrid_mamba"] = "hybrid_mamba"
    pattern: str = "M-M-*-M-M-"
    """Layers in order: M Mamba-2, * attention, - feed-forward; m Mamba-1, 3 Mamba-3, R retention. Any mixture is legal,
    also attention alone."""
    dim: int = Field(256, ge=8)
    """Width of the residual stream."""
    heads: int = Field(4, ge=1)
    """Attention heads."""
    kv_heads: int = Field(2, ge=1)
    """Heads of keys and values, shared by groups of attention heads."""
    window: int | None = Field(None, ge=1)
    """Positions that attention sees, itself included; none for all."""
    clock_fraction: float = Field(0.5, ge=0, le=1)
    """Share of rotary pairs that turn by the clock; the rest turn by the index."""
    state_dim: int = Field(64, ge=1)
    """State of each Mamba channel; width of a key in retention."""
    head_dim: int = Field(64, ge=1)
    """Channels that share one decay in Mamba-2, Mamba-3 and retention."""
    mlp_ratio: float = Field(2.5, gt=0)
    """Inner width of the feed-forward layers in units of dim."""
    time_aware: float | None = Field(None, gt=0)
    """Slots in which Mamba's decay is the usual one of a position; none lets decay know nothing of time."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Of every layer's output and of attention weights, in training."""
    code_vectors: int = Field(0, ge=0)
    """Width of the codec's own vectors (64 for the shipped codec), by which codes are read and written; 0 has tables
    of its own."""
    code_rows: bool = True
    """Whether the heads of codes have a row of their own for each code; without, vectors alone write codes."""
    codebooks: Literal["independent", "chained"] = "independent"
    """Codes of one position are drawn independently, or each hears those before it; chained ones go with
    `sequence.layout: parallel`, independent ones with `delay`."""
    note_harmonics: int = Field(4, ge=0)
    """Harmonics of each sounding note that are told with their phase, where the sequence has note states."""
    frontend: FrontendConfig | None = FrontendConfig()
    """Used where the sequence has features; none reads given sound by its codes alone."""

    @field_validator("pattern")
    @classmethod
    def _known_layers(cls, pattern: str) -> str:
        if not pattern or set(pattern) - set("Mm3R*-"):
            raise ValueError(
                "pattern should be made of M (Mamba-2), * (attention), - (feed-forward), m (Mamba-1), 3 (Mamba-3) "
                "and R (retention)"
            )
        return pattern

    def build(self, spec: SequenceSpec) -> HybridMamba:
        """A model with fresh weights for the streams of `spec`."""
        return HybridMamba(self, spec)


class HybridMamba(nn.Module):
    """See the file's docstring; honours `models.base.SequenceModel`."""

    def __init__(self, config: HybridMambaConfig, spec: SequenceSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        # How it is computed, not what it is.
        self.recompute = False  # set by the trainer
        self.compiled: Callable[..., Any] | None = None
        self.looks = True  # on the CPU a step looks at its values for work that it need not do; a graph cannot
        dim, tracks, books = config.dim, len(spec.audio_tracks), spec.num_codebooks
        events = len(spec.event_streams)
        # A position: event, its stream, FRAME or FILL, a hole's length, and the codes of every track.
        fields = [spec.event_vocabulary_size, events, 2, NUM_LENGTH_BUCKETS]
        self.code_vectors = self.code_proj = self.code_query = self.code_bias = self.code_head = self.chain = None
        if books and config.code_vectors:
            self.code_vectors = CodeVectors(books, spec.codebook_size, config.code_vectors)
            self.code_proj = Linear(tracks * books * config.code_vectors, dim)
            self.code_query = Linear(dim, tracks * books * config.code_vectors, parts=tracks * books)
            self.code_bias = nn.Parameter(torch.zeros(tracks, books, spec.codebook_size))
        else:
            fields += [spec.codebook_size] * (tracks * books)
        self.position_embedding = SumEmbedding(fields, dim)
        self.header_embedding = HeaderEmbedding(spec, dim)
        self.note_input = NoteInput(dim, spec.rate_hz, config.note_harmonics) if spec.state_dim else None
        self.frontend = None
        if spec.feature_dim and config.frontend is not None:
            self.frontend = Frontend(config.frontend, spec.feature_dim, tracks, dim)
        self.rotary = Rotary(dim // config.heads, config.clock_fraction, spec.rate_hz)
        self.norms = nn.ModuleList([RMSNorm(dim) for _ in config.pattern])
        self.layers = nn.ModuleList([self._layer(symbol) for symbol in config.pattern])
        self.dropout = nn.Dropout(config.dropout)
        self.final_norm = RMSNorm(dim)
        self.event_head = Linear(dim, spec.event_vocabulary_size + 2)
        if books and (config.code_rows or self.code_vectors is None):
            self.code_head = Linear(dim, tracks * books * spec.codebook_size, parts=tracks * books)
        if books and config.codebooks == "chained":
            self.chain = ChainedCodes(dim, tracks, books, spec.codebook_size, self.code_vectors)
        self.reset_parameters()

    def _layer(self, symbol: str) -> nn.Module:
        c = self.config
        if symbol in RECURRENT:
            return RECURRENT[symbol](c.dim, c.state_dim, c.head_dim)
        if symbol == "*":
            return Attention(c.dim, c.heads, c.kv_heads, c.dropout)
        return SwiGLU(c.dim, 8 * round(c.mlp_ratio * c.dim / 8))

    def reset_parameters(self) -> None:
        """Layers have set themselves up; outputs into the residual stream shrink with depth, heads start flat."""
        with torch.no_grad():
            for layer in self.layers:
                layer.out_proj.weight.mul_((2 * len(self.layers)) ** -0.5)  # type: ignore[operator, union-attr]
        for head in (self.event_head, self.code_head):
            if head is not None:
                nn.init.normal_(head.weight, std=0.02)
        if self.code_proj is not None and self.code_query is not None:
            nn.init.normal_(self.code_proj.weight, std=0.02 * self.config.code_vectors**-0.5)  # as a row of a table
            nn.init.zeros_(self.code_query.weight)

    @property
    def chained(self) -> bool:
        """Whether the codes of a position are drawn one after another, see `SequenceModel`."""
        return self.chain is not None

    def forward(self, batch: StreamBatch, state: HybridState | None = None) -> tuple[Logits, HybridState | None]:
        """All heads at all positions; see `SequenceModel`."""
        h, state = self.hidden(batch, state)
        codes = self.code_logits(h) if self.spec.num_codebooks and not self.chained else None
        return Logits(self.event_logits(h), codes), state

    def step(self, batch: StreamBatch, state: HybridState, active: Tensor | None = None) -> tuple[Logits, HybridState]:
        """`forward` for the active rows; the others keep their state bit for bit."""
        h, after = self.hidden(batch, state, active)
        assert after is not None
        codes = self.code_logits(h) if self.spec.num_codebooks and not self.chained else None
        return Logits(self.event_logits(h), codes), after

    def event_logits(self, hidden: Tensor) -> Tensor:
        """(..., D) to (..., V + 2)."""
        logits: Tensor = self.event_head(hidden)
        return logits

    def code_logits(self, hidden: Tensor, drawn: Tensor | None = None, entry: int | None = None) -> Tensor:
        """(..., D) to (..., A, K, C), or to (..., C) of one entry; chained codes need `drawn`, see `SequenceModel`.

        Raises:
            ValueError: for a sequence without codes, or chained codes without what was drawn.
        """
        spec = self.spec
        if not spec.num_codebooks:
            raise ValueError("this model's sequence has no codes")
        shape = (len(spec.audio_tracks), spec.num_codebooks)
        heard = hidden
        if self.chain is not None:
            if drawn is None:
                raise ValueError("chained codes are predicted one after another: code_logits needs those drawn so far")
            heard = self.chain(hidden, drawn, self.code_vectors, entry)  # (..., A, K, D), or (..., D) of an entry
        if entry is not None:
            return self._entry_logits(heard, entry)
        logits = None if self.code_head is None else by_entry(self.code_head, heard, shape, self.chained)
        if self.code_vectors is None or self.code_query is None or self.code_bias is None:
            assert logits is not None
            return logits
        scores = self.code_vectors.scores(by_entry(self.code_query, heard, shape, self.chained)) + self.code_bias
        return scores if logits is None else logits + scores

    def _entry_logits(self, heard: Tensor, entry: int) -> Tensor:
        """(..., D) to (..., C) of one entry."""
        logits = None if self.code_head is None else self.code_head.part(heard, entry)
        if self.code_vectors is None or self.code_query is None or self.code_bias is None:
            assert logits is not None
            return logits
        track, book = divmod(entry, self.spec.num_codebooks)
        scores = self.code_vectors.scores(self.code_query.part(heard, entry), book) + self.code_bias[track, book]
        return scores if logits is None else logits + scores

    def hidden(
        self, batch: StreamBatch, state: HybridState | None = None, active: Tensor | None = None
    ) -> tuple[Tensor, HybridState | None]:
        """(B, L, D) before the heads, and the state; see `SequenceModel`."""
        if state is not None:
            state = state.with_room(batch.shape[1])
        x, sound = self._embed(batch, None if state is None else state.sound)
        looks = self.looks and not batch.kind.is_cuda
        positions = positions_of(batch, state, active, self.config.time_aware, looks)
        if "*" in self.config.pattern:
            positions = replace(positions, rotary=self.rotary(batch.clock, positions.index))
        compiled = self.compiled if batch.shape[1] == 1 and state is not None and not torch.is_grad_enabled() else None
        lookup, keys = Lookup(None), None
        if "*" in self.config.pattern:
            known = None if state is None else state.keys
            lookup, keys = look_up(positions, known, self.config.window, compiled is not None, not self.looks)

        h, after = (compiled or self.stack)(x, positions, lookup, () if state is None else state.layers)
        if state is None:
            return h, None
        return h, state.advanced(batch, positions, after, keys, sound)

    def compile_steps(self) -> None:
        """Compile the layers for one position at a time; longer calls go on as before.

        Pays after some hundred steps: compiling takes about ten seconds for each number of rows, and needs a C++
        compiler on the CPU.
        """
        self.compiled = torch.compile(self.stack)

    def stack(
        self, x: Tensor, positions: Positions, lookup: Lookup, states: tuple[MixerState, ...]
    ) -> tuple[Tensor, tuple[MixerState, ...]]:
        """The layers alone, (B, L, D) to the same and the mixers' states."""
        mixers, after = iter(states), []
        for symbol, norm, layer in zip(self.config.pattern, self.norms, self.layers, strict=True):
            u = norm(x)
            if symbol in RECURRENT:
                out, new = self._run(layer, u, positions, next(mixers, None))
            elif symbol == "*":
                out, new = self._run(layer, u, positions, lookup, next(mixers, None))
            else:
                out, new = self._run(layer, u), None
            if new is not None:
                after.append(new)
            x = x + (self.dropout(out) if self.training else out)  # float32 under autocast: the sum of both types
        return self.final_norm(x), tuple(after)

    def _run(self, layer: nn.Module, *inputs: Any) -> Any:
        """A layer, or a layer that is computed once more in the backward pass instead of being remembered."""
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(layer, *inputs, use_reentrant=False)
        return layer(*inputs)

    def _embed(self, batch: StreamBatch, sound: FrontendState | None) -> tuple[Tensor, FrontendState | None]:
        """(B, L, D): the sum of what stands at each position."""
        kind = batch.kind
        mark = torch.where(kind == Kind.FRAME, 0, torch.where(kind == Kind.FILL, 1, -1))
        hole = torch.where(kind == Kind.FILL, batch.hole, -1)
        fields = torch.stack([batch.event_id, batch.stream, mark, hole], dim=-1)
        if batch.codes.shape[-2:].numel() and self.code_vectors is None:
            fields = torch.cat([fields, batch.codes.flatten(2)], dim=-1)
        x = self.position_embedding(fields)
        if self.code_vectors is not None and self.code_proj is not None:
            x = x + self.code_proj(self.code_vectors(batch.codes).flatten(-3))
        is_bos = kind == Kind.BOS
        looks = self.looks and not kind.is_cuda  # cheaper than embedding in vain at every step; a GPU would wait
        if not looks or is_bos.any():
            x = x + self.header_embedding.of(batch.header, batch.document) * is_bos.unsqueeze(-1)
        if self.note_input is not None and batch.states is not None:
            if not looks:
                x = x + self.note_input(batch.states)
            else:  # most positions have none
                at = batch.states.any(-1).nonzero(as_tuple=True)
                x = x.index_put(at, self.note_input(batch.states[at]).to(x.dtype), accumulate=True)
        if self.frontend is not None and batch.features is not None and batch.feature_index is not None:
            assert batch.feature_given is not None
            single = batch.header.roles.shape[1] == 1
            heard, sound = self.frontend(
                batch.features, batch.feature_given, None if single else batch.feature_document, sound
            )
            frame = batch.feature_index.clamp(min=0).unsqueeze(-1).expand(-1, -1, heard.shape[-1])
            x = x + heard.gather(1, frame) * (batch.feature_index >= 0).unsqueeze(-1)
        return x, sound

    def init_state(
        self,
        rows: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        max_length: int | None = None,
    ) -> HybridState:
        """The state before the first position; key caches and convolution windows are kept in `dtype`."""
        window = self.config.window
        slots = min(window or max_length or INITIAL_SLOTS, max_length or window or INITIAL_SLOTS)
        ring = window is not None and slots == window
        states: list[MixerState] = []
        for layer in self.layers:
            if isinstance(layer, Attention):
                states.append(layer.init_state(rows, slots, device, dtype))
            elif isinstance(layer, Mamba1 | Mamba2 | Mamba3 | Retention):
                states.append(layer.init_state(rows, device, dtype))
        zeros = torch.zeros(rows, dtype=torch.int64, device=device)
        return HybridState(
            layers=tuple(states),
            keys=KeyMap.empty(rows, slots, ring, device) if "*" in self.config.pattern else None,
            index=zeros, document=zeros, slot=zeros,
            sound=None if self.frontend is None else self.frontend.init_state(rows, device),
        )  # fmt: skip

    def num_parameters(self) -> int:
        """Parameters, frozen or not."""
        return sum(p.numel() for p in self.parameters())

    def flops_per_position(self, length: int) -> float:
        """Forward operations of a position in a sequence of `length`, both heads included."""
        c, total = self.config, 0.0
        for module in (*self.layers, self.event_head, self.code_head, self.code_proj, self.code_query):
            if module is not None:
                total += 2 * sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Linear))
        if self.code_vectors is not None:
            total += 2 * self.code_vectors.vectors.numel() * len(self.spec.audio_tracks)
        if self.chain is not None:
            total += 2 * 3 * c.dim**2 * len(self.spec.audio_tracks) * self.spec.num_codebooks
        reach = (length + 1) / 2 if c.window is None else min(c.window, (length + 1) / 2)
        inner, chunk = 2 * c.dim, 64
        total += c.pattern.count("*") * 4 * c.dim * reach
        heads = inner // c.head_dim
        for symbol in c.pattern:
            if symbol == "m":
                total += 9 * c.state_dim * inner  # decay, input, recurrence and output of every channel
            elif symbol in RECURRENT:
                scores = chunk * c.state_dim * (1 if symbol == "M" else heads)
                total += 2 * (scores + chunk * inner) + 4 * c.state_dim * inner
        return total
