"""Chords and pads: one voicing after another, in a rhythm that is the style's.

Comping kinds: stabs, offbeat, charleston, pulse (dance), dub (a stab and its echoes, techno), held,
bloom (notes of a chord enter one by one and stay, ambient), broken. House may slide one shape in parallel,
as a sampled chord does; everything else is voice-led. A chord struck just before a change already is the
next one.
"""

from __future__ import annotations

from lh_mm.music.compose.dice import Dice
from lh_mm.music.compose.harmony import Chord, voice
from lh_mm.music.compose.rhythm import STEPS_PER_BEAT, Event, Hit, draw_rhythm, with_lengths
from lh_mm.music.compose.sketch import Sketch

CHORD_RANGE = (50, 76)
PAD_RANGE = (46, 74)
CHARLESTON = ((0, 6), (0, 3), (3, 10), (0, 6, 12), (2, 8), (3, 6, 11), (0, 7, 10), (6, 14), (0, 3, 6, 10), (2, 5, 10))


def draw_comping(dice: Dice, kind: str, steps_per_bar: int, drive: float) -> tuple[int, list[Hit]]:
    """A chord rhythm: its length in bars and its hits. Kinds without a fixed rhythm give one long hit."""
    bars = dice.pick((1, 2, 2))
    steps = bars * steps_per_bar
    gate = dice.uniform(0.35, 0.8)
    if kind == "stabs":
        count = max(1, round(bars * (1.4 + 1.3 * drive + dice.uniform(-0.4, 0.5))))
        starts = draw_rhythm(dice, steps, count, steps_per_bar, off_beat=0.7)
        return bars, [Hit(s, n, dice.uniform(0.7, 1.0)) for s, n in with_lengths(starts, steps, gate, 3)]
    if kind == "offbeat":
        starts = [s for s in range(2, steps, 4) if not dice.chance(0.25)] or [2]
        extra = dice.sample(range(3, steps, 4), dice.below(2 + round(drive)))
        return bars, [Hit(s, 2 * gate, 0.95 if s % 4 == 2 else 0.6) for s in sorted({*starts, *extra})]
    if kind == "charleston":
        turns = [dice.pick(CHARLESTON) for _ in range(bars)]
        starts = [bar * steps_per_bar + s for bar, turn in enumerate(turns) for s in turn if s < steps_per_bar]
        return bars, [Hit(s, n, dice.uniform(0.75, 1.0)) for s, n in with_lengths(starts, steps, gate, 6)]
    if kind == "pulse":
        kept = [s for s in range(0, steps, 2) if not dice.chance(0.45 - 0.2 * drive)] or [0]
        return bars, [Hit(s, 2 * gate, 0.6 if s % 4 == 0 else 0.9) for s in kept]
    if kind == "dub":
        starts = draw_rhythm(dice, 2 * steps_per_bar, dice.between(1, 2), steps_per_bar, off_beat=0.8)
        delay, hits = dice.pick((3, 3, 4, 6)), {}
        for start in starts:
            for echo in range(dice.between(2, 4)):
                hits[(start + echo * delay) % (2 * steps_per_bar)] = 0.95 * 0.72**echo
        return 2, [Hit(s, 1.2, v) for s, v in sorted(hits.items())]
    if kind == "held":
        starts = sorted({0, *dice.sample(range(2, steps, 2), dice.below(2 + bars))})
        return bars, [Hit(s, n, 0.85) for s, n in with_lengths(starts, steps, 0.92, 16)]
    order = draw_rhythm(dice, steps, dice.between(3, 5) * bars, steps_per_bar, even=True)  # broken
    return bars, [Hit(s, n, dice.uniform(0.55, 0.85)) for s, n in with_lengths(order, steps, 1.0, 8)]


class Voicer:
    """Voicings of a part in order of time: voice-led, or one shape moved in parallel."""

    def __init__(self, sketch: Sketch, voices: int, register: tuple[int, int], parallel: bool) -> None:
        self._key, self._voices, self._register, self._parallel = sketch.key, voices, register, parallel
        self._previous: tuple[int, ...] | None = None
        self._shape: tuple[int, tuple[int, ...]] | None = None
        self._known: dict[tuple[int, tuple[int, ...], tuple[int, ...] | None], tuple[int, ...]] = {}

    def __call__(self, chord: Chord) -> tuple[int, ...]:
        """Pitches of a chord, ascending."""
        if self._parallel:
            if self._shape is None:
                pitches = voice(self._key, chord, None, self._voices, *self._register)
                self._shape = (chord.root, tuple(self._key.index_of(p, chord.root) for p in pitches))
            root, shape = self._shape
            move = (chord.root - root + 3) % 7 - 3
            return tuple(self._key.pitch(index + move, chord.root) for index in shape)
        known = (chord.root, chord.tones, self._previous)
        if known not in self._known:
            self._known[known] = voice(self._key, chord, self._previous, self._voices, *self._register)
        self._previous = self._known[known]
        return self._previous


def write_chords(sketch: Sketch) -> list[Event]:
    """The chord track of a piece."""
    dice = sketch.dice("chords")
    kind = dice.weighted(sketch.style.comping)
    bars, home = draw_comping(dice, kind, sketch.steps_per_bar, sketch.drive)
    other_bars, other = draw_comping(dice, kind, sketch.steps_per_bar, sketch.drive)
    voices = 3 if kind in ("pulse", "offbeat") else dice.pick((3, 3, 3, 4))
    voicer = Voicer(sketch, voices, CHORD_RANGE, sketch.style.name in ("house", "techno") and dice.chance(0.4))
    pushed = dice.chance(0.6)
    events: list[Event] = []
    for section, first, last, _ in sketch.spans("chords"):
        chance = sketch.dice(f"chords/{section.start_bar}")
        use_other = section.kind == "drop2" and chance.chance(0.35)
        long_notes = kind != "bloom" and section.kind == "break" and chance.chance(0.4)
        end = last * sketch.bar_beats
        if kind == "bloom" or long_notes:
            events += _bloom(chance, sketch, voicer, first * sketch.bar_beats, end, slow=kind == "bloom")
            continue
        cell, cell_bars = (other, other_bars) if use_other else (home, bars)
        for bar in range(first, last):
            offset = (bar - section.start_bar) % cell_bars * sketch.steps_per_bar
            hits = [h._replace(step=h.step - offset) for h in cell if offset <= h.step < offset + sketch.steps_per_bar]
            if (bar - section.start_bar) % 4 == 3 and chance.chance(0.5):
                hits = _turn(chance, hits, sketch.steps_per_bar)
            for count, hit in enumerate(hits):
                beat = bar * sketch.bar_beats + hit.step / STEPS_PER_BEAT
                length = min(hit.length / STEPS_PER_BEAT, end - beat)
                pitches = voicer(_chord_at(sketch, beat, length, end, pushed))
                if kind == "broken":  # one tone after another, the bar's first with the lowest beneath it
                    tone = pitches[(2 * count + bar) % len(pitches)]
                    pitches = (tone,) if count or tone == pitches[0] else (pitches[0], tone)
                velocity = 0.88 * sketch.form.levels["chords"][bar] * hit.velocity
                events += [Event(beat, length, pitch, velocity) for pitch in pitches]
    return events


def _chord_at(sketch: Sketch, beat: float, length: float, end_beat: float, pushed: bool) -> Chord:
    """The chord a hit plays: the next one, if it is struck up to an eighth ahead of the change and held to it."""
    chord = sketch.harmony.at(beat)
    change = chord.end_beat
    ahead = 0.0 < change - beat <= 0.5 and length > change - beat - 0.26 and beat % 1 > 0
    return sketch.harmony.at(change) if pushed and ahead and change < end_beat else chord


def _turn(dice: Dice, hits: list[Hit], steps_per_bar: int) -> list[Hit]:
    """A bar's hits with one more, or one less, at the end of a phrase."""
    if len(hits) > 2 and dice.chance(0.4):
        return [hit for hit in hits if hit is not hits[dice.below(len(hits))]]
    empty = [s for s in range(steps_per_bar // 2, steps_per_bar) if s not in {h.step for h in hits}]
    return sorted([*hits, Hit(dice.pick(empty), 1.0, 0.75)]) if empty else hits


def _bloom(dice: Dice, sketch: Sketch, voicer: Voicer, start: float, end: float, slow: bool) -> list[Event]:
    """Long chords; slow ones open note by note, in a random order, and some notes are struck again."""
    events = []
    for chord in sketch.harmony.between(start, end):
        span = chord.end_beat - chord.start_beat
        pace = dice.pick((0.5, 0.75, 1.0)) if slow and span >= 3 else 0.0
        level = sketch.form.levels["chords"][int(chord.start_beat / sketch.bar_beats + 1e-9)]
        for i, pitch in enumerate(dice.shuffled(voicer(chord)) if slow else voicer(chord)):
            late = min(i * pace, span - 0.5)
            events.append(Event(chord.start_beat + late, span - late, pitch, level * dice.uniform(0.5, 0.75)))
            if slow and span - late >= 4 and dice.chance(0.35):
                again = late + dice.pick((1.5, 2.0, 2.5, 3.0))
                events.append(Event(chord.start_beat + again, span - again, pitch, level * dice.uniform(0.4, 0.6)))
    return events


def write_pad(sketch: Sketch) -> list[Event]:
    """Sustained chords; tones that two chords share are often held over the change."""
    dice = sketch.dice("pad")
    slow = sketch.style.name == "ambient"
    voicer = Voicer(sketch, dice.pick((3, 4, 4)), PAD_RANGE, parallel=False)
    ties, top_moves = dice.chance(0.6), dice.uniform(0.0, 0.5)
    events: list[Event] = []
    for section, first, last, _ in sketch.spans("pad"):
        chance = sketch.dice(f"pad/{section.start_bar}")
        held: dict[int, Event] = {}
        for chord in sketch.harmony.between(first * sketch.bar_beats, last * sketch.bar_beats):
            span = chord.end_beat - chord.start_beat
            level = sketch.form.levels["pad"][int(chord.start_beat / sketch.bar_beats + 1e-9)] * 0.72
            sounding: dict[int, Event] = {}
            pitches = voicer(chord)
            for pitch in pitches:
                before = held.pop(pitch, None)
                if before is not None and ties and before.length < 6 * sketch.bar_beats:
                    sounding[pitch] = before._replace(length=before.length + span)
                    continue
                if before is not None:
                    events.append(before)
                late = chance.pick((0.0, 0.0, 0.25, 0.5, 1.0)) if slow and span >= 2 else 0.0
                sounding[pitch] = Event(chord.start_beat + late, span - late, pitch, level * chance.uniform(0.85, 1.0))
            events += held.values()
            held = sounding
            if span >= 3.5 and chance.chance(top_moves):  # the top voice steps away and back, over the held rest
                events += _sigh(chance, sketch, chord, pitches[-1], level)
        events += held.values()
    return events


def _sigh(dice: Dice, sketch: Sketch, chord: Chord, top: int, level: float) -> list[Event]:
    index = sketch.key.index_of(top, chord.root)
    rise = dice.pick((7, 8, 9, 6))
    beat = chord.start_beat + dice.pick((1.0, 1.5, 2.0))
    return [
        Event(beat, 0.95, sketch.key.pitch(index + rise, chord.root), level * 0.8),
        Event(beat + 1.0, chord.end_beat - beat - 1.0, sketch.key.pitch(index + rise - 1, chord.root), level * 0.75),
    ]
