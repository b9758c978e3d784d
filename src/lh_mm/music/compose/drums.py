"""Drums: a groove of two bars or so, its variations over a phrase, fills, rolls and crashes.

A groove is drawn once a piece from the style's book of patterns. Percussion is drawn hit by hit, in loops
whose length need not be a bar (techno's run across it). Over a phrase of eight bars the groove varies at
fixed places, so that a listener hears a four-bar and an eight-bar order, and now and then where nobody
expects it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lh_mm.music.compose.dice import Dice
from lh_mm.music.compose.fills import Fill, draw_fill, snare_roll
from lh_mm.music.compose.form import Section
from lh_mm.music.compose.rhythm import STEPS_PER_BEAT, Event, Hit, draw_rhythm, read_pattern
from lh_mm.music.compose.sketch import Sketch
from lh_mm.music.compose.style import CRASH, CRASH_2, KICK, OPEN, RIM, SNARE, DrumBook

HIT_BEATS = 0.1
"""Notated length of a drum hit; no token encodes it."""


@dataclass(frozen=True)
class Voice:
    """One drum and a loop of hits, `cycle` steps long."""

    drum: int
    cycle: int
    hits: tuple[Hit, ...]

    def in_bar(self, first_step: int, num_steps: int) -> list[Hit]:
        """Hits that fall in the bar beginning at `first_step` of the loop's own clock."""
        found = []
        for turn in range(first_step // self.cycle, (first_step + num_steps - 1) // self.cycle + 1):
            for hit in self.hits:
                step = turn * self.cycle + hit.step - first_step
                if 0 <= step < num_steps:
                    found.append(hit._replace(step=step))
        return found


@dataclass(frozen=True)
class Groove:
    """Voices by layer."""

    kick: tuple[Voice, ...]
    snare: tuple[Voice, ...]
    hats: tuple[Voice, ...]
    ride: tuple[Voice, ...]
    perc: tuple[Voice, ...]


def draw_groove(dice: Dice, book: DrumBook, steps_per_bar: int, drive: float) -> Groove:
    """A groove from a style's patterns; a higher `drive` (0..1) means more percussion and fewer gaps in the hats."""

    def pattern(choices: tuple[str, ...], drum: int, thinning: float = 0.0) -> Voice:
        text = dice.pick([p for p in choices if len(p) % steps_per_bar == 0])
        hits = read_pattern(text)
        soft = [v for v in sorted({hit.velocity for hit in hits})[:-1] if dice.chance(thinning)]
        return Voice(drum, len(text), tuple(hit for hit in hits if hit.velocity not in soft))

    closed, opened, ride = book.time_keepers
    open_voice = pattern(book.open, opened)
    closed_voice = pattern(book.closed, closed, thinning=0.85 - 0.75 * drive)
    taken = {hit.step % steps_per_bar for hit in open_voice.hits}  # one pair of cymbals cannot do both
    closed_voice = replace(
        closed_voice, hits=tuple(h for h in closed_voice.hits if h.step % steps_per_bar not in taken)
    )
    family = dice.pick(book.perc)
    low, high = book.perc_hits
    hits_a_bar = low + (high - low) * (0.6 * drive + 0.4 * dice.uniform())
    voices = dice.between(min(2, len(family)), min(2 + round(drive), len(family)))
    perc = []
    for drum in dice.sample(family, voices):
        cycle = dice.pick(book.cycles)
        count = max(1, round(hits_a_bar / voices * cycle / steps_per_bar + dice.uniform(-0.4, 0.6)))
        steps = draw_rhythm(dice, cycle, count, steps_per_bar, off_beat=dice.uniform(0.4, 1.0))
        perc.append(Voice(drum, cycle, tuple(Hit(s, 1.0, dice.uniform(0.4, 0.9)) for s in steps)))
    kick = pattern(book.kick, KICK)
    backbeat = pattern(book.snare, SNARE)
    snares = tuple(replace(backbeat, drum=drum) for drum in dice.pick(book.backbeat))
    return Groove((kick,), snares, (closed_voice, open_voice), (pattern(book.ride, ride),), tuple(perc))


def vary(dice: Dice, voice: Voice, steps_per_bar: int, anchors: frozenset[int]) -> Voice:
    """The loop with one hit moved, left out or added; hits on `anchors` (steps in the bar) stay."""
    hits = list(voice.hits)
    free = [i for i, hit in enumerate(hits) if hit.step % steps_per_bar not in anchors]
    empty = [s for s in range(voice.cycle) if s not in {h.step for h in hits} and s % steps_per_bar not in anchors]
    if free and dice.chance(0.6):
        hits.pop(dice.pick(free))
    if empty and dice.chance(0.7):
        hits.append(Hit(dice.pick(empty), 1.0, dice.uniform(0.4, 0.7)))
    return replace(voice, hits=tuple(sorted(hits)))


def write_drums(sketch: Sketch) -> list[Event]:
    """All drums of a piece."""
    dice, book, steps = sketch.dice("drums"), sketch.style.drums, sketch.steps_per_bar
    first = draw_groove(dice, book, steps, sketch.drive)
    second = replace(first, perc=tuple(vary(dice, v, steps, frozenset()) for v in first.perc))
    if dice.chance(0.6):  # the second drop changes its cymbals
        second = replace(second, hats=draw_groove(dice, book, steps, sketch.drive).hats)
    snare = first.snare[0].drum
    perc = tuple(voice.drum for voice in first.perc)
    anchors = frozenset(h.step % steps for h in first.kick[0].hits if h.velocity > 0.9)
    turnarounds = {place: tuple(vary(dice, v, steps, anchors) for v in first.kick) for place in (3, 5, 7)}
    events: list[Event] = []
    for section in sketch.form.sections:
        chance = sketch.dice(f"drums/{section.start_bar}")
        groove = second if section.kind == "drop2" else first
        for bar in range(section.start_bar, section.end_bar):
            if section.kind in ("drop", "drop2", "break") and bar == section.start_bar:
                events += _crash(chance, sketch, section, bar)
            fill = _maybe_fill(chance, sketch, section, bar, snare, perc)
            place = (bar - section.start_bar) % 8
            spiced = place in turnarounds and chance.chance(2 * book.kick_spice)
            bar_groove = replace(groove, kick=turnarounds[place]) if spiced else groove
            events += _bar(chance, sketch, section, bar, bar_groove, fill)
        if section.kind == "build" and sketch.form.next_kind(section).startswith("drop"):
            level = max(0.8, max(sketch.form.levels["kick"][section.start_bar : section.end_bar]))
            roll_bars = min(section.num_bars, chance.pick((1, 2, 4, 4)))
            if chance.chance(0.85):
                beat = (section.end_bar - roll_bars) * sketch.bar_beats
                events += snare_roll(chance, beat, roll_bars * sketch.bar_beats, level)
    return events


def _bar(dice: Dice, sketch: Sketch, section: Section, bar: int, groove: Groove, fill: Fill | None) -> list[Event]:
    """One bar of the groove with its fill, ghosts and slips."""
    steps, start = sketch.steps_per_bar, bar * sketch.bar_beats
    clock = (bar - section.start_bar) % 8 * steps
    events: list[Event] = []
    for layer in ("kick", "snare", "hats", "ride", "perc"):
        level = sketch.form.levels[layer][bar]
        if level == 0:
            continue
        voices: tuple[Voice, ...] = getattr(groove, layer)
        if layer == "hats" and sketch.form.levels["ride"][bar]:
            voices = voices[1:]  # the ride keeps time instead of the closed hat
        for voice in voices:
            for hit in voice.in_bar(clock, steps):
                if fill is not None and layer in fill.mutes and hit.step >= fill.first_step:
                    continue
                if hit.velocity < 0.6 and (dice.chance(0.06) or (layer == "snare" and voice is not voices[0])):
                    continue  # soft hits slip at times, and only the first drum of a backbeat has ghosts
                beat = start + hit.step / STEPS_PER_BEAT
                events.append(Event(beat, HIT_BEATS, voice.drum, level * hit.velocity))
        if layer == "snare" and dice.chance(sketch.style.drums.ghosts):
            step = dice.pick([s for s in range(1, steps) if s % 4 in (1, 2, 3)])
            drum = RIM if voices[0].drum == RIM else SNARE
            events.append(Event(start + step / STEPS_PER_BEAT, HIT_BEATS, drum, level * dice.uniform(0.25, 0.42)))
        if layer == "perc" and dice.chance(0.3):
            step, drum = dice.below(steps), dice.pick(voices).drum
            events.append(Event(start + step / STEPS_PER_BEAT, HIT_BEATS, drum, level * dice.uniform(0.3, 0.6)))
    if fill is not None:
        events += [
            Event(start + step / STEPS_PER_BEAT, HIT_BEATS, drum, velocity) for step, drum, velocity in fill.hits
        ]
    return events


def _maybe_fill(
    dice: Dice, sketch: Sketch, section: Section, bar: int, snare: int, perc: tuple[int, ...]
) -> Fill | None:
    """A fill at the end of most eight-bar phrases and some four-bar ones, where there are drums to interrupt."""
    playing = sketch.form.levels["kick"][bar] or sketch.form.levels["snare"][bar] or sketch.form.levels["perc"][bar]
    place = bar - section.start_bar
    last = bar == section.end_bar - 1
    chance = 0.85 if last else 0.7 if place % 8 == 7 else 0.35 if place % 4 == 3 else 0.0
    if not playing or section.kind == "build" or not dice.chance(chance):
        return None
    steps = sketch.steps_per_bar
    length = min(steps, dice.pick((4, 8, 8, steps) if last or place % 8 == 7 else (2, 4, 4, 8)))
    level = max(sketch.form.levels[layer][bar] for layer in ("kick", "snare", "perc"))
    fill = draw_fill(dice, dice.weighted(sketch.style.drums.fills), steps, length, snare, perc)
    hits = tuple((step, drum, level * velocity) for step, drum, velocity in fill.hits)
    return replace(fill, hits=hits)


def _crash(dice: Dice, sketch: Sketch, section: Section, bar: int) -> list[Event]:
    """A cymbal where a section begins: nearly always in a drop, at times in a break, open hats in ambient."""
    if sketch.style.name == "ambient" or not dice.chance(0.5 if section.kind == "break" else 0.9):
        return []
    drum = dice.pick((CRASH, CRASH, CRASH_2, OPEN))
    return [Event(bar * sketch.bar_beats, 1.0, drum, dice.uniform(0.75, 0.95))]
