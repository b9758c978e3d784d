"""Makes a piece legal for a slot rate before it is encoded, and counts what it changed.

The grammar of event tokens (docs/streams.md, section 2) knows no note that begins twice in a slot, none
that begins while the same note sounds, and none that outlasts the piece. Real files have all three. To
change them here, once, rather than in a mask, is what guarantees that no mask ever meets a target.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lh_mm.core.clock import frame_centres_s, frames_at, num_frames_for
from lh_mm.music.score import Score


def voices_of(notes: NDArray[np.void]) -> NDArray[np.int64]:
    """(program + 1) * 128 + pitch of each note; drums are program -1, so they have voices 0..127."""
    program = np.where(notes["drum"], -1, notes["program"].astype(np.int64))
    voices: NDArray[np.int64] = (program + 1) * 128 + notes["pitch"]
    return voices


def legalise(score: Score, rate_hz: float, num_frames: int | None = None) -> tuple[Score, dict[str, int]]:
    """Changes a piece as little as needed to make it legal at a slot rate, and counts the changes.

    Args:
        score: any score.
        rate_hz: slots a second.
        num_frames: N, where a codec says so; by default from the score's duration.

    Returns:
        The legal score (onsets are never moved) and counts: `notes` that came in, `after_end` dropped as
        they begin at or after the end, `doubled` merged into a note of the same program and pitch that
        begins in the same slot, `lengthened` from zero or less to a quarter slot, `cut` because the same
        note begins again, `closed` because they sounded past the end.
    """
    n_frames = num_frames_for(score.duration_s, rate_hz) if num_frames is None else num_frames
    end_s = n_frames / rate_hz
    counts = {"notes": len(score), "after_end": 0, "doubled": 0, "lengthened": 0, "cut": 0, "closed": 0}
    kept = frames_at(score.notes["start_s"], rate_hz) < n_frames
    counts["after_end"] = int((~kept).sum())
    notes = score.notes[kept].copy()

    empty = notes["end_s"] <= notes["start_s"]
    counts["lengthened"] = int(empty.sum())
    notes["end_s"][empty] = notes["start_s"][empty] + 0.25 / rate_hz

    # In order of voice, then time: neighbours of one voice are what can collide.
    voices, on = voices_of(notes), frames_at(notes["start_s"], rate_hz)
    order = np.lexsort([notes["start_s"], voices])
    notes, voices, on = notes[order], voices[order], on[order]
    first = np.ones(len(notes), bool)
    first[1:] = (voices[1:] != voices[:-1]) | (on[1:] != on[:-1])
    counts["doubled"] = int((~first).sum())
    if len(notes):
        starts = np.flatnonzero(first)
        ends, velocities = (np.maximum.reduceat(notes[key], starts) for key in ("end_s", "velocity"))
        notes, voices = notes[first], voices[first]
        notes["end_s"], notes["velocity"] = ends, np.maximum(velocities, 1)

    beyond = np.full(len(notes), np.inf)
    beyond[:-1] = np.where(voices[1:] == voices[:-1], notes["start_s"][1:], np.inf)
    overlaps = (notes["end_s"] > beyond) & ~notes["drum"]
    counts["cut"] = int(overlaps.sum())
    notes["end_s"][overlaps] = beyond[overlaps]

    late = notes["end_s"] > end_s + 1e-9
    counts["closed"] = int((late & ~notes["drum"]).sum())
    notes["end_s"][late] = end_s
    notes["end_beat"] = score.tempo_map.to_beats(notes["end_s"])
    return replace(score, notes=notes), counts


def on_slots(score: Score, rate_hz: float, num_frames: int) -> Score:
    """A legal piece with its notes moved to where their tokens say they are: the middles of their slots.

    What is rendered from it depends on nothing that tokens do not hold, in which part of a slot a note began above all:
    a codec that hears phases writes another code for each. Notes move by at most half a slot (7 ms at 75 Hz), and the
    tokens of the piece stay what they were.

    Args:
        score: made legal by `legalise` at this rate and N.
        rate_hz: slots a second.
        num_frames: N.
    """
    notes = score.notes.copy()
    on = frames_at(notes["start_s"], rate_hz, num_frames)
    off = np.maximum(frames_at(notes["end_s"], rate_hz, num_frames), on)
    notes["start_s"] = frame_centres_s(on, rate_hz)
    notes["end_s"] = np.where(off == on, (on + 0.75) / rate_hz, frame_centres_s(off, rate_hz))
    for edge in ("start", "end"):
        notes[f"{edge}_beat"] = score.tempo_map.to_beats(notes[f"{edge}_s"])
    return replace(score, notes=notes)
