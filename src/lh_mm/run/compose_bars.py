"""Bars written by a model of MMM's tokens: holes filled across tracks, tracks added, pieces begun and gone on with.

A model writes one window of 4 or 8 bars (`run/compose_windows.py`); here a piece is gone through window by window, each
hearing what the one before wrote. What was not asked for stays bit for bit.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lh_mm.core.clock import TempoMap
from lh_mm.generate.sampling import Sampling
from lh_mm.music.bar_score import add_track, put_back, score_of_window, track_keys, uncut_notes
from lh_mm.music.bars import DRUMS, TICKS_PER_BEAT, Window, bar_lines, window_of
from lh_mm.music.score import Score
from lh_mm.run.bundle import Bundle
from lh_mm.run.compose_windows import WindowJob, WindowMade, fill_windows


@dataclass(frozen=True)
class NoteOptions:
    """What can be asked of models of notes alone, of MMM's tokens above all.

    Attributes:
        instruments: of tracks to be written: programs 0 .. 127, or `DRUMS`.
        tracks: tracks of the input that are written into; none for all.
        attributes: of the tracks that are written, by MMM's names.
        max_polyphony, max_notes: hard caps, of a track at once and of a bar.
        max_tokens: drawn at most, where the length is open.
        tries: how often what is silent or a copy is drawn again.
    """

    instruments: tuple[int, ...] = ()
    tracks: tuple[int, ...] = ()
    attributes: Mapping[str, int] = field(default_factory=dict)
    max_polyphony: int | None = None
    max_notes: int | None = None
    max_tokens: int = 2048
    tries: int = 3


@dataclass(frozen=True)
class BarAsk:
    """What is asked of bars, beside where they are.

    Attributes:
        options: tracks, attributes, caps and tries.
        controls: of the piece.
        sampling: how tokens are drawn.
        seed: of the draws.
        guidance: above 1 follows attributes and controls more closely.
        parts: which part of the whole this is, so that no two have their draws in common.
    """

    options: NoteOptions
    controls: Mapping[str, str | None]
    sampling: Sampling
    seed: int
    guidance: float = 1.0
    parts: tuple[int, ...] = ()

    def seed_of(self, *part: int) -> int:
        """The seed of one window."""
        path = [*self.parts, *part]  # its length is told, too: numpy takes 3 and 3, 0 for the same
        return int(np.random.SeedSequence([self.seed % 2**32, len(path), *path]).generate_state(1)[0])


Writing = Generator[WindowJob, WindowMade, Score]
"""A piece that is being written: it asks for window after window, and ends as a score."""


@dataclass(frozen=True)
class Written:
    """A piece of bars.

    Attributes:
        score: its notes.
        num_drawn: tokens that were drawn for it.
        num_cut: of its windows, those whose room ended before the model did.
    """

    score: Score
    num_drawn: int
    num_cut: int


def write_together(bundle: Bundle, pieces: Sequence[Writing], ask: BarAsk) -> list[Written]:
    """Pieces written side by side, the windows that they ask for in one batch, by the sampling and tries of `ask`."""
    ended: dict[int, Score] = {}
    drawn, cut = [0] * len(pieces), [0] * len(pieces)
    answers: dict[int, WindowMade | None] = dict.fromkeys(range(len(pieces)))
    while answers:
        jobs: dict[int, WindowJob] = {}
        for i, answer in answers.items():
            try:
                jobs[i] = next(pieces[i]) if answer is None else pieces[i].send(answer)
            except StopIteration as end:
                ended[i] = end.value
        if not jobs:
            break
        tries = ask.options.tries
        made, _ = fill_windows(bundle, list(jobs.values()), ask.sampling, tries=tries, guidance=ask.guidance)
        answers = dict(zip(jobs, made, strict=True))
        for i, one in zip(jobs, made, strict=True):
            drawn[i] += one.num_drawn
            cut[i] += one.cut
    return [Written(ended[i], drawn[i], cut[i]) for i in range(len(pieces))]


def bars_filled(bundle: Bundle, score: Score, bars: range, ask: BarAsk) -> Writing:
    """A piece with some of its bars written anew, or with bars behind its end.

    Raises:
        ValueError: for tracks that the piece has not, or no bars.
    """
    options, known = ask.options, sorted({track for track, _ in track_keys(score)})
    if unknown := sorted(set(options.tracks) - set(known)):
        raise ValueError(f"the piece has no track {unknown[0]}; it has {', '.join(map(str, known)) or 'none'}")
    if not len(bars) or bars[0] < 0:
        raise ValueError(f"bars should be one or more from 0 on, got {bars[0] if len(bars) else 'none'}")
    sequence: Any = bundle.experiment.sequence
    length, at, number = int(sequence.bars), bars[0], 0
    behind = max(0, len(bar_lines(score)) - 2 - bars[-1])  # bars that stand after all of these
    while at <= bars[-1]:
        first = max(0, at - length // 2)
        # All of the window's bars from `at` on are written at once: what is yet to be replaced must not be heard.
        todo = range(at, min(first + length, bars[-1] + 1))
        if todo[-1] == bars[-1]:
            room = length - len(todo)
            first = max(0, at - (room - min(room // 2, behind)))
        window, keys = window_of(score, first, length), track_keys(score)
        open_tracks = [i for i, (track, _) in enumerate(keys) if not options.tracks or track in options.tracks]
        holes = tuple((track, bar - first) for track in open_tracks for bar in todo)
        told = tuple(told_to(keys[i][1], options) if i in open_tracks else {} for i in range(len(keys)))
        job = WindowJob(
            window, holes, told, None, ask.controls, _from(score.tempo_map, window.first_beat), options.max_polyphony,
            options.max_notes, ask.seed_of(1, number), uncut_notes(score, window, keys),
        )  # fmt: skip
        at, number = todo[-1] + 1, number + 1
        made = yield job
        score = put_back(score, window, made.fills, keys)
    end_s = float(
        score.tempo_map.to_seconds(window.first_beat + float(window.lines[bars[-1] + 1 - first]) / TICKS_PER_BEAT)
    )
    return replace(score, duration_s=max(score.duration_s, end_s))


def tracks_added(bundle: Bundle, score: Score | None, tempo_map: TempoMap, ask: BarAsk) -> Writing:
    """Tracks added to a piece's bars one after another, or a piece of one window composed from nothing.

    Args:
        bundle: of a model of MMM's tokens.
        score: the piece; None begins one.
        tempo_map: of a piece that is begun.
        ask: its instruments are those of the new tracks, none leaves them to the model where there is no piece;
            attributes are those of every new track.
    """
    sequence: Any = bundle.experiment.sequence
    length = int(sequence.bars)
    new = [(instrument, told_to(instrument, ask.options)) for instrument in ask.options.instruments]
    if score is None:
        window = Window((), np.arange(length + 1) * 48)
        for number, track in enumerate(new or [None]):
            made = yield _job(window, track, tempo_map, ask, number)
            window = replace(window, tracks=(*window.tracks, *made.tracks))
        return score_of_window(window, tempo_map)
    for number, track in enumerate(new):
        window = window_of(score, 0, length)
        made = yield _job(window, track, _from(score.tempo_map, window.first_beat), ask, number)
        num_bars = len(bar_lines(score)) - 1
        score = add_track(score, made.tracks[0], window.first_beat)
        if num_bars > length and len(made.tracks[0].notes):  # further windows hear the first one
            only = replace(ask.options, tracks=(len(score.tracks) - 1,))
            own = replace(ask, options=only, parts=(*ask.parts, number))
            score = yield from bars_filled(bundle, score, range(length, num_bars), own)
    return score


def _job(
    window: Window, new: tuple[int, Mapping[str, int]] | None, tempo_map: TempoMap, ask: BarAsk, number: int
) -> WindowJob:
    return WindowJob(
        window, new_track=new, controls=ask.controls, tempo_map=tempo_map, max_polyphony=ask.options.max_polyphony,
        max_notes=ask.options.max_notes, seed=ask.seed_of(0, number),
    )  # fmt: skip


def told_to(instrument: int, options: NoteOptions) -> dict[str, int]:
    """What a track of an instrument is asked: drums have a density alone."""
    return {name: value for name, value in options.attributes.items() if instrument != DRUMS or name == "DENSITY"}


def _from(tempo_map: TempoMap, beat: float) -> TempoMap:
    """The same tempo with its beat 0 at `beat`."""
    return TempoMap(tempo_map.beats - beat, tempo_map.seconds)
