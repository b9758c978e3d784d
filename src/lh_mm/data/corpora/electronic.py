"""`electronic`: synthetic music from the built-in composer, unlimited, without network or licence questions.

Piece n of a set is seed `first_seed + n`, so sets of different sizes share their first pieces, and splits
are by the piece's id (`data/splits.py`), which the codec's training holds out in the same way. Notes are
exact; where the recipe renders them, so is the alignment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from lh_mm.core.config import Config
from lh_mm.data.corpora.base import SourceItem
from lh_mm.music.compose import KITS, STYLES, VERSION, compose
from lh_mm.music.compose.dice import Dice
from lh_mm.music.score import Piece


class ElectronicConfig(Config):
    """Which pieces are composed."""

    kind: Literal["electronic"] = "electronic"
    pieces: int = Field(240, ge=1)
    """How many."""
    first_seed: int = Field(0, ge=0)
    """Seeds count up from here. The codec was trained on renders of 100000 and up."""
    styles: Mapping[str, float] | None = None
    """Weights of styles; one that is left out is never drawn. None draws all alike."""
    duration_s: float | None = Field(None, gt=2.0)
    """About how long each piece is; None draws 60 to 150 s."""
    sound_sets: int | None = Field(None, ge=1)
    """How many sets of sounds (a drum kit and a preset of every program) all pieces share; 1 is one studio, in which a
    program always sounds alike. None gives every piece sounds of its own, which takes far more music to learn."""
    kits_held_out: tuple[str, ...] = ()
    """Sound sets whose pieces all go to the test split, so that a model can be judged on sounds it never heard."""

    @field_validator("styles")
    @classmethod
    def _known_styles(cls, styles: Mapping[str, float] | None) -> Mapping[str, float] | None:
        if styles is None:
            return None
        if unknown := sorted(set(styles) - set(STYLES)):
            raise ValueError(f"unknown style {', '.join(unknown)}; the styles are {', '.join(STYLES)}")
        if min(styles.values(), default=0.0) < 0 or sum(styles.values()) <= 0:
            raise ValueError("weights of styles must not be negative, and one must be above 0")
        return styles

    @field_validator("kits_held_out")
    @classmethod
    def _known_kits(cls, kits: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := sorted(set(kits) - set(KITS)):
            raise ValueError(f"unknown kit {', '.join(unknown)}; the kits are {', '.join(KITS)}")
        return kits

    def locate(self, licence: str) -> Path:
        """There are no files; any folder does."""
        return Path()

    def build(self, licence: str, root: Path) -> Electronic:
        return Electronic(self, licence)


class Electronic:
    """The adapter."""

    VERSION = f"1, composer {VERSION}"

    def __init__(self, config: ElectronicConfig, licence: str) -> None:
        self.config, self.licence = config, licence

    def listing(self) -> list[SourceItem]:
        first = self.config.first_seed
        seeds = range(first, first + self.config.pieces)
        return [SourceItem(f"electronic-{seed:06d}-{self._style(seed)}", seed=seed) for seed in seeds]

    def read(self, item: SourceItem) -> Piece:
        assert item.seed is not None
        piece = compose(item.seed, self._style(item.seed), self.config.duration_s)
        assert piece.id == item.id, (piece.id, item.id)
        labels = dict(piece.labels)
        if self.config.sound_sets is not None:
            number = Dice(item.seed, "sound set").below(self.config.sound_sets)
            labels |= {"kit": KITS[number % len(KITS)], "preset_seed": 1 + number}
        if labels["kit"] in self.config.kits_held_out:
            labels["split"] = "test"
        return replace(piece, labels=labels, licence=self.licence)

    def _style(self, seed: int) -> str:
        dice = Dice(seed, "style")  # the composer's own: without weights a seed is the piece that `compose` makes
        styles = self.config.styles
        return dice.pick(tuple(STYLES)) if styles is None else dice.weighted(styles)
