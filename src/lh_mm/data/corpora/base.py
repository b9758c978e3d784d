"""What a corpus is to preparation: a cheap listing, and pieces read one at a time.

The listing names every file with its hash, so a set's fingerprint is known before anything is decoded, and
work is handed to processes as items. Reading may refuse one piece (`Quarantine`); it never stops a run.
A corpus has a `VERSION`: raising it makes every prepared set of it stale, for it is in the fingerprint.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lh_mm.core.files import sha256_file
from lh_mm.data.splits import Split
from lh_mm.music.score import Piece


class Quarantine(ValueError):
    """This piece cannot be used; the message says why and is written to `quarantine.jsonl`."""


class SourceError(ValueError):
    """There is nothing to prepare: no such folder, an empty one, or files other than the recipe's."""


@dataclass(frozen=True)
class SourceFile:
    """One file of a source: its path relative to the source's folder, with its content hash."""

    name: str
    sha256: str


@dataclass(frozen=True)
class SourceItem:
    """One piece to be, before it is read.

    Attributes:
        id: of the piece.
        files: what it is made from; empty for what is composed.
        split: fixed by the corpus, or None where preparation decides it from the pieces that were accepted.
        seed: of what is composed.
    """

    id: str
    files: tuple[SourceFile, ...] = ()
    split: Split | None = None
    seed: int | None = None

    def to_json(self) -> dict[str, Any]:
        """For the fingerprint."""
        return {
            "id": self.id,
            "files": [[file.name, file.sha256] for file in self.files],
            "split": self.split,
            "seed": self.seed,
        }


class Corpus(Protocol):
    """An adapter: where music comes from, without how it is stored."""

    @property
    def VERSION(self) -> str:
        """Raised whenever the adapter reads something else from the same files."""
        ...

    def listing(self) -> list[SourceItem]:
        """Every piece there may be, in a stable order.

        Raises:
            SourceError: when there is nothing to list.
        """
        ...

    def read(self, item: SourceItem) -> Piece:
        """One piece, on its own clock.

        Raises:
            Quarantine: it cannot be used, and why.
        """
        ...


def source_file(root: Path, path: Path) -> SourceFile:
    """A file with its hash, named relative to `root` with forward slashes."""
    return SourceFile(path.relative_to(root).as_posix(), sha256_file(path))
