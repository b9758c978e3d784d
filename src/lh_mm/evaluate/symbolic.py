"""Measures of symbolic music, each with its grid and its conventions in the result.

Definitions follow MusPy (`muspy/metrics`, MIT) and mir_eval, because published figures do. Two traps are
switchable rather than silent: groove consistency depends on the grid and, in MusPy, compares a last bar that
is filled to its end with an empty one (two identical bars of four notes score .875, not 1); and MusPy takes
an empty bar for filled when a note ends exactly where it begins. `corrected` is our default, `muspy` the
published convention.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lh_mm.music.score import Score

Convention = Literal["corrected", "muspy"]

_MAJOR, _MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)


@dataclass(frozen=True)
class Measure:
    """A figure and how it was taken, for a report must not separate the two.

    Attributes:
        name: what was measured.
        value: the figure; NaN where the piece has nothing to measure.
        grid: steps of time, or "none".
        note: conventions.
    """

    name: str
    value: float
    grid: str = "none"
    note: str = ""

    def to_dict(self) -> dict[str, str | float]:
        """For `evaluation.json`."""
        return asdict(self)


def pitch_class_entropy(score: Score) -> Measure:
    """Entropy of the pitch classes of all notes, in bits (0 .. 3.585)."""
    counts = np.bincount(_pitched(score)["pitch"] % 12, minlength=12)
    p = counts[counts > 0] / max(1, counts.sum())
    value = float(-(p * np.log2(p)).sum()) if len(p) else float("nan")
    return Measure("pitch_class_entropy_bits", value, note="note counts, whole piece, drums excluded")


def scale_consistency(score: Score) -> Measure:
    """Largest share of notes inside one of the 24 major and natural minor scales."""
    counts = np.bincount(_pitched(score)["pitch"] % 12, minlength=12)
    shares = [counts[(np.array(scale) + root) % 12].sum() for scale in (_MAJOR, _MINOR) for root in range(12)]
    value = float(max(shares) / counts.sum()) if counts.sum() else float("nan")
    return Measure("scale_consistency", value, note="24 major and natural minor scales, drums excluded")


def groove_consistency(
    score: Score, steps_per_beat: int = 4, beats_per_bar: float = 4.0, convention: Convention = "corrected"
) -> Measure:
    """1 minus the mean share of steps at which neighbouring bars differ in having an onset.

    Args:
        score: drums count; beats are the score's.
        steps_per_beat: the grid, which the figure depends on: 4 (16ths) or 12 (MMT) are usual.
        beats_per_bar: bars are counted from beat 0.
        convention: `muspy` compares the last bar with an empty one if a note ends on the bar line after it.
    """
    steps_per_bar = max(1, round(steps_per_beat * beats_per_bar))
    grid = f"{steps_per_beat}/beat, {steps_per_bar}/bar from beat 0"
    name = "groove_consistency" + ("_muspy" if convention == "muspy" else "")
    onsets, ends = (np.rint(score.notes[k] * steps_per_beat).astype(np.int64) for k in ("start_beat", "end_beat"))
    # The last bar is the one the last note ends in; a note that ends on a bar line makes MusPy add a bar.
    end = int(ends.max(initial=0)) if convention == "muspy" else max(int(ends.max(initial=0)) - 1, 0)
    num_bars = max(end, int(onsets.max(initial=0))) // steps_per_bar + 1
    note = f"{convention}: {'a note end on a bar line opens a bar' if convention == 'muspy' else 'no phantom bar'}"
    if num_bars < 2 or not len(onsets):
        return Measure(name, float("nan"), grid, note)
    steps = np.zeros(num_bars * steps_per_bar, bool)
    steps[onsets[onsets >= 0]] = True
    bars = steps.reshape(-1, steps_per_bar)
    value = 1.0 - float((bars[1:] != bars[:-1]).sum()) / ((num_bars - 1) * steps_per_bar)
    return Measure(name, value, grid, note + ", drums included")


def polyphony(score: Score, steps_per_beat: int = 4) -> Measure:
    """Mean number of distinct pitches over the steps with at least one."""
    counts = _pitches_by_step(score, steps_per_beat)
    sounding = counts[counts > 0]
    value = float(sounding.mean()) if len(sounding) else float("nan")
    return Measure(
        "polyphony", value, f"{steps_per_beat}/beat", "distinct pitches over non-silent steps, drums excluded"
    )


def polyphony_rate(score: Score, steps_per_beat: int = 4, threshold: int = 2) -> Measure:
    """Share of all steps with more than `threshold` pitches.

    MusPy's code counts steps with *more* than two while its text says "multiple": take threshold 1 for that.
    """
    counts = _pitches_by_step(score, steps_per_beat)
    value = float((counts > threshold).mean()) if len(counts) else float("nan")
    return Measure(
        f"polyphony_rate_above_{threshold}", value, f"{steps_per_beat}/beat", "share of all steps, drums excluded"
    )


def empty_measure_rate(score: Score, beats_per_bar: float = 4.0, convention: Convention = "corrected") -> Measure:
    """Share of bars in which nothing sounds, from beat 0 to the last note's end.

    Args:
        score: drums count.
        beats_per_bar: length of a bar.
        convention: `muspy` lets a note that ends exactly on a bar line fill the next bar too.
    """
    name = "empty_measure_rate" + ("_muspy" if convention == "muspy" else "")
    grid, note = (
        f"bars of {beats_per_bar:g} beats from beat 0",
        f"{convention}: note ends " + ("included" if convention == "muspy" else "excluded"),
    )
    starts, ends = score.notes["start_beat"], np.maximum(score.notes["end_beat"], score.notes["start_beat"])
    if not len(starts) or ends.max() <= 0:
        return Measure(name, float("nan"), grid, note)
    first = np.floor(starts / beats_per_bar + 1e-9).astype(np.int64)
    last_beat = ends / beats_per_bar
    inclusive = np.floor(last_beat + 1e-9).astype(np.int64)
    last = inclusive if convention == "muspy" else np.ceil(last_beat - 1e-9).astype(np.int64) - 1
    num_bars = int(np.maximum(last, first).max()) + 1
    edges = np.zeros(num_bars + 1, np.int64)
    np.add.at(edges, np.maximum(first, 0), 1)
    np.add.at(edges, np.maximum(np.maximum(last, first), -1) + 1, -1)
    return Measure(name, float((np.cumsum(edges)[:-1] <= 0).mean()), grid, note)


def drum_pattern_consistency(score: Score, steps_per_beat: int = 12) -> Measure:
    """Share of drum notes on quarters of a beat or, if larger, on thirds of it.

    Args:
        score: drums only count.
        steps_per_beat: the grid, divisible by 3 and 4. MusPy takes the file's ticks, by which played drums are hardly
            ever in a pattern.

    Raises:
        ValueError: for a grid that has no thirds or no quarters.
    """
    if steps_per_beat % 12:
        raise ValueError(f"steps_per_beat should be divisible by 12, got {steps_per_beat}")
    starts = score.notes[score.notes["drum"]]["start_beat"]
    step = np.rint(starts * steps_per_beat).astype(np.int64)
    shares = [(step % (steps_per_beat // parts) == 0).mean() for parts in (4, 3)] if len(step) else [float("nan")]
    return Measure("drum_pattern_consistency", float(max(shares)), f"{steps_per_beat}/beat", "drums only")


def notes_per_second(score: Score) -> Measure:
    """Notes of all kinds over the piece's duration."""
    value = len(score) / score.duration_s if score.duration_s > 0 else float("nan")
    return Measure("notes_per_second", value, note="drums included")


@dataclass(frozen=True)
class NoteF1:
    """Agreement of two note lists (mir_eval: each note matches at most one).

    Attributes:
        onset: F1 of onset (50 ms) and pitch.
        onset_precision: precision of the same.
        onset_recall: recall of the same.
        offset: F1 that also asks for the end within max(50 ms, a fifth of the note); NaN where only drums count.
    """

    onset: float
    onset_precision: float
    onset_recall: float
    offset: float


def note_f1(reference: Score, estimate: Score, drums: bool = False, onset_tolerance_s: float = 0.05) -> NoteF1:
    """mir_eval's transcription measures, pitch to 50 cents.

    Args:
        reference: what was played.
        estimate: what was found.
        drums: compare the drums, by drum and onset; else the pitched notes, programs aside.
        onset_tolerance_s: half width of the onset window.
    """
    from mir_eval.transcription import precision_recall_f1_overlap

    a, b = (_intervals(score, drums) for score in (reference, estimate))
    if not len(a[1]) and not len(b[1]):
        return NoteF1(1.0, 1.0, 1.0, float("nan") if drums else 1.0)
    if not len(a[1]) or not len(b[1]):
        return NoteF1(0.0, 0.0, 0.0, float("nan") if drums else 0.0)
    precision, recall, onset, _ = precision_recall_f1_overlap(
        *a, *b, onset_tolerance=onset_tolerance_s, offset_ratio=None
    )
    offset = float("nan")
    if not drums:
        offset = float(precision_recall_f1_overlap(*a, *b, onset_tolerance=onset_tolerance_s)[2])
    return NoteF1(float(onset), float(precision), float(recall), offset)


def measures(score: Score, steps_per_beat: int = 4, has_beats: bool = True) -> list[Measure]:
    """All measures of one piece, corrected and in MusPy's convention where the two differ.

    Bars are those of the piece's main meter, and beat 0 of the grid is a bar line of it (`Score.from_bar_line`).
    Of music that knows no beats (`has_beats` False) those without a grid: the same music on the grid of a tempo 5 % off
    has another groove.
    """
    if not has_beats:
        return [pitch_class_entropy(score), scale_consistency(score), notes_per_second(score)]
    score = score.from_bar_line()
    beats_per_bar = score.main_meter().bar_beats
    found = [
        pitch_class_entropy(score),
        scale_consistency(score),
        drum_pattern_consistency(score),
        groove_consistency(score, steps_per_beat, beats_per_bar),
        groove_consistency(score, steps_per_beat, beats_per_bar, "muspy"),
        polyphony(score, steps_per_beat),
        polyphony_rate(score, steps_per_beat),
        polyphony_rate(score, steps_per_beat, threshold=1),
        empty_measure_rate(score, beats_per_bar),
        empty_measure_rate(score, beats_per_bar, "muspy"),
        notes_per_second(score),
    ]
    return [replace(measure, grid=measure.grid.replace("beat 0", "a bar line")) for measure in found]


def _pitched(score: Score) -> NDArray[np.void]:
    return score.notes[~score.notes["drum"]]


def _intervals(score: Score, drums: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(notes, 2) seconds and (notes,) Hz, ends at least 1 ms after onsets as mir_eval demands."""
    notes = score.notes[score.notes["drum"] == drums]
    ends = np.maximum(notes["end_s"], notes["start_s"] + 1e-3)
    hz = 440.0 * 2.0 ** ((notes["pitch"].astype(np.float64) - 69.0) / 12.0)
    return np.stack([notes["start_s"], ends], axis=1), hz


def _pitches_by_step(score: Score, steps_per_beat: int) -> NDArray[np.int64]:
    """Number of distinct pitches that sound in each step, from beat 0 to the last end; a note has a step."""
    notes = _pitched(score)
    start = np.maximum(np.rint(notes["start_beat"] * steps_per_beat).astype(np.int64), 0)
    end = np.maximum(np.rint(notes["end_beat"] * steps_per_beat).astype(np.int64), start + 1)
    edges = np.zeros((128, int(end.max(initial=0)) + 1), np.int32)
    np.add.at(edges, (notes["pitch"], start), 1)
    np.add.at(edges, (notes["pitch"], end), -1)
    counts: NDArray[np.int64] = (np.cumsum(edges, axis=1)[:, :-1] > 0).sum(axis=0)
    return counts
