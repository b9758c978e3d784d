"""Arpeggios: a short figure over the chord's tones, repeated until it is a texture.

The figure counts rungs of a ladder of chord tones, so it follows the chords. Its length need not be a bar:
figures of 3, 5, 6 or 7 hits against four beats are what makes an ostinato shift.
"""

from __future__ import annotations

from dataclasses import dataclass

from lh_mm.music.compose.dice import Dice
from lh_mm.music.compose.harmony import Chord, ladder
from lh_mm.music.compose.rhythm import STEPS_PER_BEAT, Event
from lh_mm.music.compose.sketch import Sketch


@dataclass(frozen=True)
class Figure:
    """Rungs (None rests) played one every `pace` sixteenths, held for the share `gate` of it."""

    rungs: tuple[int | None, ...]
    pace: int
    gate: float


def draw_figure(dice: Dice, pace: int, rests: float) -> Figure:
    """A figure: up, down, there and back, broken or free, over one or two octaves, with some rests."""
    height = dice.between(3, 6)
    up = list(range(height))
    shape = dice.weighted({"up": 2, "down": 2, "back": 3, "broken": 3, "free": 4})
    if shape == "up":
        rungs = up
    elif shape == "down":
        rungs = up[::-1]
    elif shape == "back":
        rungs = up + up[-2:0:-1]
    elif shape == "broken":
        rungs = [rung for i in range(height - 1) for rung in (i, i + dice.pick((1, 2)))]
    else:
        rungs = [dice.below(height) for _ in range(dice.pick((4, 5, 6, 7, 8, 8, 12)))]
    while len(rungs) < 4:
        rungs = rungs + [dice.below(height)]
    if dice.chance(0.4):  # a longer figure: the first one and its answer
        rungs = [*rungs, *(dice.below(height) if dice.chance(0.4) else rung for rung in rungs)]
    kept: list[int | None] = [None if i and dice.chance(rests) else rung for i, rung in enumerate(rungs)]
    return Figure(tuple(kept), pace, dice.pick((0.5, 0.7, 0.95)))


def write_arp(sketch: Sketch) -> list[Event]:
    """The arpeggio of a piece: one figure, changed in the second drop, opened upward through builds."""
    dice = sketch.dice("arp")
    pace = dice.weighted(sketch.style.arp)
    rests = dice.uniform(0.25, 0.5) if pace == 1 else dice.uniform(0.05, 0.3)
    figure = draw_figure(dice, pace, rests)
    second = draw_figure(dice, pace, rests) if dice.chance(0.4) else figure
    low = dice.between(55, 64)
    across = dice.chance(0.6)  # runs across bars, or begins again with each
    accents = [dice.uniform(0.6, 1.0) for _ in range(dice.pick((3, 4, 4, 8)))]
    events: list[Event] = []
    ladders: dict[Chord, list[int]] = {}
    for section, first, last, _ in sketch.spans("arp"):
        chance = sketch.dice(f"arp/{section.start_bar}")
        part = second if section.kind == "drop2" else figure
        step, count = 0, 0
        for bar in range(first, last):
            level = sketch.form.levels["arp"][bar]
            lift = round(5 * (bar - section.start_bar) / section.num_bars) if section.kind == "build" else 0
            if not across:
                step, count = (bar - first) * sketch.steps_per_bar, 0
            bar_end = (bar - first + 1) * sketch.steps_per_bar
            while step < bar_end:
                rung = part.rungs[count % len(part.rungs)]
                if rung is not None and not chance.chance(0.04):
                    beat = first * sketch.bar_beats + step / STEPS_PER_BEAT
                    chord = sketch.harmony.at(beat)
                    if chord not in ladders:
                        ladders[chord] = ladder(sketch.key, chord, low, low + 30)
                    rungs = ladders[chord]
                    pitch = rungs[min(len(rungs) - 1, rung + lift)]
                    events.append(
                        Event(
                            beat, pace * part.gate / STEPS_PER_BEAT, pitch, level * 0.8 * accents[count % len(accents)]
                        )
                    )
                step += pace
                count += 1
    return events
