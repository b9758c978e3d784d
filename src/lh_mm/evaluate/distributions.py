"""How alike the notes of generated and of real music are: the shared area of their distributions.

Legend: P pieces, N notes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lh_mm.evaluate.bootstrap import Interval, bootstrap
from lh_mm.music.score import Score

STEPS_PER_BEAT = 4
_LONGEST = 32
"""Longest interval and duration that are told apart, in steps."""
FEATURES = ("pitch", "pitch_class", "drum", "duration", "onset_interval", "notes_a_bar")
MEAN = "mean"


def feature_values(score: Score, has_bars: bool = True) -> dict[str, NDArray[np.int64]]:
    """What is counted of a piece, each as small whole numbers.

    Pitch and pitch class of pitched notes; the key of drums; durations of pitched notes and intervals from onset to
    onset of all, in sixteenths from 1 to 32; onsets in each bar of the main meter up to 63, from the first bar with a
    note to the last one (left out where music knows no bars). Sixteenths are counted from a bar line.
    """
    score = score.from_bar_line() if has_bars else score
    notes = score.notes
    pitched = notes[~notes["drum"]]
    steps = np.unique(np.rint(notes["start_beat"] * STEPS_PER_BEAT).astype(np.int64))
    length = np.rint((pitched["end_beat"] - pitched["start_beat"]) * STEPS_PER_BEAT).astype(np.int64)
    found = {
        "pitch": pitched["pitch"].astype(np.int64),
        "pitch_class": pitched["pitch"].astype(np.int64) % 12,
        "drum": notes[notes["drum"]]["pitch"].astype(np.int64),
        # Not from 0: tokens on a grid hold no such duration, and a tenth of POP909's notes would round to it.
        "duration": np.clip(length, 1, _LONGEST),
        "onset_interval": np.clip(np.diff(steps), 1, _LONGEST),
    }
    if has_bars:
        step = np.rint(notes["start_beat"] * STEPS_PER_BEAT)  # a note played early is of the bar behind
        bars = np.floor(step / (score.main_meter().bar_beats * STEPS_PER_BEAT) + 1e-6).astype(np.int64)
        counts = np.bincount(bars - bars.min()) if len(bars) else np.zeros(0, np.int64)
        found["notes_a_bar"] = np.clip(counts, 0, 63)
    return found


def overlap_areas(
    generated: Sequence[Score], data: Sequence[Score], ids: Sequence[str], has_bars: bool = True
) -> dict[str, Interval]:
    """Shared area of the histograms of generated and real music, 0 to 1, by feature, and their `mean`.

    Intervals have the width of the bootstrap's by piece and the value in their middle: resampled histograms are rougher
    than their own, so all their shared areas are smaller, and percentiles of them would lie below the value.

    Args:
        generated, data: as many of each, paired by what was asked for.
        ids: the piece of each pair; pairs are resampled by it.
        has_bars: whether the music knows them; without, `notes_a_bar` is left out.

    Returns:
        Features that both sides have values of.
    """
    made, real = ([feature_values(score, has_bars) for score in scores] for scores in (generated, data))
    columns: dict[str, list[float]] = {}
    known = []
    for name in FEATURES:
        counts = [[np.bincount(own.get(name, []), minlength=128) for own in tables] for tables in (made, real)]
        if all(np.sum(side) for side in counts):
            known.append(name)
            for side, tables in zip(("made", "real"), counts, strict=True):
                table = np.array(tables, np.float64)
                columns |= {f"{side} {name} {value}": table[:, value].tolist() for value in range(128)}

    def area(means: Mapping[str, float], name: str) -> float:
        p, q = (np.array([means[f"{side} {name} {value}"] for value in range(128)]) for side in ("made", "real"))
        return float(np.minimum(p / p.sum(), q / q.sum()).sum()) if p.sum() and q.sum() else float("nan")

    def mean_area(names: Sequence[str]) -> Interval | None:
        own = {key: values for key, values in columns.items() if key.split()[1] in names}
        return bootstrap(
            own, list(ids), lambda means: float(np.mean([area(means, name) for name in names])), num_resamples=200
        )

    areas = {name: mean_area([name]) for name in known} | ({MEAN: mean_area(known)} if known else {})
    return {name: _centred(found) for name, found in areas.items() if found is not None}


def _centred(found: Interval) -> Interval:
    """The interval moved to have the value in its middle, kept in 0 .. 1."""
    half = (found.high - found.low) / 2
    return found.model_copy(update={"low": max(0.0, found.value - half), "high": min(1.0, found.value + half)})
