"""The composer: a seed becomes a piece.

Everything is decided by rules and chance, nothing is learned and nothing is quoted, so the corpus has no
licence but its own and no end. The order is that of a producer: a sketch (tempo, key, form, chords), the
parts one by one, then the performance.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from lh_mm.core.clock import TempoMap
from lh_mm.music.compose.arp import write_arp
from lh_mm.music.compose.bass import write_bass
from lh_mm.music.compose.chords import write_chords, write_pad
from lh_mm.music.compose.dice import Dice
from lh_mm.music.compose.drums import write_drums
from lh_mm.music.compose.ending import write_ending
from lh_mm.music.compose.melody import Lead
from lh_mm.music.compose.perform import choose_programs, perform_track
from lh_mm.music.compose.rhythm import Event
from lh_mm.music.compose.sketch import Sketch, draw_sketch
from lh_mm.music.compose.styles import STYLES
from lh_mm.music.score import Meter, Piece, Score

VERSION = 1
"""Raised whenever any seed would become another piece; prepared data carries it in its fingerprint."""

KITS = tuple(f"kit{i:02d}" for i in range(12))
"""Sound sets of the built-in synthesizer; drawn apart from the music, so a held-out kit leaves styles balanced."""

LICENCE = "CC0-1.0 (synthetic, made by lh_mm.music.compose)"

WRITERS: dict[str, Callable[[Sketch], list[Event]]] = {
    "drums": write_drums,
    "bass": write_bass,
    "chords": write_chords,
    "lead": lambda sketch: Lead(sketch).write(),
    "pad": write_pad,
    "arp": write_arp,
}


def compose(seed: int, style: str | None = None, duration_s: float | None = None) -> Piece:
    """Compose one piece. The same arguments give the same piece, bit for bit, on any machine.

    Args:
        seed: 0 or more; any number of pieces, no two alike.
        style: a key of `STYLES`; None draws one from the seed, and naming that one changes nothing.
        duration_s: about how long, rounded to whole bars; None draws 60 to 150 s. Another duration is
            another piece with the same id, so a corpus asks for one duration throughout.

    Returns:
        A piece without audio. Tracks are "drums", "bass", "chords", "lead" and, in some pieces, "pad" and
        "arp". Labels: style, key, mode, tempo_bpm, meter, swing, form, bars, density (notes a second),
        energy (0..1: density times mean velocity, 20 full-velocity notes a second being 1), kit (one of
        `KITS`), preset_seed (1 or more, for the synthesizer's presets), synthetic (1).

    Raises:
        ValueError: for an unknown style, a negative seed or a duration that is not above 0.
    """
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, got {seed}")
    if style is not None and style not in STYLES:
        raise ValueError(f"style must be one of {', '.join(STYLES)}, got {style!r}")
    if duration_s is not None and not (math.isfinite(duration_s) and duration_s > 0):
        raise ValueError(f"duration_s must be above 0 and finite, got {duration_s}")
    name = style or Dice(seed, "style").pick(tuple(STYLES))
    sketch = draw_sketch(seed, STYLES[name], duration_s)
    end_beat = sketch.form.num_bars * sketch.bar_beats
    tempo_map = _tempo_map(sketch, end_beat)
    parts = {role: write(sketch) for role, write in WRITERS.items()}
    for role, events in write_ending(sketch).items():
        parts[role] += events
    parts = {role: events for role, events in parts.items() if events}
    programs = choose_programs(sketch.dice("programs"), sketch.style.programs, list(parts))
    played = []
    for track, (role, events) in enumerate(parts.items()):
        hand = sketch.dice(f"hand/{role}")
        played.append(perform_track(hand, role, events, track, programs[role], sketch.swing, tempo_map, end_beat))
    notes = np.concatenate(played)
    score = Score(
        notes=notes,
        tempo_map=tempo_map,
        duration_s=float(tempo_map.to_seconds(end_beat)),
        meters=(Meter(0.0, *sketch.meter),),
        tracks=tuple(parts),
    )
    return Piece(f"electronic-{seed:06d}-{name}", score, labels=_labels(sketch, score), licence=LICENCE)


def _tempo_map(sketch: Sketch, end_beat: float) -> TempoMap:
    """One tempo; ambient may breathe (a few per cent every four bars) and slow down at the end."""
    dice = sketch.dice("tempo")
    if sketch.style.name != "ambient" or dice.chance(0.5):
        return TempoMap.constant(sketch.bpm)
    changes = [(0.0, sketch.bpm)]
    beat, step = 4 * sketch.bar_beats, 4 * sketch.bar_beats
    while beat < end_beat:
        slower = 0.93 if beat + step >= end_beat else 1.0
        changes.append((beat, sketch.bpm * slower * dice.uniform(0.97, 1.03)))
        beat += step
    return TempoMap.from_tempos(changes)


def _labels(sketch: Sketch, score: Score) -> dict[str, str | float | int]:
    density = len(score) / score.duration_s
    sound = sketch.dice("sound")
    return {
        "style": sketch.style.name,
        "key": sketch.key.name,
        "mode": sketch.key.mode,
        "tempo_bpm": sketch.bpm,
        "meter": f"{sketch.meter[0]}/{sketch.meter[1]}",
        "swing": sketch.swing,
        "form": sketch.form.label,
        "bars": sketch.form.num_bars,
        "density": round(density, 3),
        "energy": round(min(1.0, density * float(score.notes["velocity"].mean()) / 127 / 20), 4),
        "kit": sound.pick(KITS),
        "preset_seed": 1 + sound.below(2**31 - 1),
        "synthetic": 1,
    }
