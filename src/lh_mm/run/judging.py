"""What a bundle makes of held-out music, generated in batches and judged: sound for notes, and compositions.

`run/evaluate.py` says which of it a run is measured by; here it is made, crop by crop, in the form in which the
model was trained, with the piece's own controls as far as the model knows them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lh_mm.audio.io import write_audio
from lh_mm.core.clock import num_frames_for
from lh_mm.core.files import write_json
from lh_mm.core.log import console, progress
from lh_mm.core.reproduce import cpu_name
from lh_mm.data.controls import CONTROLS
from lh_mm.data.held_out import held_out_crops
from lh_mm.data.prepared import PieceInfo, PreparedSet
from lh_mm.evaluate.bootstrap import bootstrap_mean
from lh_mm.evaluate.four_rows import Crop, judge
from lh_mm.evaluate.settings import EvaluateConfig
from lh_mm.evaluate.symbolic import measures
from lh_mm.generate.request import Request, Result
from lh_mm.generate.sampler import Generation
from lh_mm.generate.sampling import Sampling
from lh_mm.music.events import decode_events
from lh_mm.music.midi_write import write_midi
from lh_mm.music.score import Score
from lh_mm.run.bundle import Bundle
from lh_mm.run.generate import decode_codes
from lh_mm.run.requests import Asker


def run_batches(
    bundle: Bundle, requests: Sequence[Request], settings: EvaluateConfig, label: str, guidance: float = 1.0
) -> tuple[list[Result], float]:
    """Results of requests, a batch at a time, and the seconds they took."""
    sampling = Sampling(settings.temperature, 0, settings.top_p)
    results: list[Result] = []
    started = time.perf_counter()
    with progress(label, len(requests), "crops") as shown:
        for start in range(0, len(requests), settings.batch_size):
            batch = requests[start : start + settings.batch_size]
            results += Generation(
                bundle.model, batch, bundle.event_vocabulary, events=sampling, codes=sampling, guidance=guidance
            ).results()
            shown.advance(len(batch))
    return results, time.perf_counter() - started


def judge_midi_to_audio(
    bundle: Bundle, dataset: PreparedSet, settings: EvaluateConfig, crops_dir: Path
) -> dict[str, Any]:
    """Sound for held-out notes in four rows, and how fast it was made; a few crops are kept as sound files."""
    asker = Asker(bundle)
    codec = bundle.codec
    assert codec is not None
    rate, sample_rate = asker.rate_hz, codec.sample_rate
    num_frames = num_frames_for(settings.crop_s, rate)
    chosen = held_out_crops(dataset, settings.split, settings.num_crops, settings.crop_s, settings.seed)
    if not chosen:
        console().print(f"no {settings.split} piece of {settings.crop_s:g} s with notes and sound: four rows left out")
        return {}
    scores: list[Score] = []
    requests, originals, round_trips = [], [], []
    waves: dict[str, NDArray[np.float32]] = {}
    for i, (piece, start_s) in enumerate(chosen):
        score = dataset.score(piece)
        assert score is not None
        scores.append(score.crop(start_s, start_s + settings.crop_s))
        requests.append(
            asker.midi_to_audio(
                scores[-1], num_frames=num_frames, controls=controls_of(bundle, piece), is_crop=start_s > 0,
                seed=settings.seed * 100_003 + i,
            )
        )  # fmt: skip
        if piece.id not in waves:
            waves[piece.id] = dataset.audio(piece, piece.tracks[0])
        first, frame = round(start_s * sample_rate), round(start_s * rate)
        length = num_frames * codec.hop_samples
        originals.append(_padded(waves[piece.id][first : first + length], length))
        codes = np.asarray(dataset.codes(piece, piece.tracks[0])[frame : frame + num_frames], np.int64)
        round_trips.append(_padded(decode_codes(codec, [codes])[0], length))
    results, seconds = run_batches(bundle, requests, settings, "sound for notes", settings.guidance)
    generated = [_padded(w, num_frames * codec.hop_samples) for w in decode_codes(codec, [_only(r) for r in results])]
    crops = [
        Crop(
            piece=piece.id, style=str(piece.labels.get("style", "")), tempo_bpm=score.tempo_map.tempo_bpm(),
            downbeat_s=_downbeat_s(score), notes=score.notes, original=original, codec=round_trip, generated=made,
        )
        for (piece, _), score, original, round_trip, made in zip(
            chosen, scores, originals, round_trips, generated, strict=True
        )
    ]  # fmt: skip
    _keep(crops[: settings.keep_crops], scores, crops_dir, sample_rate)
    four = judge(crops, seed=settings.seed)
    speed = {
        "realtime": len(crops) * settings.crop_s / seconds, "batch_size": settings.batch_size,
        "seconds": round(seconds, 2), "machine": cpu_name(),
    }  # fmt: skip
    return {"four_rows": four.model_dump(mode="json"), "speed": speed}


def _keep(crops: Sequence[Crop], scores: Sequence[Score], folder: Path, sample_rate: int) -> None:
    """Crops as files, for ears and for other judges: `0_generated.wav`, .., `0_notes.mid`, and `crops.json`."""
    for i, (crop, score) in enumerate(zip(crops, scores, strict=False)):
        for name in ("original", "codec", "generated"):
            write_audio(folder / f"{i}_{name}.wav", getattr(crop, name)[None], sample_rate)
        write_midi(score, folder / f"{i}_notes.mid")
    write_json(folder / "crops.json", [{"piece": c.piece, "style": c.style, "tempo_bpm": c.tempo_bpm} for c in crops])


def judge_compositions(bundle: Bundle, dataset: PreparedSet, settings: EvaluateConfig) -> dict[str, Any] | None:
    """Statistics of free compositions beside those of held-out music."""
    asker = Asker(bundle)
    rate = asker.rate_hz
    chosen = held_out_crops(
        dataset, settings.split, settings.num_pieces, settings.crop_s, settings.seed + 2, with_sound=False
    )
    if not chosen:
        return None
    num_frames = num_frames_for(settings.crop_s, rate)
    requests = [
        asker.joint(num_frames, num_frames, controls=controls_of(bundle, piece), seed=settings.seed * 100_003 + i)
        for i, (piece, _) in enumerate(chosen)
    ]
    results, _ = run_batches(bundle, requests, settings, "composing")
    data, made = [], []
    for (piece, start_s), result in zip(chosen, results, strict=True):
        score = dataset.score(piece)
        assert score is not None
        data.append(score.crop(start_s, start_s + settings.crop_s).in_main_meter())
        # The request's tempo says where beats are: a composition has no tempo map of its own.
        written = decode_events(
            result.clocks, result.ids, rate, result.num_frames, bundle.event_vocabulary, data[-1].tempo_map
        )
        made.append(replace(written, meters=data[-1].meters))
    ids = [piece.id for piece, _ in chosen]
    return {"generated": statistics(made, ids), "data": statistics(data, ids), "num_pieces": len(ids)}


def statistics(scores: Sequence[Score], ids: Sequence[str], has_beats: bool = True) -> dict[str, Any]:
    """Each measure's mean over scores with its interval by piece and its grid; see `measures`."""
    tables = [{m.name: m for m in measures(score, has_beats=has_beats)} for score in scores]
    result = {}
    for name in tables[0]:
        interval = bootstrap_mean([table[name].value for table in tables], list(ids))
        grids = dict.fromkeys(table[name].grid for table in tables)  # pieces of other meters have other bars
        result[name] = {**(plain(interval) or {}), "grid": " or ".join(grids)}
    return result


def controls_of(bundle: Bundle, piece: PieceInfo) -> dict[str, str | None]:
    """A piece's own controls, as far as the bundle knows their values."""
    values: dict[str, str | None] = {}
    for control in bundle.spec.controls:
        value = CONTROLS[control.name](piece.record) if control.name in CONTROLS else None
        values[control.name] = value if value in control.values else None
    return values


def _only(result: Result) -> NDArray[np.int64]:
    return next(iter(result.codes.values()))


def _padded(wave: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    return np.pad(wave[:length], (0, max(0, length - len(wave))))


def _downbeat_s(score: Score) -> float:
    """The first bar line at or after 0."""
    bar = score.meters[0].bar_beats
    begin = score.meters[0].start_beat
    number = int(np.ceil((float(score.tempo_map.to_beats(0.0)) - begin) / bar - 1e-6))
    return float(score.tempo_map.to_seconds(begin + number * bar))


def plain(interval: Any) -> dict[str, Any] | None:
    """An interval as it is written, None where there is none."""
    return None if interval is None else interval.model_dump(mode="json")
