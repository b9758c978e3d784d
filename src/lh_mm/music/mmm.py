"""MMM's tokens: a window of bars track after track, with bars left open and filled at the end.

    PIECE_START NUM_BARS=b (TRACK_START INST=i control* (BAR_START event* BAR_END){b} TRACK_END)+
    a bar left open holds FILL_IN alone; behind the last track, one for each in order: FILL_START event* FILL_END
    event = TIME_DELTA=d | NOTE_OFF=p | NOTE_ON=p          time begins anew at BAR_START and FILL_START

After Ens and Pasquier 2020 (arXiv:2008.06048) and its open form MMM-JSB; the polyphony and duration controls and all
formulas are MIDI-GPT's (`music/bars.py`). Where these are silent, ours: at one time offs stand before ons, both by
pitch; a note that is held over a bar line has its off in the bar that its last tick lies in; drums have no offs; INST
is the program (MMM-JSB writes the part); controls may be left out, which says nothing. Of an open bar the notes that
begin in it are missing, whole: its fill holds them, cut at its end. A note held into it that ends in it, or with it,
seems to end at its beginning; one held through it that ends behind it, in a bar that is not open, stays whole.

Legend: T tokens, B bars.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lh_mm.music.bars import (
    DRUMS,
    MAX_POLYPHONY,
    NUM_DENSITIES,
    NUM_DURATIONS,
    TICKS_PER_BEAT,
    BarTrack,
    Window,
    durations,
    notes_a_bar,
    polyphony,
    without_overlaps,
)
from lh_mm.music.grid import STEPS_PER_BEAT, check_grid

MAX_DELTA = 48
BAR_COUNTS = (4, 8)
PIECE_START, TRACK_START, TRACK_END, BAR_START, BAR_END, FILL_IN, FILL_START, FILL_END = range(8)
_BLOCKS = (
    ("NUM_BARS", len(BAR_COUNTS)), ("INST", DRUMS + 1), ("DENSITY", NUM_DENSITIES), ("MIN_POLYPHONY", MAX_POLYPHONY),
    ("MAX_POLYPHONY", MAX_POLYPHONY), ("MIN_DURATION", NUM_DURATIONS), ("MAX_DURATION", NUM_DURATIONS),
    ("NOTE_ON", 128), ("NOTE_OFF", 128), ("TIME_DELTA", MAX_DELTA),
)  # fmt: skip
NAMES = ("PIECE_START", "TRACK_START", "TRACK_END", "BAR_START", "BAR_END", "FILL_IN", "FILL_START", "FILL_END")
FIRST = dict(
    zip(
        (name for name, _ in _BLOCKS),
        (8 + sum(size for _, size in _BLOCKS[:i]) for i in range(len(_BLOCKS))),
        strict=True,
    )
)
"""Id of each block's first token."""
SIZE = 8 + sum(size for _, size in _BLOCKS)
CONTROLS = ("DENSITY", "MIN_POLYPHONY", "MAX_POLYPHONY", "MIN_DURATION", "MAX_DURATION")
_LOWEST = {"NUM_BARS": 0, "INST": 0, "DENSITY": 0, "MIN_POLYPHONY": 1, "MAX_POLYPHONY": 1, "TIME_DELTA": 1}
CONTROL_RANGES = {
    name: (_LOWEST.get(name, 0), _LOWEST.get(name, 0) + size - 1) for name, size in _BLOCKS if name in CONTROLS
}
"""Least and greatest value of each control, both legal."""
Hole = tuple[int, int]
"""Track and bar."""


@dataclass(frozen=True)
class MmmTokens:
    """Tokens of one window.

    Attributes:
        ids: (T,).
        ticks: (T,) time that has been reached at each token, from the window's start; it goes back with every track.
        num_notes: notes in them, the divisor of nats per note.
    """

    ids: NDArray[np.int32]
    ticks: NDArray[np.int64]
    num_notes: int

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Mmm:
    """The tokenizer.

    Attributes:
        densities: of each instrument, nine borders of notes a bar; an instrument without has those of `DEFAULT`.
    """

    densities: Mapping[int, tuple[int, ...]] = field(default_factory=dict)

    DEFAULT = (1, 2, 3, 4, 5, 6, 8, 10, 14)

    @property
    def size(self) -> int:
        """Number of ids; END, which is no token, would be the next."""
        return SIZE

    def begins_note(self, ids: ArrayLike) -> NDArray[np.bool_]:
        """Which ids begin a note, any shape."""
        found = np.asarray(ids)
        return (found >= FIRST["NOTE_ON"]) & (found < FIRST["NOTE_OFF"])

    def name(self, token: int) -> str:
        """Readable name, as `NOTE_ON=60`, `INST=drums`, `BAR_END`."""
        if not 0 <= token < SIZE:
            raise ValueError(f"token {token} is outside 0..{SIZE - 1}")
        if token < len(NAMES):
            return NAMES[token]
        block = next(name for name in reversed(FIRST) if token >= FIRST[name])
        value = token - FIRST[block] + _LOWEST.get(block, 0)
        text = str(BAR_COUNTS[value]) if block == "NUM_BARS" else str(value)
        return f"{block}={'drums' if block == 'INST' and value == DRUMS else text}"

    def to_json(self) -> str:
        """What a bundle stores."""
        densities = {str(k): v for k, v in self.densities.items()}
        return json.dumps({"kind": "mmm", "size": SIZE, STEPS_PER_BEAT: TICKS_PER_BEAT, "densities": densities})

    @classmethod
    def from_json(cls, text: str) -> Mmm:
        """The inverse of `to_json`. Raises ValueError if the text is of another vocabulary or grid."""
        stored = json.loads(text)
        if not isinstance(stored, dict) or stored.get("kind") != "mmm" or stored.get("size") != SIZE:
            raise ValueError(f"not MMM's vocabulary of {SIZE} ids: {text[:80]!r}")
        check_grid(stored, STEPS_PER_BEAT, TICKS_PER_BEAT)
        return cls({int(k): tuple(v) for k, v in stored["densities"].items()})

    def controls_of(self, track: BarTrack, window: Window) -> dict[str, int]:
        """The track's own values of the controls, of all its notes, open bars included; drums have a density alone."""
        borders = self.densities.get(track.instrument, self.DEFAULT)
        values = {"DENSITY": int(np.searchsorted(borders, notes_a_bar(track, window), side="left"))}
        if track.instrument != DRUMS:
            for what, found in (("POLYPHONY", polyphony(track)), ("DURATION", durations(track))):
                if found is not None:
                    values |= {f"MIN_{what}": found[0], f"MAX_{what}": found[1]}
        return values

    def encode(
        self,
        window: Window,
        holes: Collection[Hole] = (),
        order: Sequence[int] | None = None,
        controls: Sequence[Mapping[str, int]] | None = None,
        fill: bool = True,
    ) -> MmmTokens:
        """Tokens of a window.

        Args:
            window: of 4 or 8 bars; it is not changed.
            holes: open bars, by the window's own numbers of tracks.
            order: in which tracks are written; as they stand by default.
            controls: of each track of the window; their own by default, an empty one says nothing.
            fill: whether what the open bars held stands at the end.

        Raises:
            ValueError: for another number of bars, or a hole that is not there.
        """
        if window.num_bars not in BAR_COUNTS:
            raise ValueError(f"windows have {' or '.join(map(str, BAR_COUNTS))} bars, got {window.num_bars}")
        order = range(len(window.tracks)) if order is None else order
        for index, bar in holes:
            if index not in order or not (0 <= index < len(window.tracks) and 0 <= bar < window.num_bars):
                raise ValueError(f"there is no bar {bar} of track {index} among the tracks that are written")
        ids = [PIECE_START, FIRST["NUM_BARS"] + BAR_COUNTS.index(window.num_bars)]
        ticks = [0, 0]
        for index in order:
            track = window.tracks[index]
            told = self.controls_of(track, window) if controls is None else controls[index]
            head = [TRACK_START, FIRST["INST"] + track.instrument]
            head += told_ids(told)
            ids += head
            ticks += [0] * len(head)
            open_bars = {bar for t, bar in holes if t == index}
            shown = _without(track, window, open_bars)
            for bar in range(window.num_bars):
                begin, end = int(window.lines[bar]), int(window.lines[bar + 1])
                body, when = ([FILL_IN], [begin]) if bar in open_bars else _events(shown, track.instrument, begin, end)
                ids += [BAR_START, *body, BAR_END]
                ticks += [begin, *when, end]
            ids.append(TRACK_END)
            ticks.append(int(window.lines[-1]))
        num_notes = int(self.begins_note(ids).sum())
        if fill:
            for index, bar in in_order(holes, order):
                begin, end = int(window.lines[bar]), int(window.lines[bar + 1])
                track = window.tracks[index]
                own = track.notes[(track.notes[:, 0] >= begin) & (track.notes[:, 0] < end)].copy()
                own[:, 1] = np.minimum(own[:, 1], end)
                body, when = _events(own, track.instrument, begin, end)
                ids += [FILL_START, *body, FILL_END]
                ticks += [begin, *when, end]
                num_notes += len(own)
        return MmmTokens(np.array(ids, np.int32), np.array(ticks, np.int64), num_notes)

    def decode(
        self, ids: ArrayLike, lines: NDArray[np.int64], problems: dict[str, int] | None = None
    ) -> tuple[Window, dict[Hole, NDArray[np.int64]]]:
        """The window and the notes of each fill, tracks as they stand in the tokens.

        Args:
            ids: (T,) tokens.
            lines: (B + 1,) bar lines.
            problems: where to count what is not legal; without, it is an error.

        Returns:
            The window with its open bars empty, and (N, 3) notes by hole; `filled` puts them together.

        Raises:
            ValueError: naming the token that may not stand where it does.
        """
        from lh_mm.music.mmm_grammar import read

        return read(self, np.asarray(ids).tolist(), lines, problems)


def told_ids(controls: Mapping[str, int]) -> list[int]:
    """Ids of a track's controls. Raises ValueError for one unknown, out of range, or a minimum above the maximum."""
    for name, value in controls.items():
        if name not in CONTROLS:
            raise ValueError(f"unknown control {name}; a track has {', '.join(CONTROLS)}")
        low = _LOWEST.get(name, 0)
        if not low <= value < low + dict(_BLOCKS)[name]:
            raise ValueError(f"{name} should lie in {low}..{low + dict(_BLOCKS)[name] - 1}, got {value}")
    for what in ("POLYPHONY", "DURATION"):
        least, most = controls.get(f"MIN_{what}"), controls.get(f"MAX_{what}")
        if least is not None and most is not None and least > most:
            raise ValueError(f"MIN_{what} should be at most MAX_{what}, got {least} above {most}")
    return [FIRST[name] + controls[name] - _LOWEST.get(name, 0) for name in CONTROLS if name in controls]


def is_told(ids: Sequence[int]) -> NDArray[np.bool_]:
    """(T,) which tokens are controls of tracks."""
    found = np.asarray(ids, np.int64)
    return np.asarray((found >= FIRST[CONTROLS[0]]) & (found < FIRST["NOTE_ON"]))


def in_order(holes: Collection[Hole], order: Sequence[int]) -> list[Hole]:
    """Holes as their bars stand in the tokens: by track as written, then by bar."""
    at = {track: i for i, track in enumerate(order)}
    return sorted(holes, key=lambda hole: (at[hole[0]], hole[1]))


def filled(window: Window, fills: Mapping[Hole, NDArray[np.int64]]) -> Window:
    """A window with notes put into bars, in place of those that began there; all others stay bit for bit."""
    tracks = list(window.tracks)
    for (index, bar), notes in fills.items():
        begin, end = window.lines[bar], window.lines[bar + 1]
        old = tracks[index].notes
        kept = old[(old[:, 0] < begin) | (old[:, 0] >= end)]
        table = np.concatenate([kept, notes])
        tracks[index] = BarTrack(tracks[index].instrument, table[np.lexsort([table[:, 2], table[:, 0]])])
    return Window(tuple(tracks), window.lines, window.first_beat)


def _without(track: BarTrack, window: Window, open_bars: Collection[int]) -> NDArray[np.int64]:
    """The notes that are shown: none that begin in an open bar; of those held into one those that end in it are cut."""
    notes = track.notes[~np.isin(window.bar_of(track.notes[:, 0]), list(open_bars))].copy()
    # One that ends in the last of several open bars ends before the first; one that ends behind them stays whole.
    for bar in sorted(open_bars, reverse=True):
        begin, end = window.lines[bar], window.lines[bar + 1]
        held = (notes[:, 0] < begin) & (notes[:, 1] > begin) & (notes[:, 1] <= end)
        notes[held, 1] = begin
    return without_overlaps(notes) if len(notes) else notes


def _events(notes: NDArray[np.int64], instrument: int, begin: int, end: int) -> tuple[list[int], list[int]]:
    """Ids of the events in [begin, end], and the ticks at which they stand."""
    on = notes[(notes[:, 0] >= begin) & (notes[:, 0] < end)]
    events = [(int(t), 1, int(pitch)) for t, _, pitch in on]
    if instrument != DRUMS:
        off = notes[(notes[:, 1] > begin) & (notes[:, 1] <= end)]
        events += [(int(t), 0, int(pitch)) for _, t, pitch in off]
    ids, ticks, now = [], [], begin
    for tick, begins, pitch in sorted(events):
        while now < tick:
            step = min(MAX_DELTA, tick - now)
            now += step
            ids.append(FIRST["TIME_DELTA"] + step - 1)
            ticks.append(now)
        ids.append(FIRST["NOTE_ON" if begins else "NOTE_OFF"] + pitch)
        ticks.append(now)
    return ids, ticks
