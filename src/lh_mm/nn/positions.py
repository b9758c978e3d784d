"""What a layer is told about the positions of one call, beside its input.

One small value made once a call and shared by all layers, so that packing, padding, carried state and time
have one meaning everywhere. A field that is None says that there is nothing to mind, which is what makes
the common cases (one document a row, no padding) fast.

Shapes: B rows, L positions, R rotary pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Positions:
    """Positions of one call. Rows are padded on the right; a row may hold nothing but padding.

    Attributes:
        index: (B, L) index in the row, counted on from the state.
        real: (B, L) False at padding, which never enters a state; None where no position is padding, or
            where no state is kept (padding on the right cannot reach what stands before it).
        document: (B, L) never decreasing, padding has its predecessor's; None where each row is one document.
        continues: (B,) whether the first position belongs to the state's document; None where all do.
        rotary: cosines and sines (B, L, 1, R) for attention.
        time_scale: (B, L) factor of the log decay, or None.
    """

    index: Tensor
    real: Tensor | None = None
    document: Tensor | None = None
    continues: Tensor | None = None
    rotary: tuple[Tensor, Tensor] | None = None
    time_scale: Tensor | None = None

    def counts(self) -> Tensor | None:
        """(B,) real positions of each row, or None where all are."""
        return None if self.real is None else self.real.sum(dim=1)
