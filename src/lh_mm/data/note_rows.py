"""What row sources of notes alone share: streams, pieces and their chances, what BOS says; and a row of tokens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lh_mm.core.merge import END, NO_TARGET, ZERO, Kind, May, Merged
from lh_mm.core.streams import Row, SequenceSpec, StreamSpec
from lh_mm.data.controls import control_ids, control_specs
from lh_mm.data.prepared import PieceInfo, PreparedSet
from lh_mm.data.splits import Split
from lh_mm.data.tasks import MIDI
from lh_mm.music.tokenizer import Vocabulary


@dataclass(frozen=True)
class NoteRows(ABC):
    """A set with notes as rows of tokens; sound is not used.

    Attributes:
        prepared: the set.
        config: settings.
        parent: streams of a bundle whose weights are used: rows are made in them.

    Raises:
        ValueError: no training piece has notes.
    """

    prepared: PreparedSet
    config: Any
    parent: SequenceSpec | None = None

    def __post_init__(self) -> None:
        if not self._pieces("train"):
            raise ValueError(f"{self.prepared.path} has no training piece with notes")

    @property
    @abstractmethod
    def vocabulary(self) -> Vocabulary:
        """What ids mean; travels in the bundle."""

    @cached_property
    def spec(self) -> SequenceSpec:
        """One event stream, unmerged; or the parent's."""
        if self.parent is not None:
            return self.parent
        streams = (StreamSpec(MIDI, "midi", self.vocabulary.size), *self._own_streams)
        controls = control_specs({**self.prepared.about["controls"], **self._own_controls})
        return SequenceSpec(streams, self.prepared.rate_hz, merged=False, controls=controls)

    @property
    def _own_streams(self) -> tuple[StreamSpec, ...]:
        """Streams beside the tokens."""
        return ()

    @property
    def _own_controls(self) -> Mapping[str, Sequence[str]]:
        """Controls of BOS beside those of the set, with their values."""
        return {}

    def has(self, split: Split) -> bool:
        """Whether some piece of a split has notes."""
        return bool(self._pieces(split))

    def _pieces(self, split: Split) -> list[PieceInfo]:
        return [piece for piece in self.prepared.pieces(split) if piece.num_notes]

    @cached_property
    def _chances(self) -> NDArray[np.float64]:
        """Of training pieces: by their notes, as tokens are."""
        notes = np.array([piece.num_notes for piece in self._pieces("train")], np.float64)
        return notes / notes.sum()

    def _drawn_piece(self, rng: np.random.Generator) -> PieceInfo:
        pieces = self._pieces("train")
        return pieces[int(rng.choice(len(pieces), p=self._chances))]

    def _kept_controls(self, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Which controls of BOS a training row is told."""
        kept: NDArray[np.bool_] = rng.random(len(self.spec.controls)) >= self.config.control_dropout
        return kept

    def _controls(self, piece: PieceInfo, keep: NDArray[np.bool_] | None = None, shift: int = 0) -> list[int]:
        """Control ids of a piece, all of them or those to keep; a transposed one has no key."""
        ids = np.array(control_ids(piece.record, self.spec.controls), np.int64)
        ids = ids if keep is None else np.where(keep, ids, 0)
        return [
            0 if shift and control.name == "key" else int(value)
            for control, value in zip(self.spec.controls, ids, strict=True)
        ]


def row_of_tokens(
    ids: NDArray[np.int64],
    clocks: NDArray[np.int64],
    *,
    first: int,
    ends: bool,
    is_start: bool,
    controls: Sequence[int],
    legal: NDArray[np.bool_] | None,
    structure: NDArray[np.uint8] | None = None,
) -> Row:
    """BOS and tokens as a row, each position with its next token as target.

    Args:
        ids, clocks: (T,) tokens and the slots they stand at.
        first: tokens before it earn no loss.
        ends: whether END follows the last one; otherwise the last needs no position.
        is_start: whether they begin a piece.
        controls: ids of BOS.
        legal: (L, V + 2) what may be chosen at each position; None where everything may.
        structure: (1 + T, 2) where in the piece BOS and each token stand, for models that are told.
    """
    length = len(ids) + 1 if ends else len(ids)
    clock = np.concatenate([clocks[:1], clocks])[:length]
    target = np.full(length, NO_TARGET, np.int64)
    target[first : len(ids)] = ids[first:]
    if ends:
        target[-1] = END
    kind = np.full(length, Kind.EVENT, np.int8)
    kind[0] = Kind.BOS
    events = np.concatenate([[-1], ids])[:length]
    none = np.zeros(length, np.int64)
    empty = np.full((length, 0, 0), ZERO, np.int64)
    low, high = int(clock.min()), int(clock.max())
    merged = Merged(
        kind, clock, clock, events, np.where(kind == Kind.EVENT, 0, -1), empty, none - 1, target, empty,
        np.full(length, May.EVENT | May.END, np.int8), none, max(high - low + 1, 1), low, high,
        length_known=False, is_start=is_start, names=(MIDI,),
    )  # fmt: skip
    masks = None if legal is None else np.packbits(legal, axis=1)
    states = None if structure is None else structure[:length]
    return Row(merged, ("generated",), (0,), controls, event_mask=masks, states=states, is_crop=not is_start)
