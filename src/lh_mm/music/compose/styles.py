"""Five styles as data: what a house track and a drum'n'bass track disagree about, and nothing else.

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
CLOSED, PEDAL, OPEN, CRASH, RIDE, RIDE_BELL, CRASH_2 = 42, 44, 46, 49, 51, 53, 57
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


DANCE_SHAPES = (
    ("intro", "build", "drop", "break", "build", "drop2", "outro"),
    ("intro", "build", "drop", "break", "build", "drop2", "outro"),
    ("intro", "drop", "break", "build", "drop2", "outro"),
    ("intro", "break", "build", "drop", "break", "build", "drop2", "outro"),
    ("intro", "build", "drop", "drop2", "break", "build", "drop2", "outro"),
)
DANCE_BARS = {"intro": 8, "build": 4, "drop": 16, "break": 8, "drop2": 16, "outro": 8}
FOUR_FOUR = {(4, 4): 1.0}

HOUSE = Style(
    name="house",
    tempo_bpm=(118, 128),
    swing=(0.50, 0.60),
    modes={"minor": 4, "dorian": 3, "mixolydian": 1, "major": 2},
    meters=FOUR_FOUR,
    richness=0.75,
    static=0.05,
    slow_harmony=False,
    shapes=DANCE_SHAPES,
    bars=DANCE_BARS,
    core={
        "intro": ("kick", "perc", "hats", "bass"),
        "build": ("kick", "hats", "chords"),
        "drop": ("kick", "snare", "hats", "bass", "chords", "lead"),
        "break": ("chords", "lead"),
        "drop2": ("kick", "snare", "hats", "perc", "bass", "chords", "lead"),
        "outro": ("kick", "hats", "perc", "bass"),
    },
    extra={
        "intro": {"snare": 0.4, "arp": 0.3, "chords": 0.3},
        "build": {"perc": 0.5, "arp": 0.35, "lead": 0.7},
        "drop": {"perc": 0.5, "pad": 0.15, "arp": 0.12},
        "break": {"pad": 0.6, "arp": 0.35, "perc": 0.4, "hats": 0.4, "bass": 0.3},
        "drop2": {"ride": 0.3, "arp": 0.25, "pad": 0.2},
        "outro": {"snare": 0.5, "chords": 0.3, "arp": 0.2},
    },
    drums=DrumBook(
        kick=(
            "X...X...X...X...", "X...X...X...X...", "X...X...X...X.o.", "X...X...X...X..o",
            "X...X...X...X...X...X...X.o.X...", "X...X...X...X...X...X..oX...X.o.",
        ),
        kick_spice=0.25,
        snare=(
            "....X.......X...", "....X.......X...", "....X.......X..-", "....X..-....X...",
            "....X.......X...-...X.......X.o.", "....X..o....X.......X.......X..o",
        ),
        backbeat=((CLAP,), (CLAP,), (SNARE,), (SNARE_2,), (SNARE, CLAP)),
        closed=(
            "x.-.x.-.x.-.x.-.", "-.x.-.x.-.x.-.x.", "o-x-o-x-o-x-o-x-", "-xo--xo--xo--xo-", "x..xx..xx..xx..x",
            "..x-..x-..x-..x-", "x-.-x-.-x-.-x-.-", ".-x..-x..-x..-xo", "x.xox.xox.xox.xo", "-.xo-.xo-.x.-oxo",
        ),
        open=("..X...X...X...X.", "..X...X...X...X.", "..............X.", "......X.......X.", "..X...X.......X."),
        ride=("X...X...X...X...", "..x...x...x...x.", "x.o.x.o.x.o.x.o.", "x..ox..ox..ox..o"),
        perc=((60, 61, 37), (63, 64, 62), (70, 54), (75, 76, 77), (56, 67, 68), (37, 70, 54), (65, 66), (69, 62, 63)),
        perc_hits=(2, 5),
        cycles=(16, 16, 32, 32, 12, 8, 24),
        ghosts=0.25,
        fills={"sixteenths": 2, "toms": 1, "drop_out": 3, "stutter": 2, "flourish": 3, "hats": 2},
    ),
    bass={"offbeat": 3, "funk": 4, "octaves": 1.5, "rolling": 1, "sub": 0.7},
    comping={"stabs": 5, "offbeat": 2, "charleston": 2, "pulse": 1},
    lead={"riff": 3, "vocal": 3, "hook": 2},
    arp={1: 3, 2: 4},
    programs={
        "bass": (38, 39, 33, 36, 87),
        "chords": (4, 5, 16, 17, 18, 1, 62),
        "lead": (80, 81, 82, 65, 11, 86, 85),
        "pad": (48, 50, 89, 90, 91, 94),
        "arp": (5, 11, 12, 46, 84, 88, 98),
    },
)  # fmt: skip

TECHNO = Style(
    name="techno",
    tempo_bpm=(126, 140),
    swing=(0.50, 0.54),
    modes={"minor": 4, "phrygian": 3, "dorian": 1.5, "harmonic minor": 0.7},
    meters=FOUR_FOUR,
    richness=0.45,
    static=0.45,
    slow_harmony=True,
    shapes=DANCE_SHAPES,
    bars=DANCE_BARS,
    core={
        "intro": ("kick", "perc", "hats", "bass"),
        "build": ("kick", "hats", "perc", "arp"),
        "drop": ("kick", "snare", "hats", "bass", "chords", "lead"),
        "break": ("pad", "arp"),
        "drop2": ("kick", "snare", "hats", "perc", "bass", "chords", "lead"),
        "outro": ("kick", "perc", "hats", "bass"),
    },
    extra={
        "intro": {"arp": 0.3, "ride": 0.15},
        "build": {"bass": 0.4, "chords": 0.4, "lead": 0.4},
        "drop": {"perc": 0.6, "arp": 0.12},
        "break": {"lead": 0.5, "perc": 0.5, "hats": 0.4, "bass": 0.3, "chords": 0.3},
        "drop2": {"ride": 0.5, "arp": 0.2, "pad": 0.2},
        "outro": {"chords": 0.3, "ride": 0.2},
    },
    drums=DrumBook(
        kick=(
            "X...X...X...X...", "X...X...X...X...", "X...X...X...X...", "X...X...X...X..-", "X..-X..-X..-X..-",
            "X...X...X..-X...X...X...X...X.-.", "X...X...X...X...X...X..oX...X...",
        ),
        kick_spice=0.15,
        snare=(
            "....x.......x...", "............x...", "....X.......X...", "....x..-....x..-",
            "....x.......x.......x.......x.-.",
            "...-x......-x...",
        ),
        backbeat=((CLAP,), (CLAP,), (SNARE,), (RIM,), (SNARE_2,)),
        closed=(
            "-x-x-x-x-x-x-x-x", "xo-oxo-oxo-oxo-o", "..x...x...x...x.", "-.x.-.x.-.x.-.x.", "o-x-o-x-o-x-o-x-",
            "x..x..x..x..x.x.", "-ox--ox--ox--ox-", "o.xoo.xoo.xoo.xo",
        ),
        open=("..X...X...X...X.", "..X...X...X...X.", "..x...X...x...X.", "..........X.....", "......x.......x."),
        ride=("X...X...X...X...", "x.x.x.x.x.x.x.x.", "..X...X...X...X.", "x-o-x-o-x-o-x-o-"),
        perc=((45, 47, 50), (41, 43, 45), (75, 37), (76, 77), (64, 63), (56, 53), (37, 67, 68), (60, 61), (70, 39)),
        perc_hits=(2, 6),
        cycles=(16, 32, 3, 5, 6, 7, 10, 11, 12, 14, 24),
        ghosts=0.1,
        fills={"drop_out": 4, "toms": 2, "stutter": 2, "flourish": 4, "hats": 2, "sixteenths": 1},
    ),
    bass={"rolling": 4, "acid": 3, "offbeat": 2, "sub": 0.7, "octaves": 0.5},
    comping={"dub": 4, "stabs": 3, "pulse": 1.5, "offbeat": 1},
    lead={"riff": 5, "hook": 1, "drone": 1},
    arp={1: 5, 2: 2, 3: 1.5},
    programs={
        "bass": (38, 39, 87, 36),
        "chords": (62, 63, 55, 4, 50, 17),
        "lead": (80, 81, 84, 87, 86, 103),
        "pad": (89, 92, 93, 95, 94, 91),
        "arp": (80, 84, 98, 12, 99, 6, 82),
    },
)  # fmt: skip

ELECTRO = Style(
    name="electro",
    tempo_bpm=(105, 130),
    swing=(0.50, 0.57),
    modes={"minor": 4, "phrygian": 2, "dorian": 2, "harmonic minor": 1, "mixolydian": 0.7},
    meters=FOUR_FOUR,
    richness=0.4,
    static=0.2,
    slow_harmony=False,
    shapes=DANCE_SHAPES,
    bars=DANCE_BARS,
    core={
        "intro": ("kick", "perc", "snare", "arp"),
        "build": ("kick", "hats", "arp"),
        "drop": ("kick", "snare", "hats", "bass", "chords", "lead"),
        "break": ("pad", "lead"),
        "drop2": ("kick", "snare", "hats", "perc", "bass", "chords", "lead"),
        "outro": ("kick", "snare", "perc", "bass"),
    },
    extra={
        "intro": {"hats": 0.6, "bass": 0.4},
        "build": {"perc": 0.4, "lead": 0.6, "bass": 0.3},
        "drop": {"perc": 0.5, "arp": 0.3, "pad": 0.15},
        "break": {"arp": 0.6, "perc": 0.4, "chords": 0.3, "hats": 0.3},
        "drop2": {"arp": 0.4, "pad": 0.2},
        "outro": {"hats": 0.6, "arp": 0.4},
    },
    drums=DrumBook(
        kick=(
            "X.....X...X.....", "X..X......X.....", "X.....X..X....X.", "X..x..X...X.....", "X...........X.x.",
            "X.X....X..X.....",
            "X.....X...X.....X..X......X...x.", "X..X......X..X..X.....x...X.....",
            "X......x..X...x.X.....X...X.....",
            "X..X..X...X.....X..X......X..x..",
        ),
        kick_spice=0.3,
        snare=(
            "....X.......X...", "....X.......X...", "....X.......X..o", "....X..-.-..X...",
            "....X.......X.......X.......X.o.",
        ),
        backbeat=((SNARE,), (SNARE_2,), (SNARE, CLAP), (CLAP,)),
        closed=(
            "x.x.x.x.x.x.x.x.", "xoxoxoxoxoxoxoxo", "x.oox.oox.oox.oo", "x-x.x-x.x-x.x-xo", "..x...x...x...x.",
            "x.xxx.x.x.xxx.x.",
            "xoo.xoo.xoo.xoo.", "o.x.oox.o.x.oox.",
        ),
        open=("..............X.", "......X.........", "..X.......X.....", "..........X.....", "...............x"),
        ride=("X...X...X...X...", "..x...x...x...x."),
        perc=((56, 75), (62, 63, 64), (67, 68), (39, 37), (50, 47, 45), (76, 77), (80, 81), (54, 70)),
        perc_hits=(2, 5),
        cycles=(16, 32, 32, 16, 12, 6, 24),
        ghosts=0.3,
        fills={"sixteenths": 3, "toms": 3, "stutter": 3, "drop_out": 2, "flourish": 2, "roll": 1},
    ),
    bass={"funk": 5, "octaves": 2.5, "acid": 2, "rolling": 1},
    comping={"stabs": 4, "charleston": 2, "pulse": 1.5, "offbeat": 1, "held": 1},
    lead={"riff": 4, "hook": 4, "vocal": 1},
    arp={1: 5, 2: 3},
    programs={
        "bass": (38, 39, 87, 36),
        "chords": (62, 63, 50, 54, 7, 18),
        "lead": (80, 81, 84, 87, 85, 82),
        "pad": (50, 51, 90, 91, 93, 54),
        "arp": (80, 81, 98, 5, 99, 103, 6),
    },
)  # fmt: skip

DRUM_AND_BASS = Style(
    name="dnb",
    tempo_bpm=(165, 178),
    swing=(0.50, 0.55),
    modes={"minor": 5, "dorian": 2, "phrygian": 1.5, "harmonic minor": 1, "major": 0.5},
    meters=FOUR_FOUR,
    richness=0.6,
    static=0.1,
    slow_harmony=True,
    shapes=DANCE_SHAPES,
    bars={"intro": 8, "build": 4, "drop": 16, "break": 12, "drop2": 16, "outro": 8},
    core={
        "intro": ("pad", "perc", "hats", "arp"),
        "build": ("pad", "hats", "lead"),
        "drop": ("kick", "snare", "hats", "bass", "chords", "lead"),
        "break": ("pad", "lead"),
        "drop2": ("kick", "snare", "hats", "perc", "bass", "chords", "lead"),
        "outro": ("kick", "snare", "hats", "perc", "bass"),
    },
    extra={
        "intro": {"kick": 0.3, "chords": 0.3, "bass": 0.2},
        "build": {"perc": 0.4, "arp": 0.5, "kick": 0.4},
        "drop": {"perc": 0.3, "pad": 0.3, "arp": 0.12, "ride": 0.15},
        "break": {"arp": 0.6, "chords": 0.4, "perc": 0.3, "bass": 0.4},
        "drop2": {"ride": 0.3, "arp": 0.25, "pad": 0.3},
        "outro": {"pad": 0.4, "chords": 0.3},
    },
    drums=DrumBook(
        kick=(
            "X.........X.....", "X.........X.....", "X.........x.....X..x......X.....", "X.X.......X.....",
            "X.......o.X.....",
            "X.X.......XX....X.X.......X.....", "X.........X..x..", "X..x......X.....X.........X..o..",
            "X.........X.....X.X.......x.....",
        ),
        kick_spice=0.3,
        snare=(
            "....X.......X...", "....X.......X...", "....X..-.-..X..-", "....X..o.o..X...",
            "....X.......X.-.....X..-....X...",
            "....X..-....X.......X..-.o....X.", "....X..-.-....X.....X..-.-..X...",
        ),
        backbeat=((SNARE,), (SNARE_2,), (SNARE,), (SNARE, CLAP)),
        closed=(
            "x.x.x.x.x.x.x.x.", "x.x.x.x.x.x.x.x.", "x.o.x.o.x.o.x.o.", "x-o-x-o-x-o-x-o-", "..x...x...x...x.",
            "x.xox.x.x.xox.x.",
            "o.x.o.x.o.xoo.x.",
        ),
        open=("..............X.", "......X.........", "..........X.....", "................", "..x.......x....."),
        ride=("X.x.X.x.X.x.X.x.", "X...X...X...X...", "..X...X...X...X.", "X.o.x.o.X.o.x.o."),
        perc=((70, 54), (37, 75), (60, 61), (62, 63, 64), (39, 37), (65, 66), (56, 76), (69, 70)),
        perc_hits=(2, 4),
        cycles=(16, 32, 32, 24, 12),
        ghosts=0.55,
        fills={"chop": 5, "sixteenths": 2, "stutter": 2, "toms": 1, "drop_out": 1.5, "roll": 1},
    ),
    bass={"reese": 4, "sub": 4, "funk": 2, "rolling": 0.7},
    comping={"held": 3, "stabs": 3, "charleston": 1.5, "dub": 1},
    lead={"soaring": 3, "vocal": 3, "riff": 2, "hook": 2},
    arp={1: 3, 2: 5, 3: 1},
    programs={
        "bass": (38, 39, 87, 36),
        "chords": (4, 5, 1, 62, 50, 48),
        "lead": (80, 81, 84, 86, 73, 85),
        "pad": (88, 89, 90, 92, 94, 95, 49),
        "arp": (5, 11, 46, 98, 108, 88, 10),
    },
)  # fmt: skip

AMBIENT = Style(
    name="ambient",
    tempo_bpm=(60, 95),
    swing=(0.50, 0.53),
    modes={"major": 3, "minor": 3, "dorian": 2, "mixolydian": 2, "phrygian": 0.5},
    meters={(4, 4): 6.0, (3, 4): 1.5, (6, 8): 1.5},
    richness=0.85,
    static=0.05,
    slow_harmony=True,
    shapes=(
        ("intro", "drop", "break", "drop2", "outro"),
        ("intro", "build", "drop", "break", "drop2", "outro"),
        ("intro", "drop", "drop2", "break", "outro"),
    ),
    bars={"intro": 6, "build": 4, "drop": 8, "break": 6, "drop2": 8, "outro": 6},
    core={
        "intro": ("pad", "lead", "arp"),
        "build": ("pad", "chords", "perc"),
        "drop": ("pad", "bass", "chords", "lead", "hats"),
        "break": ("pad", "lead"),
        "drop2": ("pad", "bass", "chords", "arp", "lead", "perc"),
        "outro": ("pad", "chords", "lead"),
    },
    extra={
        "intro": {"chords": 0.3},
        "build": {"arp": 0.6, "bass": 0.5, "hats": 0.4},
        "drop": {"kick": 0.4, "perc": 0.5, "arp": 0.35},
        "break": {"arp": 0.5, "chords": 0.5, "bass": 0.3},
        "drop2": {"kick": 0.6, "snare": 0.4, "hats": 0.6},
        "outro": {"arp": 0.4, "bass": 0.4},
    },
    drums=DrumBook(
        kick=(
            "x...............", "x.........o.....", "x.......o.......", "x.....o...........o.....x.......",
            "x...........", "x.....o.....", "x.......o...",
        ),
        kick_spice=0.2,
        snare=("........x.......", "............o...", "....o.......o...", "......x.....", "........o..."),
        backbeat=((RIM,), (SNARE,), (39,), (75,)),
        closed=(
            "o.-.o.-.o.-.o.-.", "..o...o...o...o.", "o...-...o...-...", "-.o-..o.-.o-..o.", "o..-..o..-..",
            "o.-.o.-.o.-.", "..o...o...o.",
        ),
        open=("................", "..............o.", "............", "..........o."),
        ride=("o.......o.......", "o.....o....."),
        perc=((80, 81), (75, 76), (60, 61), (53, 81), (69, 70), (64, 63), (76, 77), (37, 75)),
        perc_hits=(2, 4),
        cycles=(32, 24, 20, 28, 16, 12),
        ghosts=0.1,
        fills={"flourish": 3, "toms": 1},
        time_keepers=(70, 54, 53),
    ),
    bass={"drone": 4, "sub": 2},
    comping={"bloom": 4, "held": 2, "broken": 3},
    lead={"sparse": 5, "soaring": 2},
    arp={1: 2, 2: 5, 3: 2, 4: 2},
    programs={
        "bass": (38, 39, 32, 35, 43),
        "chords": (4, 5, 0, 11, 88, 46),
        "lead": (79, 73, 80, 82, 75, 68, 71),
        "pad": (89, 90, 91, 92, 94, 95, 48, 52),
        "arp": (98, 10, 108, 12, 14, 99, 45),
    },
)  # fmt: skip

STYLES: dict[str, Style] = {style.name: style for style in (HOUSE, TECHNO, ELECTRO, DRUM_AND_BASS, AMBIENT)}
"""By label: house, techno, electro, dnb, ambient."""
