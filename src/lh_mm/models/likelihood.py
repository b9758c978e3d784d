"""Negative log-likelihood of a batch, head by head: the one loss of every sequence model.

The event head is a softmax over what could legally be drawn (ids, FRAME, END); the code heads are K
softmaxes for each track. Sums and counts are kept apart, so that a mean over several devices or
accumulation steps is divided once, by all targets (docs/streams.md, section 5).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lh_mm.core.streams import StreamBatch
from lh_mm.models.base import SequenceModel, State


@dataclass(frozen=True)
class HeadSums:
    """Sums of nats and counts of targets.

    Attributes:
        event_nats: () of the event head.
        event_count: () targets of the event head.
        code_nats: (A, K).
        code_count: (A, K).
    """

    event_nats: Tensor
    event_count: Tensor
    code_nats: Tensor
    code_count: Tensor

    def __add__(self, other: HeadSums) -> HeadSums:
        return HeadSums(
            self.event_nats + other.event_nats,
            self.event_count + other.event_count,
            self.code_nats + other.code_nats,
            self.code_count + other.code_count,
        )


@dataclass(frozen=True)
class TargetNats:
    """Nats of each single target, for reports by token type, stream and piece.

    Attributes:
        event: (E,) nats of event targets, in row-major order of their positions.
        event_at: (E, 2) row and position.
        event_id: (E,) the targets.
        code: (M, A, K) nats at the M positions with code targets, 0 where an entry has none.
        code_at: (M, 2) row and position.
        state: the model's state after the batch.
    """

    event: Tensor
    event_at: Tensor
    event_id: Tensor
    code: Tensor
    code_at: Tensor
    state: State | None


def target_nats(model: SequenceModel, batch: StreamBatch, state: State | None = None) -> TargetNats:
    """Nats of every target of a batch; heads are computed only where there is one.

    Raises:
        ValueError: if the batch has no targets (one made for generation).
    """
    if batch.event_target is None or batch.code_target is None:
        raise ValueError("a likelihood needs targets; this batch was made for generation")
    hidden, state = model.hidden(batch, state)
    event_at = (batch.event_target >= 0).nonzero()
    ids = batch.event_target[event_at[:, 0], event_at[:, 1]]
    logits = model.event_logits(hidden[event_at[:, 0], event_at[:, 1]]).float()  # (E, V + 2)
    if batch.event_mask is not None:
        packed = batch.map(lambda t: t[event_at[:, 0], event_at[:, 1]] if t is batch.event_mask else t)
        legal = packed.legal_events(logits.shape[-1] - 2)
        assert legal is not None
        logits = logits.masked_fill(~legal, -torch.inf)
    event = F.cross_entropy(logits, ids, reduction="none")

    code_at = (batch.code_target >= 0).flatten(2).any(-1).nonzero()
    code_target = batch.code_target[code_at[:, 0], code_at[:, 1]]  # (M, A, K)
    if len(code_at):
        at_targets = hidden[code_at[:, 0], code_at[:, 1]]
        told = (code_target,) if getattr(model, "chained", False) else ()
        code_logits = model.code_logits(at_targets, *told).float()  # (M, A, K, C)
        code = F.cross_entropy(
            code_logits.flatten(0, 2), code_target.flatten(), reduction="none", ignore_index=-1
        ).view(code_target.shape)
    else:
        code = hidden.new_zeros(code_target.shape, dtype=torch.float32)
    return TargetNats(event, event_at, ids, code, code_at, state)


def head_sums(model: SequenceModel, batch: StreamBatch, state: State | None = None) -> HeadSums:
    """Sums and counts by head over a batch, ready to be added to those of other batches and ranks."""
    return sums_of(target_nats(model, batch, state), batch)


def sums_of(nats: TargetNats, batch: StreamBatch) -> HeadSums:
    """Sums and counts by head of the nats of a batch's targets."""
    assert batch.code_target is not None
    count = (batch.code_target >= 0).sum((0, 1))
    return HeadSums(nats.event.sum(), torch.tensor(len(nats.event), device=nats.event.device), nats.code.sum(0), count)
