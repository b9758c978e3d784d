"""The cold end: a last chord on the tonic, struck once by everybody and left to ring."""

from __future__ import annotations

from lh_mm.music.compose.bass import LOWEST
from lh_mm.music.compose.chords import CHORD_RANGE
from lh_mm.music.compose.drums import HIT_BEATS
from lh_mm.music.compose.harmony import Chord, voice
from lh_mm.music.compose.rhythm import Event
from lh_mm.music.compose.sketch import Sketch
from lh_mm.music.compose.style import CRASH, KICK


def write_ending(sketch: Sketch) -> dict[str, list[Event]]:
    """Events by track for the last bar; none where the piece just stops."""
    if not sketch.form.cold_end:
        return {}
    dice, key = sketch.dice("ending"), sketch.key
    beat, length = (sketch.form.num_bars - 1) * sketch.bar_beats, sketch.bar_beats * dice.pick((0.25, 0.5, 1.0))
    tonic = Chord(beat, beat + length, 0, dice.pick(((0, 2, 4), (0, 2, 4), (0, 2, 4, 6), (0, 2, 4, 8), (0, 4))))
    chord = voice(key, tonic, None, max(3, len(tonic.tones)), *CHORD_RANGE)
    ending = {
        "bass": [Event(beat, length, key.pitch(key.index_near(LOWEST + 5.5, 0)), 0.85)],
        "chords": [Event(beat, length, pitch, 0.8) for pitch in chord],
    }
    if sketch.style.name != "ambient":
        ending["drums"] = [Event(beat, HIT_BEATS, KICK, 0.95), Event(beat, length, CRASH, 0.8)]
    return ending
