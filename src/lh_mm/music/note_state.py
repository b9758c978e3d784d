"""Notes as a state of every frame, the rival of merged events: which pitches begin, which go on sounding.

After the note state of magenta-realtime 2 (128 pitches: off, sustained, onset; a flag for drums). Ours has 128 drums,
and a sounding note is told with its age. A state has no programs: notes of two instruments on one pitch are one, which
merged events tell apart. That is what is compared, not an oversight.

Legend: N frames.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lh_mm.core.clock import frames_at

NUM_STATES = 256
"""Pitches 0 .. 127, then drums 0 .. 127."""
OFF, ONSET, OLDEST = 0, 1, 255
"""A state is 0 where nothing sounds, else 1 and the frames since the note began, at most `OLDEST`."""
DRUM_FRAMES = 16
"""A drum has no end; so long it is told."""


def note_states(notes: NDArray[np.void], rate_hz: float, first: int, end: int) -> NDArray[np.uint8]:
    """States of the frames [first, end), (end - first, 256).

    Of two notes on one pitch the younger is told.

    Args:
        notes: rows of a note table, seconds counted from frame 0.
        rate_hz: frames a second.
        first: of the frames; notes that begin before it are left out, as a crop leaves out their events.
        end: behind the last frame.
    """
    states = np.zeros((end - first, NUM_STATES), np.uint8)
    if not len(notes):
        return states
    on = frames_at(notes["start_s"], rate_hz, end).astype(np.int64) - first
    off = frames_at(notes["end_s"], rate_hz, end).astype(np.int64) - first
    off = np.where(notes["drum"], on + DRUM_FRAMES - 1, np.maximum(off, on))
    row = notes["pitch"].astype(np.int64) + 128 * notes["drum"]
    ages = np.minimum(np.arange(ONSET, ONSET + end - first), OLDEST).astype(np.uint8)
    for i in np.argsort(on, kind="stable"):
        if on[i] >= 0:
            part = states[on[i] : off[i] + 1, row[i]]
            part[:] = ages[: len(part)]
    return states
