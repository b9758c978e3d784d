"""Windows of whole bars on a grid of twelfths of a beat, track by track: what MMM's tokens are made of.

A track's notes stand by bar; a note that is held over a bar line belongs to the bar it begins in. Beside them the
attributes that such models are told (Ens and Pasquier 2020, arXiv:2008.06048; exact formulas of MIDI-GPT, Pasquier et
al. 2025): density, polyphony and duration of a track.

Legend: N notes, B bars.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lh_mm.music.score import Score

TICKS_PER_BEAT = 12
DRUMS = 128
"""The instrument of drums, behind the 128 programs."""
MAX_POLYPHONY = 10
NUM_DURATIONS = 6
"""32nd, 16th, 8th, quarter, half and whole notes."""
NUM_DENSITIES = 10
_LOW, _HIGH = 0.15, 0.85


@dataclass(frozen=True)
class BarTrack:
    """One instrument of a window.

    Attributes:
        instrument: General MIDI program, or `DRUMS`.
        notes: (N, 3) on, off and pitch in ticks from the window's start, sorted by (on, pitch); notes of one pitch do
            not overlap, drums last a tick.
    """

    instrument: int
    notes: NDArray[np.int64]


@dataclass(frozen=True)
class Window:
    """Some bars of a piece.

    Attributes:
        tracks: those that have a note in the piece, in its order.
        lines: (B + 1,) bar lines in ticks, from 0.
        first_beat: beat of the first bar line in the piece.
    """

    tracks: tuple[BarTrack, ...]
    lines: NDArray[np.int64]
    first_beat: float = 0.0

    @property
    def num_bars(self) -> int:
        """B."""
        return len(self.lines) - 1

    def bar_of(self, ticks: NDArray[np.int64]) -> NDArray[np.int64]:
        """The bar of each tick."""
        return np.searchsorted(self.lines, ticks, side="right") - 1


def bar_lines(score: Score) -> NDArray[np.float64]:
    """Beats of the bar lines of a piece, from the bar of its first note to the end of that of its last."""
    if not len(score.notes):
        return np.zeros(1)
    first, last = float(score.notes["start_beat"].min()), float(score.notes["end_beat"].max())
    lines, meters, beat = [], score.meters, 0.0
    for i, meter in enumerate(meters):
        if i and meter.start_beat >= last:
            break
        end = min(meters[i + 1].start_beat, last) if i + 1 < len(meters) else last
        beat = meter.start_beat
        if i == 0 and first < beat:  # an upbeat: bars of the first meter before it
            beat -= np.ceil((beat - first) / meter.bar_beats - 1e-9) * meter.bar_beats
        while beat < end - 1e-6:
            lines.append(beat)
            beat += meter.bar_beats
    lines.append(max(beat, last))
    table = np.array(lines)
    begun = int(np.searchsorted(table, first + 1e-6, side="right")) - 1
    return table[max(0, begun) :]


def window_starts(num_bars: int, length: int, hop: int) -> list[int]:
    """First bars of windows over a piece, the last window included; one window for a piece that is shorter.

    Raises:
        ValueError: for a length or hop below 1.
    """
    if length < 1 or hop < 1:
        raise ValueError(f"windows need a length and a hop of 1 or more, got {length} and {hop}")
    last = max(0, num_bars - length)
    return sorted({*range(0, last + 1, hop), last})


def window_of(score: Score, first: int, length: int) -> Window:
    """Bars [first, first + length) of a piece; bars beyond its end are empty and as long as the last one.

    Notes are those that begin in the window, cut at its end; of equal ones the longest; a note ends where the same
    pitch of its track begins again.
    """
    beats = bar_lines(score)
    while len(beats) <= first + length:
        beats = np.append(beats, beats[-1] + (beats[-1] - beats[-2] if len(beats) > 1 else 4.0))
    start = float(beats[first])
    lines = np.rint((beats[first : first + length + 1] - start) * TICKS_PER_BEAT).astype(np.int64)
    notes = score.notes
    on = np.rint((notes["start_beat"] - start) * TICKS_PER_BEAT).astype(np.int64)
    off = np.maximum(np.rint((notes["end_beat"] - start) * TICKS_PER_BEAT).astype(np.int64), on + 1)
    instrument = np.where(notes["drum"], DRUMS, notes["program"].astype(np.int64))
    tracks = []
    for key in sorted(set(zip(notes["track"].tolist(), instrument.tolist(), strict=True))):
        own = (notes["track"] == key[0]) & (instrument == key[1]) & (on >= 0) & (on < lines[-1])
        ends = on[own] + 1 if key[1] == DRUMS else np.minimum(off[own], lines[-1])
        table = np.stack([on[own], ends, notes["pitch"][own].astype(np.int64)], axis=1)
        tracks.append(BarTrack(key[1], without_overlaps(table)))
    return Window(tuple(tracks), lines, start)


def without_overlaps(notes: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N, 3) sorted by (on, pitch), one note of a pitch at a time."""
    notes = notes[np.lexsort([-notes[:, 1], notes[:, 0], notes[:, 2]])]  # by pitch, then on, the longest first
    same = np.diff(notes[:, 2], prepend=-1) == 0
    notes = notes[~(same & (np.diff(notes[:, 0], prepend=-1) == 0))]
    following = np.where(np.diff(notes[:, 2], append=-1) == 0, np.append(notes[1:, 0], 0), np.iinfo(np.int64).max)
    notes[:, 1] = np.minimum(notes[:, 1], following)
    return notes[np.lexsort([notes[:, 2], notes[:, 0]])]


def polyphony(track: BarTrack) -> tuple[int, int] | None:
    """15th and 85th percentile of the voices that sound, over ticks that are not silent, 1 .. 10; None if all are."""
    if not len(track.notes):
        return None
    change = np.zeros(int(track.notes[:, 1].max()) + 1, np.int64)
    np.add.at(change, track.notes[:, 0], 1)
    np.add.at(change, track.notes[:, 1], -1)
    voices = np.cumsum(change)
    low, high = _range(voices[voices > 0])
    return min(low, MAX_POLYPHONY), min(high, MAX_POLYPHONY)


def thinned(notes: NDArray[np.int64], voices: int) -> NDArray[np.int64]:
    """Notes (N, 3) of which at most so many sound at once: of those that begin together the highest stay.

    A note that would be one too many when it begins is left out; none is cut.
    """
    kept: list[int] = []
    sounding: list[int] = []
    for index in np.lexsort([-notes[:, 2], notes[:, 0]]).tolist():
        on, off = int(notes[index, 0]), int(notes[index, 1])
        sounding = [end for end in sounding if end > on]
        if len(sounding) < voices:
            sounding.append(off)
            kept.append(index)
    return notes[sorted(kept)]


def durations(track: BarTrack) -> tuple[int, int] | None:
    """15th and 85th percentile of note values, 0 (32nd) .. 5 (whole); None without notes, or for drums."""
    if not len(track.notes) or track.instrument == DRUMS:
        return None
    quarters = (track.notes[:, 1] - track.notes[:, 0]) / TICKS_PER_BEAT
    return _range(np.clip(np.log2(quarters) + 3, 0, NUM_DURATIONS - 1).astype(np.int64))


def notes_a_bar(track: BarTrack, window: Window) -> int:
    """Notes over bars that have one, rounded; 0 without notes."""
    if not len(track.notes):
        return 0
    return int(len(track.notes) / len(np.unique(window.bar_of(track.notes[:, 0]))) + 0.5)


def density_borders(values: Sequence[int]) -> tuple[int, ...]:
    """Nine deciles of `notes_a_bar` over an instrument's tracks, between which densities 0 .. 9 lie."""
    ordered = sorted(values)
    return tuple(_percentile(ordered, k / NUM_DENSITIES) for k in range(1, NUM_DENSITIES))


def _range(values: NDArray[np.int64]) -> tuple[int, int]:
    ordered = np.sort(values).tolist()
    return _percentile(ordered, _LOW), _percentile(ordered, _HIGH)


def _percentile(ordered: Sequence[int], share: float) -> int:
    """The element at min(round(n q), n - 1), as MIDI-GPT takes it; halves are rounded up."""
    return int(ordered[min(int(len(ordered) * share + 0.5), len(ordered) - 1)])
