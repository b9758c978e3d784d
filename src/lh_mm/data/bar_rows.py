"""Training rows of MMM: some bars of a piece, tracks in random order, bars left open and filled at the end.

Training draws windows as MIDI-GPT does: a window in which enough bars have notes, at most so many tracks, three times
in four with open bars (a chance drawn up to one half, then each bar of each track by itself, one at least), every
control left out now and then. Evaluation takes windows side by side, the last one with the piece's last bars, tracks
as they stand and nothing open. A token's clock is its time in the piece, so it goes back with every track: tracks of
one bar have one clock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lh_mm.core.config import Config
from lh_mm.core.streams import Row, SequenceSpec, StreamSpec
from lh_mm.data.controls import control_ids, control_specs
from lh_mm.data.evaluation import EvaluationRow
from lh_mm.data.prepared import PieceInfo, PreparedSet
from lh_mm.data.splits import Split
from lh_mm.data.symbolic import row_of_tokens
from lh_mm.data.tasks import MIDI
from lh_mm.music.bars import (
    DRUMS,
    TICKS_PER_BEAT,
    BarTrack,
    Window,
    bar_lines,
    density_borders,
    notes_a_bar,
    window_of,
    window_starts,
)
from lh_mm.music.mmm import Hole, Mmm, MmmTokens
from lh_mm.music.score import Score

_DRAWS = 8
"""Windows looked at before one is taken that has fewer notes than asked for."""


class MmmConfig(Config):
    """Rows of MMM's tokens: tracks of some bars one after another, bars to be filled at the end, controls of tracks."""

    kind: Literal["mmm"] = "mmm"
    bars: Literal[4, 8] = 4
    """Bars of a window."""
    length: int = Field(2048, ge=64)
    """Longest row; tracks that do not fit are left out."""
    max_tracks: int = Field(12, ge=1)
    """Tracks of a row, drawn from those of the window."""
    min_filled: float = Field(0.75, ge=0, le=1)
    """Share of the bars of the tracks in which a training window should have notes."""
    fill_share: float = Field(0.75, ge=0, le=1)
    """Share of the training rows with open bars."""
    control_dropout: float = Field(0.3, ge=0, le=1)
    """Share of each control of a track left out."""
    transpose: int = Field(0, ge=0, le=11)
    """Training windows are moved by up to so many semitones either way, drums never."""

    def build(self, prepared: PreparedSet, parent: SequenceSpec | None = None) -> BarRows:
        return BarRows(prepared, self, parent)


@dataclass(frozen=True)
class BarRows:
    """A row source, see `rows.py`.

    Attributes:
        prepared: a set with notes; sound is not used.
        config: settings.
        parent: streams of a bundle whose weights are used.

    Raises:
        ValueError: no training piece has notes.
    """

    prepared: PreparedSet
    config: MmmConfig
    parent: SequenceSpec | None = None

    def __post_init__(self) -> None:
        if not self._pieces("train"):
            raise ValueError(f"{self.prepared.path} has no training piece with notes")

    @cached_property
    def vocabulary(self) -> Mmm:
        """The tokenizer, with the deciles of density of the training pieces' instruments."""
        values: dict[int, list[int]] = defaultdict(list)
        for piece in self._pieces("train"):
            score, num_bars = self._score(piece)
            for first in window_starts(num_bars, self.config.bars, self.config.bars):
                window = window_of(score, first, self.config.bars)
                for track in window.tracks:
                    if len(track.notes):
                        values[track.instrument].append(notes_a_bar(track, window))
        return Mmm({instrument: density_borders(found) for instrument, found in sorted(values.items())})

    @cached_property
    def spec(self) -> SequenceSpec:
        """One event stream, unmerged; or the parent's."""
        if self.parent is not None:
            return self.parent
        stream = StreamSpec(MIDI, "midi", self.vocabulary.size)
        controls = control_specs(self.prepared.about["controls"])
        return SequenceSpec((stream,), self.prepared.rate_hz, merged=False, controls=controls)

    def train_row(self, seed: int, index: int) -> Row:
        """Row `index` of the endless training order of `seed`."""
        rng = np.random.default_rng([seed, 1, index])
        pieces = self._pieces("train")
        piece = pieces[int(rng.choice(len(pieces), p=self._chances))]
        score, num_bars = self._score(piece)
        for _ in range(_DRAWS):
            first = int(rng.integers(0, max(1, num_bars - self.config.bars + 1)))
            window = self._drawn(window_of(score, first, self.config.bars), rng)
            if len(window.tracks) and _filled_share(window) >= self.config.min_filled:
                break
        holes = _draw_holes(window, rng) if rng.random() < self.config.fill_share else []
        controls = [
            {name: value for name, value in told.items() if rng.random() >= self.config.control_dropout}
            for told in (self.vocabulary.controls_of(track, window) for track in window.tracks)
        ]
        order = rng.permutation(len(window.tracks)).tolist()
        tokens = self.vocabulary.encode(window, holes, order, controls)
        while len(tokens) >= self.config.length and len(order) > 1:
            order.pop()
            kept = [hole for hole in holes if hole[0] in order]
            tokens = self.vocabulary.encode(window, kept, order, controls)
        return self._row(piece, score, window, tokens)

    def valid_row(self, index: int, split: Split = "valid") -> Row:
        """Window `index` of a split, in a fixed random order that begins again at its end."""
        windows = self._windows(split)
        piece, first = windows[int(np.random.default_rng(1).permutation(len(windows))[index % len(windows)])]
        return self._whole(piece, first)[0]

    def has(self, split: Split) -> bool:
        """Whether some piece of a split has notes."""
        return bool(self._pieces(split))

    def evaluation(self, split: Split) -> Iterator[EvaluationRow]:
        """Windows that hold every bar of a split, the last one of a piece with bars of the one before it if need be."""
        for piece, first in self._windows(split):
            row, window, tokens = self._whole(piece, first)
            score, _ = self._score(piece)
            edges = score.tempo_map.to_seconds(window.first_beat + window.lines[[0, -1]] / TICKS_PER_BEAT)
            yield EvaluationRow(piece.id, "midi_only", row, float(edges[1] - edges[0]), tokens.num_notes)

    def sequences(self, split: Split) -> Iterator[tuple[NDArray[np.int32], int]]:
        """Ids and number of notes of each of these windows."""
        for piece, first in self._windows(split):
            _, _, tokens = self._whole(piece, first)
            yield tokens.ids, tokens.num_notes

    def _whole(self, piece: PieceInfo, first: int) -> tuple[Row, Window, MmmTokens]:
        score, _ = self._score(piece)
        window = window_of(score, first, self.config.bars)
        window = _with_tracks(window, [i for i, track in enumerate(window.tracks) if len(track.notes)])
        tokens = self.vocabulary.encode(window)
        while len(tokens) >= self.config.length and len(window.tracks) > 1:
            window = _with_tracks(window, range(len(window.tracks) - 1))
            tokens = self.vocabulary.encode(window)
        return self._row(piece, score, window, tokens), window, tokens

    def _row(self, piece: PieceInfo, score: Score, window: Window, tokens: MmmTokens) -> Row:
        ids, ticks = tokens.ids[: self.config.length].astype(np.int64), tokens.ticks[: self.config.length]
        times_s = score.tempo_map.to_seconds(window.first_beat + ticks / TICKS_PER_BEAT)
        clocks = np.floor(times_s * self.spec.rate_hz + 1e-6).astype(np.int64)
        return row_of_tokens(
            ids, clocks, first=0, ends=len(tokens) <= self.config.length, is_start=True,
            controls=control_ids(piece.record, self.spec.controls), legal=None,
        )  # fmt: skip

    def _drawn(self, window: Window, rng: np.random.Generator) -> Window:
        """Tracks with notes, at most `max_tracks` of them, transposed where that leaves every pitch in range."""
        heard = [i for i, track in enumerate(window.tracks) if len(track.notes)]
        chosen = sorted(rng.permutation(heard)[: self.config.max_tracks].tolist())
        window = _with_tracks(window, chosen)
        shift = int(rng.integers(-self.config.transpose, self.config.transpose + 1))
        pitched = [track.notes[:, 2] for track in window.tracks if track.instrument != DRUMS]
        if not shift or any(p.min() + shift < 0 or p.max() + shift > 127 for p in pitched):
            return window
        move = np.array([0, 0, shift])
        tracks = (t if t.instrument == DRUMS else BarTrack(t.instrument, t.notes + move) for t in window.tracks)
        return Window(tuple(tracks), window.lines, window.first_beat)

    def _pieces(self, split: Split) -> list[PieceInfo]:
        return [piece for piece in self.prepared.pieces(split) if piece.num_notes]

    @cached_property
    def _chances(self) -> NDArray[np.float64]:
        notes = np.array([piece.num_notes for piece in self._pieces("train")], np.float64)
        return notes / notes.sum()

    @cached_property
    def _scores(self) -> dict[str, tuple[Score, int]]:
        return {}

    def _score(self, piece: PieceInfo) -> tuple[Score, int]:
        """A piece and the number of its bars."""
        if piece.id not in self._scores:
            score = self.prepared.score(piece)
            assert score is not None
            self._scores[piece.id] = (score, max(1, len(bar_lines(score)) - 1))
        return self._scores[piece.id]

    def _windows(self, split: Split) -> list[tuple[PieceInfo, int]]:
        bars = self.config.bars
        return [
            (piece, first)
            for piece in self._pieces(split)
            for first in window_starts(self._score(piece)[1], bars, bars)
            if any(len(track.notes) for track in window_of(self._score(piece)[0], first, bars).tracks)
        ]


def _with_tracks(window: Window, chosen: range | list[int]) -> Window:
    return Window(tuple(window.tracks[i] for i in chosen), window.lines, window.first_beat)


def _filled_share(window: Window) -> float:
    """Of all bars of all tracks, those in which a note begins."""
    filled = sum(len(np.unique(window.bar_of(track.notes[:, 0]))) for track in window.tracks)
    return filled / (len(window.tracks) * window.num_bars)


def _draw_holes(window: Window, rng: np.random.Generator) -> list[Hole]:
    """Open bars: each with a chance that is drawn first, up to one half; one at least."""
    open_bars = rng.random((len(window.tracks), window.num_bars)) < rng.uniform(0, 0.5)
    if not open_bars.any():
        open_bars[int(rng.integers(len(window.tracks))), int(rng.integers(window.num_bars))] = True
    return [(int(track), int(bar)) for track, bar in np.argwhere(open_bars)]
