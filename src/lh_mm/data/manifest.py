"""The manifest of a set, put together from its shards: pieces, splits, quarantine, statistics, legal controls.

Splits are by piece. A corpus may fix them; where it does not, the piece's id decides (`data/splits.py`), and
small sets are mended so that any set can be trained on: one piece trains; from three on there is one to
validate and one to test as well.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lh_mm.core.files import read_json, write_atomic, write_json
from lh_mm.data.controls import control_values
from lh_mm.data.corpora.base import SourceError
from lh_mm.data.splits import Split, split_of

SPLITS: tuple[Split, ...] = ("train", "valid", "test")


def write_manifest(folder: Path, num_shards: int, about: dict[str, Any]) -> None:
    """Writes `pieces.jsonl`, `quarantine.jsonl`, `stats.json` and `set.json` from the shards' own listings.

    Args:
        folder: of the set.
        num_shards: how many there are.
        about: what the set is besides its pieces (name, rate, codec, ...), kept in `set.json`.

    Raises:
        SourceError: no piece could be used; the message gives the first reasons.
    """
    shards = [read_json(folder / f"shard.{i}.json") for i in range(num_shards)]
    pieces = [piece for shard in shards for piece in shard["pieces"]]
    quarantine = [entry for shard in shards for entry in shard["quarantine"]]
    _write_lines(folder / "quarantine.jsonl", quarantine)
    if not pieces:
        reasons = "\n  ".join(f"{entry['file'] or entry['id']}: {entry['reason']}" for entry in quarantine[:5])
        raise SourceError(f"none of {len(quarantine)} pieces could be used:\n  {reasons}")
    for piece, split in zip(pieces, decide_splits(pieces), strict=True):
        piece["split"] = split
    _write_lines(folder / "pieces.jsonl", pieces)
    write_json(folder / "stats.json", statistics(pieces, len(quarantine)))
    trained = [piece for piece in pieces if piece["split"] == "train"]
    tracks = sorted({track for piece in pieces for track in piece["audio"]})
    write_json(folder / "set.json", {**about, "audio_tracks": tracks, "controls": control_values(trained)})


def decide_splits(pieces: Sequence[dict[str, Any]]) -> list[Split]:
    """The split of every piece: its corpus's where it has one, else by its id, mended for small sets."""
    splits: list[Split] = [piece["split"] or split_of(piece["id"]) for piece in pieces]
    free = [i for i, piece in enumerate(pieces) if not piece["split"]]

    def order(i: int) -> str:
        return hashlib.sha256(f"mend {pieces[i]['id']}".encode()).hexdigest()

    def mend(split: Split, source: Sequence[Split], least_left: int) -> None:
        if split in splits:
            return
        candidates = sorted((i for i in free if splits[i] in source), key=order)
        for i in candidates:
            if splits.count(splits[i]) > least_left:
                splits[i] = split
                return

    mend("train", ("test", "valid"), 0)
    if len(pieces) >= 3:
        mend("valid", ("train", "test"), 1)
        mend("test", ("train", "valid"), 1)
    return splits


def statistics(pieces: Sequence[dict[str, Any]], num_quarantined: int) -> dict[str, Any]:
    """Counts of a set, by split and in all."""
    return {
        "quarantined": num_quarantined,
        "all": _counts(pieces),
        "splits": {split: _counts([p for p in pieces if p["split"] == split]) for split in SPLITS},
    }


def _counts(pieces: Sequence[dict[str, Any]]) -> dict[str, Any]:
    notes = sum(piece["notes"][1] for piece in pieces)
    on_grid = sum(piece["score"]["onsets_on_16ths"] for piece in pieces if piece["score"])
    changes: Counter[str] = Counter()
    for piece in pieces:
        changes.update(piece["counts"])
    return {
        "pieces": len(pieces),
        "hours": round(sum(piece["duration_s"] for piece in pieces) / 3600, 4),
        "notes": notes,
        "onsets_on_16ths": round(on_grid / notes, 4) if notes else None,
        "changed_notes": {key: value for key, value in changes.items() if key != "notes"},
        "alignment": dict(Counter(piece["alignment"] for piece in pieces)),
    }


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with write_atomic(path, "w") as handle:
        for row in rows:
            handle.write(json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n")
