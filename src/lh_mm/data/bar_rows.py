"""Training rows of MMM: some bars of a piece, tracks in random order, bars left open and filled at the end.

Training draws windows as MIDI-GPT does: a window in which enough bars have notes, at most so many tracks, three times
in four with open bars (a chance drawn up to one half, then each bar of each track by itself, one at least), every
control left out now and then, chords thinned where that is asked (`thin_share`, ours). Evaluation takes windows side
by side, the last one with the piece's last bars, tracks as they stand and nothing open. A token's clock is its time in
the piece, so it goes back with every track: tracks of one bar have one clock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lh_mm.core.clock import TempoMap
from lh_mm.core.config import Config
from lh_mm.core.streams import Row, SequenceSpec
from lh_mm.data.evaluation import EvaluationRow
from lh_mm.data.note_rows import NoteRows, row_of_tokens
from lh_mm.data.prepared import PieceInfo, PreparedSet
from lh_mm.data.splits import Split
from lh_mm.music.bars import (
    DRUMS,
    TICKS_PER_BEAT,
    BarTrack,
    Window,
    bar_lines,
    density_borders,
    notes_a_bar,
    polyphony,
    thinned,
    window_of,
    window_starts,
)
from lh_mm.music.mmm import SIZE, Hole, Mmm, MmmTokens
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
    """Share of each control of a track, and of the piece, left out."""
    transpose: int = Field(0, ge=0, le=11)
    """Training windows are moved by up to so many semitones either way, drums never."""
    thin_share: float = Field(0.0, ge=0, le=1)
    """Share of the pitched tracks of training windows that lose voices, down to a random number that may sound at once.
    Where an instrument's tracks all have one polyphony, nothing else can teach what is meant by another."""

    def build(self, prepared: PreparedSet, parent: SequenceSpec | None = None, known: Mmm | None = None) -> BarRows:
        return BarRows(prepared, self, parent, known)


@dataclass(frozen=True)
class BarRows(NoteRows):
    """A row source, see `rows.py`; raises ValueError too for a bundle of another vocabulary.

    Attributes:
        known: the tokenizer of a bundle, whose densities then hold.
    """

    config: MmmConfig
    known: Mmm | None = None

    def __post_init__(self) -> None:
        if self.parent is not None and self.parent.event_vocabulary_size != SIZE:
            raise ValueError(f"MMM has {SIZE} ids, but the bundle was trained with {self.parent.event_vocabulary_size}")
        super().__post_init__()

    @cached_property
    def vocabulary(self) -> Mmm:
        """The tokenizer, with the deciles of density of the training pieces' instruments."""
        if self.known is not None:
            return self.known
        values: dict[int, list[int]] = defaultdict(list)
        for piece in self._pieces("train"):
            score = self._score(piece)
            for first in self._starts(piece):
                window = window_of(score, first, self.config.bars)
                for track in window.tracks:
                    if len(track.notes):
                        values[track.instrument].append(notes_a_bar(track, window))
        return Mmm({instrument: density_borders(found) for instrument, found in sorted(values.items())})

    def train_row(self, seed: int, index: int) -> Row:
        """Row `index` of the endless training order of `seed`."""
        rng = np.random.default_rng([seed, 1, index])
        piece = self._drawn_piece(rng)
        score, starts = self._score(piece), self._starts(piece, hop=1)
        for _ in range(_DRAWS):
            first = starts[int(rng.integers(len(starts)))]
            window, shift = self._drawn(window_of(score, first, self.config.bars), rng)
            if _filled_share(window) >= self.config.min_filled:
                break
        holes = _draw_holes(window, rng) if rng.random() < self.config.fill_share else []
        controls = [
            {name: value for name, value in told.items() if rng.random() >= self.config.control_dropout}
            for told in (self.vocabulary.controls_of(track, window) for track in window.tracks)
        ]
        order = rng.permutation(len(window.tracks)).tolist()
        tokens = self.vocabulary.encode(window, holes, order, controls)
        while len(tokens) > self.config.length and len(order) > 1:
            order.pop()
            kept = [hole for hole in holes if hole[0] in order]
            tokens = self.vocabulary.encode(window, kept, order, controls)
        return self._row(piece, window, tokens, self._controls(piece, self._kept_controls(rng), shift))

    def valid_row(self, index: int, split: Split = "valid") -> Row:
        """Window `index` of a split, in a fixed random order that begins again at its end."""
        windows = self._windows(split)
        order = np.random.default_rng(1).permutation(len(windows))
        return self._whole(*windows[int(order[index % len(windows)])])[0]

    def evaluation(self, split: Split) -> Iterator[EvaluationRow]:
        """Windows that hold every bar of a split, the last one of a piece with bars of the one before it if need be."""
        for piece, first in self._windows(split):
            row, window, tokens = self._whole(piece, first)
            score = self._score(piece)
            edges = score.tempo_map.to_seconds(window.first_beat + window.lines[[0, -1]] / TICKS_PER_BEAT)
            notes = int(self.vocabulary.begins_note(tokens.ids).sum())
            yield EvaluationRow(piece.id, "midi_only", row, float(edges[1] - edges[0]), notes)

    def sequences(self, split: Split) -> Iterator[tuple[NDArray[np.int32], int]]:
        """Ids and number of notes of each of these windows."""
        for piece, first in self._windows(split):
            _, _, tokens = self._whole(piece, first)
            yield tokens.ids, int(self.vocabulary.begins_note(tokens.ids).sum())

    def windows(self, split: Split, count: int | None = None) -> list[tuple[PieceInfo, Window, TempoMap]]:
        """The windows of `evaluation`, or so many of them evenly, each with its piece and the piece's tempo."""
        found, every = [], self._windows(split)
        count = len(every) if count is None else min(count, len(every))
        for piece, first in (every[i * len(every) // count] for i in range(count)):
            score = self._score(piece)
            found.append((piece, window_of(score, first, self.config.bars), score.tempo_map))
        return found

    def _whole(self, piece: PieceInfo, first: int) -> tuple[Row, Window, MmmTokens]:
        """A window's row, and its tokens as far as the row holds them."""
        window = window_of(self._score(piece), first, self.config.bars)
        window = _with_tracks(window, [i for i, track in enumerate(window.tracks) if len(track.notes)])
        tokens = self.vocabulary.encode(window)
        while len(tokens) > self.config.length and len(window.tracks) > 1:
            window = _with_tracks(window, range(len(window.tracks) - 1))
            tokens = self.vocabulary.encode(window)
        row = self._row(piece, window, tokens, self._controls(piece))
        kept = slice(0, self.config.length)
        return row, window, MmmTokens(tokens.ids[kept], tokens.ticks[kept], tokens.num_notes)

    def _row(self, piece: PieceInfo, window: Window, tokens: MmmTokens, controls: Sequence[int]) -> Row:
        ids, ticks = tokens.ids[: self.config.length].astype(np.int64), tokens.ticks[: self.config.length]
        times_s = self._score(piece).tempo_map.to_seconds(window.first_beat + ticks / TICKS_PER_BEAT)
        clocks = np.floor(times_s * self.spec.rate_hz + 1e-6).astype(np.int64)
        return row_of_tokens(
            ids, clocks, first=0, ends=len(tokens) <= self.config.length, is_start=True, controls=controls, legal=None
        )

    def _drawn(self, window: Window, rng: np.random.Generator) -> tuple[Window, int]:
        """Tracks with notes, at most `max_tracks` of them, and by how much they are transposed: not out of range."""
        heard = [i for i, track in enumerate(window.tracks) if len(track.notes)]
        chosen = sorted(rng.permutation(heard)[: self.config.max_tracks].tolist())
        window = _with_tracks(window, chosen)
        shift = int(rng.integers(-self.config.transpose, self.config.transpose + 1))
        tracks = tuple(self._thinned(track, rng) for track in window.tracks)
        window = Window(tracks, window.lines, window.first_beat)
        pitched = [track.notes[:, 2] for track in window.tracks if track.instrument != DRUMS]
        if not shift or any(p.min() + shift < 0 or p.max() + shift > 127 for p in pitched):
            return window, 0
        move = np.array([0, 0, shift])
        moved = (t if t.instrument == DRUMS else BarTrack(t.instrument, t.notes + move) for t in window.tracks)
        return Window(tuple(moved), window.lines, window.first_beat), shift

    def _thinned(self, track: BarTrack, rng: np.random.Generator) -> BarTrack:
        """A track, now and then with fewer voices than it has."""
        if not self.config.thin_share or track.instrument == DRUMS or rng.random() >= self.config.thin_share:
            return track
        usual = polyphony(track)
        assert usual is not None
        return BarTrack(track.instrument, thinned(track.notes, int(rng.integers(1, usual[1] + 1))))

    @cached_property
    def _cache(self) -> dict[str, Any]:
        return {}

    def _score(self, piece: PieceInfo) -> Score:
        if piece.id not in self._cache:
            self._cache[piece.id] = self.prepared.score(piece)
        score: Score = self._cache[piece.id]
        return score

    def _starts(self, piece: PieceInfo, hop: int | None = None) -> list[int]:
        """First bars of the piece's windows that have notes; side by side, or `hop` bars apart."""
        key = f"{piece.id} {hop}"
        if key not in self._cache:
            score, bars = self._score(piece), self.config.bars
            lines = bar_lines(score)
            ticks = np.rint((score.notes["start_beat"][:, None] - lines[0]) * TICKS_PER_BEAT)
            edges = np.rint((lines - lines[0]) * TICKS_PER_BEAT)
            heard = np.unique(np.searchsorted(edges, ticks, side="right") - 1)
            starts = window_starts(max(1, len(lines) - 1), bars, hop or bars)
            self._cache[key] = [first for first in starts if ((heard >= first) & (heard < first + bars)).any()]
        found: list[int] = self._cache[key]
        return found

    def _windows(self, split: Split) -> list[tuple[PieceInfo, int]]:
        if split not in self._cache:
            self._cache[split] = [(piece, first) for piece in self._pieces(split) for first in self._starts(piece)]
        found: list[tuple[PieceInfo, int]] = self._cache[split]
        return found


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
