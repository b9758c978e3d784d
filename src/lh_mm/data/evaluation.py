"""What likelihoods are measured on: rows that together hold a split once, with the time and notes they stand for."""

from __future__ import annotations

from dataclasses import dataclass

from lh_mm.core.streams import Row


@dataclass(frozen=True)
class EvaluationRow:
    """One row of an evaluation.

    Attributes:
        piece_id: intervals resample pieces.
        task: kind of the task.
        row: with targets.
        seconds: of music that its targets stand for.
        num_notes: notes among its targets.
    """

    piece_id: str
    task: str
    row: Row
    seconds: float
    num_notes: int
