"""What a model of MMM's tokens writes into held-out windows, judged: pieces, attributes that were asked, filled bars.

An attribute is asked alone of a track that is written anew beside the other tracks of its window, drawn evenly from the
values that tracks of its instrument have, so it does not follow from the context and can be told from it. Agreement is
within instruments, whose polyphonies differ whatever is asked; the track that stood there is what no request gives.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lh_mm.core.clock import TempoMap
from lh_mm.data.bar_rows import BarRows
from lh_mm.data.prepared import PieceInfo, PreparedSet
from lh_mm.data.splits import Split
from lh_mm.evaluate.bootstrap import bootstrap_mean
from lh_mm.evaluate.following import agreement
from lh_mm.evaluate.settings import EvaluateConfig
from lh_mm.evaluate.symbolic import note_f1
from lh_mm.generate.sampling import Sampling
from lh_mm.music.bar_score import score_of_window
from lh_mm.music.bars import BarTrack, Window
from lh_mm.music.mmm import Mmm
from lh_mm.music.score import Score
from lh_mm.run.bundle import Bundle
from lh_mm.run.compose_windows import WindowJob, WindowMade, fill_windows
from lh_mm.run.judging import controls_of, plain
from lh_mm.run.judging_tokens import compared

FOLLOWED = ("DENSITY", "MAX_POLYPHONY", "MAX_DURATION")
_KNOWN = 400
"""Training windows whose tracks say what can be asked of an instrument."""


@dataclass(frozen=True)
class _HeldOut:
    piece: PieceInfo
    window: Window
    tempo_map: TempoMap


def judge_bars(
    bundle: Bundle, dataset: PreparedSet, source: BarRows, settings: EvaluateConfig
) -> dict[str, Any] | None:
    """Figures of composed and of filled windows as plain values, those asked for; None where the split has none."""
    result: dict[str, Any] = {}
    if settings.num_pieces and (chosen := _held_out(source, settings.split, settings.num_pieces)):
        result |= _composed(bundle, dataset, chosen, _held_out(source, "train", len(chosen)), settings)
    if settings.num_windows and (held := _held_out(source, settings.split, settings.num_windows)):
        result["controls"] = _followed(bundle, source, held, settings)
        result["infill"] = _filled(bundle, held, settings)
    return result or None


def _held_out(source: BarRows, split: Split, count: int) -> list[_HeldOut]:
    """Windows of a split, evenly, with their tracks that have notes."""
    held = []
    for piece, window, tempo_map in source.windows(split, count):
        tracks = tuple(track for track in window.tracks if len(track.notes))
        begin_s = float(tempo_map.to_seconds(window.first_beat))
        own = TempoMap(tempo_map.beats - window.first_beat, tempo_map.seconds - begin_s)
        held.append(_HeldOut(piece, Window(tracks, window.lines), own))
    return held


def _job(bundle: Bundle, own: _HeldOut, number: int, settings: EvaluateConfig, **parts: Any) -> WindowJob:
    seed = settings.seed * 100_003 + number
    return WindowJob(**parts, controls=controls_of(bundle, own.piece), tempo_map=own.tempo_map, seed=seed)


def _composed(
    bundle: Bundle,
    dataset: PreparedSet,
    chosen: Sequence[_HeldOut],
    known: Sequence[_HeldOut],
    settings: EvaluateConfig,
) -> dict[str, Any]:
    """Windows written track after track for the instruments of held-out ones, beside these, and beside known ones."""
    sampling = Sampling(settings.temperature, 0, settings.top_p)
    written: list[tuple[BarTrack, ...]] = [()] * len(chosen)
    seconds, drawn, illegal, unmasked = 0.0, 0, 0, 0.0
    for number in range(max(len(own.window.tracks) for own in chosen)):
        at = [i for i, own in enumerate(chosen) if number < len(own.window.tracks)]
        jobs = [
            _job(
                bundle, chosen[i], i * 31 + number, settings,
                window=Window(written[i], chosen[i].window.lines),
                new_track=(chosen[i].window.tracks[number].instrument, {}),
            )
            for i in at
        ]  # fmt: skip
        label = f"track {number + 1} of each window"
        made, took = fill_windows(bundle, jobs, sampling, tries=1, guidance=settings.guidance, label=label)
        seconds += took
        for i, one in zip(at, made, strict=True):
            written[i] = (*written[i], one.tracks[0])
            drawn, illegal = drawn + one.num_drawn, illegal + one.num_illegal
        if number == 0:
            free, _ = fill_windows(bundle, jobs[:4], sampling, tries=1, masked=False, label="without a mask")
            unmasked = sum(one.num_illegal for one in free) / max(1, sum(one.num_drawn for one in free))
    scores, data = (
        [
            score_of_window(Window(tracks, own.window.lines), own.tempo_map)
            for tracks, own in zip(side, chosen, strict=True)
        ]
        for side in (written, [own.window.tracks for own in chosen])
    )
    data = [score.in_main_meter() for score in data]
    scores = [replace(score, meters=own.meters) for score, own in zip(scores, data, strict=True)]
    alike = [score_of_window(own.window, own.tempo_map) for own in known]
    return compared(scores, data, alike, [own.piece.id for own in chosen], dataset) | {
        "num_pieces": len(chosen), "piece_s": float(np.mean([score.duration_s for score in data])),
        "notes_per_s": sum(len(score.notes) for score in scores) / seconds, "tokens_per_s": drawn / seconds,
        "silent": sum(not len(score.notes) for score in scores) / len(scores),
        "illegal": illegal / max(1, drawn), "illegal_unmasked": unmasked,
    }  # fmt: skip


def _followed(bundle: Bundle, source: BarRows, held: Sequence[_HeldOut], settings: EvaluateConfig) -> dict[str, Any]:
    """Attributes that were asked of one track of each window, one at a time, and those it got."""
    mmm, rng = source.vocabulary, np.random.default_rng([settings.seed, 5])
    chosen = [int(rng.integers(len(own.window.tracks))) for own in held]
    values = _values_of(mmm, [*_held_out(source, "train", _KNOWN), *held])
    found = {}
    for name in FOLLOWED:
        asked: list[int] = []
        places, jobs = [], []
        for number, (own, index) in enumerate(zip(held, chosen, strict=True)):
            track = own.window.tracks[index]
            if not (known := values.get((track.instrument, name))):
                continue
            asked.append(known[int(rng.integers(len(known)))])
            places.append((own, track))
            others = tuple(other for i, other in enumerate(own.window.tracks) if i != index)
            jobs.append(
                _job(
                    bundle, own, number + 7919, settings, window=Window(others, own.window.lines),
                    new_track=(track.instrument, {name: asked[-1]}),
                )
            )  # fmt: skip
        made = _in_batches(bundle, jobs, settings, f"attributes: {name.lower()}")
        got = [mmm.controls_of(one.tracks[0], own.window).get(name) for (own, _), one in zip(places, made, strict=True)]
        rows = [
            (wanted, came, track.instrument, mmm.controls_of(track, own.window)[name], own.piece.id)
            for wanted, came, (own, track) in zip(asked, got, places, strict=True)
            if came is not None  # of a track that came out silent
        ]
        if rows:
            wanted_, came_, instruments, stood, pieces = zip(*rows, strict=True)
            agreed = agreement(wanted_, came_, groups=instruments, deaf=stood, pieces=pieces)
            if agreed is not None:
                found[name.lower()] = agreed.model_dump(mode="json")
    return found


def _values_of(mmm: Mmm, known: Sequence[_HeldOut]) -> dict[tuple[int, str], list[int]]:
    """What attributes of an instrument's tracks are: values that a fiftieth of them have at least."""
    counts: dict[tuple[int, str], Counter[int]] = defaultdict(Counter)
    for own in known:
        for track in own.window.tracks:
            for name, value in mmm.controls_of(track, own.window).items():
                counts[track.instrument, name][value] += 1
    return {
        key: sorted(value for value, number in own.items() if 50 * number >= own.total()) for key, own in counts.items()
    }


def _filled(bundle: Bundle, held: Sequence[_HeldOut], settings: EvaluateConfig) -> dict[str, Any]:
    """The middle bars of every track filled anew: note F1 against what stood there, and against another window's."""
    jobs, truths = [], []
    for number, own in enumerate(held):
        bars = (own.window.num_bars // 2 - 1, own.window.num_bars // 2)
        holes = tuple((track, bar) for track in range(len(own.window.tracks)) for bar in bars)
        jobs.append(_job(bundle, own, number + 104_729, settings, window=own.window, holes=holes))
        truths.append(_notes_in(own, {hole: own.window.tracks[hole[0]].notes for hole in holes}))
    made = _in_batches(bundle, jobs, settings, "infill")
    ids = [own.piece.id for own in held]
    other = np.roll(np.arange(len(held)), len(held) // 2)
    f1, chance = [], []
    for i, own in enumerate(held):
        f1.append(_f1(truths[i], _notes_in(own, made[i].fills)))
        # At this window's tempo: at its own another window's notes would miss by that alone.
        chance.append(_f1(truths[i], _notes_in(replace(held[other[i]], tempo_map=own.tempo_map), made[other[i]].fills)))
    return {
        "own": plain(bootstrap_mean(f1, ids)), "shuffled": plain(bootstrap_mean(chance, ids)),
        "num_windows": len(held), "bars": held[0].window.num_bars,
        "tries": float(np.mean([one.tries for one in made])),
        "definition": "notes that begin in the two middle bars of all tracks, onset within 50 ms and pitch, drums and "
        "others apart; windows without any are left out",
    }  # fmt: skip


def _f1(truth: Score, fill: Score) -> float:
    """F1 of pitched notes and of drums, the mean by their number; NaN where the truth has neither."""
    drums = truth.notes["drum"]
    shares = [(float((drums == kind).mean()), kind) for kind in (False, True) if (drums == kind).any()]
    return sum(share * note_f1(truth, fill, drums=kind).onset for share, kind in shares) if shares else float("nan")


def _notes_in(own: _HeldOut, fills: Mapping[tuple[int, int], NDArray[np.int64]]) -> Score:
    """A score of the notes that begin in each bar, one track for all pitched instruments."""
    lines = own.window.lines
    tables: dict[int, list[NDArray[np.int64]]] = defaultdict(list)
    for (track, bar), notes in fills.items():
        inside = notes[(notes[:, 0] >= lines[bar]) & (notes[:, 0] < lines[bar + 1])]
        tables[own.window.tracks[track].instrument].append(inside)
    tracks = tuple(BarTrack(instrument, np.concatenate(parts)) for instrument, parts in tables.items())
    return score_of_window(Window(tracks, lines), own.tempo_map)


def _in_batches(bundle: Bundle, jobs: Sequence[WindowJob], settings: EvaluateConfig, label: str) -> list[WindowMade]:
    sampling = Sampling(settings.temperature, 0, settings.top_p)
    made: list[WindowMade] = []
    for start in range(0, len(jobs), settings.batch_size):
        part = jobs[start : start + settings.batch_size]
        shown = f"{label}, {start + len(part)} of {len(jobs)} windows"
        made += fill_windows(bundle, part, sampling, guidance=settings.guidance, label=shown)[0]
    return made
