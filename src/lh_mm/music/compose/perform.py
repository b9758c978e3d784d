"""From written parts to a legal score: swing, a human hand, velocities, and no note over its own pitch.

Timing is moved in beats. Swing bends every pair of sixteenths; the hand moves onsets by a few milliseconds,
least for drums that carry the beat; notes struck together stay together. What leaves here is legal for
every tokenizer: a (program, pitch) never sounds twice at once, and does not begin twice within 25 ms.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lh_mm.core.clock import TempoMap
from lh_mm.music.compose.dice import Dice
from lh_mm.music.compose.rhythm import Event
from lh_mm.music.score import NOTE_DTYPE

HAND_MS = {"drums": 1.2, "bass": 1.5, "arp": 1.0, "chords": 2.5, "lead": 2.5, "pad": 4.0}
"""Standard deviation of an onset, in milliseconds; never more than three of them."""

ONE_VOICE = ("bass", "lead")
"""Tracks of which only one note sounds at a time."""

CLOSEST_S = 0.025
"""Least time between two onsets of one pitch, and least length of a note."""


def swung(beat: NDArray[np.float64], swing: float) -> NDArray[np.float64]:
    """Straight beats bent so that the first sixteenth of each eighth takes the share `swing` of it."""
    pair = np.floor(beat * 2 + 1e-9) / 2
    place = (beat - pair) * 2
    bent = np.where(place < 0.5, place * 2 * swing, swing + (place - 0.5) * 2 * (1 - swing))
    return pair + bent / 2


def perform_track(
    dice: Dice,
    role: str,
    events: list[Event],
    track: int,
    program: int,
    swing: float,
    tempo_map: TempoMap,
    end_beat: float,
) -> NDArray[np.void]:
    """Notes of one track, in seconds and beats, sorted by onset.

    Args:
        dice: the hand's chance.
        role: track name, key of `HAND_MS`.
        events: as written, in any order.
        track: index for `Score.tracks`.
        program: General MIDI program, 0 for drums.
        swing: 0.5 is straight.
        tempo_map: beats to seconds.
        end_beat: nothing sounds after it.
    """
    ordered = sorted(event for event in events if event.beat < end_beat - 1e-6)
    beats = np.array([event.beat for event in ordered])
    ends = beats + np.array([event.length for event in ordered])
    pitches = np.array([event.pitch for event in ordered], dtype=np.int64)
    velocities = np.array([event.velocity for event in ordered])
    starts_s = tempo_map.to_seconds(swung(beats, swing))
    ends_s = tempo_map.to_seconds(swung(ends, swing))
    _, together = np.unique(beats, return_inverse=True)
    hand_s = dice.bell(len(ordered))[together] * HAND_MS[role] / 1000.0
    starts_s = np.maximum(starts_s + hand_s, 0.0)
    ends_s = np.minimum(ends_s, float(tempo_map.to_seconds(end_beat)))
    loud = np.clip(np.rint(127 * (0.12 + 0.86 * velocities) + 3.0 * dice.bell(len(ordered))), 1, 127)
    if role in ONE_VOICE:
        keep = _first_of_each(beats, pitches)
        starts_s, ends_s, pitches, loud = starts_s[keep], ends_s[keep], pitches[keep], loud[keep]
        ends_s[:-1] = np.minimum(ends_s[:-1], starts_s[1:])
    notes = np.zeros(len(starts_s), NOTE_DTYPE)
    notes["start_s"], notes["end_s"] = starts_s, np.maximum(ends_s, starts_s + CLOSEST_S)
    notes["pitch"], notes["velocity"] = pitches, loud
    notes["program"], notes["drum"], notes["track"] = program, role == "drums", track
    notes = _legal(notes)
    notes["start_beat"], notes["end_beat"] = tempo_map.to_beats(notes["start_s"]), tempo_map.to_beats(notes["end_s"])
    return notes


def _first_of_each(beats: NDArray[np.float64], pitches: NDArray[np.int64]) -> NDArray[np.intp]:
    """Of notes written at one beat, the highest: what a listener takes for the line."""
    order = np.lexsort([-pitches, beats])
    fresh = np.append(True, np.diff(beats[order]) > 1e-6) if len(beats) else np.zeros(0, bool)
    kept: NDArray[np.intp] = order[fresh]
    return kept


def _legal(notes: NDArray[np.void]) -> NDArray[np.void]:
    """Per pitch: drop a note that begins within `CLOSEST_S` of the one before, end each by the next one's onset."""
    notes = notes[np.lexsort([-notes["velocity"].astype(int), notes["start_s"], notes["pitch"]])]
    kept, last_pitch, last_start = [], -1, 0.0
    for i, (pitch, start) in enumerate(zip(notes["pitch"].tolist(), notes["start_s"].tolist(), strict=True)):
        if pitch == last_pitch and start - last_start < CLOSEST_S:
            continue
        kept.append(i)
        last_pitch, last_start = pitch, start
    notes = notes[kept]
    same = notes["pitch"][1:] == notes["pitch"][:-1]
    ends = notes["end_s"][:-1]
    notes["end_s"][:-1] = np.where(same, np.minimum(ends, notes["start_s"][1:]), ends)
    return notes[np.argsort(notes["start_s"], kind="stable")]


def choose_programs(dice: Dice, choices: Mapping[str, tuple[int, ...]], roles: list[str]) -> dict[str, int]:
    """A General MIDI program for each pitched role, no two alike; drums have 0."""
    programs: dict[str, int] = {"drums": 0}
    taken: set[int] = set()
    for role in sorted(role for role in roles if role != "drums"):
        program = dice.pick([p for p in choices[role] if p not in taken])
        taken.add(program)
        programs[role] = program
    return programs
