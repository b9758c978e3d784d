"""Runs of notes that music shares with its model's training pieces, which a likelihood does not show.

Legend: P pieces, N notes.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from lh_mm.music.score import Score

STEPS_PER_BEAT = 4
STEPS_PER_S = 100
GAP_S = 0.125
"""Gaps of music without beats are told apart in sixteenths of 120 beats a minute."""


class CopyIndex:
    """Runs of notes of training pieces, to find the longest that some other music shares with one of them.

    A note is its pitch (drums apart), and the sixteenths from its onset to the next one's; notes of one onset stand by
    pitch. Transposed copies are not found. Music that knows seconds alone is compared by them: on a grid whose tempo it
    was not told, even a copy to the last note would be cut to pieces.

    Args:
        scores: of the training pieces.
        by_seconds: whether gaps are of seconds, not of beats.
    """

    def __init__(self, scores: Iterable[Score], by_seconds: bool = False) -> None:
        self._by_seconds = by_seconds
        self._pieces = [note_codes(score, by_seconds) for score in scores]
        self._known: dict[int, NDArray[np.int64]] = {}

    def longest(self, score: Score) -> int:
        """Notes of the longest run that a training piece holds as well."""
        codes = note_codes(score, self._by_seconds)
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
            # Sorted is enough to search in; numpy's unique of a million hashes takes forty times as long.
            self._known[length] = np.sort(np.concatenate(each)) if each else np.zeros(0, np.int64)
        return self._known[length]


def note_codes(score: Score, by_seconds: bool = False) -> NDArray[np.int64]:
    """(N,) one number a note: pitch, whether it is a drum, and the gap to the next onset.

    Gaps are of sixteenths, counted from a bar line, between onsets rounded to them; with `by_seconds` of `GAP_S`
    between onsets in 10 ms, rounded themselves, so that they do not depend on where music begins.
    """
    notes = (score if by_seconds else score.from_bar_line()).notes
    at = notes["start_s"] * STEPS_PER_S + 0.5 if by_seconds else np.rint(notes["start_beat"] * STEPS_PER_BEAT)
    step = np.floor(at).astype(np.int64)
    order = np.lexsort([notes["pitch"], notes["drum"], step])
    step, pitch, drum = step[order], notes["pitch"][order].astype(np.int64), notes["drum"][order].astype(np.int64)
    later = np.searchsorted(step, step, side="right")
    gap = np.where(later < len(step), step[np.minimum(later, max(len(step) - 1, 0))] - step, 0)
    if by_seconds:
        gap = np.rint(gap / (STEPS_PER_S * GAP_S)).astype(np.int64)
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
