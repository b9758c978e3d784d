"""Music that a model of notes alone composes, judged beside held-out music: statistics, shared areas, copies, controls.

Pieces are composed from nothing with the controls and on the grid of held-out pieces, from their beginning and as long
as these are listened to; every measure is taken of both sides, so that a figure has something to be held against, and
shared areas of training music, too, which is as near as music comes that is only of the same kind.

Performance events know seconds alone. Their model is told a tempo in steps of ten, and on the exact grid of the piece
whose controls it was given even a real recording of the next tempo loses its groove; so both sides are counted in
eighths of a second, and what needs bars is left out.
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
from lh_mm.data.token_rows import TokenRows
from lh_mm.evaluate.bootstrap import bootstrap_mean
from lh_mm.evaluate.copies import CopyIndex
from lh_mm.evaluate.distributions import MEAN, overlap_areas
from lh_mm.evaluate.following import agreement
from lh_mm.evaluate.settings import EvaluateConfig
from lh_mm.generate.sampling import Sampling
from lh_mm.music.performance import Performance
from lh_mm.music.score import Score, meters_from
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
        own = score.crop(0.0, until_s)
        first, second_0 = first_beat(source.vocabulary, score), float(score.tempo_map.to_beats(0.0))
        meters = meters_from((own.main_meter(),), first - second_0)  # the same bars on both sides
        begun = Beginning(
            tempo_map=_grid_from(score, first), meters=meters,
            controls=controls_of(bundle, piece), until_s=until_s, seed=settings.seed * 100_003 + i,
        )  # fmt: skip
        beginnings.append(begun)
        data.append(own.in_main_meter())
    made, seconds = compose(bundle, beginnings, sampling, guidance=settings.guidance)
    free, _ = compose(
        bundle, beginnings[:_UNMASKED], sampling, max_tokens=_UNMASKED_TOKENS, masked=False, label="without a mask"
    )
    scores = [m.score for m in made]
    known = [dataset.score(piece) for piece in chosen_pieces(dataset, "train", len(pieces), settings.piece_s)]
    alike = [score.crop(0.0, min(settings.piece_s, score.duration_s)) for score in known if score is not None]
    has_beats = not isinstance(source.vocabulary, Performance)
    result = compared(scores, data, alike, [piece.id for piece in pieces], dataset, has_beats)
    result |= {
        "num_pieces": len(pieces), "piece_s": settings.piece_s,
        "notes_per_s": sum(len(score.notes) for score in scores) / seconds,
        "tokens_per_s": sum(m.num_drawn for m in made) / seconds,
        "silent": sum(not len(score.notes) for score in scores) / len(scores),
        "illegal": sum(m.num_illegal for m in made) / max(1, sum(m.num_drawn for m in made)),
        "illegal_unmasked": sum(m.num_illegal for m in free) / max(1, sum(m.num_drawn for m in free)),
        "controls": _density_followed(bundle, beginnings, scores, data, [piece.id for piece in pieces]),
    }  # fmt: skip
    return result


def compared(
    scores: Sequence[Score],
    data: Sequence[Score],
    alike: Sequence[Score],
    ids: Sequence[str],
    dataset: PreparedSet,
    has_beats: bool = True,
) -> dict[str, Any]:
    """Statistics of both sides, their shared areas, and the longest runs of notes that each shares with training.

    Args:
        scores, data: composed and held-out music, paired.
        alike: as many pieces of training music, whose shared areas with `data` are the bound.
        ids: the piece of each pair.
        dataset: whose training pieces may have been copied.
        has_beats: whether the model's tokens know beats.
    """
    known = [score for piece in dataset.pieces("train") if (score := dataset.score(piece)) is not None]
    index = CopyIndex(known, by_seconds=not has_beats)
    if not has_beats:
        scores, data, alike = ([_by_seconds(score) for score in side] for side in (scores, data, alike))
    copied = {
        side: plain(bootstrap_mean([float(index.longest(score)) for score in own], list(ids)))
        for side, own in (("generated", scores), ("data", data))
    }
    areas = {
        name: {
            key: area.model_dump(mode="json")
            for key, area in overlap_areas(side, data[: len(side)], ids[: len(side)], has_beats).items()
        }
        for name, side in (("overlap", scores), ("overlap_data", alike[: len(data)]))
    }
    return {
        "generated": statistics(scores, ids, has_beats), "data": statistics(data, ids, has_beats), **areas,
        "overlap_mean": areas["overlap"].get(MEAN), "overlap_data_mean": areas["overlap_data"].get(MEAN),
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


def _grid_from(score: Score, first: float) -> TempoMap:
    """A piece's tempo with beat 0 where its tokens begin (`first`), and second 0 there or at the piece's begin."""
    begin_s = float(score.tempo_map.to_seconds(first))
    return TempoMap(score.tempo_map.beats - first, score.tempo_map.seconds - min(begin_s, 0.0))


def _by_seconds(score: Score) -> Score:
    """The same music with two beats a second, whatever its own tempo is."""
    notes, tempo_map = score.notes.copy(), TempoMap.constant(120.0)
    for edge in ("start", "end"):
        notes[f"{edge}_beat"] = tempo_map.to_beats(notes[f"{edge}_s"])
    return replace(score, notes=notes, tempo_map=tempo_map)


def _density_followed(
    bundle: Bundle,
    beginnings: Sequence[Beginning],
    scores: Sequence[Score],
    data: Sequence[Score],
    ids: Sequence[str],
) -> dict[str, Any]:
    """Notes a second that were asked for and that came, in buckets.

    What is asked is the density of the whole piece, as training tells it; its own beginning has another one, so
    held-out music does not follow it to the letter either.
    """
    control = next((c for c in bundle.spec.controls if c.name == "density"), None)
    if control is None:
        return {}
    asked: list[int] = []
    got: list[int] = []
    own: list[int] = []
    pieces: list[str] = []
    for begun, score, real, piece in zip(beginnings, scores, data, ids, strict=True):
        wanted = begun.controls.get("density")
        if wanted is not None:
            asked.append(_rank(control.values, wanted))
            pieces.append(piece)
            for side, made in ((got, score), (own, real)):
                found = density_bucket(len(made.notes) / max(begun.until_s or made.duration_s, 1e-9))
                side.append(_rank(control.values, found))
    found_agreement = agreement(asked, got, data=own, pieces=pieces)
    return {} if found_agreement is None else {"density": found_agreement.model_dump(mode="json")}


def _rank(values: Sequence[str], bucket: str) -> int:
    """The number of a bucket among the known ones, by its lower edge: one that is not known lies between them."""
    edges = [float(value.partition("-")[0].rstrip("+")) for value in values]
    return int(np.searchsorted(edges, float(bucket.partition("-")[0].rstrip("+"))))
