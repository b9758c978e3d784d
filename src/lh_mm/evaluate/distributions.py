"""How alike generated and real notes are: shared area of distributions, runs of notes copied from training, controls.

Legend: P pieces, N notes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.stats import spearmanr

from lh_mm.evaluate.bootstrap import Interval, bootstrap
from lh_mm.music.score import Score

STEPS_PER_BEAT = 4
_LONGEST = 32
"""Longest interval and duration that are told apart, in steps."""
FEATURES = ("pitch", "pitch_class", "duration", "onset_interval", "notes_a_bar")


def feature_values(score: Score, beats_per_bar: float = 4.0) -> dict[str, NDArray[np.int64]]:
    """What is counted of a piece, each as small whole numbers.

    Pitch and pitch class of pitched notes; durations of pitched notes and intervals from onset to onset of all, in
    sixteenths up to 32; onsets in each bar up to 63, from the first bar with a note to the last one.
    """
    notes = score.notes
    pitched = notes[~notes["drum"]]
    steps = np.unique(np.rint(notes["start_beat"] * STEPS_PER_BEAT).astype(np.int64))
    length = np.rint((pitched["end_beat"] - pitched["start_beat"]) * STEPS_PER_BEAT).astype(np.int64)
    bars = np.floor(notes["start_beat"] / beats_per_bar + 1e-6).astype(np.int64)
    return {
        "pitch": pitched["pitch"].astype(np.int64),
        "pitch_class": pitched["pitch"].astype(np.int64) % 12,
        "duration": np.clip(length, 0, _LONGEST),
        "onset_interval": np.clip(np.diff(steps), 0, _LONGEST),
        "notes_a_bar": np.clip(np.bincount(bars - bars.min()), 0, 63) if len(bars) else np.zeros(0, np.int64),
    }


def overlap_areas(
    generated: Sequence[Score], data: Sequence[Score], ids: Sequence[str], beats_per_bar: float = 4.0
) -> dict[str, Interval]:
    """Shared area of the histograms of generated and real music, 0 to 1, by feature; intervals by piece.

    Args:
        generated, data: as many of each, paired by what was asked for.
        ids: the piece of each pair; pairs are resampled by it.
        beats_per_bar: of `notes_a_bar`.

    Returns:
        Features that both sides have values of.
    """
    made, real = ([feature_values(score, beats_per_bar) for score in scores] for scores in (generated, data))
    areas = {}
    for name in FEATURES:
        columns: dict[str, list[float]] = {}
        for side, tables in (("made", made), ("real", real)):
            counts = np.array([np.bincount(table[name], minlength=128) for table in tables], np.float64)
            columns |= {f"{side}{value}": counts[:, value].tolist() for value in range(counts.shape[1])}

        def area(means: Mapping[str, float]) -> float:
            p, q = (np.array([means[f"{side}{value}"] for value in range(128)]) for side in ("made", "real"))
            return float(np.minimum(p / p.sum(), q / q.sum()).sum()) if p.sum() and q.sum() else float("nan")

        if (interval := bootstrap(columns, list(ids), area, num_resamples=200)) is not None:
            areas[name] = interval
    return areas


class CopyIndex:
    """Runs of notes of training pieces, to find the longest that some other music shares with one of them.

    A note is its pitch (drums apart), and the sixteenths from its onset to the next one's; notes of one onset stand by
    pitch. Transposed copies are not found.

    Args:
        scores: of the training pieces.
    """

    def __init__(self, scores: Iterable[Score]) -> None:
        self._pieces = [note_codes(score) for score in scores]
        self._known: dict[int, NDArray[np.int64]] = {}

    def longest(self, score: Score) -> int:
        """Notes of the longest run that a training piece holds as well."""
        codes = note_codes(score)
        low, high = 0, len(codes)
        while low < high:
            middle = (low + high + 1) // 2
            runs = _hashes(codes, middle)
            known = self._runs(middle)
            at = np.minimum(np.searchsorted(known, runs), max(len(known) - 1, 0))
            found = len(known) > 0 and bool((known[at] == runs).any())
            low, high = (middle, high) if found else (low, middle - 1)
        return low

    def _runs(self, length: int) -> NDArray[np.int64]:
        if length not in self._known:
            each = [_hashes(codes, length) for codes in self._pieces]
            self._known[length] = np.unique(np.concatenate(each)) if each else np.zeros(0, np.int64)
        return self._known[length]


def note_codes(score: Score) -> NDArray[np.int64]:
    """(N,) one number a note: pitch, whether it is a drum, and sixteenths to the next onset."""
    notes = score.notes
    step = np.rint(notes["start_beat"] * STEPS_PER_BEAT).astype(np.int64)
    order = np.lexsort([notes["pitch"], notes["drum"], step])
    step, pitch, drum = step[order], notes["pitch"][order].astype(np.int64), notes["drum"][order].astype(np.int64)
    later = np.searchsorted(step, step, side="right")
    gap = np.where(later < len(step), step[np.minimum(later, max(len(step) - 1, 0))] - step, 0)
    return np.asarray(pitch + 128 * drum + 256 * np.clip(gap, 0, 64))


def _hashes(codes: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Of every run of `length` codes, modulo 2^64."""
    if len(codes) < length:
        return np.zeros(0, np.int64)
    with np.errstate(over="ignore"):
        mixed = (codes.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
        total = np.zeros(len(codes) - length + 1, np.uint64)
        for i in range(length):
            total = total * np.uint64(0x100000001B3) + mixed[i : len(codes) - length + 1 + i]
    return total.view(np.int64)


class Agreement(BaseModel):
    """Requested against realised values of one control.

    Attributes:
        num: pairs.
        exact: share of equal ones.
        within_one: share that differ by one step at most.
        mean_error: mean absolute difference in steps.
        spearman: rank correlation; None where either side has one value only.
        chance_spearman: the same of requests against what another request gave, which should be near 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    num: int
    exact: float
    within_one: float
    mean_error: float
    spearman: float | None
    chance_spearman: float | None


def agreement(requested: Sequence[int], realised: Sequence[int]) -> Agreement | None:
    """How well requests were followed; None without pairs."""
    if not len(requested):
        return None
    a, b = np.array(requested, np.int64), np.array(realised, np.int64)
    away = np.abs(a - b)
    return Agreement(
        num=len(a), exact=float((away == 0).mean()), within_one=float((away <= 1).mean()),
        mean_error=float(away.mean()), spearman=_spearman(a, b), chance_spearman=_spearman(a, np.roll(b, len(b) // 2)),
    )  # fmt: skip


def _spearman(a: NDArray[np.int64], b: NDArray[np.int64]) -> float | None:
    if len(np.unique(a)) < 2 or len(np.unique(b)) < 2:
        return None
    result: Any = spearmanr(a, b)
    return float(result.statistic)
