"""Form: sections of a piece and the bars in which each layer sounds.

Dance music is built by layers that enter and leave at borders of four and eight bars. A `Form` is that
table: for every layer a level a bar, 0 where it is silent, otherwise how loud it plays (builds rise, outros
fall). Parts read it and know nothing else of each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lh_mm.music.compose.dice import Dice
from lh_mm.music.compose.style import LAYERS, Style

LOUDNESS = {"intro": 0.8, "build": 0.85, "drop": 1.0, "break": 0.78, "drop2": 1.0, "outro": 0.82}
CARRIERS = ("perc", "lead", "arp")
"""Layers that are never the same twice; one sounds in every bar, so that no bar is a commonplace."""


@dataclass(frozen=True)
class Section:
    """Bars [start_bar, end_bar) of one kind: intro, build, drop, break, drop2 or outro."""

    kind: str
    start_bar: int
    num_bars: int

    @property
    def end_bar(self) -> int:
        """The first bar after it."""
        return self.start_bar + self.num_bars


@dataclass(frozen=True)
class Form:
    """Sections in order, and the level of every layer in every bar.

    `cold_end` says that the last bar is one struck chord, left to ring (`ending.py`), and nothing else.
    """

    sections: tuple[Section, ...]
    levels: Mapping[str, tuple[float, ...]]
    cold_end: bool

    @property
    def num_bars(self) -> int:
        """Bars of the piece."""
        return self.sections[-1].end_bar

    @property
    def label(self) -> str:
        """For example `intro:8 build:4 drop:16`."""
        return " ".join(f"{section.kind}:{section.num_bars}" for section in self.sections)

    def next_kind(self, section: Section) -> str:
        """Kind of the section after this one, "" after the last."""
        later = [s.kind for s in self.sections if s.start_bar >= section.end_bar]
        return later[0] if later else ""


def draw_form(dice: Dice, style: Style, num_bars: int, must: tuple[str, ...]) -> Form:
    """A form of exactly `num_bars` bars.

    Args:
        dice: where chance comes from.
        style: its shapes and layers.
        num_bars: 1 or more; short pieces have fewer sections.
        must: layers that sound somewhere in the piece whatever is drawn.
    """
    sections = _divide(dice, style, num_bars)
    levels = {layer: [0.0] * num_bars for layer in LAYERS}
    for i, section in enumerate(sections):
        entries = _entries(dice, style, section)
        for layer, (first, last) in entries.items():
            for bar in range(first, last):
                levels[layer][bar] = _level(section, bar, last_section=i == len(sections) - 1)
        if section.kind.startswith("drop"):
            _breathe(dice, section, levels)
    fullest = max(sections, key=lambda s: (s.kind.startswith("drop"), s.num_bars))
    for layer in must:
        if not any(levels[layer]):
            for bar in range(fullest.start_bar, fullest.end_bar):
                levels[layer][bar] = LOUDNESS[fullest.kind]
    for bar in range(num_bars):
        if not any(levels[layer][bar] for layer in CARRIERS):
            levels["perc"][bar] = 0.7
    cold_end = num_bars >= 16 and dice.chance(0.5)
    if cold_end:
        for level in levels.values():
            level[-1] = 0.0
    return Form(tuple(sections), {layer: tuple(level) for layer, level in levels.items()}, cold_end)


def _divide(dice: Dice, style: Style, num_bars: int) -> list[Section]:
    """Section lengths: multiples of four bars while there is room, then of two, then of one."""
    if num_bars >= 28:
        kinds: tuple[str, ...] = dice.pick([s for s in style.shapes if 4 * len(s) <= num_bars] or style.shapes[-1:])
    elif num_bars >= 16:
        kinds = ("intro", "drop", "break", "drop2", "outro")
    elif num_bars >= 8:
        kinds = ("intro", "drop", "drop2")
    else:
        kinds = ("drop",)
    unit = 4 if num_bars >= 4 * len(kinds) else 2 if num_bars >= 2 * len(kinds) else 1
    weights = [style.bars[kind] * dice.uniform(0.8, 1.25) for kind in kinds]
    lengths = [max(unit, unit * round(num_bars * w / sum(weights) / unit)) for w in weights]
    while (spare := num_bars - sum(lengths)) >= unit or spare < 0:
        if spare < 0:  # the longest gives, later ones first
            i = max(range(len(kinds)), key=lambda i: (lengths[i], i))
            lengths[i] -= unit
        else:
            i = max(range(len(kinds)), key=lambda i: (weights[i] / lengths[i], i))
            lengths[i] += unit
    lengths[-1] += num_bars - sum(lengths)
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    return [Section(k, s, n) for k, s, n in zip(kinds, starts, lengths, strict=True)]


def _entries(dice: Dice, style: Style, section: Section) -> dict[str, tuple[int, int]]:
    """First and last (exclusive) bar of each layer that sounds in a section."""
    start, end, length = section.start_bar, section.end_bar, section.num_bars
    core = list(style.core[section.kind])
    extra = [layer for layer, chance in style.extra[section.kind].items() if dice.chance(chance)]
    if section.kind.startswith("drop"):  # full is not crowded
        extra = dice.sample(extra, dice.pick((1, 1, 2)))
    block = 4 if length >= 8 else 2 if length >= 4 else 1
    blocks = max(1, length // block)
    entries: dict[str, tuple[int, int]] = {}
    if section.kind in ("intro", "outro"):
        # One layer after another; the first two, of which one is never a commonplace, are there at once.
        lead_in = dice.shuffled(core[:3])
        order = [*lead_in, *dice.shuffled(core[3:] + extra)]
        for rank, layer in enumerate(order):
            late = start + block * min(blocks - 1, rank * blocks // len(order)) if rank >= 2 else start
            entries[layer] = (late, end) if section.kind == "intro" else (start, end - (late - start))
        return entries
    for layer in core:
        entries[layer] = (start, end)
    for layer in extra:
        late = start + block * dice.below(blocks) if section.kind != "drop2" else start
        entries[layer] = (late, end)
    if section.kind == "drop" and length >= 16 and dice.chance(0.6):  # the hook waits for the second half
        entries["lead"] = (start + length // 2, end)
    if section.kind == "build" and "kick" in entries and dice.chance(0.5):
        entries["kick"] = (start, max(start, end - dice.pick((1, 1, 2))))
    return entries


def _breathe(dice: Dice, section: Section, levels: dict[str, list[float]]) -> None:
    """A drop that never stops tires: now and then a few layers rest for the last bar of eight."""
    for bar in range(section.start_bar + 7, section.end_bar - 1, 8):
        if dice.chance(0.45):
            for layer in dice.sample(("kick", "bass", "chords", "hats", "lead"), dice.pick((1, 1, 2, 3))):
                levels[layer][bar] = 0.0


def _level(section: Section, bar: int, last_section: bool) -> float:
    """How loud a bar is: by its section, rising through a build, falling through an outro."""
    place = (bar - section.start_bar) / max(1, section.num_bars - 1)
    level = LOUDNESS[section.kind]
    if section.kind == "build":
        return level * (0.85 + 0.25 * place)
    if section.kind == "outro" or (last_section and section.kind == "intro"):
        return level * (1.05 - 0.15 * place)
    return level
