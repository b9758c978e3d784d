"""Notes as a state of every frame, the rival of merged events: which pitches begin, which go on sounding.

After the note state of magenta-realtime 2 (128 pitches: off, sustained, onset; a flag for drums). Ours has a flag
for each of 128 drums. A state has no programs: notes of two instruments on one pitch are one, which merged events tell
apart. That is what is compared, not an oversight.

Legend: N frames.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lh_mm.core.clock import frames_at

NUM_STATES = 256
"""Pitches 0 .. 127, then drums 0 .. 127."""
OFF, SUSTAINED, ONSET = 0, 1, 2


def note_states(notes: NDArray[np.void], rate_hz: float, first: int, end: int) -> NDArray[np.uint8]:
    """States of the frames [first, end), (end - first, 256).

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
    inside = on >= 0
    pitch = notes["pitch"].astype(np.int64)
    for i in np.flatnonzero(inside & ~notes["drum"]):
        part = states[on[i] : off[i] + 1, pitch[i]]
        np.maximum(part, SUSTAINED, out=part)
    states[on[inside], pitch[inside] + 128 * notes["drum"][inside]] = ONSET
    return states
