"""Music that a model of notes alone composes, judged beside held-out music: statistics, shared areas, copies, controls.

Pieces are composed from nothing with the controls and on the grid of held-out pieces, from their beginning and as long
as these are listened to; every measure is taken of both sides, so that a figure has something to be held against.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lh_mm.core.clock import TempoMap
from lh_mm.data.controls import density_bucket
from lh_mm.data.prepared import PieceInfo, PreparedSet
from lh_mm.data.splits import Split
from lh_mm.data.symbolic import TokenRows
from lh_mm.evaluate.bootstrap import bootstrap_mean
from lh_mm.evaluate.distributions import CopyIndex, agreement, overlap_areas
from lh_mm.evaluate.settings import EvaluateConfig
from lh_mm.generate.sampling import Sampling
from lh_mm.music.performance import Performance
from lh_mm.music.score import Score
from lh_mm.music.tokenizer import first_beat
from lh_mm.run.bundle import Bundle
from lh_mm.run.compose import Beginning, compose
from lh_mm.run.judging import controls_of, plain, statistics

_UNMASKED, _UNMASKED_TOKENS = 4, 512
"""Pieces that are composed without a mask, to see how often it is needed, and how far."""


def judge_tokens(
    bundle: Bundle, dataset: PreparedSet, source: TokenRows, settings: EvaluateConfig
) -> dict[str, Any] | None:
    """Figures of composed pieces as plain values; None where the split has no notes."""
    pieces = chosen_pieces(dataset, settings.split, settings.num_pieces, settings.piece_s)
    if not pieces:
        return None
    sampling = Sampling(settings.temperature, 0, settings.top_p)
    beginnings, data = [], []
    for i, piece in enumerate(pieces):
        score = dataset.score(piece)
        assert score is not None
        until_s = min(settings.piece_s, score.duration_s)
        begun = Beginning(
            tempo_map=_grid_of(source, score), controls=controls_of(bundle, piece), until_s=until_s,
            seed=settings.seed * 100_003 + i,
        )  # fmt: skip
        beginnings.append(begun)
        data.append(_on_grid(source, score.crop(0.0, until_s), begun.tempo_map))
    made, seconds = compose(bundle, beginnings, sampling, label="composing")
    free, _ = compose(
        bundle, beginnings[:_UNMASKED], sampling, max_tokens=_UNMASKED_TOKENS, masked=False, label="without a mask"
    )
    scores = [_on_grid(source, m.score, begun.tempo_map) for m, begun in zip(made, beginnings, strict=True)]
    result = compared(scores, data, [piece.id for piece in pieces], dataset)
    result |= {
        "num_pieces": len(pieces), "piece_s": settings.piece_s,
        "notes_per_s": sum(len(score.notes) for score in scores) / seconds,
        "tokens_per_s": sum(m.num_drawn for m in made) / seconds,
        "silent": sum(not len(score.notes) for score in scores) / len(scores),
        "illegal": sum(m.num_illegal for m in made) / max(1, sum(m.num_drawn for m in made)),
        "illegal_unmasked": sum(m.num_illegal for m in free) / max(1, sum(m.num_drawn for m in free)),
        "controls": _density_followed(bundle, beginnings, scores),
    }  # fmt: skip
    return result


def compared(
    scores: Sequence[Score], data: Sequence[Score], ids: Sequence[str], dataset: PreparedSet
) -> dict[str, Any]:
    """Statistics of both sides, their shared areas, and the longest runs of notes that each shares with training."""
    bar = data[0].meters[0].bar_beats
    known = [score for piece in dataset.pieces("train") if (score := dataset.score(piece)) is not None]
    index = CopyIndex(known)
    copied = {
        side: plain(bootstrap_mean([float(index.longest(score)) for score in own], list(ids)))
        for side, own in (("generated", scores), ("data", data))
    }
    areas = overlap_areas(scores, data, ids, bar)
    return {
        "generated": statistics(scores, ids), "data": statistics(data, ids),
        "overlap": {name: interval.model_dump(mode="json") for name, interval in areas.items()},
        "overlap_mean": float(np.mean([interval.value for interval in areas.values()])) if areas else None,
        "copied_notes": copied,
    }  # fmt: skip


def chosen_pieces(dataset: PreparedSet, split: Split, count: int, piece_s: float) -> list[PieceInfo]:
    """Held-out pieces that are long enough (all, where none is), evenly from the split, again from its first."""
    pieces = [piece for piece in dataset.pieces(split) if piece.num_notes]
    long = [piece for piece in pieces if piece.duration_s >= piece_s] or pieces
    if not long:
        return []
    if count <= len(long):
        return [long[i * len(long) // count] for i in range(count)]
    return [long[i % len(long)] for i in range(count)]


def _grid_of(source: TokenRows, score: Score) -> TempoMap:
    """A piece's tempo with beat 0 where its tokens begin, and second 0 there or at the piece's begin."""
    first = first_beat(source.vocabulary, score)
    begin_s = float(score.tempo_map.to_seconds(first))
    return TempoMap(score.tempo_map.beats - first, score.tempo_map.seconds - min(begin_s, 0.0))


def _on_grid(source: TokenRows, score: Score, tempo_map: TempoMap) -> Score:
    """Beats of notes that count seconds, by the tempo of the piece whose controls they were composed with."""
    if not isinstance(source.vocabulary, Performance):
        return score
    notes = score.notes.copy()
    for edge in ("start", "end"):
        notes[f"{edge}_beat"] = tempo_map.to_beats(notes[f"{edge}_s"])
    return replace(score, notes=notes, tempo_map=tempo_map)


def _density_followed(bundle: Bundle, beginnings: Sequence[Beginning], scores: Sequence[Score]) -> dict[str, Any]:
    """Notes a second that were asked for and that came, in buckets."""
    control = next((c for c in bundle.spec.controls if c.name == "density"), None)
    if control is None:
        return {}
    asked, got = [], []
    for begun, score in zip(beginnings, scores, strict=True):
        wanted = begun.controls.get("density")
        found = density_bucket(len(score.notes) / max(begun.until_s or score.duration_s, 1e-9))
        if wanted is not None:
            asked.append(_rank(control.values, wanted))
            got.append(_rank(control.values, found))
    found_agreement = agreement(asked, got)
    return {} if found_agreement is None else {"density": found_agreement.model_dump(mode="json")}


def _rank(values: Sequence[str], bucket: str) -> int:
    """The number of a bucket among the known ones, by its lower edge: one that is not known lies between them."""
    edges = [float(value.partition("-")[0].rstrip("+")) for value in values]
    return int(np.searchsorted(edges, float(bucket.partition("-")[0].rstrip("+"))))
