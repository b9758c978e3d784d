"""Training rows of a symbolic tokenizer with its own time tokens: windows of tokens, no frames.

A piece is longer than a window, so training draws windows and evaluation lays them side by side: every token of
every piece is a target exactly once, so that nats per note are exact. A window in mid-piece begins with BOS that
says crop, and with no memory of what came before (or with `context` tokens of it that earn no loss); its first
legal choices are all tokens, for nothing is known yet. Each token's clock is computed from the score, so the
backbone's clock works as it does in merged sequences.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lh_mm.core.streams import Row, StreamSpec
from lh_mm.data.evaluation import EvaluationRow
from lh_mm.data.note_rows import NoteRows, row_of_tokens
from lh_mm.data.prepared import PieceInfo
from lh_mm.data.splits import Split
from lh_mm.music.tokenizer import Tokenizer, Tokens
from lh_mm.music.tokens import structure_of

if TYPE_CHECKING:
    from lh_mm.data.symbolic import TokenConfig


@dataclass(frozen=True)
class TokenRows(NoteRows):
    """A row source, see `rows.py`.

    Attributes:
        known: the tokenizer of a bundle, whose ids then hold.

    Raises:
        ValueError: the set's instruments are not among those of the bundle.
    """

    config: TokenConfig
    known: Tokenizer | None = None

    def __post_init__(self) -> None:
        theirs = getattr(self.known, "programs", None)
        if theirs is not None and (strange := [p for p in self._programs if p not in theirs]):
            raise ValueError(
                f"{self.prepared.path}: programs {strange} (-1 is drums) are none of the bundle's, {list(theirs)}"
            )
        if self.parent is not None and self.parent.event_vocabulary_size != self.vocabulary.size:
            raise ValueError(
                f"{self.prepared.path}: {self.vocabulary.size} ids with its instruments, "
                f"but the bundle was trained with {self.parent.event_vocabulary_size}"
            )
        super().__post_init__()

    @cached_property
    def vocabulary(self) -> Tokenizer:
        """The tokenizer; travels in the bundle. Tracks are the set's programs, in the order of tracks."""
        return self.config.tokenizer(self._programs) if self.known is None else self.known

    @property
    def _programs(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(program for piece in self.prepared.pieces() for program in piece.programs))

    @property
    def _own_streams(self) -> tuple[StreamSpec, ...]:
        return self.config.own_streams

    @property
    def _own_controls(self) -> Mapping[str, Sequence[str]]:
        return self.config.own_controls

    def train_row(self, seed: int, index: int) -> Row:
        """Row `index` of the endless training order of `seed`."""
        rng = np.random.default_rng([seed, 0, index])
        piece = self._drawn_piece(rng)
        tokens = self._tokens(piece)
        room = max(0, len(tokens) - self.config.length)
        # Begins that would leave the window short are moved back to the last one, or END were hardly ever a target: it
        # stands in the last window alone, which a draw among all full windows of a long piece never meets.
        start = 0 if rng.random() < self.config.start_share else min(room, int(rng.integers(0, max(1, len(tokens)))))
        start -= start % self.vocabulary.period
        shift = int(rng.integers(-self.config.transpose, self.config.transpose + 1))
        keep = self._kept_controls(rng)
        tell = not self.spec.tells_structure or rng.random() >= self.config.control_dropout
        return self._row(piece, start, start + self.config.length, start, shift, keep, tell)

    def valid_row(self, index: int, split: Split = "valid") -> Row:
        """Window `index` of a split, in a fixed random order that begins again at its end."""
        windows = self._windows(split)
        order = np.random.default_rng(1).permutation(len(windows))
        return self._window_row(*windows[int(order[index % len(windows)])])

    def evaluation(self, split: Split) -> Iterator[EvaluationRow]:
        """Every token of a split as a target exactly once."""
        for piece, start, end in self._windows(split):
            tokens = self._tokens(piece)
            ids = tokens.ids[start:end]
            notes = int(self.vocabulary.begins_note(ids).sum())
            last_s = piece.duration_s if end >= len(tokens) else float(tokens.times_s[end])
            seconds = last_s - float(tokens.times_s[start])
            yield EvaluationRow(piece.id, "midi_only", self._window_row(piece, start, end), seconds, notes)

    def sequences(self, split: Split) -> Iterator[tuple[NDArray[np.int32], int]]:
        """Ids and number of notes of each piece of a split."""
        for piece in self._pieces(split):
            tokens = self._tokens(piece)
            yield tokens.ids, tokens.num_notes

    @cached_property
    def _cache(self) -> dict[str, Tokens]:
        return {}

    def _tokens(self, piece: PieceInfo) -> Tokens:
        if piece.id not in self._cache:
            score = self.prepared.score(piece)
            assert score is not None
            self._cache[piece.id] = self.vocabulary.encode(score)
        return self._cache[piece.id]

    def _windows(self, split: Split) -> list[tuple[PieceInfo, int, int]]:
        """What windows count, from first to last: every token of a split once, the first window's context too."""
        period = self.vocabulary.period
        length = max(1, self.config.length // period) * period
        hop = max(1, (self.config.length - self.config.context) // period) * period
        return [
            (piece, start, min(start + (hop if start else length), count))
            for piece in self._pieces(split)
            if (count := len(self._tokens(piece)))
            for start in (0, *range(length, count, hop))
        ]

    def _window_row(self, piece: PieceInfo, start: int, end: int) -> Row:
        shown = max(0, start - self.config.context)
        return self._row(piece, start, end, shown + -shown % self.vocabulary.period)

    def _row(
        self,
        piece: PieceInfo,
        start: int,
        end: int,
        shown: int,
        shift: int = 0,
        keep: NDArray[np.bool_] | None = None,
        tell: bool = True,
    ) -> Row:
        """Targets are the tokens [start, end), and END behind the last one; tokens from `shown` on stand before.

        `tell` says whether a model that can be told is told where in the piece they stand.
        """
        tokens = self._tokens(piece)
        end = min(end, len(tokens))
        ids = tokens.ids[shown:end].astype(np.int64)
        if shift:
            ids = self.vocabulary.transposed(ids, shift)
        clocks = np.floor(tokens.times_s[shown:end] * self.spec.rate_hz + 1e-6).astype(np.int64)
        where = None
        if self.spec.tells_structure:
            where = structure_of(np.arange(shown - 1, end), len(tokens) if tell else 0)
        legal = self.vocabulary.legal(ids[: len(ids) if end == len(tokens) else len(ids) - 1], is_start=shown == 0)
        return row_of_tokens(
            ids, clocks, first=start - shown, ends=end == len(tokens), is_start=shown == 0,
            controls=self._controls(piece, keep, shift), legal=legal, structure=where,
        )  # fmt: skip
