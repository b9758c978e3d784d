"""What BOS says of a document, as one embedding: roles, delays, length, crop or true start, controls.

Every sequence model is told the same, so the baselines know what the hybrid knows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lh_mm.core.merge import ROLES
from lh_mm.core.streams import MAX_DELAY, NUM_LENGTH_BUCKETS, Header, SequenceSpec
from lh_mm.nn.embedding import SumEmbedding


class HeaderEmbedding(SumEmbedding):
    """The sum of an embedding for each thing that BOS says; a control that is not said adds its own "absent".

    Args:
        spec: streams and controls.
        dim: D.
    """

    def __init__(self, spec: SequenceSpec, dim: int) -> None:
        events, tracks = len(spec.event_streams), len(spec.audio_tracks)
        sizes = [len(ROLES)] * (events + tracks) + [2 * MAX_DELAY + 1] * events + [NUM_LENGTH_BUCKETS, 2]
        super().__init__(sizes + [1 + len(c.values) for c in spec.controls], dim)

    def of(self, header: Header, document: Tensor) -> Tensor:
        """(B, L, D): of each position's document (B, L); padding has that of the last one."""
        said = [
            header.roles,
            header.delays.clamp(-MAX_DELAY, MAX_DELAY) + MAX_DELAY,
            header.length[..., None],
            header.is_crop[..., None],
        ]
        each = self(torch.cat([*said, header.controls], dim=-1))  # (B, documents, D)
        which = document.clamp(max=each.shape[1] - 1).unsqueeze(-1)
        return each.gather(1, which.expand(-1, -1, each.shape[-1]))
