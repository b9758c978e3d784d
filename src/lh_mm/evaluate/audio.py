"""How far a sound keeps to its notes and to a reference: measures on arrays, no model in sight.

Onset F1 is that of mir_eval (Raffel et al. 2014): a one-to-one matching of greatest size within a tolerance.
By chance it is high in music on a grid (.57 to .60 at 50 ms on a sixteenth grid at techno tempo), so it is
always shown beside another piece's notes and at 25 ms (`evaluate/four_rows.py`). Chroma separates own from
other poorly; mel correlation and the bass's pitch class separate well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lh_mm.audio.mel import log_mel
from lh_mm.audio.onsets import MERGE_S, merge_onsets

BASS_PROGRAMS = (*range(32, 40), 87)
"""General MIDI's basses, and the lead called bass + lead."""
BASS_HIGH_HZ = 250.0
BASS_MIN_S = 0.080
"""A shorter stretch gives no spectrum from which a semitone at 50 Hz could be read."""
KICK_GUARD_S = 0.200
"""How long a low drum is taken to drown the bass: a kick is as low as a bass note, and louder."""

_LOW_DRUMS = (35, 36, 41, 43, 45, 47, 48, 50)  # kicks and toms
_CANDIDATES = np.arange(24.0, 48.0, 0.25)  # fundamentals as MIDI pitches: two octaves, higher notes fold down
_NUM_HARMONICS, _HARMONIC_DECAY, _COMPRESSION = 8, 0.85, 0.4

_TOLERANCE_SLACK_S = 1e-9  # two times that differ by exactly the tolerance match, whatever their rounding


@dataclass(frozen=True)
class OnsetScores:
    """Shares in 0..1; NaN where nothing was given.

    Attributes:
        precision: matched / found.
        recall: matched / given.
        f1: their harmonic mean, `2 * matched / (given + found)`.
        num_given, num_found, num_matched: onsets after merging.
    """

    precision: float
    recall: float
    f1: float
    num_given: int
    num_found: int
    num_matched: int


def onset_scores(given_s: ArrayLike, found_s: ArrayLike, tolerance_s: float, merge_s: float = MERGE_S) -> OnsetScores:
    """Hold found onsets against the notes'.

    Args:
        given_s: onsets of the notes in seconds; those within `merge_s` are merged to the first.
        found_s: onsets found in the sound; merged alike.
        tolerance_s: greatest distance of a match, 0.050 and 0.025 by custom here.
        merge_s: 0 merges only equal times.

    Returns:
        NaN scores when no note was given: there is nothing to keep to. Notes and no onsets score 0.

    Raises:
        ValueError: a tolerance that is not positive.
    """
    if tolerance_s <= 0:
        raise ValueError(f"tolerance_s must be positive, got {tolerance_s}")
    given, found = merge_onsets(given_s, merge_s), merge_onsets(found_s, merge_s)
    matched = _num_matched(given, found, tolerance_s + _TOLERANCE_SLACK_S)
    if not len(given):
        return OnsetScores(np.nan, np.nan, np.nan, 0, len(found), 0)
    precision = matched / len(found) if len(found) else 0.0
    f1 = 2.0 * matched / (len(given) + len(found))
    return OnsetScores(precision, matched / len(given), f1, len(given), len(found), matched)


def mel_correlation(wave: NDArray[np.floating], reference: NDArray[np.floating], sample_rate: int) -> float:
    """Pearson correlation of two log-mels over time and frequency after removing each band's mean, -1..1.

    What is left without the means is *when* each band sounds: notes, not timbre. 1 for equal waves whatever
    their level; NaN when either is constant (silence). Mel as in `audio/mel.py`, window and hop in samples.
    """
    if len(wave) != len(reference):
        raise ValueError(f"waves differ in length: {len(wave)} and {len(reference)} samples")
    own, other = (log_mel(each, sample_rate).astype(np.float64) for each in (wave, reference))
    own, other = own - own.mean(axis=0), other - other.mean(axis=0)
    norm = np.sqrt(np.square(own).sum() * np.square(other).sum())
    return float((own * other).sum() / norm) if norm > 1e-9 else float("nan")


def bass_notes(notes: NDArray[np.void]) -> NDArray[np.void]:
    """The notes that carry the bass: those of bass programs, or of all pitched notes, that no lower one underlies.

    A note counts when it is the lowest sounding at its start, lies below 250 Hz and lasts 80 ms or more.
    """
    pitched = notes[~notes["drum"]]
    is_bass = np.isin(pitched["program"], BASS_PROGRAMS)
    candidates = pitched[is_bass] if is_bass.any() else pitched
    starts = candidates["start_s"]
    sounding = (starts[None, :] <= starts[:, None]) & (candidates["end_s"][None, :] > starts[:, None])  # (note, other)
    lower = sounding & (candidates["pitch"][None, :] < candidates["pitch"][:, None])
    long_enough = candidates["end_s"] - candidates["start_s"] >= BASS_MIN_S
    return candidates[~lower.any(axis=1) & long_enough & (_hz(candidates["pitch"]) < BASS_HIGH_HZ)]


def bass_pitch_class_accuracy(wave: NDArray[np.floating], notes: NDArray[np.void], sample_rate: int) -> float:
    """Share of bass notes whose pitch class is the one heard while they sound and no low drum does.

    Heard is the strongest sum of eight harmonics over a fundamental of 33 to 130 Hz (magnitudes to the power of
    0.4, harmonics weighted by 0.85 to their number). Each note is read in the longest part of it that lies outside
    200 ms from every kick and tom of the notes; without 80 ms of that it is left out. The strongest single peak,
    which would do for a bass alone, hears the kick: it finds some 40 % of the notes of rendered dance music, this 90 %.

    Args:
        wave: `(samples,)` mono.
        notes: all notes of the crop, in the wave's seconds; `bass_notes` chooses. Equal temperament, A = 440 Hz.
        sample_rate: samples a second.

    Returns:
        A share in 0..1 (chance about 1/12); NaN without bass notes.
    """
    kicks_s = np.sort(notes["start_s"][notes["drum"] & np.isin(notes["pitch"], _LOW_DRUMS)])
    right = []
    for note in bass_notes(notes):
        start_s, end_s = _clear_span(float(note["start_s"]), float(note["end_s"]), kicks_s)
        span = wave[round(start_s * sample_rate) : round(end_s * sample_rate)]
        if len(span) >= BASS_MIN_S * sample_rate - 1:
            right.append(_heard_pitch_class(span, sample_rate) == int(note["pitch"]) % 12)
    return float(np.mean(right)) if right else float("nan")


def si_sdr_db(wave: NDArray[np.floating], reference: NDArray[np.floating]) -> float:
    """Scale-invariant signal to distortion in dB, higher is better (Le Roux et al. 2019, arXiv:1811.02508).

    Means are removed first. Meaningful where phase is kept: a codec's round trip, not a generation. NaN for a
    silent reference; bounded to +-100 dB.
    """
    if len(wave) != len(reference):
        raise ValueError(f"waves differ in length: {len(wave)} and {len(reference)} samples")
    estimate, target = np.asarray(wave, np.float64), np.asarray(reference, np.float64)
    estimate, target = estimate - estimate.mean(), target - target.mean()
    energy = float(target @ target)
    if energy <= 1e-12:
        return float("nan")
    kept = (estimate @ target) / energy * target
    distortion = float(np.square(estimate - kept).sum())
    ratio = float(kept @ kept) / max(distortion, 1e-300)
    return float(np.clip(10.0 * np.log10(max(ratio, 1e-300)), -100.0, 100.0))


def _num_matched(given: NDArray[np.float64], found: NDArray[np.float64], tolerance_s: float) -> int:
    """Size of the greatest one-to-one matching; for equal tolerances on a line, first come first served is optimal."""
    matched = i = j = 0
    while i < len(given) and j < len(found):
        if abs(given[i] - found[j]) <= tolerance_s:
            matched, i, j = matched + 1, i + 1, j + 1
        elif given[i] < found[j]:
            i += 1
        else:
            j += 1
    return matched


def _hz(pitch: ArrayLike) -> NDArray[np.float64]:
    return 440.0 * 2.0 ** ((np.asarray(pitch, np.float64) - 69.0) / 12.0)


def _clear_span(start_s: float, end_s: float, kicks_s: NDArray[np.float64]) -> tuple[float, float]:
    """The longest part of a note in which no low drum sounds; empty where there is none."""
    best, free_s = (start_s, start_s), start_s
    for kick_s in [*kicks_s[(kicks_s > start_s - KICK_GUARD_S) & (kicks_s < end_s)], end_s]:
        if kick_s - free_s > best[1] - best[0]:
            best = (free_s, float(kick_s))
        free_s = max(free_s, float(kick_s) + KICK_GUARD_S)
    return best


def _heard_pitch_class(span: NDArray[np.floating], sample_rate: int) -> int:
    """Pitch class 0..11 of the strongest harmonic sum, -1 for silence."""
    n_fft = 1 << int(np.ceil(np.log2(max(len(span), sample_rate))))  # bins of 1 Hz or finer
    magnitude = np.abs(np.fft.rfft(span * np.hanning(len(span)), n_fft))
    if magnitude.max() <= 1e-9:
        return -1
    harmonics = np.arange(1, _NUM_HARMONICS + 1)
    places = np.outer(_hz(_CANDIDATES), harmonics) * (n_fft / sample_rate)  # (candidates, harmonics), in bins
    heights = np.interp(places, np.arange(len(magnitude)), magnitude**_COMPRESSION)
    return round(float(_CANDIDATES[np.argmax(heights @ _HARMONIC_DECAY**harmonics)])) % 12
