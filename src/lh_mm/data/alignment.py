"""Does this recording lie on these notes? A proof by onsets, without which the two are never merged.

A model that trains on MIDI shifted against its sound learns the shift. So notes and a recording are merged
only if (1) the note onsets agree best with the sound where they stand, not a little earlier or later, in every
quarter of the piece, and (2) they agree clearly better there than when moved. Music on a grid agrees with
itself when moved by a beat, so "moved" means many uneven shifts and what counts is the difference to their mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lh_mm.audio.onsets import HOP_S, find_onsets, merge_onsets, onset_strength

TOLERANCE_S = 0.050
"""Notes and onsets this near are one event."""
MAX_LAG_S = 0.025
"""Half of the tolerance: the most by which the best lag of a quarter may differ from 0."""
MIN_GAIN = 0.15
"""The least by which F1 in place exceeds the mean F1 of shifted notes."""
MIN_ONSETS = 16
"""With fewer notes than this nothing is proved."""

_SHIFTS_S = tuple(sign * (0.11 + 0.037 * k) for sign in (-1, 1) for k in range(25))
_SEARCH_S = 0.5


@dataclass(frozen=True)
class Agreement:
    """How well notes and sound agree.

    Attributes:
        f1: of note onsets against onsets found in the sound, within 50 ms, in place.
        chance: mean F1 of the notes moved by 0.11 to 1.0 s to either side.
        lags_s: best lag of each quarter of the piece that has enough notes; positive is late sound.
        num_onsets: distinct note onsets.
    """

    f1: float
    chance: float
    lags_s: tuple[float, ...]
    num_onsets: int

    @property
    def problem(self) -> str:
        """Why this is no proof; empty if it is one."""
        if self.num_onsets < MIN_ONSETS:
            return f"{self.num_onsets} note onsets are too few to prove an alignment (at least {MIN_ONSETS})"
        worst = max(self.lags_s, key=abs, default=0.0)
        if abs(worst) > MAX_LAG_S:
            quarters = ", ".join(f"{lag * 1000:.0f}" for lag in self.lags_s)
            return (
                f"the sound is {abs(worst) * 1000:.0f} ms {'late' if worst > 0 else 'early'} in a part of the piece "
                f"({quarters} ms by quarter; at most {MAX_LAG_S * 1000:.0f})"
            )
        if self.f1 - self.chance < MIN_GAIN:
            return (
                f"note onsets meet the sound's no better than by chance: F1 at 50 ms {self.f1:.2f}, "
                f"{self.chance:.2f} when moved (at least {MIN_GAIN} more)"
            )
        return ""

    def to_json(self) -> dict[str, float | int | list[float]]:
        """For the manifest."""
        return {
            "onset_f1_50ms": round(self.f1, 4),
            "shifted_f1_50ms": round(self.chance, 4),
            "lags_ms": [round(lag * 1000, 1) for lag in self.lags_s],
            "onsets": self.num_onsets,
        }


def agreement(note_starts_s: NDArray[np.float64], wave: NDArray[np.float32], sample_rate: int) -> Agreement:
    """Compares notes with sound.

    Args:
        note_starts_s: (notes,) onsets in seconds of the recording's own clock.
        wave: (samples,) mono, at 16 kHz or more.
        sample_rate: of the wave.
    """
    duration_s = len(wave) / sample_rate
    notes = merge_onsets(note_starts_s[(note_starts_s >= 0) & (note_starts_s < duration_s)])
    heard = find_onsets(wave, sample_rate)
    strength = onset_strength(wave, sample_rate)
    shifted = [onset_f1(notes + shift, heard) for shift in _SHIFTS_S]
    lags = []
    for quarter in np.array_split(notes, max(1, min(4, len(notes) // MIN_ONSETS))):
        if len(quarter) >= MIN_ONSETS // 2:
            lags.append(_best_lag(quarter, strength))
    return Agreement(onset_f1(notes, heard), float(np.mean(shifted)), tuple(lags), len(notes))


def onset_f1(notes_s: NDArray[np.float64], heard_s: NDArray[np.float64]) -> float:
    """F1 of two sorted lists of times, matched one to one within `TOLERANCE_S`, first come first served."""
    if not len(notes_s) or not len(heard_s):
        return 0.0
    matched, j = 0, 0
    for time_s in notes_s:
        while j < len(heard_s) and heard_s[j] < time_s - TOLERANCE_S:
            j += 1
        if j < len(heard_s) and heard_s[j] <= time_s + TOLERANCE_S:
            matched, j = matched + 1, j + 1
    return 2.0 * matched / (len(notes_s) + len(heard_s))


def _best_lag(notes_s: NDArray[np.float64], strength: NDArray[np.float32]) -> float:
    """The lag in seconds at which onset strength, summed under the notes, is largest."""
    reach = round(_SEARCH_S / HOP_S)
    frames = np.round(notes_s / HOP_S).astype(np.int64)  # (notes,)
    lags = np.arange(-reach, reach + 1)
    # Three frames wide, for no player and no envelope is exact to 5 ms.
    smooth = np.convolve(strength, np.array([0.25, 0.5, 0.25], np.float32), "same")
    padded = np.pad(smooth, (reach, reach + 1))
    score = padded[np.minimum(frames[:, None] + lags + reach, len(padded) - 1)].sum(axis=0)  # (lags,)
    return float(lags[int(np.argmax(score))] * HOP_S)
