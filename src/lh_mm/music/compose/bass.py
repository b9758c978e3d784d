"""Bass lines: a cell of one or two bars in scale steps above the chord's root, varied as it returns.

Kinds: offbeat (house's answer to the kick), rolling (techno's sixteenths), acid (a sequencer line with
accents and slides), funk, octaves, sub and reese (drum'n'bass), drone (ambient). The bass is one voice: a
slide is a note held exactly to the next, never over it.
"""

from __future__ import annotations

from typing import NamedTuple

from lh_mm.music.compose.dice import Dice
from lh_mm.music.compose.rhythm import STEPS_PER_BEAT, Event, draw_rhythm, with_lengths
from lh_mm.music.compose.sketch import Sketch

LOWEST = 29
"""Roots lie in the octave from here (F1)."""


class BassNote(NamedTuple):
    """Step in the cell, length in steps, scale steps above the root, velocity share."""

    step: int
    length: float
    rise: int
    velocity: float


def draw_cell(dice: Dice, kind: str, steps_per_bar: int, drive: float) -> tuple[int, list[BassNote]]:
    """A bass cell: its length in bars and its notes.

    Args:
        dice: where chance comes from.
        kind: key of `Style.bass`.
        steps_per_bar: sixteenths a bar.
        drive: 0 sparse .. 1 busy.
    """
    bars = dice.pick((1, 2, 2))
    steps = bars * steps_per_bar
    notes: list[BassNote] = []
    if kind == "offbeat":
        for step in range(2, steps, 4):
            notes.append(BassNote(step, dice.pick((1.0, 1.6, 2.0)), dice.weighted({0: 6, 7: 2, 4: 1.5, 6: 0.7}), 0.95))
        for step in dice.sample(range(3, steps, 2), dice.between(1, 2 + round(2 * drive))):
            notes.append(BassNote(step, 0.9, dice.weighted({0: 3, 7: 2, 4: 1, 6: 1, 2: 0.7}), 0.7))
    elif kind == "rolling":
        spots = dice.pick(((1, 2, 3), (2, 3), (0, 2, 3), (1, 3), (0, 1, 2, 3), (2, 3)))
        accent = dice.pick(spots)
        for step in range(steps):
            if step % 4 in spots and not dice.chance(0.08):
                rise = dice.weighted({0: 10, 7: 1.5, -1: 0.6, 4: 0.6, 2: 0.5})
                notes.append(BassNote(step, dice.pick((0.6, 0.8)), rise, 1.0 if step % 4 == accent else 0.75))
    elif kind == "acid":
        palette = [0, 0, 0, 7, *dice.sample((1, 2, 3, 4, 5, 6, 8, 9, -1, -3), 4)]
        for step in draw_rhythm(
            dice, steps, round(steps * dice.uniform(0.5, 0.6 + 0.25 * drive)), steps_per_bar, off_beat=0.5
        ):
            slide = dice.chance(0.25)
            notes.append(BassNote(step, 1.0 if slide else 0.55, dice.pick(palette), 1.0 if dice.chance(0.35) else 0.72))
    elif kind == "octaves":
        flip = dice.chance(0.3)
        for step in range(0, steps, 2):
            rise = 7 * ((step // 2 + flip) % 2)
            notes.append(
                BassNote(step, dice.pick((1.0, 1.5)), rise if not dice.chance(0.12) else 4, 0.9 if rise == 0 else 0.75)
            )
        for step in dice.sample(range(1, steps, 2), dice.between(0, 2 + round(2 * drive))):
            notes.append(BassNote(step, 0.8, dice.pick((0, 7, 6, 4)), 0.7))
    elif kind == "reese":
        starts = sorted({0, *dice.sample(range(6, steps, 2), dice.between(1, 2 * bars))})
        for step, length in with_lengths(starts, steps, 1.0, 16):
            notes.append(
                BassNote(step, length, 0 if step == 0 else dice.weighted({0: 3, 2: 1, 4: 2, 6: 1, -1: 1, 7: 1}), 0.9)
            )
    elif kind == "drone":
        starts = sorted({0, *dice.sample(range(4, steps, 2), dice.between(0, bars))})
        for step, length in with_lengths(starts, steps, 0.95, 32):
            notes.append(BassNote(step, length, 0 if step == 0 else dice.weighted({0: 1, 4: 3, 7: 2, 2: 0.5}), 0.75))
    else:  # funk and sub: drawn from the metre, funk shorter and busier
        count = round((3 + drive if kind == "sub" else 5 + 3 * drive) * bars)
        off_beat = 0.35 if kind == "sub" else 0.55
        starts = sorted({0, *draw_rhythm(dice, steps, count - 1, steps_per_bar, off_beat=off_beat)})
        gate = dice.uniform(0.75, 1.0) if kind == "sub" else dice.uniform(0.5, 0.85)
        for step, length in with_lengths(starts, steps, gate, 6 if kind == "sub" else 3):
            rise = 0 if step % 8 == 0 else dice.weighted({0: 5, 7: 2.5, 4: 1.5, 6: 1.2, 2: 1, -1: 0.5, 3: 0.4})
            notes.append(BassNote(step, length, rise, 1.0 if step % 4 == 0 else 0.8))
    return bars, sorted(notes)


def vary_cell(dice: Dice, notes: list[BassNote], changes: int) -> list[BassNote]:
    """The cell with a few notes at other pitches, left out, or echoed a sixteenth later."""
    notes = list(notes)
    for _ in range(changes):
        i = dice.below(len(notes))
        what = dice.below(3)
        if what == 0 or len(notes) < 3:
            notes[i] = notes[i]._replace(rise=dice.weighted({0: 2, 7: 2, 4: 2, 6: 1, 2: 1, -1: 1}))
        elif what == 1 and notes[i].step > 0:
            notes.pop(i)
        else:
            step = notes[i].step + 1
            if all(note.step != step for note in notes):
                notes.append(BassNote(step, 0.8, dice.pick((0, 7, notes[i].rise)), 0.65))
    return sorted(notes)


def write_bass(sketch: Sketch) -> list[Event]:
    """The bass of a piece: home cell in drops, thinned in intros and breaks, varied at phrase ends."""
    dice, steps = sketch.dice("bass"), sketch.steps_per_bar
    kind = dice.weighted(sketch.style.bass)
    bars, home = draw_cell(dice, kind, steps, sketch.drive)
    turn = vary_cell(dice, home, 2)
    second = vary_cell(dice, home, dice.between(1, 3))
    long_bars, long_notes = draw_cell(dice, "drone", steps, 0.0)
    rooted = kind == "acid" and dice.chance(0.6)  # the sequencer ignores the chords
    events: list[Event] = []
    for section, first, last, _ in sketch.spans("bass"):
        for bar in range(first, last):
            place = bar - section.start_bar
            cell, cell_bars = (second if section.kind == "drop2" else home), bars
            if section.kind == "break" or (section.kind == "build" and dice.chance(0.2)):
                cell, cell_bars = long_notes, long_bars
            elif place % 4 == 3:
                cell = turn if place % 8 == 3 else vary_cell(dice, turn, 1)
            offset = place % cell_bars * steps
            level = sketch.form.levels["bass"][bar]
            bar_beat = bar * sketch.bar_beats
            for note in cell:
                if not offset <= note.step < offset + steps:
                    continue
                beat = bar_beat + (note.step - offset) / STEPS_PER_BEAT
                chord = sketch.harmony.at(beat)
                root = 0 if rooted else chord.root
                index = sketch.key.index_near(LOWEST + 5.5, root) + note.rise
                length = min(note.length / STEPS_PER_BEAT, last * sketch.bar_beats - beat)
                if chord.end_beat - beat < length and cell is long_notes:
                    length = chord.end_beat - beat
                events.append(Event(beat, length, sketch.key.pitch(index, chord.root), level * note.velocity))
    return events
