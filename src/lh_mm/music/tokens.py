"""What tokenizers with time tokens of their own share: tokens of a piece, grammars, waits, what sounds, transposition.

Legend: T tokens, E events.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lh_mm.core.clock import TempoMap

STRUCTURE_PARTS = 128
"""Parts of a piece, and steps of the countdown to its end, that models may be told (MuseNet)."""


class TokenGrammar(ABC):
    """The state behind some tokens: which may come next, and how far time has come."""

    @property
    @abstractmethod
    def may_end(self) -> bool:
        """Whether END may follow."""

    @abstractmethod
    def mask(self) -> NDArray[np.bool_]:
        """(size,) True where a token may come next."""

    def closing(self) -> NDArray[np.bool_]:
        """(size,) those of `mask` that lead to an end soonest; by default all, for a note that is begun ends soon."""
        return self.mask()

    @abstractmethod
    def push(self, token: int) -> None:
        """Take a token. Raises ValueError if it may not come next."""

    @abstractmethod
    def seconds(self, tempo_map: TempoMap) -> float:
        """Second that has been reached, its own wait included, as `TimedTokens.times_s` has it."""

    def _require(self, token: int) -> None:
        mask = self.mask()
        if not (0 <= token < len(mask) and mask[token]):
            raise ValueError(f"token {token} may not come next")


@dataclass(frozen=True)
class TimedTokens:
    """Tokens of one piece.

    Attributes:
        ids: (T,) of the tokenizer.
        times_s: (T,) second that has been reached when the token is read, its own wait included.
        num_notes: the divisor of nats per note; each tokenizer says what it counts.
        num_merged: notes left out, as another says the same.
    """

    ids: NDArray[np.int32]
    times_s: NDArray[np.float64]
    num_notes: int
    num_merged: int = 0

    def __len__(self) -> int:
        return len(self.ids)


def with_waits(
    step: NDArray[np.int64], sizes: NDArray[np.int64], first_wait: int, longest: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Room for events with the waits between them: repeated longest waits, the last one the remainder.

    Args:
        step: (E,) step of each event, never decreasing, counted from 0.
        sizes: (E,) tokens of each event itself, 1 or more.
        first_wait: id of a wait of one step; those of 2 .. `longest` follow.
        longest: steps of the longest wait.

    Returns:
        Ids (T,) with every wait in its place, and (E,) where each event's tokens end (beyond its last one).
    """
    gap = np.diff(step, prepend=0)
    waits = -(-gap // longest)
    ends = np.cumsum(waits + sizes)
    ids = np.full(int(ends[-1]) if len(ends) else 0, first_wait + longest - 1, np.int32)
    waiting = waits > 0
    last = (ends - sizes - 1)[waiting]
    ids[last] = first_wait + gap[waiting] - longest * (waits[waiting] - 1) - 1
    return ids, ends


def first_bar_beat(start_beats: NDArray[np.float64], steps_per_beat: int, beats_per_bar: int = 4) -> float:
    """The beat at which tokens begin whose notes start at (N,) beats: 0, or whole bars before it for an upbeat.

    Starts count as the nearest step, so that a note a hair early does not open a bar.
    """
    step = np.rint(float(np.min(start_beats, initial=0.0)) * steps_per_beat)
    return float(beats_per_bar * np.floor(step / (steps_per_beat * beats_per_bar)))


def transposed(
    ids: NDArray[np.int64], is_pitch: NDArray[np.bool_], pitch: NDArray[np.int64], semitones: int
) -> NDArray[np.int64]:
    """Ids (T,) with those of `is_pitch` moved, whose pitches are `pitch`; unchanged where one would leave 0 .. 127."""
    moved = pitch[is_pitch] + semitones
    if len(moved) and (moved.min() < 0 or moved.max() > 127):
        return ids
    return np.where(is_pitch, ids + semitones, ids)


def sounding_before(begins: NDArray[np.int64], ends: NDArray[np.int64], num_voices: int) -> NDArray[np.bool_]:
    """(T + 1, voices) which voices sound before each token and behind the last.

    Args:
        begins: (T,) the voice that each token begins, -1 where it begins none; a voice may begin several times.
        ends: (T,) the voice that it ends, -1 where it ends none.
        num_voices: how many there are.
    """
    change = np.zeros((len(begins) + 1, num_voices), np.int16)
    for voices, sign in ((begins, 1), (ends, -1)):
        at = np.flatnonzero(voices >= 0)
        change[at + 1, voices[at]] += sign
    return np.asarray(np.cumsum(change, axis=0) > 0)


def structure_of(index: NDArray[np.int64], total: NDArray[np.int64] | int) -> NDArray[np.uint8]:
    """(..., 2) where in its piece each token stands, from 1: which 128th, and how many tokens follow it, at most 127.

    Args:
        index: (...) of the tokens in their piece, -1 for what stands before the first.
        total: T of the piece; 0 where it is not known, which gives 0.
    """
    at, length = np.broadcast_arrays(np.maximum(index, 0), total)
    part = np.minimum(at * STRUCTURE_PARTS // np.maximum(length, 1), STRUCTURE_PARTS - 1)
    left = np.clip(length - 1 - index, 0, STRUCTURE_PARTS - 1)
    return np.asarray(np.stack([part + 1, left + 1], axis=-1) * (length > 0)[..., None], np.uint8)
