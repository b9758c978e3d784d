"""Crops of held-out pieces: the same for every model that is judged on them."""

from __future__ import annotations

import numpy as np

from lh_mm.data.prepared import PieceInfo, PreparedSet
from lh_mm.data.splits import Split

MIN_NOTES = 8
"""A crop with fewer notes says nothing about following them."""


def held_out_crops(
    dataset: PreparedSet,
    split: Split,
    num_crops: int,
    crop_s: float,
    seed: int,
    *,
    with_sound: bool = True,
    on_bars: bool = False,
    min_notes: int = MIN_NOTES,
) -> list[tuple[PieceInfo, float]]:
    """(piece, start_s) of crops of a split: pieces in turn, random starts on a frame, each with enough notes.

    Args:
        dataset: the set.
        split: of its pieces.
        num_crops: how many; fewer where there are none.
        crop_s: their length.
        seed: of the starts.
        with_sound: whether pieces need an audio track.
        min_notes: that begin in a crop.
        on_bars: begin at bar lines. Measures leave it off: two crops that both begin on a bar share their beat.
    """
    pieces = [
        piece
        for piece in dataset.pieces(split)
        if piece.num_notes and piece.duration_s >= crop_s and (piece.tracks or not with_sound)
    ]
    if not pieces:
        return []
    rng = np.random.default_rng([seed, 7])
    crops: list[tuple[PieceInfo, float]] = []
    for attempt in range(20 * num_crops):
        if len(crops) == num_crops:
            break
        piece = pieces[attempt % len(pieces)]
        score = dataset.score(piece)
        assert score is not None
        start_s = rng.random() * (piece.duration_s - crop_s)
        if on_bars:
            bar = score.meters[0].bar_beats
            start_s = float(score.tempo_map.to_seconds(bar * (float(score.tempo_map.to_beats(start_s)) // bar)))
        start_s = max(0.0, round(start_s * dataset.rate_hz) / dataset.rate_hz)
        inside = (score.notes["start_s"] >= start_s) & (score.notes["start_s"] < start_s + crop_s)
        if inside.sum() >= min_notes:
            crops.append((piece, start_s))
    return crops
