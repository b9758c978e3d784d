"""`lh data prepare|list|show|check|stats`, and the same from Python.

`prepare_folder` is what `lh train ... data.folder=DIR` calls: one's own music is one command away from training.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lh_mm.data import prepare as preparation
from lh_mm.data.check import check
from lh_mm.data.manifest import SPLITS
from lh_mm.data.prepared import PreparedError, PreparedSet
from lh_mm.data.recipe import load_recipe
from lh_mm.data.sources import data_root

LOGGER = logging.getLogger(__name__)


def prepare(
    recipe: str | Path, overrides: Sequence[str] = (), *, workers: int | None = None, root: Path | None = None
) -> PreparedSet:
    """Prepare a recipe; what is done already is not done again.

    Args:
        recipe: a YAML file, or the name of a shipped recipe.
        overrides: `key=value` of the recipe; keys of the corpus need no prefix. `workers=N` counts as the argument.
        workers: processes; by default one a core.
        root: parent of all prepared sets; `$LH_DATA`, by default `./data`.

    Raises:
        ConfigError: every mistake in file and overrides.
        SourceError: there is nothing to prepare.
        PrepareError: it could not be finished; the same call goes on.
    """
    own = [override for override in overrides if override.partition("=")[0] != "workers"]
    for override in overrides:
        if override.startswith("workers="):
            workers = _positive("workers", override.partition("=")[2])
    loaded = load_recipe(recipe, own).config
    LOGGER.info("%s, licence: %s", loaded.name, loaded.licence)
    return PreparedSet(preparation.prepare(loaded, root=root, workers=workers))


def prepare_folder(
    folder: Path, overrides: Sequence[str] = (), *, workers: int | None = None, root: Path | None = None
) -> PreparedSet:
    """Prepare a folder of one's own music by the shipped recipe `folder`; arguments as in `prepare`."""
    return prepare("folder", [f"path={folder}", *overrides], workers=workers, root=root)


def list_sets(root: Path | None = None) -> list[str]:
    """One line a set below `root`: name/fingerprint, pieces, hours, what it stores; unfinished ones say so."""
    base = root or data_root()
    lines = []
    for folder in sorted(path for path in base.glob("*/*") if (path / "DONE").is_file() or (path / ".lock").is_file()):
        name = f"{folder.parent.name}/{folder.name}"
        if not (folder / "DONE").is_file():
            lines.append(f"{name}  not finished: run the same `lh data prepare` again")
            continue
        prepared = PreparedSet(folder)
        counts = prepared.stats["all"]
        holds = [what for what, there in _holdings(prepared) if there]
        lines.append(f"{name}  {counts['pieces']} pieces, {counts['hours']:.2f} h: {', '.join(holds)}")
    return lines


def open_set(name: str, root: Path | None = None) -> PreparedSet:
    """A set by its folder, by its name, or by name/fingerprint; of several of one name, the newest.

    Raises:
        PreparedError: there is none.
    """
    base = root or data_root()
    for path in (Path(name), base / name):
        finished = [done.parent for pattern in ("DONE", "*/DONE") for done in path.glob(pattern)]
        if finished:
            return PreparedSet(max(finished, key=lambda folder: (folder / "DONE").stat().st_mtime))
        if path.is_dir():
            return PreparedSet(path)  # says what is missing
    known = ", ".join(sorted({path.parent.parent.name for path in base.glob("*/*/DONE")})) or "none yet"
    raise PreparedError(f"no prepared set {name!r} in {base} (there are: {known})")


def show_set(prepared: PreparedSet) -> str:
    """What a set is, as text."""
    about, rows = prepared.about, [("folder", str(prepared.path))]
    codec, features = about["codec"], about["features"]
    rows += [
        ("licence", about["licence"]),
        ("slots a second", f"{prepared.rate_hz:g}"),
        ("audio tracks", ", ".join(prepared.audio_tracks) or "none"),
        (
            "codec",
            f"{codec['source']}, {codec['num_codebooks']} x {codec['codebook_size']}, {codec['fingerprint'][:12]}"
            if codec
            else "none",
        ),
        ("features", f"{features['kind']}, {prepared.num_features} bands" if features else "none"),
    ]
    rows += [(f"control {name}", ", ".join(values)) for name, values in about["controls"].items()]
    return _aligned(rows) + "\n\n" + stats_table(prepared)


def stats_table(prepared: PreparedSet) -> str:
    """Counts by split, changes made to notes, share of onsets on sixteenths, and the quarantine."""
    stats = prepared.stats
    header = ("", "pieces", "hours", "notes", "onsets on 16ths")
    rows = [header]
    for name, counts in (*((split, stats["splits"][split]) for split in SPLITS), ("all", stats["all"])):
        share = "-" if counts["onsets_on_16ths"] is None else f"{counts['onsets_on_16ths']:.4f}"
        rows.append((name, str(counts["pieces"]), f"{counts['hours']:.2f}", str(counts["notes"]), share))
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    changed = {key: count for key, count in stats["all"]["changed_notes"].items() if count}
    if changed:
        lines.append("notes changed to be legal: " + ", ".join(f"{count} {key}" for key, count in changed.items()))
    alignment = ", ".join(f"{count} {kind}" for kind, count in stats["all"]["alignment"].items())
    lines.append(f"alignment of notes and sound: {alignment}")
    if prepared.quarantine:
        lines.append(f"{len(prepared.quarantine)} in quarantine:")
        lines += [f"  {entry['file'] or entry['id']}: {entry['reason']}" for entry in prepared.quarantine[:20]]
        if len(prepared.quarantine) > 20:
            lines.append(f"  ... all of them in {prepared.path / 'quarantine.jsonl'}")
    return "\n".join(lines)


def check_set(prepared: PreparedSet) -> list[str]:
    """Everything that is wrong with a set on disk; empty if it is sound."""
    return check(prepared)


def _holdings(prepared: PreparedSet) -> list[tuple[str, Any]]:
    return [
        ("notes", prepared.stats["all"]["notes"]),
        ("codes", prepared.about["codec"]),
        ("features", prepared.about["features"]),
    ]


def _aligned(rows: Sequence[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in rows)


def _positive(name: str, text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ValueError(f"{name} should be 1 or more, got {text}")
    return int(text)
