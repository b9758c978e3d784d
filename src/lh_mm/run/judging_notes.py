"""Notes that a bundle writes down from held-out sound, or fills into a hole, judged by note F1.

Beside the truth stands chance: the same notes against another piece's. `run/judging.py` makes the crops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lh_mm.core.clock import num_frames_for
from lh_mm.data.held_out import held_out_crops
from lh_mm.data.prepared import PieceInfo, PreparedSet
from lh_mm.evaluate.bootstrap import bootstrap_mean
from lh_mm.evaluate.settings import EvaluateConfig
from lh_mm.evaluate.symbolic import note_f1
from lh_mm.generate.request import Request
from lh_mm.music.events import decode_events
from lh_mm.music.score import Score
from lh_mm.run.bundle import Bundle
from lh_mm.run.judging import controls_of, plain, run_batches
from lh_mm.run.requests import Asker, Sound

HOLE_SHARE = 0.2
"""Of a crop, the hole that is filled."""


def judge_audio_to_midi(bundle: Bundle, dataset: PreparedSet, settings: EvaluateConfig) -> dict[str, Any] | None:
    """Notes for held-out sound by note F1, beside another crop's notes."""
    asker = Asker(bundle)
    found = _written_down(
        bundle, dataset, settings, settings.num_transcriptions, settings.seed + 1, "notes for sound",
        lambda score, sound, **common: asker.audio_to_midi(sound, **common),
    )  # fmt: skip
    if found is None:
        return None
    return _note_scores(*found) | {
        "num_crops": len(found[0]), "crop_s": settings.crop_s,
        "definition": "pitched notes by mir_eval, onset within 50 ms and pitch right; shuffled: another crop's notes",
    }  # fmt: skip


def judge_infill(bundle: Bundle, dataset: PreparedSet, settings: EvaluateConfig) -> dict[str, Any] | None:
    """Notes of a hole in the middle of a crop whose sound is heard, by note F1, beside another crop's hole."""
    asker = Asker(bundle)
    rate = asker.rate_hz
    num_frames, length = num_frames_for(settings.crop_s, rate), num_frames_for(settings.crop_s * HOLE_SHARE, rate)
    hole = ((num_frames - length) // 2, (num_frames + length) // 2)
    found = _written_down(
        bundle, dataset, settings, settings.num_infills, settings.seed + 3, "notes of a hole",
        lambda score, sound, **common: asker.infill(score, sound, hole, num_frames, "midi", **common),
    )  # fmt: skip
    if found is None:
        return None
    truths, made, ids = found
    truths, made = ([_beginning_in(score, hole[0] / rate, hole[1] / rate) for score in each] for each in (truths, made))
    return _note_scores(truths, made, ids) | {
        "num_crops": len(ids), "crop_s": settings.crop_s, "hole_s": length / rate,
        "definition": "pitched notes that begin in the hole, by mir_eval, onset within 50 ms and pitch right, notes "
        "around the hole and all sound given; shuffled: the notes of another crop's hole",
    }  # fmt: skip


def _written_down(
    bundle: Bundle,
    dataset: PreparedSet,
    settings: EvaluateConfig,
    num_crops: int,
    seed: int,
    label: str,
    ask: Callable[..., Request],
) -> tuple[list[Score], list[Score], list[str]] | None:
    """True notes, written ones and piece ids of held-out crops; None without any. `ask` makes a crop's request."""
    rate = dataset.rate_hz
    num_frames = num_frames_for(settings.crop_s, rate)
    chosen = held_out_crops(dataset, settings.split, num_crops, settings.crop_s, seed)
    if not chosen:
        return None
    requests, truths = [], []
    for i, (piece, start_s) in enumerate(chosen):
        frame = round(start_s * rate)
        score, sound = _crop(bundle, dataset, piece, frame, num_frames)
        truths.append(score)
        common = {"controls": controls_of(bundle, piece), "is_crop": frame > 0, "seed": settings.seed * 100_003 + i}
        requests.append(ask(score, sound, **common))
    results, _ = run_batches(bundle, requests, settings, label)
    made = [decode_events(r.clocks, r.ids, rate, r.num_frames, bundle.event_vocabulary) for r in results]
    return truths, made, [piece.id for piece, _ in chosen]


def _crop(bundle: Bundle, dataset: PreparedSet, piece: PieceInfo, frame: int, num_frames: int) -> tuple[Score, Sound]:
    """Notes and sound of a piece from a frame on."""
    score = dataset.score(piece)
    assert score is not None
    rate, part = dataset.rate_hz, slice(frame, frame + num_frames)
    features = None
    if bundle.spec.feature_dim:
        features = np.asarray(dataset.features(piece, piece.tracks[0])[part], np.float32)
    codes = np.asarray(dataset.codes(piece, piece.tracks[0])[part], np.int64)
    return score.crop(frame / rate, (frame + num_frames) / rate), Sound(codes, features)


def _beginning_in(score: Score, start_s: float, end_s: float) -> Score:
    """The notes that begin in [start_s, end_s)."""
    begins = score.notes["start_s"]
    return replace(score, notes=score.notes[(begins >= start_s) & (begins < end_s)])


def _note_scores(truths: Sequence[Score], made: Sequence[Score], ids: Sequence[str]) -> dict[str, Any]:
    """Note F1 of each crop's own notes, of another piece's, and of drums."""
    others = [
        next((j for k in range(1, len(ids)) if ids[j := (i + k) % len(ids)] != ids[i]), None) for i in range(len(ids))
    ]
    own = [_f1(truth, score) for truth, score in zip(truths, made, strict=True)]
    shuffled = [np.nan if j is None else _f1(truths[j], made[i]) for i, j in enumerate(others)]
    drums = [_f1(truth, score, drums=True) for truth, score in zip(truths, made, strict=True)]
    return {
        "own": plain(bootstrap_mean(own, ids)), "shuffled": plain(bootstrap_mean(shuffled, ids)),
        "drums": plain(bootstrap_mean(drums, ids)),
    }  # fmt: skip


def _f1(truth: Score, made: Score, drums: bool = False) -> float:
    """Onset note F1; not a number where there is nothing to find, which says nothing and would score 1."""
    return note_f1(truth, made, drums).onset if (truth.notes["drum"] == drums).any() else float("nan")
