"""Annotated beats as the grid of a piece.

In POP909 the MIDI ticks are not beats (12.9 % of onsets fall on 16ths of the tick grid); its
`beat_midi.txt` says where the beats are (93 %). Each line is a beat: its second, whether it is the first
of a simple group (two or three beats), whether it is the first of a bar. After annotation a score's
beats are the annotated ones, beat 0 is the first downbeat, and what lies before it has negative beats.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lh_mm.core.clock import TempoMap
from lh_mm.music.score import Meter, Score


@dataclass(frozen=True)
class Beats:
    """Beats of one piece.

    Attributes:
        times_s: (B,) strictly increasing seconds, B >= 2.
        downbeats: (B,) True where a bar begins; at least one.
    """

    times_s: NDArray[np.float64]
    downbeats: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if len(self.times_s) < 2 or len(self.times_s) != len(self.downbeats):
            raise ValueError(f"a grid needs two beats or more, got {len(self.times_s)}")
        if not np.isfinite(self.times_s).all() or (np.diff(self.times_s) <= 0).any():
            raise ValueError("beat times must be finite and increase strictly")
        if not self.downbeats.any():
            raise ValueError("no beat is marked as the first of a bar")

    def tempo_map(self) -> TempoMap:
        """Beats to seconds, beat 0 at the first downbeat, straight on beyond the outer beats."""
        return TempoMap(np.arange(len(self.times_s), dtype=np.float64) - np.argmax(self.downbeats), self.times_s)

    def meters(self) -> tuple[Meter, ...]:
        """Bars as annotated: a meter of n quarter beats from where bars begin to have n beats."""
        firsts = np.flatnonzero(self.downbeats)
        lengths = np.diff(firsts).tolist() or [4]
        meters: list[Meter] = []
        for first, length in zip((firsts - firsts[0]).tolist(), lengths, strict=False):
            if not meters or meters[-1].numerator != length:
                meters.append(Meter(float(first), length, 4))
        return tuple(meters)


def read_beats(path: Path | str) -> Beats:
    """Reads POP909's `beat_midi.txt`: second, first of a simple group, first of a bar.

    Raises:
        ValueError: naming the file and what is wrong with it.
    """
    try:
        rows = np.array([line.split()[:3] for line in Path(path).read_text().splitlines() if line.strip()], np.float64)
        if rows.ndim != 2 or rows.shape[1] != 3:
            raise ValueError("each line needs three numbers: second, group start, bar start")
        return Beats(rows[:, 0], rows[:, 2] > 0.5)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def on_beats(score: Score, beats: Beats) -> Score:
    """The same seconds with annotated beats in the place of the file's own."""
    tempo_map, notes = beats.tempo_map(), score.notes.copy()
    for edge in ("start", "end"):
        notes[f"{edge}_beat"] = tempo_map.to_beats(notes[f"{edge}_s"])
    return replace(score, notes=notes, tempo_map=tempo_map, meters=beats.meters())


def share_on_grid(score: Score, steps_per_beat: int = 4, tolerance: float = 0.1) -> float:
    """Share of onsets within `tolerance` steps of the grid (a random onset: 2 * tolerance)."""
    steps = score.notes["start_beat"] * steps_per_beat
    return float((np.abs(steps - np.rint(steps)) <= tolerance).mean()) if len(score) else 1.0
