"""What all parts of a piece agree on before a note is written: tempo, key, metre, form and chords."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lh_mm.music.compose.dice import Dice
from lh_mm.music.compose.form import Form, Section, draw_form
from lh_mm.music.compose.harmony import Chord, Harmony, Key, Loop, draw_loop, revoice
from lh_mm.music.compose.rhythm import STEPS_PER_BEAT
from lh_mm.music.compose.style import Style


@dataclass(frozen=True)
class Sketch:
    """The shared plan of one piece.

    Attributes:
        seed: the piece's seed; every part draws from `dice(its name)`.
        style: as data.
        key: tonic and mode.
        bpm: quarter notes a minute (before any rubato).
        meter: numerator and denominator.
        drive: 0 calm .. 1 busy, how much parts play.
        swing: share of an eighth that its first sixteenth takes.
        form: sections and levels.
        harmony: chords.
    """

    seed: int
    style: Style
    key: Key
    bpm: float
    meter: tuple[int, int]
    drive: float
    swing: float
    form: Form
    harmony: Harmony

    @property
    def bar_beats(self) -> float:
        """Quarter notes a bar."""
        return self.meter[0] * 4.0 / self.meter[1]

    @property
    def steps_per_bar(self) -> int:
        """Sixteenths a bar."""
        return round(self.bar_beats * STEPS_PER_BEAT)

    def dice(self, purpose: str) -> Dice:
        """An independent stream of chance."""
        return Dice(self.seed, purpose)

    def bars(self, layer: str) -> Iterator[tuple[Section, int, float]]:
        """Every bar in which a layer sounds: its section, its number in the piece and its level."""
        levels = self.form.levels[layer]
        for section in self.form.sections:
            for bar in range(section.start_bar, section.end_bar):
                if levels[bar] > 0:
                    yield section, bar, levels[bar]

    def spans(self, layer: str) -> list[tuple[Section, int, int, float]]:
        """Unbroken runs of bars in which a layer sounds within one section: section, first, last + 1, level."""
        runs: list[tuple[Section, int, int, float]] = []
        for section, bar, level in self.bars(layer):
            if runs and runs[-1][0] is section and runs[-1][2] == bar:
                runs[-1] = (section, runs[-1][1], bar + 1, runs[-1][3])
            else:
                runs.append((section, bar, bar + 1, level))
        return runs


def draw_sketch(seed: int, style: Style, duration_s: float | None) -> Sketch:
    """Draw the plan of a piece of about `duration_s` (60 to 150 s where None), whole bars long."""
    dice = Dice(seed, "sketch")
    low, high = style.tempo_bpm
    bpm = dice.between(2 * low, 2 * high) / 2
    meter = dice.weighted(style.meters)
    key = Key(dice.below(12), dice.weighted(style.modes))
    drive = dice.uniform() ** 1.5
    swing = 0.5 if dice.chance(0.4) else round(dice.uniform(*style.swing), 3)
    bar_s = meter[0] * 4 / meter[1] * 60 / bpm
    if duration_s is None:
        num_bars = 4 * max(4, round(dice.uniform(60.0, 150.0) / bar_s / 4))
    else:
        num_bars = max(1, round(duration_s / bar_s))
    form = draw_form(Dice(seed, "form"), style, num_bars, must=("bass", "chords", "lead", "perc"))
    harmony = _draw_harmony(Dice(seed, "harmony"), style, key, form, meter[0] * 4.0 / meter[1])
    return Sketch(seed, style, key, bpm, meter, drive, swing, form, harmony)


def _draw_harmony(dice: Dice, style: Style, key: Key, form: Form, bar_beats: float) -> Harmony:
    """One loop for the piece; breaks and the second drop may vary it or leave it."""
    home = draw_loop(dice, key.mode, style.richness, style.static, style.slow_harmony)
    away = draw_loop(dice, key.mode, style.richness, 0.0, style.slow_harmony)
    varied = revoice(dice, key.mode, home, style.richness)
    loops: dict[str, Loop] = {
        "break": dice.weighted({home: 3, varied: 4, away: 3}),
        "drop2": dice.weighted({home: 5, varied: 4}),
        "outro": home,
    }
    chords: list[Chord] = []
    for section in form.sections:
        loop = loops.get(section.kind, home)
        beat, end = section.start_bar * bar_beats, section.end_bar * bar_beats
        i = 0
        while beat < end - 1e-9:
            root, tones, length = loop.chords[i % len(loop.chords)]
            stop = min(end, beat + length * bar_beats)
            chords.append(Chord(beat, stop, root, tones))
            beat, i = stop, i + 1
    return Harmony(key, tuple(chords))
