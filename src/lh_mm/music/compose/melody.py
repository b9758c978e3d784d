"""Lead lines: a motif and what becomes of it.

A motif is a rhythm with a contour in scale steps. A phrase is a plan of letters over it: A the motif, a
with another ending, S in sequence, I inverted, V with its rhythm changed, O ornamented, B an answer of its
own, a dot a rest. The same motif thus returns over other chords, where strong notes move to chord tones.
Breaks hear it slower, builds hear its head climbing, the second drop a developed form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from lh_mm.music.compose.dice import Dice
from lh_mm.music.compose.form import Section
from lh_mm.music.compose.rhythm import STEPS_PER_BEAT, Event, draw_rhythm, metrical_weight, with_lengths
from lh_mm.music.compose.sketch import Sketch


class MotifNote(NamedTuple):
    """Step in the motif, length in steps, scale steps from the anchor, velocity share."""

    step: int
    length: float
    rise: int
    velocity: float


@dataclass(frozen=True)
class Character:
    """How a lead behaves: notes a bar, how even, legato, leaps, register, its phrase plans."""

    notes: tuple[float, float]
    off_beat: float
    gate: tuple[float, float]
    longest: int
    leap: float
    centre: tuple[int, int]
    plans: tuple[str, ...]


CHARACTERS = {
    "riff": Character((2.5, 5.5), 0.5, (0.4, 0.7), 3, 0.25, (62, 74), ("AAAB", "AAAS", "AaAa", "AAAV", "A.Aa", "AAaB")),
    "vocal": Character(
        (2.5, 4.5), 0.4, (0.75, 0.95), 6, 0.15, (66, 75), ("AaAB", "A.a.", "ABA.", "ASAB", "A.B.", "AaSB")
    ),
    "hook": Character((3.5, 6.0), 0.3, (0.6, 0.9), 4, 0.25, (68, 80), ("AaAB", "ASAB", "AAIB", "ABaB", "AVAB", "ASSB")),
    "soaring": Character((1.2, 2.6), 0.15, (0.9, 1.0), 12, 0.3, (69, 81), ("ABAB", "AaB.", "ASIB", "AB.a", "ASaB")),
    "sparse": Character(
        (1.2, 2.4), 0.2, (0.8, 1.0), 10, 0.25, (66, 79), ("A.B.", "AaB.", "A.a.", "AI.B", "AS.B", "ABa.")
    ),
    "drone": Character((1.0, 2.0), 0.4, (0.9, 1.0), 14, 0.1, (58, 70), ("AaAa", "AAAa", "AaAB")),
}


def draw_motif(dice: Dice, character: Character, bars: int, steps_per_bar: int) -> list[MotifNote]:
    """A motif of `bars` bars: rhythm from the metre, contour a walk in the scale that turns back after a leap."""
    steps = bars * steps_per_bar
    count = max(2, round(dice.uniform(*character.notes) * bars))
    starts = draw_rhythm(dice, steps, count, steps_per_bar, off_beat=character.off_beat)
    gate = dice.uniform(*character.gate)
    notes, rise, move = [], dice.pick((0, 0, 2, 4, -3)), 0
    for step, length in with_lengths(starts, steps, gate, character.longest):
        weight = metrical_weight(step, steps_per_bar)
        notes.append(MotifNote(step, length, rise, 0.75 + 0.25 * weight))
        if abs(move) >= 3:
            move = -1 if move > 0 else 1
        elif dice.chance(character.leap):
            move = dice.pick((3, 4, 5, 7, -3, -4, -5))
        else:
            move = dice.weighted({1: 3, -1: 3.4, 2: 1.2, -2: 1.4, 0: 1.4})
        if abs(rise + move) > 7:
            move = -move
        rise += move
    return notes


def develop(dice: Dice, how: str, motif: list[MotifNote], steps: int) -> list[MotifNote]:
    """One step of development, by letter; the result stays within `steps` sixteenths."""
    if how == "a":  # the same, but it ends elsewhere
        last = motif[-1]
        return [*motif[:-1], last._replace(rise=last.rise + dice.pick((-2, -1, 1, 2, 3)))]
    if how == "S":
        by = dice.pick((-2, -1, 1, 2))
        return [note._replace(rise=note.rise + by) for note in motif]
    if how == "I":
        return [note._replace(rise=2 * motif[0].rise - note.rise) for note in motif]
    if how == "V":  # the contour in another rhythm: later by some steps, or twice as fast and twice over
        if dice.chance(0.5) or steps < 16:
            by = dice.pick((2, 3, 4))
            return sorted(note._replace(step=(note.step + by) % steps) for note in motif)
        fast = {note.step // 2: note._replace(step=note.step // 2, length=max(0.5, note.length / 2)) for note in motif}
        again = [note._replace(step=note.step + steps // 2) for note in fast.values()]
        return sorted([*fast.values(), *again])
    if how == "O":
        out = list(motif)
        for note, after in zip(motif, [*motif[1:], None], strict=True):
            room = (after.step if after else steps) - note.step
            if room >= 2 and dice.chance(0.5):
                out[out.index(note)] = note._replace(length=min(note.length, 1.0))
                out.append(MotifNote(note.step + 1, min(1.0, room - 1.0), note.rise + dice.pick((-1, 1, 1, 2)), 0.7))
        return sorted(out)
    return motif


class Lead:
    """The lead of one piece: its motif, its answer and the places it puts them."""

    def __init__(self, sketch: Sketch) -> None:
        dice = sketch.dice("lead")
        self.sketch = sketch
        self.character = CHARACTERS[dice.weighted(sketch.style.lead)]
        self.bars = dice.pick((1, 2, 2))
        self.steps = self.bars * sketch.steps_per_bar
        self.motif = draw_motif(dice, self.character, self.bars, sketch.steps_per_bar)
        self.answer = draw_motif(dice, self.character, self.bars, sketch.steps_per_bar)
        self.plans = dice.sample(self.character.plans, 2)
        centre = dice.between(*self.character.centre)
        self.anchor = sketch.key.index_near(centre, dice.pick((0, 2, 4)))
        self.high = centre + 15

    def unit(self, dice: Dice, letter: str) -> list[MotifNote]:
        """The notes a letter of a plan stands for."""
        if letter == "B":
            return develop(dice, dice.pick(("a", "", "")), self.answer, self.steps)
        return develop(dice, letter, self.motif, self.steps)

    def write(self) -> list[Event]:
        """All sections."""
        events: list[Event] = []
        for section, first, last, _ in self.sketch.spans("lead"):
            dice = self.sketch.dice(f"lead/{section.start_bar}")
            if section.kind == "build":
                events += self._climb(dice, first, last)
            elif section.kind == "break" and self.character.notes[1] > 3 and dice.chance(0.6):
                events += self._slow(dice, first, last)
            else:
                events += self._phrases(dice, section, first, last)
        return events

    def _phrases(self, dice: Dice, section: Section, first: int, last: int) -> list[Event]:
        """Plan after plan until the section ends; later phrases vary more."""
        events: list[Event] = []
        high = section.kind == "drop2" and dice.chance(0.35)
        phrase = 0
        for i, bar in enumerate(range(first, last, self.bars)):
            plan = self.plans[phrase % 2]
            letter = plan[i % len(plan)]
            if section.kind in ("intro", "outro") and i % 2:
                letter = "."
            if letter != ".":
                notes = self.unit(dice, letter)
                if letter == "A" and (phrase > 0 or section.kind == "drop2") and dice.chance(0.5):
                    notes = develop(dice, dice.pick(("O", "a", "V", "O")), notes, self.steps)
                events += self._sound(notes, bar, last, lift=7 if high else 0)
            if i % len(plan) == len(plan) - 1:
                phrase += 1
        return events

    def _slow(self, dice: Dice, first: int, last: int) -> list[Event]:
        """The motif at half its speed, longer notes, an octave of room."""
        events: list[Event] = []
        for i, bar in enumerate(range(first, last, 2 * self.bars)):
            notes = self.unit(dice, "AaSB"[i % 4])
            slow = [note._replace(step=2 * note.step, length=2 * note.length + 1) for note in notes]
            kept = [note for j, note in enumerate(slow) if j == 0 or not dice.chance(0.15)]
            events += self._sound(kept, bar, last, lift=0)
        return events

    def _climb(self, dice: Dice, first: int, last: int) -> list[Event]:
        """The head of the motif, each bar a step higher and louder, twice as often near the end."""
        half = self.sketch.steps_per_bar // 2
        head = [note for note in self.motif if note.step < half][:4] or self.motif[:1]
        head = [note._replace(step=note.step % half, length=min(note.length, 2.0)) for note in head]
        rise_a_bar = dice.pick((1, 1, 2))
        events: list[Event] = []
        for bar in range(first, last):
            notes = [note._replace(rise=note.rise + rise_a_bar * (bar - first)) for note in head]
            if bar >= last - max(1, (last - first) // 2):
                notes += [note._replace(step=note.step + half, rise=note.rise + dice.pick((0, 1))) for note in notes]
            events += self._sound(notes, bar, last, lift=0)
        return events

    def _sound(self, notes: list[MotifNote], bar: int, last: int, lift: int) -> list[Event]:
        """Motif notes as events from a bar on: chord tones where they are strong, within the register."""
        sketch, events = self.sketch, []
        end = last * sketch.bar_beats
        for note in notes:
            beat = bar * sketch.bar_beats + note.step / STEPS_PER_BEAT
            if beat >= end - 1e-9:
                continue
            level = sketch.form.levels["lead"][int(beat / sketch.bar_beats + 1e-9)]
            chord = sketch.harmony.at(beat)
            index = self.anchor + note.rise + lift
            if note.length >= 3 or note.step % 4 == 0:
                index = min(
                    (index + d for d in (0, -1, 1, -2, 2)), key=lambda i: (i % 7 not in chord.degrees, abs(i - index))
                )
            pitch = sketch.key.pitch(index, chord.root)
            while pitch > self.high:
                pitch -= 12
            length = min(note.length / STEPS_PER_BEAT, end - beat)
            events.append(Event(beat, length, pitch, level * note.velocity * 0.95))
        return events
