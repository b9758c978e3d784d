"""What a hybrid remembers between calls, and what a call's positions mean to its layers.

A state is a value: a call takes one and returns another. Everything about rows of different length, documents packed
in one row, rows that rest while others go on, and time between positions is worked out here, once a call, so that the
model itself reads as a stack of layers.

Shapes: B rows, L positions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor

from lh_mm.core.merge import Kind
from lh_mm.core.streams import StreamBatch
from lh_mm.models.frontend import FrontendState
from lh_mm.nn.attention import Attention, AttentionState, KeyMap
from lh_mm.nn.mamba1 import Mamba1, Mamba1State
from lh_mm.nn.mamba2 import Mamba2, MambaState
from lh_mm.nn.mamba3 import Mamba3, Mamba3State
from lh_mm.nn.positions import Positions
from lh_mm.nn.retention import Retention, RetentionState

RECURRENT = {"M": Mamba2, "m": Mamba1, "3": Mamba3, "R": Retention}
"""Mixers of constant memory by their letter in a pattern; all have one interface, that of `Mamba2`."""
MixerState: TypeAlias = MambaState | Mamba1State | Mamba3State | RetentionState | AttentionState


@dataclass(frozen=True)
class HybridState:
    """What a hybrid remembers of each row.

    Attributes:
        layers: a state for each mixer, in order.
        keys: what the caches of all attention layers hold, or None without attention.
        index: (B,) positions so far.
        document: (B,) of the last position.
        slot: (B,) of the last position.
        sound: of the front end, or None.
    """

    layers: tuple[MixerState, ...]
    keys: KeyMap | None
    index: Tensor
    document: Tensor
    slot: Tensor
    sound: FrontendState | None

    def with_room(self, length: int) -> HybridState:
        """With key caches that hold `length` further positions."""
        if self.keys is None:
            return self
        keys = self.keys.grown(length)
        if keys is self.keys:
            return self
        layers = tuple(Attention.grown(s, keys) if isinstance(s, AttentionState) else s for s in self.layers)
        return replace(self, layers=layers, keys=keys)

    def advanced(
        self,
        batch: StreamBatch,
        positions: Positions,
        layers: tuple[MixerState, ...],
        keys: KeyMap | None,
        sound: FrontendState | None,
    ) -> HybridState:
        """The state behind a call."""
        counts = positions.counts()
        document = self.document if positions.document is None else positions.document[:, -1]
        if counts is None:
            return HybridState(layers, keys, self.index + batch.shape[1], document, batch.slot[:, -1], sound)
        last = (counts - 1).clamp(min=0).unsqueeze(1)
        slot = torch.where(counts > 0, batch.slot.gather(1, last).squeeze(1), self.slot)
        return HybridState(layers, keys, self.index + counts, document, slot, sound)


def positions_of(
    batch: StreamBatch, state: HybridState | None, active: Tensor | None, time_constant: float | None, looks: bool
) -> Positions:
    """Padding, documents and time of a call; the angles of attention are the model's to add.

    Args:
        batch: the call's positions.
        state: of the positions before, or None.
        active: (B,) rows that advance, or None for all.
        time_constant: slots in which Mamba's decay is the usual one of a position; None where decay knows no time.
        looks: whether values may be looked at, to see that nothing is padding.
    """
    index = torch.arange(batch.shape[1], device=batch.kind.device).unsqueeze(0)
    index = index.expand(batch.shape) if state is None else state.index.unsqueeze(1) + index
    real = document = continues = None
    if state is not None:
        real = batch.kind != Kind.PAD
        if active is not None:
            real = real & active.unsqueeze(1)
        if looks and bool(real.all()):
            real = None
    if batch.header.roles.shape[1] > 1:
        document = batch.document
        if real is not None and state is not None:  # padding has its predecessor's document
            carried = torch.where(real[:, :1], document[:, :1], state.document.unsqueeze(1))
            document = torch.cat([carried, torch.where(real, document, -1)[:, 1:]], dim=1).cummax(dim=1).values
        if state is not None:
            continues = document[:, 0] == state.document
    scale = None if time_constant is None else _time_scale(batch, state, time_constant)
    return Positions(index, real, document, continues, time_scale=scale)


def _time_scale(batch: StreamBatch, state: HybridState | None, time_constant: float) -> Tensor:
    """(B, L): slots since the previous position over the constant; 1 over it at FILL."""
    first = batch.slot[:, :1] if state is None else state.slot.unsqueeze(1)
    passed = torch.diff(batch.slot, dim=1, prepend=first).clamp(min=0)
    passed = torch.where(batch.kind == Kind.FILL, 1, passed)
    passed = torch.where(batch.kind == Kind.BOS, 0, passed)  # a leap between documents would drown what follows
    return passed / time_constant
