"""How many onsets of rendered pieces does the onset finder hear, and how many would it by chance?

The truth is the notes' onsets, those within 30 ms merged, of crops of 10 s of `electronic` renders; seeds from 1,000 on
were not used to tune the finder. The peer is chance at its best: the same sound against the notes of another piece of
the same style, at the same tempo and on the same downbeat. Further rows: after MP3 at its lowest rate, and speed.

    python benchmarks/onsets.py
"""

from __future__ import annotations

import io
import time

import numpy as np
import soundfile
from harness import Row, measure, parser, require_quiet, write_results
from numpy.typing import NDArray

from lh_mm.audio.instruments.synth import Synth
from lh_mm.audio.mel import SAMPLE_RATE
from lh_mm.audio.onsets import find_onsets, merge_onsets
from lh_mm.evaluate.audio import onset_scores
from lh_mm.evaluate.bootstrap import bootstrap_mean
from lh_mm.evaluate.four_rows import Crop, pair_by_style, retimed_notes
from lh_mm.music.compose import STYLES, compose

FIRST_SEED = 1000
CROP_S = 10.0
CROP_AT = (0.3, 0.7)  # of each piece, moved to the next bar


def crops_of(seed: int, style: str) -> list[Crop]:
    """Crops that begin on a bar, where the notes' truth and the sound are both known."""
    piece = compose(seed, style, 60.0)
    assert piece.score is not None
    sound = Synth.for_labels(piece.labels, channels=1).render(piece.score, SAMPLE_RATE)[0]
    made = []
    for share in CROP_AT:
        bar = round(float(piece.score.tempo_map.to_beats(share * piece.score.duration_s)) / 4) * 4
        start_s = float(piece.score.tempo_map.to_seconds(bar))
        first = round(start_s * SAMPLE_RATE)
        wave = sound[first : first + round(CROP_S * SAMPLE_RATE)]
        notes = piece.score.crop(start_s, start_s + len(wave) / SAMPLE_RATE).notes
        if len(wave) == round(CROP_S * SAMPLE_RATE) and len(notes):
            tempo_bpm = float(piece.labels["tempo_bpm"])
            made.append(Crop(piece.id, style, tempo_bpm, 0.0, notes, wave, wave, wave))
    return made


def through_mp3(wave: NDArray[np.float32]) -> NDArray[np.float32]:
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, SAMPLE_RATE, format="MP3", compression_level=0.95)
    back = soundfile.read(io.BytesIO(buffer.getvalue()), dtype="float32")[0]
    return back[: len(wave)]


def errors_s(crop: Crop) -> list[float]:
    """Found minus given, of matches within 50 ms."""
    found, given = find_onsets(crop.original, SAMPLE_RATE), merge_onsets(crop.notes["start_s"])
    if not len(found):
        return []
    nearest = found[np.abs(found[None, :] - given[:, None]).argmin(axis=1)] - given
    return nearest[np.abs(nearest) <= 0.05].tolist()


def main() -> None:
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--pieces", type=int, default=50, help="pieces to render (default: %(default)s)")
    options = arguments.parse_args()
    other = require_quiet(options.allow_noise)
    names = tuple(STYLES)
    crops = [crop for i in range(options.pieces) for crop in crops_of(FIRST_SEED + i, names[i % len(names)])]
    others = pair_by_style(crops)
    rows: list[Row] = []
    for tolerance_s in (0.050, 0.025):
        for label, treat in (("", lambda wave: wave), (" after MP3", through_mp3)):
            own, chance = [], []
            for crop, j in zip(crops, others, strict=True):
                found = find_onsets(treat(crop.original), SAMPLE_RATE)
                own.append(onset_scores(crop.notes["start_s"], found, tolerance_s).f1)
                shuffled = retimed_notes(crops[j], crop, on_beat=True)["start_s"] if j is not None else []
                chance.append(onset_scores(shuffled, found, tolerance_s).f1)
            for style in (*names, "all"):
                chosen = [i for i, crop in enumerate(crops) if style in (crop.style, "all")]
                pieces = [crops[i].piece for i in chosen]
                ours, peer = (bootstrap_mean([f1[i] for i in chosen], pieces) for f1 in (own, chance))
                if ours is None or peer is None:
                    continue
                case = f"onset F1 at {tolerance_s * 1000:.0f} ms{label}, {style}"
                spread = (ours.high - ours.low) / ours.value
                rows.append(Row(case, ours.value, peer.value, "another piece's notes", "F1", True, ours.num, spread))
    errors_ms = 1000.0 * np.array([error for crop in crops for error in errors_s(crop)])
    wave = crops[0].original
    timing = measure(lambda: find_onsets(wave, SAMPLE_RATE), n=options.n, clock=time.process_time)
    speed = CROP_S / timing.median_s
    rows.append(Row("speed", speed, None, "", "s of audio per CPU s", True, timing.n, timing.spread))
    write_results(
        "onsets",
        "cpu",
        rows,
        other,
        spread_is="width of the 95 % interval over F1, bootstrap by piece",
        median_error_ms=round(float(np.median(errors_ms)), 2),
        p90_error_ms=round(float(np.percentile(np.abs(errors_ms - np.median(errors_ms)), 90)), 2),
    )


if __name__ == "__main__":
    main()
