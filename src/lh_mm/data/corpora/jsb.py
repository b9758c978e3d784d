"""`jsb`: 382 chorales of J. S. Bach in four voices on sixteenths, split as Boulanger-Lewandowski did (ICML 2012).

The table says which pitch each voice sings at each sixteenth, -1 for a rest; it does not tell held notes from repeated
ones, so equal pitches in a row are one note here, and nats are per voice and step, not per note. Beats are quarters at
an assumed tempo, for the table has none.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lh_mm.core.clock import TempoMap
from lh_mm.data.corpora.base import Quarantine, SourceError, SourceItem, source_file
from lh_mm.data.sources import PublicCorpus, check_content
from lh_mm.data.splits import Split
from lh_mm.music.chorale import score_of_steps
from lh_mm.music.score import Piece

_FILE = "Jsb16thSeparated.json"
_SPLITS: tuple[Split, ...] = ("train", "valid", "test")
TEMPO_BPM = 80.0


class JsbConfig(PublicCorpus):
    """Where the table is, and how many chorales of each split are taken."""

    kind: Literal["jsb"] = "jsb"

    def build(self, licence: str, root: Path) -> Jsb:
        return Jsb(self, licence, root)


class Jsb:
    """The adapter."""

    VERSION = "1"

    def __init__(self, config: JsbConfig, licence: str, root: Path) -> None:
        self.config, self.licence, self.root = config, licence, root
        self._steps: dict[str, list[list[list[int]]]] = {}

    def listing(self) -> list[SourceItem]:
        table = self._table()
        file = source_file(self.root, self.root / _FILE)
        check_content(self.config.source, (file,), self.root)
        return [
            SourceItem(f"jsb-{split}-{number:03d}", (file,), split)
            for split in _SPLITS
            for number in range(len(table[split]))[: self.config.pieces]
        ]

    def read(self, item: SourceItem) -> Piece:
        _, split, number = item.id.split("-")
        try:
            steps: NDArray[np.int64] = np.array(self._table()[split][int(number)], np.int64)
            score = score_of_steps(steps, TempoMap.constant(TEMPO_BPM))
        except ValueError as error:
            raise Quarantine(f"{_FILE}, {split} {number}: {error}") from error
        return Piece(item.id, score, (), {"tempo_bpm": TEMPO_BPM, "meter": "4/4"}, self.licence, "none")

    def _table(self) -> dict[str, list[list[list[int]]]]:
        """Splits of pieces of steps of four pitches.

        Raises:
            SourceError: there is no such file, or it is not the corpus's.
        """
        if not self._steps:
            path = self.root / _FILE
            try:
                found = json.loads(path.read_text(encoding="utf-8"))
            except FileNotFoundError:
                raise SourceError(f"{path} is missing") from None
            except ValueError as error:
                raise SourceError(f"{path}: {error}") from error
            if not isinstance(found, dict) or set(_SPLITS) - set(found):
                raise SourceError(f"{path}: expected the splits {', '.join(_SPLITS)}")
            self._steps = found
        return self._steps
