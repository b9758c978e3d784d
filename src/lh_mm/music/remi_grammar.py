"""Which REMI token may come next: the order that `Remi.encode` writes, as a state machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from lh_mm.music.remi import Remi


class RemiGrammar:
    """Which token may come next; END may follow wherever `at_border` holds.

    A piece is Bar (Position (Track (Pitch Duration)+)+)* and so on; inside a bar positions rise, inside a
    position tracks do, and inside a track pitches do, as `Remi.encode` writes them.
    """

    def __init__(self, remi: Remi) -> None:
        self.remi = remi
        self.position = remi.positions  # before the first Bar no position may come
        self.track = len(remi.programs)
        self.pitch = 127
        self._last = "start"

    def __str__(self) -> str:
        return f"{self._last} (position {self.position}, track {self.track}, pitch {self.pitch})"

    @property
    def at_border(self) -> bool:
        """Whether a note, or a bar, is complete."""
        return self._last in ("bar", "duration")

    def allows(self, token: int) -> bool:
        """Whether one token may come next."""
        remi = self.remi
        if token == 0:
            return self._last in ("start", "bar", "duration")
        if token < remi.first_track:
            return self.at_border and token - 1 > self.position
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
        if self.at_border:
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

    def push(self, token: int) -> None:
        """Takes one token. Raises ValueError if it may not come."""
        remi = self.remi
        if not self.allows(token):
            raise ValueError(f"{remi.name(token)} is not legal after {self}")
        if token == 0:
            self._last, self.position = "bar", -1
        elif token < remi.first_track:
            self._last, self.position = "position", token - 1
        elif token < remi.first_pitch:
            self._last, self.track = "track", token - remi.first_track
        elif token < remi.first_duration:
            self._last, self.pitch = "pitch", token - remi.first_pitch
        else:
            self._last = "duration"
