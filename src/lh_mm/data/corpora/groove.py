"""`groove`: 1,150 drum performances by ten people (Gillick et al., ICML 2019, arXiv:1905.06118), CC BY 4.0.

Played to a click, so the files' ticks are beats; tempo, style and meter come from `info.csv`, and so does the official
split. Keys are those of the electronic kit, which has more than General MIDI names; they are kept as they are.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from lh_mm.data.corpora.base import Quarantine, SourceError, SourceItem, source_file
from lh_mm.data.sources import PublicCorpus, check_content
from lh_mm.data.splits import Split
from lh_mm.music.midi_io import MidiError, read_midi
from lh_mm.music.score import Piece

_TABLE = "info.csv"
_COLUMNS = ("drummer", "style", "bpm", "beat_type", "time_signature", "midi_filename", "split")
_SPLITS: Mapping[str, Split] = {"train": "train", "validation": "valid", "test": "test"}


class GrooveConfig(PublicCorpus):
    """Where the performances are, and how many are taken."""

    kind: Literal["groove"] = "groove"

    def build(self, licence: str, root: Path) -> Groove:
        return Groove(self, licence, root)


class Groove:
    """The adapter."""

    VERSION = "1"

    def __init__(self, config: GrooveConfig, licence: str, root: Path) -> None:
        self.config, self.licence, self.root = config, licence, root
        self._rows: dict[str, dict[str, str]] = {}

    def listing(self) -> list[SourceItem]:
        items = []
        for name, row in self._table().items():
            if (self.root / row["midi_filename"]).is_file():
                file = source_file(self.root, self.root / row["midi_filename"])
                items.append(SourceItem(name, (file,), _SPLITS[row["split"]]))
        if not items:
            raise SourceError(f"{self.root}: {_TABLE} names no file that is there")
        check_content(self.config.source, (file for item in items for file in item.files), self.root)
        return items[: self.config.pieces]

    def read(self, item: SourceItem) -> Piece:
        row = self._table()[item.id]
        try:
            score = read_midi(self.root / row["midi_filename"])
        except (FileNotFoundError, MidiError, ValueError) as error:
            raise Quarantine(str(error)) from error
        if not score.notes["drum"].all():
            raise Quarantine(f"{int((~score.notes['drum']).sum())} notes are not on the drum channel")
        labels: dict[str, str | float | int] = {
            "style": row["style"].partition("/")[0],
            "tempo_bpm": float(row["bpm"]),
            "meter": row["time_signature"].replace("-", "/"),
            "beat_type": row["beat_type"],
            "drummer": row["drummer"],
        }
        return Piece(item.id, score, (), labels, self.licence, "none")

    def _table(self) -> dict[str, dict[str, str]]:
        """Rows of `info.csv` by the piece's id, in the order of ids.

        Raises:
            SourceError: there is no such table, or it is not the corpus's.
        """
        if not self._rows:
            path = self.root / _TABLE
            if not path.is_file():
                raise SourceError(f"{path} is missing")
            with path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            missing = [name for name in _COLUMNS if not rows or rows[0].get(name) is None]
            if missing or {row["split"] for row in rows} - set(_SPLITS):
                raise SourceError(
                    f"{path}: expected the columns {', '.join(_COLUMNS)}, and splits {', '.join(_SPLITS)}"
                )
            named = {
                "groove-" + Path(row["midi_filename"]).with_suffix("").as_posix().replace("/", "-"): row for row in rows
            }
            self._rows = dict(sorted(named.items()))
        return self._rows
