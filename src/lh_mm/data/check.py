"""Is a prepared set on disk what its manifest says: shapes, ranges, legal notes, finite features, sound that opens.

Disks fail and folders are copied half; training would notice late, or not at all.
"""

from __future__ import annotations

import numpy as np

from lh_mm.core.log import track
from lh_mm.data.prepared import PieceInfo, PreparedSet
from lh_mm.music.events import EventVocabulary, encode_events


def check(prepared: PreparedSet) -> list[str]:
    """One line a problem, with the piece's id; empty if all is sound."""
    problems = []
    for piece in track(prepared.pieces(), f"checking {prepared.about['name']}", unit="pieces"):
        try:
            problems += [f"{piece.id}: {problem}" for problem in _check_piece(prepared, piece)]
        except (ValueError, OSError) as error:
            problems.append(f"{piece.id}: {error}")
    ids = [piece.id for piece in prepared.pieces()]
    if len(set(ids)) < len(ids):
        problems.append(f"{len(ids) - len(set(ids))} pieces have an id that another one has")
    return problems


def _check_piece(prepared: PreparedSet, piece: PieceInfo) -> list[str]:
    problems = []
    notes = prepared.notes(piece)
    if len(notes) != piece.num_notes:
        problems.append(f"{len(notes)} notes on disk, {piece.num_notes} in the manifest")
    elif len(notes):
        starts = notes["start_s"]
        if not (np.isfinite(starts).all() and np.isfinite(notes["end_s"]).all()):
            problems.append("a note's time is not finite")
        elif (np.diff(starts) < 0).any() or starts[0] < 0 or starts[-1] * prepared.rate_hz >= piece.num_frames:
            problems.append("notes are not in order, or outside of the piece")
        else:
            encode_events(notes, prepared.rate_hz, piece.num_frames, EventVocabulary())  # raises where not legal
    for name in piece.tracks:
        if prepared.num_codebooks:
            codes, expected = prepared.codes(piece, name), (piece.num_frames, prepared.num_codebooks)
            size = int(prepared.about["codec"]["codebook_size"])
            if codes.shape != expected:
                problems.append(f"codes of {name} have shape {codes.shape}, expected {expected}")
            elif codes.min() < 0 or codes.max() >= size:
                problems.append(f"codes of {name} lie in {codes.min()}..{codes.max()}, not in 0..{size - 1}")
        if prepared.num_features:
            features, shape = prepared.features(piece, name), (piece.num_frames, prepared.num_features)
            if features.shape != shape:
                problems.append(f"features of {name} have shape {features.shape}, expected {shape}")
            elif not np.isfinite(features).all():
                problems.append(f"features of {name} are not finite")
        if "file" in piece.record["audio"][name]:
            seconds = len(prepared.audio(piece, name)) / prepared.sample_rate
            if abs(seconds - piece.duration_s) > 1.5 / prepared.rate_hz:
                problems.append(f"the kept sound of {name} lasts {seconds:.3f} s, expected {piece.duration_s:.3f} s")
    return problems
