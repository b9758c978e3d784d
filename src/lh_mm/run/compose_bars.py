"""Bars written by a model of MMM's tokens: holes filled across tracks, tracks added, pieces begun and gone on with.

A model writes one window of 4 or 8 bars (`run/compose_windows.py`); here a piece is gone through window by window, each
hearing what the one before wrote. What was not asked for stays bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lh_mm.core.clock import TempoMap
from lh_mm.generate.sampling import Sampling
from lh_mm.music.bar_score import add_track, put_back, score_of_window, track_keys
from lh_mm.music.bars import TICKS_PER_BEAT, Window, window_of
from lh_mm.music.score import Score
from lh_mm.run.bundle import Bundle
from lh_mm.run.compose_windows import WindowJob, WindowMade, fill_windows


@dataclass(frozen=True)
class BarAsk:
    """What is asked of bars, beside where they are.

    Attributes:
        tracks: tracks of the score that are written into; none for all.
        attributes: of the tracks that are written, as `{"DENSITY": 5}`.
        controls: of the piece.
        sampling: how tokens are drawn.
        max_polyphony, max_notes: hard caps.
        tries: of each window.
        seed: of the draws.
    """

    tracks: tuple[int, ...] = ()
    attributes: Mapping[str, int] = field(default_factory=dict)
    controls: Mapping[str, str | None] = field(default_factory=dict)
    sampling: Sampling = Sampling(top_p=0.95)  # noqa: RUF009 (frozen)
    max_polyphony: int | None = None
    max_notes: int | None = None
    tries: int = 3
    seed: int = 0


def fill_bars(bundle: Bundle, score: Score, bars: range, ask: BarAsk) -> tuple[Score, int]:
    """A piece with some of its bars written anew, or with bars behind its end; and the tokens that were drawn.

    Raises:
        ValueError: for tracks that the piece has not, no bars, or a bundle of other tokens.
    """
    keys = track_keys(score)
    if unknown := sorted(set(ask.tracks) - {track for track, _ in keys}):
        raise ValueError(f"the piece has no track {unknown[0]}; it has {', '.join(str(t) for t, _ in keys) or 'none'}")
    if not len(bars) or bars[0] < 0:
        raise ValueError(f"bars should be one or more from 0 on, got {bars[0] if len(bars) else 'none'}")
    open_tracks = [i for i, (track, _) in enumerate(keys) if not ask.tracks or track in ask.tracks]
    sequence: Any = bundle.experiment.sequence
    length, drawn = int(sequence.bars), 0
    hop = max(1, length // 2)
    for number, at in enumerate(range(bars[0], bars[-1] + 1, hop)):
        todo = range(at, min(at + hop, bars[-1] + 1))
        first = max(0, at - (length - len(todo)))  # what stands before is heard, what comes after if there is room
        if at < length - len(todo):
            first = 0
        window = window_of(score, first, length)
        holes = tuple((track, bar - first) for track in open_tracks for bar in todo)
        told = tuple(ask.attributes if i in open_tracks else {} for i in range(len(keys)))
        job = WindowJob(
            window, holes, told, None, ask.controls, _from(score.tempo_map, window.first_beat), ask.max_polyphony,
            ask.max_notes, ask.seed * 997 + number,
        )  # fmt: skip
        (made,), _ = fill_windows(bundle, [job], ask.sampling, tries=ask.tries)
        score, drawn = put_back(score, window, made.fills, keys), drawn + made.num_drawn
    end_s = float(
        score.tempo_map.to_seconds(window.first_beat + float(window.lines[bars[-1] + 1 - first]) / TICKS_PER_BEAT)
    )
    return replace(score, duration_s=max(score.duration_s, end_s)), drawn


def add_tracks(
    bundle: Bundle, score: Score | None, instruments: Sequence[int], tempo_map: TempoMap, ask: BarAsk
) -> tuple[Score, int]:
    """Tracks added to a piece's bars one after another, or a piece of one window composed from nothing.

    Args:
        bundle: of a model of MMM's tokens.
        score: the piece; None begins one.
        instruments: of the new tracks, 128 for drums; none leaves them to the model where there is no piece.
        tempo_map: of a piece that is begun.
        ask: attributes are those of every new track.

    Raises:
        ValueError: for a bundle of other tokens.
    """
    sequence: Any = bundle.experiment.sequence
    length, drawn = int(sequence.bars), 0
    if score is None:
        window = Window((), np.arange(length + 1) * 48)
        new = (instruments[0], ask.attributes) if instruments else None
        made = _one(bundle, window, new, tempo_map, ask, 0)
        score, drawn = score_of_window(Window(made.tracks, window.lines), tempo_map), made.num_drawn
        instruments = instruments[1:]
    for number, instrument in enumerate(instruments):
        window = window_of(score, 0, length)
        made = _one(
            bundle, window, (instrument, ask.attributes), _from(score.tempo_map, window.first_beat), ask, number + 1
        )
        score, drawn = add_track(score, made.tracks[0], window.first_beat), drawn + made.num_drawn
    return score, drawn


def _one(
    bundle: Bundle, window: Window, new: tuple[int, Mapping[str, int]] | None, tempo_map: TempoMap, ask: BarAsk, n: int
) -> WindowMade:
    job = WindowJob(
        window, new_track=new, controls=ask.controls, tempo_map=tempo_map, max_polyphony=ask.max_polyphony,
        max_notes=ask.max_notes, seed=ask.seed * 997 + n,
    )  # fmt: skip
    return fill_windows(bundle, [job], ask.sampling, tries=ask.tries)[0][0]


def _from(tempo_map: TempoMap, beat: float) -> TempoMap:
    """The same tempo with its beat 0 at `beat`."""
    return TempoMap(tempo_map.beats - beat, tempo_map.seconds)
