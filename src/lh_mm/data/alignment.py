"""Does this recording lie on these notes? A proof by onsets, without which the two are never merged.

A model that trains on MIDI shifted against its sound learns the shift. Note onsets and onsets found in the sound
are compared in place and moved by every hundredth of a second up to four seconds. They belong together if

1. in every quarter of the piece the matched pairs are at most 25 ms apart in the median (no shift, no drift),
2. they agree clearly better in place than on average when moved, in all and in every quarter,
3. no move makes them agree better: music on a grid agrees with itself when moved by a beat, but less.

Measured on ten synthetic pieces of five styles with their own sound, also with half of the notes left out, with drums
left out, with 15 ms of jitter and in noise: all pass. Moved by 30 ms, by a sixteenth, a beat or a bar, stretched by
0.1 %, and with another piece's sound: all are refused (`tests/data/test_alignment.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lh_mm.audio.onsets import find_onsets, merge_onsets

TOLERANCE_S = 0.025
"""A note and an onset this near, after the median offset is taken away, are one event."""
MAX_OFFSET_S = 0.025
"""The largest median offset of a quarter."""
MIN_GAIN = 0.25
"""The least by which F1 in place exceeds its mean over all moves."""
MIN_QUARTER_GAIN = 0.10
"""The same within a quarter."""
MIN_ONSETS = 16
"""With fewer notes than this nothing is proved."""

_LAGS_S = np.concatenate([np.arange(-400, -6), np.arange(7, 401)]) * 0.01
_PAIR_S = 0.050
"""Pairs farther apart than this say nothing about the offset."""
_MIN_IN_QUARTER = 8


@dataclass(frozen=True)
class Agreement:
    """How well notes and sound agree.

    Attributes:
        f1: of note onsets against onsets found in the sound, within 25 ms of the median offset, in place.
        mean_moved, best_moved: the same over all moves.
        offsets_s: median offset in each quarter of the piece with enough notes; positive is late sound.
        quarter_gains: F1 in place minus its mean when moved, in the same quarters.
        num_onsets: distinct note onsets.
    """

    f1: float
    mean_moved: float
    best_moved: float
    offsets_s: tuple[float, ...]
    quarter_gains: tuple[float, ...]
    num_onsets: int

    @property
    def problem(self) -> str:
        """Why this is no proof; empty if it is one."""
        if self.num_onsets < MIN_ONSETS:
            return f"{self.num_onsets} note onsets are too few to prove an alignment (at least {MIN_ONSETS})"
        gain, quarter = self.f1 - self.mean_moved, min(self.quarter_gains, default=0.0)
        if gain < MIN_GAIN or quarter < MIN_QUARTER_GAIN:
            return (
                f"onsets of notes and sound meet too little: F1 {self.f1:.2f}, {self.mean_moved:.2f} when moved "
                f"(at least {MIN_GAIN} more; in the worst quarter {quarter:+.2f}, at least {MIN_QUARTER_GAIN:+})"
            )
        worst = max(self.offsets_s, key=abs)
        if abs(worst) > MAX_OFFSET_S:
            quarters = ", ".join(f"{offset * 1000:+.0f}" for offset in self.offsets_s)
            return f"the sound is off by {quarters} ms in the quarters of the piece (at most {MAX_OFFSET_S * 1000:.0f})"
        if self.f1 < self.best_moved:
            return f"onsets meet better when the notes are moved: F1 {self.best_moved:.2f} instead of {self.f1:.2f}"
        return ""

    def to_json(self) -> dict[str, float | int | list[float]]:
        """For the manifest."""
        return {
            "onset_f1_25ms": round(self.f1, 4),
            "mean_moved": round(self.mean_moved, 4),
            "best_moved": round(self.best_moved, 4),
            "offsets_ms": [round(offset * 1000, 1) for offset in self.offsets_s],
            "quarter_gains": [round(gain, 4) for gain in self.quarter_gains],
            "onsets": self.num_onsets,
        }


def agreement(note_starts_s: NDArray[np.float64], wave: NDArray[np.float32], sample_rate: int) -> Agreement:
    """Compares notes with sound.

    Args:
        note_starts_s: (notes,) onsets in seconds of the recording's own clock.
        wave: (samples,) mono, at 16 kHz or more.
        sample_rate: of the wave.
    """
    return agreement_with(note_starts_s, find_onsets(wave, sample_rate), len(wave) / sample_rate)


def agreement_with(note_starts_s: NDArray[np.float64], heard: NDArray[np.float64], duration_s: float) -> Agreement:
    """The same, with the onsets that were found in the sound, (onsets,) sorted."""
    notes = merge_onsets(note_starts_s[(note_starts_s >= 0) & (note_starts_s < duration_s)])
    if len(notes) < MIN_ONSETS or len(heard) < 2:
        return Agreement(0.0, 0.0, 0.0, (), (), len(notes))
    placed = notes + _offset(notes, heard)
    moved = np.array([_f1(placed + lag, heard) for lag in _LAGS_S])
    offsets, gains = [], []
    edges = np.linspace(0.0, duration_s, 5)
    for start, end in pairwise(edges):
        part = placed[(placed >= start) & (placed < end)]
        if len(part) >= _MIN_IN_QUARTER:
            offsets.append(_offset(notes[(notes >= start) & (notes < end)], heard))
            elsewhere = [_f1_between(part + lag, heard, start + lag, end + lag) for lag in _LAGS_S[::7]]
            gains.append(_f1_between(part, heard, start, end) - float(np.mean(elsewhere)))
    here = _f1(placed, heard)
    return Agreement(here, float(moved.mean()), float(moved.max()), tuple(offsets), tuple(gains), len(notes))


def _nearest(times: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signed distance from each time to the nearest other (at least two, sorted)."""
    after = np.clip(np.searchsorted(others, times), 1, len(others) - 1)
    below, above = others[after - 1] - times, others[after] - times
    return np.where(np.abs(below) < np.abs(above), below, above)


def _offset(notes: NDArray[np.float64], heard: NDArray[np.float64]) -> float:
    distances = _nearest(notes, heard)
    near = np.abs(distances) <= _PAIR_S
    return float(np.median(distances[near])) if near.any() else 0.0


def _f1(notes: NDArray[np.float64], heard: NDArray[np.float64]) -> float:
    """Both lists are merged to at least 30 ms, so within 25 ms nearly every match is one to one."""
    if len(notes) < 2 or len(heard) < 2:
        return 0.0
    recall = float((np.abs(_nearest(notes, heard)) <= TOLERANCE_S).mean())
    precision = float((np.abs(_nearest(heard, notes)) <= TOLERANCE_S).mean())
    return 2.0 * recall * precision / max(recall + precision, 1e-9)


def _f1_between(notes: NDArray[np.float64], heard: NDArray[np.float64], start_s: float, end_s: float) -> float:
    edge = TOLERANCE_S
    return _f1(notes, heard[(heard >= start_s - edge) & (heard < end_s + edge)])
