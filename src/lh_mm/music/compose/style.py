"""What a style is: the things in which a house track and a drum'n'bass track disagree, and nothing else.

Patterns are strings, a character a sixteenth (`rhythm.MARKS`: X accent, x normal, o soft, - ghost).
Numbers of General MIDI drums and programs are counted from 0 as in a MIDI file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

DRUM_LAYERS = ("kick", "snare", "hats", "ride", "perc")
PITCHED_LAYERS = ("bass", "chords", "pad", "arp", "lead")
LAYERS = DRUM_LAYERS + PITCHED_LAYERS

KICK, RIM, SNARE, CLAP, SNARE_2 = 36, 37, 38, 39, 40
CLOSED, OPEN, CRASH, RIDE, CRASH_2 = 42, 46, 49, 51, 57
TOMS = (50, 48, 47, 45, 43, 41)
"""From high to low."""


@dataclass(frozen=True)
class DrumBook:
    """The patterns of a style, each 16 or 32 steps long (12 for bars of three beats).

    Attributes:
        kick: kick patterns.
        kick_spice: chance that a bar's kick pattern gains or loses an off-beat hit.
        snare: backbeats.
        backbeat: which drums play it, together.
        closed: closed hi-hat or shaker.
        open: open hi-hat.
        ride: ride cymbal, in the fullest sections.
        time_keepers: drum for (closed, open, ride).
        perc: families of percussion, one of which a piece draws from.
        perc_hits: fewest and most percussion hits a bar.
        cycles: lengths in steps after which a percussion voice repeats; odd ones run across the bar.
        ghosts: chance of ghost snares in a bar.
        fills: kinds of fill (`fills.py`) and their weights.
    """

    kick: tuple[str, ...]
    kick_spice: float
    snare: tuple[str, ...]
    backbeat: tuple[tuple[int, ...], ...]
    closed: tuple[str, ...]
    open: tuple[str, ...]
    ride: tuple[str, ...]
    perc: tuple[tuple[int, ...], ...]
    perc_hits: tuple[int, int]
    cycles: tuple[int, ...]
    ghosts: float
    fills: Mapping[str, float]
    time_keepers: tuple[int, int, int] = (CLOSED, OPEN, RIDE)


@dataclass(frozen=True)
class Style:
    """Everything in which styles differ.

    Attributes:
        name: also the label and a part of the id.
        tempo_bpm: lowest and highest tempo.
        swing: least and most; the share of an eighth that its first sixteenth takes (0.5 is straight).
        modes: weights of `harmony.MODES`.
        meters: weights of (numerator, denominator).
        richness: how likely chords are more than triads.
        static: chance of a one-chord piece.
        slow_harmony: two bars a chord are the rule.
        shapes: forms to choose from, sections in order.
        bars: weights of section lengths, in the same unit for all (they are scaled to the piece).
        core: layers that sound in a section from its first bar (from the intro on, one after another).
        extra: layers that may join, with their chances.
        drums: its drum patterns.
        bass: weights of bass kinds (`bass.py`).
        comping: weights of chord rhythms (`chords.py`).
        lead: weights of lead characters (`melody.py`).
        arp: weights of step lengths of arpeggios, in sixteenths.
        programs: General MIDI programs to choose from, by track.
    """

    name: str
    tempo_bpm: tuple[int, int]
    swing: tuple[float, float]
    modes: Mapping[str, float]
    meters: Mapping[tuple[int, int], float]
    richness: float
    static: float
    slow_harmony: bool
    shapes: tuple[tuple[str, ...], ...]
    bars: Mapping[str, int]
    core: Mapping[str, tuple[str, ...]]
    extra: Mapping[str, Mapping[str, float]]
    drums: DrumBook
    bass: Mapping[str, float]
    comping: Mapping[str, float]
    lead: Mapping[str, float]
    arp: Mapping[int, float]
    programs: Mapping[str, tuple[int, ...]]
