"""Causal attention with grouped keys (Ainslie et al. 2023, arXiv:2305.13245), full or in a sliding window.

The key cache is an explicit state: `KeyMap` says which position each cache slot holds (one for all layers
of a model), `AttentionState` holds a layer's keys and values. A windowed cache is a ring, so memory is
constant; a full one grows by doubling. Rows may advance by different numbers of positions: each keeps its
own place, and what is padding goes to slot 0, which nobody reads.

Without gradients the cache is written in place, so a state is used once; with gradients it is copied.

Shapes: B rows, L positions, H heads, G key heads, r = H / G, W head width, T cache slots.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lh_mm.nn.linear import Linear
from lh_mm.nn.positions import Positions
from lh_mm.nn.rotary import rotate

EMPTY = -1


@dataclass(frozen=True)
class KeyMap:
    """What the cache slots of every attention layer hold.

    Attributes:
        index: (B, 1 + T) index in the row of the key in each slot, `EMPTY` where there is none; slot 0 always.
        document: (B, 1 + T) its document.
        most: no row holds more positions than this.
        even: whether every row has taken every position of every call, so that `most` is exact.
        ring: slots are reused after T positions.
    """

    index: Tensor
    document: Tensor
    most: int
    even: bool
    ring: bool

    @classmethod
    def empty(cls, rows: int, slots: int, ring: bool, device: torch.device | str) -> KeyMap:
        nothing = torch.full((rows, 1 + slots), EMPTY, dtype=torch.int64, device=device)
        return cls(nothing, nothing.clone(), 0, True, ring)

    @property
    def slots(self) -> int:
        """T."""
        return self.index.shape[1] - 1

    def grown(self, length: int) -> KeyMap:
        """With room for `length` further positions."""
        if self.ring or self.most + length <= self.slots:
            return self
        if not self.even and (most := int(self.index.max()) + 1) + length <= self.slots:
            return replace(self, most=most)
        more = max(2 * self.slots, self.most + length) - self.slots
        return replace(
            self, index=F.pad(self.index, (0, more), value=EMPTY), document=F.pad(self.document, (0, more), value=EMPTY)
        )


@dataclass(frozen=True)
class Lookup:
    """Where this call's keys go and what its queries see; made once, used by all attention layers.

    Attributes:
        mask: (B, 1, L, keys) or None where all keys may be seen, or where `causal` says it all.
        causal: no cache, one document, no window: plain causal attention.
        write: (B, L) slots for the new keys; an int where that is one slot for all rows; None without a cache.
        read: number of cache slots in use, slot 0 included.
        cached: whether the new keys are read from the cache (one position) or stand behind it.
        plan: (2,) slot and `read` of one position as a tensor, for compiled code; the slot is -1 where `write` says it.
    """

    mask: Tensor | None
    causal: bool = False
    write: Tensor | int | None = None
    read: int = 0
    cached: bool = False
    plan: Tensor | None = None


def look_up(
    positions: Positions, keys: KeyMap | None, window: int | None, fixed: bool = False, static: bool = False
) -> tuple[Lookup, KeyMap | None]:
    """Plan a call: `keys` is the map before it (with room), the result holds the map behind it.

    Args:
        positions: of this call.
        keys: None where no state is kept.
        window: positions that a query sees, itself included; None for all.
        fixed: whether a plan for one position is made of tensors alone: compiled code has numbers built in.
        static: whether one position's plan is the same whatever the cache holds, all of it read: for CUDA graphs.
    """
    index, length = positions.index, positions.index.shape[1]
    document = positions.document
    if keys is None:
        if document is None and window is None:
            return Lookup(None, causal=True), None
        return Lookup(_sees(index, index, document, document, window).unsqueeze(1)), None

    even = keys.even and positions.real is None
    documents = torch.zeros_like(index) if document is None else document
    whole = window is None or keys.ring or keys.most < window  # all that is kept may be seen
    if whole and even and length == 1 and document is None and not torch.is_grad_enabled() and not static:
        slot = 1 + keys.most % keys.slots
        keys.index[:, slot], keys.document[:, slot] = index[:, 0], documents[:, 0]
        read = 1 + min(keys.most + 1, keys.slots)
        after = replace(keys, most=keys.most + 1)
        if fixed:
            return Lookup(None, cached=True, plan=torch.tensor([slot, read])), after
        return Lookup(None, write=slot, read=read, cached=True), after

    write = 1 + index % keys.slots
    if keys.ring and length > keys.slots:  # of two positions that share a slot the later one stays
        counts = positions.counts()
        end = index[:, :1] + (length if counts is None else counts.unsqueeze(1))
        write = torch.where(index >= end - keys.slots, write, 0)
    if positions.real is not None:
        write = torch.where(positions.real, write, 0)
    read = 1 + min(keys.most, keys.slots)
    if length > 1:  # planned before the map is written: a ring may lose what the first queries see
        old = _sees(index, keys.index[:, :read], documents, keys.document[:, :read], window)
        mask = torch.cat([old, _sees(index, index, documents, documents, window)], dim=-1)
    after = replace(
        keys,
        index=_put(keys.index, write, torch.where(write > 0, index, EMPTY), dim=1),
        document=_put(keys.document, write, documents, dim=1),
        most=keys.most + length,
        even=even,
    )
    if length == 1:
        read = 1 + (keys.slots if static else min(after.most, keys.slots))
        mask = _sees(index, after.index[:, :read], documents, after.document[:, :read], window)
        if positions.real is not None:  # a row without a position must see something, or it is not a number
            mask = mask | F.pad(~positions.real.unsqueeze(-1), (0, read - 1))
        if fixed:
            mask = F.pad(mask, (0, 1 + keys.slots - read))
            return Lookup(mask.unsqueeze(1), write=write, cached=True, plan=torch.tensor([-1, read])), after
    return Lookup(mask.unsqueeze(1), write=write, read=read, cached=length == 1), after


def _sees(query: Tensor, key: Tensor, of_query: Tensor | None, of_key: Tensor | None, window: int | None) -> Tensor:
    """(B, L, keys): a key of the same document, not later, and not further back than the window."""
    back = query.unsqueeze(-1) - key.unsqueeze(-2)
    seen = (back >= 0) & (key >= 0).unsqueeze(-2)
    if window is not None:
        seen &= back < window
    if of_query is not None and of_key is not None:
        seen &= of_query.unsqueeze(-1) == of_key.unsqueeze(-2)
    return seen


def _put(cache: Tensor, slots: Tensor, values: Tensor, dim: int) -> Tensor:
    """`cache` with `values` at `slots` (B, L) along `dim`: in place without gradients, else a copy."""
    shape = [1] * cache.dim()
    shape[0], shape[dim] = slots.shape
    where = slots.view(shape).expand_as(values)
    return cache.scatter(dim, where, values) if torch.is_grad_enabled() else cache.scatter_(dim, where, values)


@torch.library.custom_op("lh_mm::attend_cached", mutates_args=("key_cache", "value_cache"))
def attend_cached(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    key_cache: Tensor,
    value_cache: Tensor,
    plan: Tensor,
    write: Tensor | None,
    mask: Tensor | None,
) -> Tensor:
    """One position's attention as one operation, which a compiler leaves as it is.

    It would otherwise copy the caches to write into them, and build the number of keys into its code.

    Args:
        queries: (B, G, r, W).
        keys, values: (B, G, 1, W) of the new position.
        key_cache, value_cache: (B, G, 1 + T, W), written in place.
        plan, write, mask: of the `Lookup`.

    Returns:
        (B, G, r, W).
    """
    slot, read = plan.tolist()
    first = 1
    if write is None:
        key_cache[:, :, slot], value_cache[:, :, slot] = keys[:, :, 0], values[:, :, 0]
    else:
        assert mask is not None
        first, mask = 0, mask[..., :read].expand(-1, -1, queries.shape[2], -1)
        for cache, new in ((key_cache, keys), (value_cache, values)):
            _put(cache, write, new.to(cache.dtype), dim=2)
    seen_keys, seen_values = (cache[:, :, first:read].to(queries.dtype) for cache in (key_cache, value_cache))
    return F.scaled_dot_product_attention(queries, seen_keys, seen_values, attn_mask=mask)


@attend_cached.register_fake
def _(queries: Tensor, *rest: Tensor | None) -> Tensor:
    return torch.empty_like(queries)


@dataclass(frozen=True)
class AttentionState:
    """Keys and values (B, G, 1 + T, W) of one layer; slot 0 is never read."""

    keys: Tensor
    values: Tensor


class Attention(nn.Module):
    """Causal self-attention with rotary positions.

    Args:
        dim: D.
        heads: H, must divide `dim` into even widths.
        kv_heads: G, must divide `heads`.
        dropout: of attention weights, in training.
    """

    def __init__(self, dim: int, heads: int, kv_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if dim % (2 * heads):
            raise ValueError(f"heads should divide dim into even widths, got {heads} heads and dim {dim}")
        if heads % kv_heads:
            raise ValueError(f"kv_heads should divide heads = {heads}, got {kv_heads}")
        self.heads, self.kv_heads, self.head_dim, self.dropout = heads, kv_heads, dim // heads, dropout
        self.in_proj = Linear(dim, (heads + 2 * kv_heads) * self.head_dim)
        self.out_proj = Linear(dim, dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for layer in (self.in_proj, self.out_proj):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)

    def init_state(self, rows: int, slots: int, device: torch.device | str, dtype: torch.dtype) -> AttentionState:
        """An empty cache of T = `slots` positions."""
        shape = (rows, self.kv_heads, 1 + slots, self.head_dim)
        return AttentionState(
            torch.zeros(shape, device=device, dtype=dtype), torch.zeros(shape, device=device, dtype=dtype)
        )

    def forward(
        self, x: Tensor, positions: Positions, lookup: Lookup, state: AttentionState | None = None
    ) -> tuple[Tensor, AttentionState | None]:
        """Attend from `x` (B, L, D); `lookup` is the call's plan, `state` the cache before it."""
        assert positions.rotary is not None
        rows, length, _ = x.shape
        projected = self.in_proj(x).view(rows, length, self.heads + 2 * self.kv_heads, self.head_dim)
        turned, values = projected.split([self.heads + self.kv_heads, self.kv_heads], dim=2)
        turned = rotate(turned, *positions.rotary)
        queries, keys = (t.transpose(1, 2) for t in turned.split([self.heads, self.kv_heads], dim=2))
        values = values.transpose(1, 2)  # (B, G, L, W)
        if state is not None and lookup.plan is not None:
            grouped = queries.reshape(rows, self.kv_heads, -1, self.head_dim)
            out = attend_cached(
                grouped, keys, values, state.keys, state.values, lookup.plan, lookup.write, lookup.mask
            )  # fmt: skip
            mixed: Tensor = self.out_proj(out.reshape(rows, 1, -1))
            return mixed, state
        if state is not None:
            keys, values, state = self._through_cache(keys, values, lookup, state)
        dropout = self.dropout if self.training else 0.0
        if lookup.causal:
            per_group = self.heads // self.kv_heads
            if per_group > 1:
                keys, values = (t.repeat_interleave(per_group, dim=1) for t in (keys, values))
            out = F.scaled_dot_product_attention(queries, keys, values, is_causal=True, dropout_p=dropout)
        else:
            # The heads that share keys stand as further queries, so that keys are not copied.
            grouped = queries.reshape(rows, self.kv_heads, -1, self.head_dim)  # (B, G, r L, W)
            mask = lookup.mask
            if mask is not None and self.heads > self.kv_heads:
                mask = mask.repeat(1, 1, self.heads // self.kv_heads, 1)
            out = F.scaled_dot_product_attention(grouped, keys, values, attn_mask=mask, dropout_p=dropout)
            out = out.reshape(rows, self.heads, length, self.head_dim)
        mixed = self.out_proj(out.transpose(1, 2).reshape(rows, length, -1))
        return mixed, state

    def _through_cache(
        self, keys: Tensor, values: Tensor, lookup: Lookup, state: AttentionState
    ) -> tuple[Tensor, Tensor, AttentionState]:
        """Keys and values that the queries see (B, G, keys, W), and the cache behind the call."""
        stored = keys.to(state.keys.dtype), values.to(state.values.dtype)
        caches = state.keys, state.values
        if not lookup.cached:  # read before writing: a ring may lose what the first queries see
            seen = [torch.cat([cache[:, :, : lookup.read], new], 2) for cache, new in zip(caches, stored, strict=True)]
        if isinstance(lookup.write, int):
            for cache, new in zip(caches, stored, strict=True):
                cache[:, :, lookup.write] = new[:, :, 0]
            after = state
        else:
            assert lookup.write is not None
            after = AttentionState(*(_put(c, lookup.write, new, dim=2) for c, new in zip(caches, stored, strict=True)))
        if lookup.cached:
            first = 0 if lookup.mask is not None else 1
            seen = [cache[:, :, first : lookup.read] for cache in (after.keys, after.values)]
        return seen[0].to(keys.dtype), seen[1].to(values.dtype), after

    @staticmethod
    def grown(state: AttentionState, keys: KeyMap) -> AttentionState:
        """With as many slots as the map has."""
        more = 1 + keys.slots - state.keys.shape[2]
        return (
            state
            if not more
            else AttentionState(F.pad(state.keys, (0, 0, 0, more)), F.pad(state.values, (0, 0, 0, more)))
        )
