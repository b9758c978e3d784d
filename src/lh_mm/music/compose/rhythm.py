"""Rhythm on a grid of sixteenths: what an event is, what a step weighs, how a cell of hits is drawn.

Parts are written in straight beats (quarter notes) and steps (sixteenths). Swing, humanised timing and
final velocities come last, in `perform.py`, so that no part has to know of them.
"""

from __future__ import annotations

from typing import NamedTuple

from lh_mm.music.compose.dice import Dice

STEPS_PER_BEAT = 4


class Event(NamedTuple):
    """A note as written: straight beats from the start of the piece, velocity as a share of full."""

    beat: float
    length: float
    pitch: int
    velocity: float


class Hit(NamedTuple):
    """A place in a pattern: step from its start, length in steps, velocity as a share of full."""

    step: int
    length: float
    velocity: float


MARKS = {"X": 1.0, "x": 0.78, "o": 0.58, "-": 0.38}
"""How patterns are written: accent, normal, soft, ghost; a dot is a rest."""


def read_pattern(pattern: str) -> list[Hit]:
    """Hits of a pattern such as `X...x...`, one character a sixteenth, each one step long."""
    return [Hit(step, 1.0, MARKS[mark]) for step, mark in enumerate(pattern) if mark != "."]


def metrical_weight(step: int, steps_per_bar: int) -> float:
    """How strong a sixteenth is in its bar, from 1.0 (the downbeat) down to 0.2 (between the eighths).

    Bars of 16 steps are 4/4; bars of 12 are read as 6/8 on multiples of 6 and as 3/4 on those of 4, which
    is what a listener of slow ambient music hears in either.
    """
    step %= steps_per_bar
    if step == 0:
        return 1.0
    if step == steps_per_bar // 2:
        return 0.8
    if step % STEPS_PER_BEAT == 0:
        return 0.65
    return 0.4 if step % 2 == 0 else 0.2


def draw_rhythm(
    dice: Dice, num_steps: int, count: int, steps_per_bar: int, off_beat: float = 0.0, even: bool = False
) -> list[int]:
    """`count` distinct steps of `num_steps`, likelier where the metre is strong.

    Args:
        dice: where chance comes from.
        num_steps: length of the cell.
        count: hits wanted.
        steps_per_bar: for the metrical weights.
        off_beat: 0 follows the metre, 1 turns it round (sixteenths before strong ones are likeliest).
        even: only eighths.
    """
    weights = []
    for step in range(num_steps):
        strong = metrical_weight(step, steps_per_bar)
        weak = (
            metrical_weight(step + 2, steps_per_bar)
            if step % 2 == 0
            else 0.8 * metrical_weight(step + 1, steps_per_bar)
        )
        weights.append(0.0 if even and step % 2 else (1 - off_beat) * strong + off_beat * weak)
    return dice.sample(range(num_steps), count, weights)


def with_lengths(steps: list[int], num_steps: int, gate: float, longest: int) -> list[tuple[int, float]]:
    """Each step with the share `gate` of the way to the next one (round the end of the cell), at most `longest`."""
    out = []
    for i, step in enumerate(steps):
        gap = (steps[i + 1] if i + 1 < len(steps) else num_steps + steps[0]) - step
        out.append((step, max(0.5, min(gap, longest) * gate)))
    return out
