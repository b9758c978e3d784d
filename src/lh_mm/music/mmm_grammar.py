"""Which of MMM's tokens may come next, and tokens read back into a window.

One state machine serves both: sampling asks it for a mask, decoding pushes token after token and takes the notes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lh_mm.core.clock import TempoMap
from lh_mm.music.bars import DRUMS, TICKS_PER_BEAT, BarTrack, Window, without_overlaps
from lh_mm.music.mmm import (
    BAR_COUNTS,
    BAR_END,
    BAR_START,
    CONTROLS,
    FILL_END,
    FILL_IN,
    FILL_START,
    FIRST,
    MAX_DELTA,
    PIECE_START,
    SIZE,
    TRACK_END,
    TRACK_START,
    Hole,
)
from lh_mm.music.mmm_limits import Limits
from lh_mm.music.tokens import TokenGrammar

if TYPE_CHECKING:
    from lh_mm.music.mmm import Mmm

_ON, _OFF, _DELTA = FIRST["NOTE_ON"], FIRST["NOTE_OFF"], FIRST["TIME_DELTA"]


class MmmGrammar(TokenGrammar):
    """The state behind some tokens.

    Args:
        limits: bar lines and caps; those of the class by default.
        given: first tokens for which caps do not hold: what is given may go beyond them.

    Attributes:
        tracks: notes (on, off, pitch) of each track so far, with its instrument.
        holes: bars left open, in order.
        fills: notes of each hole that has been filled.
        state: what came last, in a word.
    """

    def __init__(self, limits: Limits | None = None, given: int = 0) -> None:
        self.limits = limits or Limits()
        lines = self.limits.lines
        self.tracks: list[tuple[int, list[tuple[int, int, int]]]] = []
        self.holes: list[Hole] = []
        self.fills: dict[Hole, list[tuple[int, int, int]]] = {}
        self.state = "start"
        self._given = given  # of those that have not come yet
        self._lines = np.zeros(1, np.int64) if lines is None else np.array(lines, np.int64)
        self._bar = self._begin = self._now = self._end = 0
        self._order = (0, -1)  # of the last event at this time: (0 off, 1 on) and pitch
        self._last_control = -1
        self._sounding: dict[int, int] = {}  # pitch to tick
        self._begun = 0  # notes of this bar or fill
        self._notes: list[tuple[int, int, int]] = []  # of the fill

    @property
    def may_end(self) -> bool:
        """Whether END may follow: a track is there, and every open bar is filled."""
        return self.state in ("track_end", "fill_end") and len(self.fills) == len(self.holes)

    def mask(self) -> NDArray[np.bool_]:
        """(size,) True where a token may come next."""
        mask = np.zeros(SIZE, bool)
        match self.state:
            case "start":
                mask[PIECE_START] = True
            case "piece":
                count = None if self.limits.lines is None else self._num_bars
                for i, bars in enumerate(BAR_COUNTS):
                    mask[FIRST["NUM_BARS"] + i] = count in (None, bars)
            case "num_bars":
                mask[TRACK_START] = True
            case "track_start":
                mask[FIRST["INST"] : FIRST["INST"] + DRUMS + 1] = True
            case "inst":
                mask[BAR_START] = True
                for i, name in enumerate(CONTROLS):
                    if i > self._last_control and (name == "DENSITY" or self.tracks[-1][0] != DRUMS):
                        following = list(FIRST.values())[list(FIRST).index(name) + 1]
                        mask[FIRST[name] : following] = True
            case "bar":
                self._mask_events(mask, BAR_END)
                may_open = self.limits.may_open or self._given > 0
                mask[FILL_IN] = may_open and self._order == (0, -1) and self._now == self._begin
            case "fill_in":
                mask[BAR_END] = True
            case "bar_end":
                mask[BAR_START if self._bar < self._num_bars else TRACK_END] = True
            case "track_end":
                mask[TRACK_START] = len(self.tracks) < self.limits.max_tracks
                mask[FILL_START] = len(self.holes) > 0
            case "fill":
                self._mask_events(mask, FILL_END)
            case "fill_end":
                mask[FILL_START] = len(self.fills) < len(self.holes)
        return mask

    def closing(self) -> NDArray[np.bool_]:
        """(size,) those of `mask` that close what is open: no further note, bar left open, track or attribute."""
        mask = self.mask()
        for close in (BAR_END, FILL_END):
            if mask[close]:
                return np.arange(SIZE) == close
        mask[[TRACK_START, FILL_IN]] = self.state == "num_bars", False
        mask[FIRST[CONTROLS[0]] : _ON] = False
        return mask

    def seconds(self, tempo_map: TempoMap) -> float:
        """Second of the last token, the window standing at beat 0."""
        return float(tempo_map.to_seconds(self._now / TICKS_PER_BEAT))

    def push(self, token: int) -> None:
        """Take a token.

        Raises:
            ValueError: if it may not come next.
        """
        if not (0 <= token < SIZE and self.mask()[token]):
            raise ValueError(f"token {token} may not follow ({self.state})")
        self._given -= 1
        if token == PIECE_START:
            self.state = "piece"
        elif token == TRACK_START:
            self.state, self._bar, self._last_control, self._now = "track_start", 0, -1, 0
        elif token == BAR_START:
            self.state = "bar"
            self._go_to(self._bar)
        elif token == FILL_IN:
            self.state = "fill_in"
            self.holes.append((len(self.tracks) - 1, self._bar))
        elif token == BAR_END:
            self.state, self._bar, self._now = "bar_end", self._bar + 1, self._end
        elif token == TRACK_END:
            self.state = "track_end"
            self._close_all(int(self._lines[-1]), self.tracks[-1][1])
        elif token == FILL_START:
            self.state = "fill"
            self._go_to(self.holes[len(self.fills)][1])
            self._notes = []
        elif token == FILL_END:
            self.state, self._now = "fill_end", self._end
            self._close_all(self._end, self._notes)
            self.fills[self.holes[len(self.fills)]] = self._notes
        elif token < FIRST["INST"]:
            self.state = "num_bars"
            bars = BAR_COUNTS[token - FIRST["NUM_BARS"]]
            self._lines = np.arange(bars + 1) * MAX_DELTA if self.limits.lines is None else self._lines
        elif token < FIRST["DENSITY"]:
            self.state = "inst"
            self.tracks.append((token - FIRST["INST"], []))
        elif token < _ON:
            self._last_control = max(i for i, name in enumerate(CONTROLS) if token >= FIRST[name])
        elif token < _DELTA:
            self._event(token)
        else:
            self._now, self._order = self._now + token - _DELTA + 1, (0, -1)

    @property
    def _num_bars(self) -> int:
        return len(self._lines) - 1

    def _go_to(self, bar: int) -> None:
        self._begin = self._now = int(self._lines[bar])
        self._end, self._order, self._begun = int(self._lines[bar + 1]), (0, -1), 0

    def _instrument(self) -> int:
        track = self.holes[len(self.fills)][0] if self.state == "fill" else len(self.tracks) - 1
        return self.tracks[track][0]

    def _mask_events(self, mask: NDArray[np.bool_], close: int) -> None:
        """Events of a bar or a fill: offs of what sounds, then ons, then time up to the bar's end."""
        drums = self._instrument() == DRUMS
        begins, pitch = self._order
        if not drums and not begins and self._now > self._begin:
            sounding = [p for p in self._sounding if p > pitch]
            mask[[_OFF + p for p in sounding]] = True
        if self._now < self._end:
            held = self.limits.held_at(len(self.fills), self._now) if self.state == "fill" else []
            taken = [*self._sounding, *held]
            if self._given > 0 or self.limits.has_room(self._begun, len(taken), drums):
                mask[_ON + (pitch + 1 if begins else 0) : _ON + 128] = True
                if not drums:
                    mask[[_ON + p for p in taken]] = False
            left = min(MAX_DELTA, self._end - self._now - (1 if drums else 0))
            mask[_DELTA : _DELTA + max(0, left)] = True
        mask[close] = True

    def _event(self, token: int) -> None:
        begins = token < _OFF
        self._begun += begins
        pitch = token - (_ON if begins else _OFF)
        notes = self._notes if self.state == "fill" else self.tracks[-1][1]
        self._order = (int(begins), pitch)
        if not begins:
            notes.append((self._sounding.pop(pitch), self._now, pitch))
        elif self._instrument() == DRUMS:
            notes.append((self._now, self._now + 1, pitch))
        else:
            self._sounding[pitch] = self._now

    def _close_all(self, end: int, notes: list[tuple[int, int, int]]) -> None:
        notes += [(on, max(end, on + 1), pitch) for pitch, on in self._sounding.items()]
        self._sounding.clear()


def read(
    mmm: Mmm, ids: list[int], lines: NDArray[np.int64], problems: dict[str, int] | None
) -> tuple[Window, dict[Hole, NDArray[np.int64]]]:
    """See `Mmm.decode`."""
    grammar = MmmGrammar(Limits(tuple(lines.tolist()), max_tracks=max(1, len(ids))))
    for i, token in enumerate(ids):
        try:
            grammar.push(token)
        except ValueError as error:
            if problems is None:
                name = mmm.name(token) if 0 <= token < SIZE else str(token)
                raise ValueError(f"token {i} ({name}): {error}") from error
            problems["illegal"] = problems.get("illegal", 0) + 1
    if not grammar.may_end:
        if problems is None:
            raise ValueError(f"the tokens end too early ({grammar.state})")
        problems["unfinished"] = 1
    tracks = tuple(BarTrack(instrument, _table(notes)) for instrument, notes in grammar.tracks)
    return Window(tracks, lines), {hole: _table(notes) for hole, notes in grammar.fills.items()}


def _table(notes: list[tuple[int, int, int]]) -> NDArray[np.int64]:
    return without_overlaps(np.array(notes, np.int64).reshape(-1, 3))
