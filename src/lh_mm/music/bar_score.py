"""Windows of bars put back into the piece they were taken from; what was not asked for stays bit for bit."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lh_mm.core.clock import TempoMap
from lh_mm.music.bars import DRUMS, TICKS_PER_BEAT, BarTrack, Window, bar_lines
from lh_mm.music.mmm import Hole
from lh_mm.music.score import NOTE_DTYPE, Meter, Score

VELOCITY = 80
"""Of new notes where the track has none to go by: MMM's tokens hold no loudness."""


def track_keys(score: Score) -> list[tuple[int, int]]:
    """Track and instrument of each of a window's tracks, in their order (`window_of`)."""
    notes = score.notes
    instrument = np.where(notes["drum"], DRUMS, notes["program"].astype(np.int64))
    return sorted(set(zip(notes["track"].tolist(), instrument.tolist(), strict=True)))


def bars_between(score: Score, start_s: float, end_s: float) -> range:
    """Numbers of the bars that a span of time touches; bars go on behind the piece as long as its last.

    Raises:
        ValueError: if the span is empty.
    """
    if not start_s < end_s:
        raise ValueError(f"a span of bars should end behind its beginning, got {start_s:g} to {end_s:g} s")
    lines = bar_lines(score)
    length = float(lines[-1] - lines[-2]) if len(lines) > 1 else score.meters[0].bar_beats
    first, last = (float(score.tempo_map.to_beats(t)) for t in (start_s, end_s))

    def bar_of(beat: float) -> int:
        if beat >= lines[-1]:
            return len(lines) - 1 + int((beat - lines[-1]) / length + 1e-9)
        return max(0, int(np.searchsorted(lines, beat + 1e-6, side="right")) - 1)

    return range(bar_of(first), bar_of(last - 1e-4) + 1)


def put_back(
    score: Score, window: Window, fills: Mapping[Hole, NDArray[np.int64]], keys: Collection[tuple[int, int]]
) -> Score:
    """The piece with the notes of some bars replaced.

    A new note that would begin while one held into its bar still sounds is left out: what is held was not asked for.

    Args:
        score: the piece, which is not changed.
        window: taken from it; says where its bars stand.
        fills: (N, 3) notes by track of the window and bar.
        keys: track and instrument of each track of the window.
    """
    notes, named = score.notes, list(keys)
    start, end = _ticks(notes, window)
    gone = np.zeros(len(notes), bool)
    for index, bar in fills:
        gone |= _own(notes, *named[index]) & (start >= window.lines[bar]) & (start < window.lines[bar + 1])
    added = []
    for (index, bar), table in fills.items():
        track, instrument = named[index]
        own = _own(notes, track, instrument)
        held = np.zeros(128, np.int64)  # tick at which the last note of a pitch that began before, and stays, ends
        earlier = own & ~gone & (start < window.lines[bar])
        np.maximum.at(held, notes["pitch"][earlier], end[earlier])
        free = [row for row in table.tolist() if instrument == DRUMS or held[row[2]] <= row[0]]
        velocity = int(np.median(notes["velocity"][own])) if own.any() else VELOCITY
        added.append(_notes_of(np.array(free, np.int64).reshape(-1, 3), track, instrument, window.first_beat, velocity))
    return _with_notes(score, np.concatenate([notes[~gone], *(_timed(n, score.tempo_map) for n in added)]))


def uncut_notes(score: Score, window: Window, keys: Collection[tuple[int, int]]) -> tuple[NDArray[np.int64], ...]:
    """(N, 3) on, off and pitch, in ticks of a window, of the notes of each of its tracks that sound in it.

    As they stand in the piece: from before the window, beyond it, and over the next note of their pitch.
    """
    notes = score.notes
    start, end = _ticks(notes, window)
    table = np.stack([start, end, notes["pitch"].astype(np.int64)], axis=1)
    sounds = (start < window.lines[-1]) & (end > 0)
    return tuple(table[sounds & _own(notes, track, instrument)] for track, instrument in keys)


def add_track(score: Score, track: BarTrack, first_beat: float, name: str = "") -> Score:
    """The piece with one track more."""
    number = len(score.tracks) if len(score.notes) else 0
    names = (*score.tracks[:number], name or ("drums" if track.instrument == DRUMS else f"program {track.instrument}"))
    new = _timed(_notes_of(track.notes, number, track.instrument, first_beat, VELOCITY), score.tempo_map)
    return _with_notes(replace(score, tracks=names), np.concatenate([score.notes, new]))


def score_of_window(window: Window, tempo_map: TempoMap) -> Score:
    """A window as a piece of its own that begins at beat 0, in the meters of its bars."""
    end = float(tempo_map.to_seconds(float(window.lines[-1]) / TICKS_PER_BEAT))
    score = Score(np.zeros(0, NOTE_DTYPE), tempo_map, end, _meters(window.lines), ("",))
    for track in window.tracks:
        score = add_track(score, track, 0.0)
    return score


def _ticks(notes: NDArray[np.void], window: Window) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Begin and end of notes in ticks from a window's first bar line."""
    begin, end = (
        np.rint((notes[f"{edge}_beat"] - window.first_beat) * TICKS_PER_BEAT).astype(np.int64)
        for edge in ("start", "end")
    )
    return begin, end


def _meters(lines: NDArray[np.int64]) -> tuple[Meter, ...]:
    """Bars as meters: quarters where they have whole ones, else eighths, 16ths, .., thirds of a beat rounded."""
    meters: list[Meter] = []
    for begin, length in zip(lines[:-1].tolist(), np.diff(lines).tolist(), strict=True):
        beats = length / TICKS_PER_BEAT
        denominator = next((d for d in (4, 8, 16) if beats * d / 4 % 1 == 0), 16)
        meter = Meter(begin / TICKS_PER_BEAT, max(1, round(beats * denominator / 4)), denominator)
        if not meters or (meter.numerator, meter.denominator) != (meters[-1].numerator, meters[-1].denominator):
            meters.append(meter)
    return tuple(meters) or (Meter(0.0, 4, 4),)


def _own(notes: NDArray[np.void], track: int, instrument: int) -> NDArray[np.bool_]:
    drums = instrument == DRUMS
    own: NDArray[np.bool_] = (notes["track"] == track) & (notes["drum"] == drums)
    return own if drums else own & (notes["program"] == instrument)


def _notes_of(
    table: NDArray[np.int64], track: int, instrument: int, first_beat: float, velocity: int
) -> NDArray[np.void]:
    notes = np.zeros(len(table), NOTE_DTYPE)
    notes["start_beat"] = first_beat + table[:, 0] / TICKS_PER_BEAT
    notes["end_beat"] = first_beat + table[:, 1] / TICKS_PER_BEAT
    notes["pitch"], notes["velocity"], notes["track"] = table[:, 2], velocity, track
    notes["drum"], notes["program"] = instrument == DRUMS, 0 if instrument == DRUMS else instrument
    return notes


def _timed(notes: NDArray[np.void], tempo_map: TempoMap) -> NDArray[np.void]:
    for edge in ("start", "end"):
        notes[f"{edge}_s"] = tempo_map.to_seconds(notes[f"{edge}_beat"])
    return notes


def _with_notes(score: Score, notes: NDArray[np.void]) -> Score:
    return replace(score, notes=notes, duration_s=max(score.duration_s, float(notes["end_s"].max(initial=0.0))))
