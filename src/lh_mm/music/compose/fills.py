"""Fills and rolls: what the drums do at the end of a phrase, and how they climb into a drop.

A fill replaces the groove on the last steps of a bar. It is drawn afresh each time, within the style's
habits (`DrumBook.fills`): house drops the kick out, drum'n'bass chops the break, electro rolls its toms.
"""

from __future__ import annotations

from dataclasses import dataclass

from lh_mm.music.compose.dice import Dice
from lh_mm.music.compose.rhythm import Event, draw_rhythm
from lh_mm.music.compose.style import CLAP, CLOSED, KICK, OPEN, RIM, SNARE, SNARE_2, TOMS


@dataclass(frozen=True)
class Fill:
    """Hits `(step in the bar, drum, velocity)` from `first_step` on; `mutes` are layers that pause for it."""

    first_step: int
    hits: tuple[tuple[float, int, float], ...]
    mutes: frozenset[str]


def draw_fill(dice: Dice, kind: str, steps_per_bar: int, length: int, snare: int, perc: tuple[int, ...]) -> Fill:
    """A fill over the last `length` steps of a bar.

    Args:
        dice: where chance comes from.
        kind: one of the keys of `DrumBook.fills`.
        steps_per_bar: sixteenths a bar.
        length: steps it takes.
        snare: the drum of the backbeat.
        perc: the piece's percussion.
    """
    first = steps_per_bar - length
    hits: list[tuple[float, int, float]] = []
    mutes = {"kick", "snare"}

    def rise(step: float) -> float:
        return 0.5 + 0.45 * (step - first) / length

    if kind == "sixteenths":
        for step in draw_rhythm(dice, length, dice.between(length // 2 + 1, length), length):
            hits.append((first + step, snare, rise(first + step) * (1.0 if step % 2 == 0 else 0.75)))
        mutes = {"snare"}
    elif kind == "toms":
        steps = draw_rhythm(dice, length, dice.between(length // 2, length), length)
        start = dice.below(3)
        for i, step in enumerate(steps):
            tom = TOMS[min(len(TOMS) - 1, start + i * (len(TOMS) - start) // max(1, len(steps)))]
            hits.append((first + step, tom, 0.6 + 0.35 * dice.uniform()))
    elif kind == "drop_out":
        for step in draw_rhythm(dice, length, dice.between(1, 3), length, off_beat=0.6):
            hits.append((first + step, dice.pick((snare, RIM, perc[0], OPEN)), 0.5 + 0.4 * dice.uniform()))
        mutes = {"kick", "snare"} if dice.chance(0.6) else {"kick"}
    elif kind == "stutter":
        for step in draw_rhythm(dice, length, dice.between(2, max(2, length // 2)), length):
            drum = dice.pick((CLAP, snare))
            hits.append((first + step, drum, rise(first + step)))
            if dice.chance(0.5):
                hits.append((first + step + 0.5, drum, 0.6 * rise(first + step)))
    elif kind == "flourish":
        for step in draw_rhythm(dice, length, dice.between(length // 2, length), length, off_beat=0.5):
            hits.append((first + step, dice.pick(perc), 0.45 + 0.45 * dice.uniform()))
        mutes = set()
    elif kind == "hats":
        for half in range(2 * length):
            if half % 2 == 0 or dice.chance(0.45):
                hits.append((first + half / 2, CLOSED, 0.35 + 0.3 * dice.uniform() + 0.2 * half / (2 * length)))
        mutes = {"hats"}
    elif kind == "roll":
        pace = dice.pick((0.5, 2 / 3))
        hits = [(first + i * pace, snare, rise(first + i * pace)) for i in range(round(length / pace))]
    else:  # chop: the break cut up and shuffled
        for step in range(0, length, 2):
            here, late = dice.pick(
                ((KICK, snare), (snare, KICK), (snare, snare), (KICK, 0), (snare, 0), (0, snare), (KICK, KICK))
            )
            hits += [
                (first + step + i, drum, 0.6 + 0.4 * dice.uniform()) for i, drum in enumerate((here, late)) if drum
            ]
    return Fill(first, tuple(hits), frozenset(mutes))


def snare_roll(dice: Dice, start_beat: float, num_beats: float, level: float) -> list[Event]:
    """A roll that climbs into a drop: each half as long as the one before and twice as fast.

    Quarters, eighths, sixteenths, and sometimes thirty-seconds in the last beat; velocity rises all the way.
    """
    drum = dice.pick((SNARE, SNARE_2, CLAP))
    paces = [1.0, 0.5, 0.25] if num_beats >= 8 else [0.5, 0.25]
    last_pace = dice.pick((0.25, 0.25, 0.125))
    gap = dice.pick((0.0, 0.0, 0.5, 1.0))  # the breath before the drop
    events, beat = [], 0.0
    while beat < num_beats - gap - 1e-9:
        place = beat / num_beats
        pace = paces[min(len(paces) - 1, int(place * len(paces) + 1e-9))]
        if beat >= num_beats - 1 - gap:
            pace = last_pace
        accent = 1.0 if beat % 1 == 0 else 0.85
        events.append(Event(start_beat + beat, 0.1, drum, level * accent * (0.4 + 0.55 * place)))
        beat += pace
    return events
