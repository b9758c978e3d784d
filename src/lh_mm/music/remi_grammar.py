"""Which REMI token may come next: the order that `Remi.encode` writes, as a state machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lh_mm.core.clock import TempoMap
from lh_mm.music.tokens import TokenGrammar, transposed

if TYPE_CHECKING:
    from lh_mm.music.remi import Remi


class RemiGrammar(TokenGrammar):
    """Which token may come next; END may follow wherever `may_end` holds.

    A piece is Bar (Position (Track (Pitch Duration)+)+)* and so on; inside a bar positions rise, inside a
    position tracks do, and inside a track pitches do, as `Remi.encode` writes them.
    """

    def __init__(self, remi: Remi) -> None:
        self.remi = remi
        self.position = remi.positions  # before the first Bar no position may come
        self.track = len(remi.programs)
        self.pitch = 127
        self.bar = -1  # counted from the first Bar
        self._last = "start"

    def __str__(self) -> str:
        return f"{self._last} (position {self.position}, track {self.track}, pitch {self.pitch})"

    @property
    def may_end(self) -> bool:
        """Whether a note, or a bar, is complete."""
        return self._last in ("bar", "duration")

    def allows(self, token: int) -> bool:
        """Whether one token may come next."""
        remi = self.remi
        if token == 0:
            return self._last in ("start", "bar", "duration")
        if token < remi.first_track:
            return self.may_end and token - 1 > self.position
        if token < remi.first_pitch:
            return self._last == "position" or (self._last == "duration" and token - remi.first_track > self.track)
        if token < remi.first_duration:
            return self._last == "track" or (self._last == "duration" and token - remi.first_pitch > self.pitch)
        return self._last == "pitch" and token < remi.size

    def mask(self) -> NDArray[np.bool_]:
        """(size,) True where a token may come next."""
        remi, mask = self.remi, np.zeros(self.remi.size, bool)
        tracks, pitches = mask[remi.first_track : remi.first_pitch], mask[remi.first_pitch : remi.first_duration]
        mask[0] = self._last in ("start", "bar", "duration")
        if self.may_end:
            mask[2 + self.position : remi.first_track] = True
        if self._last == "position":
            tracks[:] = True
        elif self._last == "track":
            pitches[:] = True
        elif self._last == "pitch":
            mask[remi.first_duration :] = True
        elif self._last == "duration":
            tracks[self.track + 1 :] = True
            pitches[self.pitch + 1 :] = True
        return mask

    def seconds(self, tempo_map: TempoMap) -> float:
        """Second of the last bar or position, the first Bar standing at beat 0."""
        step = max(self.bar, 0) * self.remi.positions
        step += self.position if 0 <= self.position < self.remi.positions else 0
        return float(tempo_map.to_seconds(step / self.remi.steps_per_beat))

    def push(self, token: int) -> None:
        """Takes one token. Raises ValueError if it may not come."""
        remi = self.remi
        if not self.allows(token):
            raise ValueError(f"{remi.name(token)} is not legal after {self}")
        if token == 0:
            self._last, self.position, self.bar = "bar", -1, self.bar + 1
        elif token < remi.first_track:
            self._last, self.position = "position", token - 1
        elif token < remi.first_pitch:
            self._last, self.track = "track", token - remi.first_track
        elif token < remi.first_duration:
            self._last, self.pitch = "pitch", token - remi.first_pitch
        else:
            self._last = "duration"


def legal_remi(ids: NDArray[np.int64], remi: Remi, is_start: bool) -> NDArray[np.bool_]:
    """(len(ids) + 1, size + 2) legal choices before each token and behind the last: `RemiGrammar`, vectorised.

    Args:
        ids: (T,) tokens.
        remi: their meaning.
        is_start: whether they begin a piece; if not, the first choice is free and what is not yet known bars nothing.
    """
    length = len(ids) + 1
    kinds = np.digitize(ids, [1, remi.first_track, remi.first_pitch, remi.first_duration])  # Bar 0 .. Duration 4
    last = np.concatenate([[-1], kinds])
    position = latest(np.where(kinds == 0, -1, ids - 1), kinds <= 1)
    track = latest(ids - remi.first_track, kinds == 2)
    pitch = latest(ids - remi.first_pitch, kinds == 3)
    border = (last == 0) | (last == 4)
    legal = np.zeros((length, remi.size + 2), bool)
    legal[:, 0] = border
    legal[:, 1 : remi.first_track] = border[:, None] & (np.arange(remi.positions) > position[:, None])
    duration = (last == 4)[:, None]
    tracks = duration & (np.arange(len(remi.programs)) > track[:, None])
    legal[:, remi.first_track : remi.first_pitch] = tracks | (last == 1)[:, None]
    pitches = duration & (np.arange(128) > pitch[:, None])
    legal[:, remi.first_pitch : remi.first_duration] = pitches | (last == 2)[:, None]
    legal[:, remi.first_duration : remi.size] = (last == 3)[:, None]
    legal[:, remi.size + 1] = border
    if is_start:
        legal[0] = False
        legal[0, 0] = True
    else:
        legal[0, : remi.size] = True
    return legal


def latest(values: NDArray[np.int64], given: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(T + 1,) the latest given value at or before each token, -1 before the first."""
    where = np.maximum.accumulate(np.where(given, np.arange(1, len(values) + 1), 0))
    return np.concatenate([[-1], np.concatenate([[-1], values])[where]])


def transposed_remi(ids: NDArray[np.int64], remi: Remi, shift: int) -> NDArray[np.int64]:
    """Every pitch but those of drums moved; unchanged where one would leave 0..127."""
    is_pitch = (ids >= remi.first_pitch) & (ids < remi.first_duration)
    if -1 in remi.programs:
        drums = remi.first_track + remi.programs.index(-1)
        track = latest(ids, (ids >= remi.first_track) & (ids < remi.first_pitch))[1:]
        is_pitch &= (track != drums) & (track >= 0)
    return transposed(ids, is_pitch, ids - remi.first_pitch, shift)
