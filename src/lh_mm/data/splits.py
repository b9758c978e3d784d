"""Which split a piece belongs to, told from its name alone.

A rule without a list: adding pieces moves none, and every consumer (the codec's training, the prepared sets, the
evaluation) holds out the same pieces. By piece, never by crop, so that no bar is in two splits.
"""

from __future__ import annotations

import hashlib
from typing import Literal

Split = Literal["train", "valid", "test"]


def split_of(piece_id: str) -> Split:
    """Of twenty pieces one is `test`, one is `valid` and the others are `train`, by SHA-256 of the id.

    Args:
        piece_id: unique in its corpus and stable between runs, as `Piece.id`.
    """
    bucket = int(hashlib.sha256(piece_id.encode()).hexdigest(), 16) % 20
    return "test" if bucket == 0 else "valid" if bucket == 1 else "train"
