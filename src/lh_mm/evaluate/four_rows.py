"""MIDI to audio judged in four rows: original, codec round trip, generated, generated against other notes.

A figure of the generated row alone says little: the codec bounds it from above, music on the same grid from
below. So the derived figure is (own - shuffled) / (codec - shuffled) of onset F1: 1 is as good as the codec
allows, 0 is no better than another piece of the same style and tempo. Intervals resample pieces, not crops.

Crops begin anywhere in a bar, so the other piece's grid lies at a chance phase, as it does in the trials that
our thresholds come from. The stricter fifth row lays it downbeat on downbeat: what a model would reach that
keeps the beat and the style and ignores which notes it was given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from lh_mm.audio.mel import SAMPLE_RATE, mel_distance
from lh_mm.audio.onsets import MERGE_S, find_onsets
from lh_mm.evaluate.audio import bass_pitch_class_accuracy, mel_correlation, onset_scores, si_sdr_db
from lh_mm.evaluate.bootstrap import CONFIDENCE, NUM_RESAMPLES, Interval, bootstrap, bootstrap_mean

TOLERANCES_MS = (50, 25)
ROWS = ("original", "codec", "generated", "shuffled", "shuffled_on_beat")
CHANCE_ROWS = ("shuffled", "shuffled_on_beat")

DEFINITIONS: Mapping[str, str] = {
    **{
        f"onset_f1_{ms}ms": f"F1 of the notes' onsets against onsets found in the sound, {ms} ms, one to one; "
        f"onsets within {MERGE_S * 1000:.0f} ms are one"
        for ms in TOLERANCES_MS
    },
    "mel_correlation": "correlation of log-mels with the original's (shuffled: the other piece's original), band "
    "means removed; 80 bands, window 1,024, hop 256 at 24 kHz",
    "bass_accuracy": "share of bass notes whose pitch class is that of the strongest harmonic sum, fundamentals of 33 "
    "to 130 Hz, in the part of the note (80 ms or more) that is clear of kicks and toms by 200 ms",
    "mel_distance": "mean absolute difference of natural-log mels to the original, nats, lower is better",
    "si_sdr_db": "scale-invariant signal to distortion to the original, dB, higher is better",
}


class _Draws(TypedDict):
    seed: int
    num_resamples: int


@dataclass(frozen=True)
class Crop:
    """One crop of one piece, all waves `(samples,)` mono at 24 kHz and equally long.

    Attributes:
        piece: its id; crops of one piece are resampled together.
        style: pieces are paired within a style.
        tempo_bpm: tempo of the crop; another piece's notes are stretched to it.
        downbeat_s: a downbeat inside the crop, where the last row lays another piece's downbeat.
        notes: `NOTE_DTYPE` rows in the crop's own seconds, those that begin in it.
        original, codec, generated: the piece's sound, its codec round trip, what the model made of `notes`.
    """

    piece: str
    style: str
    tempo_bpm: float
    downbeat_s: float
    notes: NDArray[np.void]
    original: NDArray[np.float32]
    codec: NDArray[np.float32]
    generated: NDArray[np.float32]


class FourRows(BaseModel):
    """The table, as written to `evaluation.json`.

    Attributes:
        rows: row name to measure to interval; None where a measure does not apply to a row.
        ratios: `onset_f1_50ms` and `onset_f1_25ms` to (own - shuffled) / (codec - shuffled).
        ratios_on_beat: the same with the row `shuffled_on_beat`, the stricter figure.
        definitions: each measure in words.
        num_crops, num_pieces, crop_s, sample_rate: what it was measured on.
        num_unpaired: crops without another piece of their style, left out of the shuffled row.
        confidence, num_resamples, seed: of the bootstrap by piece.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: dict[str, dict[str, Interval | None]]
    ratios: dict[str, Interval | None]
    ratios_on_beat: dict[str, Interval | None]
    definitions: dict[str, str]
    num_crops: int
    num_pieces: int
    num_unpaired: int
    crop_s: float
    sample_rate: int
    confidence: float
    num_resamples: int
    seed: int


def judge(crops: Sequence[Crop], *, seed: int = 0, num_resamples: int = NUM_RESAMPLES) -> FourRows:
    """Measure every crop in every row. About 60 crops of 10 s a minute on one core; deterministic in `seed`.

    Raises:
        ValueError: no crops, or waves of one crop that differ in length.
    """
    if not crops:
        raise ValueError("there are no crops to judge")
    for crop in crops:
        lengths = {name: len(getattr(crop, name)) for name in ("original", "codec", "generated")}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"waves of piece {crop.piece!r} differ in length: {lengths}")
    others = pair_by_style(crops)
    measured = [_measure(crop, None if j is None else crops[j]) for crop, j in zip(crops, others, strict=True)]
    pieces = [crop.piece for crop in crops]
    columns = {row: {name: [m[row][name] for m in measured] for name in DEFINITIONS} for row in ROWS}
    draws: _Draws = {"seed": seed, "num_resamples": num_resamples}
    rows = {
        row: {name: bootstrap_mean(column, pieces, **draws) for name, column in table.items()}
        for row, table in columns.items()
    }
    shares: dict[str, dict[str, Interval | None]] = {chance: {} for chance in CHANCE_ROWS}
    for chance, of_row in shares.items():
        for ms in TOLERANCES_MS:
            name = f"onset_f1_{ms}ms"
            three = {
                "own": columns["generated"][name],
                "codec": columns["codec"][name],
                "chance": columns[chance][name],
            }
            of_row[name] = bootstrap(three, pieces, _share_of_reachable, **draws)
    return FourRows(
        rows=rows,
        ratios=shares["shuffled"],
        ratios_on_beat=shares["shuffled_on_beat"],
        definitions=dict(DEFINITIONS),
        num_crops=len(crops),
        num_pieces=len(set(pieces)),
        num_unpaired=sum(other is None for other in others),
        crop_s=round(float(np.mean([len(crop.original) for crop in crops])) / SAMPLE_RATE, 3),
        sample_rate=SAMPLE_RATE,
        confidence=CONFIDENCE,
        num_resamples=num_resamples,
        seed=seed,
    )


def pair_by_style(crops: Sequence[Crop]) -> list[int | None]:
    """For each crop the index of one of another piece of the same style, nearest in tempo; None without one.

    Ties go round: of equally near ones, the first that follows in the list, so that no piece stands for all.
    """
    pairs: list[int | None] = []
    for i, crop in enumerate(crops):
        following = [*range(i + 1, len(crops)), *range(i)]
        candidates = [j for j in following if crops[j].style == crop.style and crops[j].piece != crop.piece]
        pairs.append(min(candidates, key=lambda j: _tempo_distance(crop, crops[j])) if candidates else None)
    return pairs


def retimed_notes(other: Crop, crop: Crop, *, on_beat: bool = False) -> NDArray[np.void]:
    """Another piece's notes at this crop's tempo, those that begin inside the crop.

    Args:
        other: whose notes.
        crop: whose tempo and length.
        on_beat: lay its downbeat on the crop's; otherwise both begin where their crops were cut.
    """
    notes = other.notes.copy()
    stretch = other.tempo_bpm / crop.tempo_bpm
    theirs_s, ours_s = (other.downbeat_s, crop.downbeat_s) if on_beat else (0.0, 0.0)
    for edge in ("start_s", "end_s"):
        notes[edge] = (notes[edge] - theirs_s) * stretch + ours_s
    duration_s = len(crop.original) / SAMPLE_RATE
    notes["end_s"] = np.minimum(notes["end_s"], duration_s)
    return notes[(notes["start_s"] >= 0) & (notes["start_s"] < duration_s)]


def _measure(crop: Crop, other: Crop | None) -> dict[str, dict[str, float]]:
    """Row to measure to value of one crop; NaN where a measure does not apply."""
    generated_onsets = find_onsets(crop.generated, SAMPLE_RATE)
    rows = {
        "original": _against_notes(crop.original, find_onsets(crop.original, SAMPLE_RATE), crop.notes),
        "codec": _against_notes(crop.codec, find_onsets(crop.codec, SAMPLE_RATE), crop.notes),
        "generated": _against_notes(crop.generated, generated_onsets, crop.notes),
        **{row: {} for row in CHANCE_ROWS},
    }
    rows["codec"] |= _against_sound(crop.codec, crop.original) | {"si_sdr_db": si_sdr_db(crop.codec, crop.original)}
    rows["generated"] |= _against_sound(crop.generated, crop.original)
    if other is not None:
        for row in CHANCE_ROWS:
            notes = retimed_notes(other, crop, on_beat=row == "shuffled_on_beat")
            rows[row] |= _against_notes(crop.generated, generated_onsets, notes)
        samples = min(len(crop.generated), len(other.original))
        rows["shuffled"] |= _against_sound(crop.generated[:samples], other.original[:samples])
    return {row: {name: values.get(name, float("nan")) for name in DEFINITIONS} for row, values in rows.items()}


def _against_notes(
    wave: NDArray[np.float32], onsets_s: NDArray[np.float64], notes: NDArray[np.void]
) -> dict[str, float]:
    scores = {f"onset_f1_{ms}ms": onset_scores(notes["start_s"], onsets_s, ms / 1000).f1 for ms in TOLERANCES_MS}
    return scores | {"bass_accuracy": bass_pitch_class_accuracy(wave, notes, SAMPLE_RATE)}


def _against_sound(wave: NDArray[np.float32], reference: NDArray[np.float32]) -> dict[str, float]:
    return {
        "mel_correlation": mel_correlation(wave, reference, SAMPLE_RATE),
        "mel_distance": mel_distance(wave, reference, SAMPLE_RATE),
    }


def _share_of_reachable(mean: Mapping[str, float]) -> float:
    reachable = mean["codec"] - mean["chance"]
    return (mean["own"] - mean["chance"]) / reachable if reachable > 0 else float("nan")


def _tempo_distance(crop: Crop, other: Crop) -> float:
    return round(abs(np.log2(crop.tempo_bpm / other.tempo_bpm)), 3)
