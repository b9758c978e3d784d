"""What it means that two pieces share four bars, defined as strictly as a listener could ask.

A *window* is four whole bars of a piece, beginning at any bar line. Its *content* is the set of
(track, sixteenth, pitch) of all onsets in it, tracks by name, onsets rounded to the nearest sixteenth after
the window's start, pitches of all pitched tracks together moved so that the lowest is 0 (drums are not
moved). Two pieces share four bars if any window of one has the content of any window of the other, so
neither transposition nor tempo, velocity, length, sound, swing or a human hand makes a copy pass for new,
and windows of drums alone or of a few notes count like all others.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np

from lh_mm.music.score import Piece

WINDOW_BARS = 4
STEPS_PER_BEAT = 4


def window_contents(piece: Piece, num_bars: int = WINDOW_BARS) -> list[bytes]:
    """A digest (16 bytes) of the content of every window, one for each bar it can begin at.

    Raises:
        ValueError: if the piece has no score or more than one metre.
    """
    score = piece.score
    if score is None or len(score.meters) != 1:
        raise ValueError(f"{piece.id}: windows need a score in one metre")
    notes = score.notes
    bar_steps = round(score.meters[0].bar_beats * STEPS_PER_BEAT)
    total_bars = round(float(score.tempo_map.to_beats(score.duration_s)) * STEPS_PER_BEAT / bar_steps)
    step = np.rint(notes["start_beat"] * STEPS_PER_BEAT).astype(np.int64)
    pitch = notes["pitch"].astype(np.int64)
    names = sorted(score.tracks)
    role = np.array([names.index(name) for name in score.tracks], dtype=np.int64)[notes["track"]]
    order = np.argsort(step, kind="stable")
    step, pitch, role, drum = step[order], pitch[order], role[order], notes["drum"][order]
    contents = []
    for bar in range(total_bars - num_bars + 1):
        first, last = np.searchsorted(step, [bar * bar_steps, (bar + num_bars) * bar_steps])
        at, high, who, fixed = step[first:last] - bar * bar_steps, pitch[first:last], role[first:last], drum[first:last]
        lowest = high[~fixed].min() if (~fixed).any() else 0
        high = np.where(fixed, high, high - lowest)
        used = b"/".join(names[i].encode() for i in np.unique(who))
        who = np.unique(who, return_inverse=True)[1]
        cells = np.unique((who << 32) | (at << 8) | high)
        contents.append(blake2b(used + b"|" + cells.astype("<i8").tobytes(), digest_size=16).digest())
    return contents


def shared_windows(pieces: Iterable[Piece], num_bars: int = WINDOW_BARS) -> list[tuple[str, int, str, int]]:
    """Every pair of windows of different pieces with equal content, as (id, bar, id, bar), first seen first."""
    seen: dict[bytes, tuple[str, int]] = {}
    shared = []
    for piece in pieces:
        own: dict[bytes, int] = {}
        for bar, content in enumerate(window_contents(piece, num_bars)):
            own.setdefault(content, bar)
        shared += [(*seen[content], piece.id, bar) for content, bar in own.items() if content in seen]
        for content, bar in own.items():
            seen.setdefault(content, (piece.id, bar))
    return shared
