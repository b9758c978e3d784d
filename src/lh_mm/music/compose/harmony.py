"""Keys, chords and voice leading, all in degrees of one scale.

A pitch is an *index*: 7 * octave + degree, so that sequences, inversions and arpeggios are sums, and stay
in the scale. Only harmonic minor bends: its seventh degree is raised over V and vii and natural elsewhere.
Voicings move as little as they can (Tymoczko, *A Geometry of Music*, 2011: the smallest total motion),
among close and open positions within a register.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property, lru_cache

from lh_mm.music.compose.dice import Dice

MODES: dict[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "harmonic minor": (0, 2, 3, 5, 7, 8, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
}
"""Semitones of each degree above the tonic."""

NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")

# Roots as degrees, one letter a chord; a digit of bars each is drawn in `draw_harmony`.
PROGRESSIONS: dict[str, tuple[tuple[int, ...], ...]] = {
    "major": ((0, 4, 5, 3), (5, 3, 0, 4), (3, 4, 2, 5), (0, 5, 3, 4), (1, 4, 0, 5), (3, 0, 4, 5), (0, 2, 3, 3), (0, 3)),
    "mixolydian": ((0, 6, 3, 0), (0, 4, 6, 3), (0, 6), (0, 3, 6, 3), (3, 6, 0, 0), (0, 1, 6, 3)),
    "dorian": ((0, 3), (0, 3, 6, 0), (0, 1, 2, 3), (0, 6, 3, 3), (0, 2, 3, 6), (0, 4, 3, 3), (3, 0, 6, 0)),
    "minor": (
        (0, 5, 2, 6), (0, 5, 3, 6), (0, 3, 5, 4), (5, 6, 0, 0), (0, 6, 5, 6), (0, 2, 6, 3), (0, 4, 5, 3),
        (5, 6, 0, 2), (0, 0, 5, 6), (3, 5, 0, 6), (0, 3), (0, 5),
    ),
    "harmonic minor": ((0, 3, 4, 0), (0, 5, 3, 4), (0, 5, 4, 4), (0, 0, 3, 4), (5, 3, 0, 4), (0, 2, 5, 4)),
    "phrygian": ((0, 1), (0, 1, 2, 1), (0, 6, 1, 0), (0, 0, 1, 1), (0, 5, 1, 0), (0, 1, 6, 0)),
}  # fmt: skip

NEXT_ROOT = {
    0: (3, 5, 6, 4, 2, 1),
    1: (4, 6, 0),
    2: (5, 3, 6),
    3: (0, 4, 6, 5),
    4: (0, 5, 3),
    5: (3, 2, 6, 1),
    6: (0, 2, 5),
}
"""Where an invented progression may go from each root; earlier ones are likelier."""


@dataclass(frozen=True)
class Key:
    """A tonic (pitch class 0..11) and a mode."""

    tonic: int
    mode: str

    @property
    def name(self) -> str:
        """For example `A minor`."""
        return f"{NAMES[self.tonic]} {self.mode}"

    def steps_over(self, root: int) -> tuple[int, ...]:
        """The scale while a chord on this degree sounds."""
        steps = MODES[self.mode]
        return (*steps[:6], 11) if self.mode == "harmonic minor" and root in (4, 6) else steps

    def pitch(self, index: int, root: int = 0) -> int:
        """MIDI pitch of an index (7 * octave + degree) over the chord on `root`."""
        octave, degree = divmod(index, 7)
        return self.tonic + 12 * octave + self.steps_over(root)[degree]

    def index_of(self, pitch: int, root: int = 0) -> int:
        """The index of a pitch of the scale over `root`; the inverse of `pitch`."""
        octave, above = divmod(pitch - self.tonic, 12)
        return 7 * octave + self.steps_over(root).index(above)

    def index_near(self, pitch: float, degree: int) -> int:
        """The index of this degree whose pitch lies nearest to `pitch`."""
        octave = round((pitch - self.tonic - MODES[self.mode][degree % 7]) / 12)
        return 7 * octave + degree % 7


@dataclass(frozen=True)
class Chord:
    """A chord in force from `start_beat` to `end_beat`: root degree and tones in scale steps above it."""

    start_beat: float
    end_beat: float
    root: int
    tones: tuple[int, ...]

    @cached_property
    def degrees(self) -> frozenset[int]:
        """Degrees 0..6 that belong to the chord."""
        return frozenset((self.root + tone) % 7 for tone in self.tones)


@dataclass(frozen=True)
class Harmony:
    """The chords of a whole piece, without gaps, in order."""

    key: Key
    chords: tuple[Chord, ...]

    @cached_property
    def _starts(self) -> list[float]:
        return [chord.start_beat for chord in self.chords]

    def at(self, beat: float) -> Chord:
        """The chord in force at a beat."""
        return self.chords[max(0, bisect_right(self._starts, beat + 1e-9) - 1)]

    def between(self, start_beat: float, end_beat: float) -> list[Chord]:
        """Chords that begin in [start_beat, end_beat), the first cut to begin there."""
        first = self.at(start_beat)
        later = [c for c in self.chords if start_beat < c.start_beat < end_beat]
        spans = [Chord(start_beat, first.end_beat, first.root, first.tones), *later]
        return [Chord(c.start_beat, min(c.end_beat, end_beat), c.root, c.tones) for c in spans]


@dataclass(frozen=True)
class Loop:
    """A progression: for every chord its root, its tones and its length in bars."""

    chords: tuple[tuple[int, tuple[int, ...], float], ...]


def draw_loop(dice: Dice, mode: str, richness: float, static: float, slow: bool) -> Loop:
    """A chord loop of 1 to 16 bars.

    Args:
        dice: where chance comes from.
        mode: key of `MODES`.
        richness: 0 gives triads, 1 mostly sevenths, ninths and suspensions.
        static: chance of a single chord, as techno likes.
        slow: two bars a chord more often than one.
    """
    if dice.chance(static):
        roots: tuple[int, ...] = (0,)
    elif dice.chance(0.55):
        roots = dice.pick(PROGRESSIONS[mode])
    else:
        walk = [0 if dice.chance(0.7) else dice.pick([root for root in (5, 3, 6) if _is_stable(mode, root)])]
        while len(walk) < dice.pick((4, 4, 4, 8)) and len(walk) < 8:
            onward = [root for root in NEXT_ROOT[walk[-1]] if _is_stable(mode, root)]
            walk.append(onward[min(dice.below(len(onward)), dice.below(len(onward)))])
        roots = tuple(walk)
    bars = 2.0 if dice.chance(0.65 if slow else 0.25) and len(roots) <= 4 else 1.0
    if len(roots) == 2 and bars == 1.0 and dice.chance(0.5):
        bars = 2.0
    lengths = [bars] * len(roots)
    if len(roots) >= 4 and bars == 1.0 and dice.chance(0.25):  # the last two chords hurry, the one before waits
        lengths[-3:] = [bars + 0.5, bars - 0.5, bars]
    return Loop(tuple((root, _tones(dice, richness), length) for root, length in zip(roots, lengths, strict=True)))


def _is_stable(mode: str, root: int) -> bool:
    """Whether the triad on this degree has a perfect fifth: diminished ones are no place to stay for a bar."""
    steps = Key(0, mode).steps_over(root)
    return (steps[(root + 4) % 7] - steps[root]) % 12 == 7


def _tones(dice: Dice, richness: float) -> tuple[int, ...]:
    if not dice.chance(richness):
        return (0, 2, 4)
    return dice.weighted(
        {(0, 2, 4, 6): 4.0, (0, 2, 4, 8): 2.0, (0, 2, 6, 8): 2.0, (0, 1, 4): 0.8, (0, 3, 4): 0.8, (0, 2, 4, 6, 8): 1.0}
    )


def revoice(dice: Dice, mode: str, loop: Loop, richness: float) -> Loop:
    """The same loop with one chord replaced (a third away, or another colour), as a later section may have it."""
    chords = list(loop.chords)
    i = dice.below(len(chords))
    root, tones, length = chords[i]
    third_away = (root + dice.pick((2, 5))) % 7
    if len(chords) > 1 and _is_stable(mode, third_away) and dice.chance(0.7):
        root = third_away
    else:
        tones = _tones(dice, max(richness, 0.5))
    chords[i] = (root, tones, length)
    return Loop(tuple(chords))


@lru_cache(maxsize=4096)
def _positions(tones: tuple[int, ...], voices: int) -> tuple[tuple[int, ...], ...]:
    """Shapes of a chord as indices above its root: inversions of the close position, some opened up."""
    if len(tones) > voices:  # the fifth goes first, then the root: the bass has it
        kept = (
            [tone for tone in tones if tone != 4] if len(tones) == voices + 1 else [t for t in tones if t not in (0, 4)]
        )
        tones = tuple(kept[:voices])
    classes = sorted({tone % 7 for tone in tones})
    shapes = []
    for turn in range(len(classes)):
        close = [classes[(turn + i) % len(classes)] + 7 * ((turn + i) // len(classes)) for i in range(voices)]
        shapes.append(tuple(close))
        if voices >= 4:  # drop 2
            shapes.append(tuple(sorted([*close[:-2], close[-2] - 7, close[-1]])))
        elif voices == 3:
            shapes.append((close[0], close[2], close[1] + 7))
    return tuple(shapes)


def voice(
    key: Key, chord: Chord, previous: tuple[int, ...] | None, voices: int, low: int, high: int
) -> tuple[int, ...]:
    """MIDI pitches of a chord, ascending, nearest to the previous voicing.

    Args:
        key: scale in which the chord's degrees are read.
        chord: what to voice.
        previous: the voicing before, or None at the start.
        voices: notes wanted (a triad in four voices doubles its lowest).
        low: lowest pitch wished for.
        high: highest pitch wished for.
    """
    best: tuple[float, tuple[int, ...]] | None = None
    centre = (low + high) / 2
    for shape in _positions(chord.tones, voices):
        for octave in range(low // 12 - 1, high // 12 + 1):
            pitches = tuple(key.pitch(7 * octave + chord.root + tone, chord.root) for tone in shape)
            outside = sum(max(0, low - p) + max(0, p - high) for p in pitches)
            cost = 20.0 * outside + 0.15 * abs(sum(pitches) / voices - centre)
            if min(b - a for a, b in itertools.pairwise(pitches)) == 1 and pitches[0] < 55:
                cost += 3.0  # semitones low down are mud
            if previous is not None:
                cost += sum(abs(a - b) for a, b in zip(pitches, previous, strict=True))
                cost += 1.5 * (pitches[-1] == previous[-1])  # the top voice should sing
            if best is None or cost < best[0]:
                best = (cost, pitches)
    assert best is not None
    return best[1]


def ladder(key: Key, chord: Chord, low: int, high: int) -> list[int]:
    """All pitches of the chord in [low, high], ascending: what an arpeggio climbs."""
    pitches = [
        key.pitch(7 * octave + degree, chord.root)
        for octave in range(low // 12 - 1, high // 12 + 1)
        for degree in sorted(chord.degrees)
    ]
    return [pitch for pitch in pitches if low <= pitch <= high]
